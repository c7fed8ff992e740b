// Package audit is the journal's shape: who did what to whom, by which rule, with what proof, as a chain of hashes that a
// stranger can check. It imports the standard library only; the store writes what it defines.
package audit
