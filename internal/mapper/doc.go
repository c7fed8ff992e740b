// Package mapper turns the mapping file into decisions: which entitlements a contractor's records earn, by which rule, and until when.
//
// It is pure: no disk, no network, no clock. Parse reads the text and reports every mistake with its place; the *Mapping that
// comes of it never changes and may be used by any number of goroutines. Evaluate answers for one engagement, Desired for one
// person, Compare says what an edit of the file would change.
//
// What a rule says never depends on the instant at which it is asked: expressions have no clock, so grants, ends, attributes
// and holds of an engagement are functions of its record and the file. The instant only decides which of them stand now. That
// is why a plan made today and applied tomorrow says the same, and why Desired can name the next instant at which its answer
// changes.
package mapper
