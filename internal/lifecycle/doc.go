// Package lifecycle is the loop: it compares what a person should hold with what Entra holds, closes the gap one step at a
// time, records each step with its proof, and says when to look again.
package lifecycle
