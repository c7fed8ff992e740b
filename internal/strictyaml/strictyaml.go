// Package strictyaml reads the YAML files that administrators write by hand and reports every mistake in them at once, each with its file, line and column.
//
// It stands on the node tree of go.yaml.in/yaml/v3 and leaves out what a file for
// administrators does not need and what goes wrong quietly: unknown and repeated keys,
// several documents in one file, merge keys, explicit tags, yes and no as booleans,
// keys without a value, and numbers that are not plain decimals.
//
// The usual course is Parse, then Decode into a struct that already holds the defaults,
// then the caller's own checks, which find the place of a value with At, KeyAt and Within.
package strictyaml

import (
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a file. Line and Column count from 1; a column is one character
// (Unicode code point), not one byte.
type Pos struct{ Line, Column int }

// String returns "line:column".
func (p Pos) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Problem is one mistake, or with Warning set one doubtful thing, in a file.
type Problem struct {
	File    string // the file as the caller named it
	Pos            // zero where the mistake has no place: the file itself cannot be read
	Message string // a sentence for the administrator: what is wrong and what to write instead
	Warning bool   // the file can be used all the same
}

// String returns "file:line:column: message", followed by " [warning]" for a warning; for a
// problem without a place it returns "file: message".
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%v: %s", p.File, p.Pos, p.Message)
	if p.Pos == (Pos{}) {
		s = p.File + ": " + p.Message
	}
	if p.Warning {
		s += " [warning]"
	}
	return s
}

// Problems is a list of mistakes and warnings. As an error it prints one line for each.
type Problems []Problem

// Error returns every problem on a line of its own, in the order of the files.
func (ps Problems) Error() string {
	sorted := slices.Clone(ps)
	sorted.Sort()
	lines := make([]string, len(sorted))
	for i, p := range sorted {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems as an error, or nil when there is none but warnings.
func (ps Problems) Err() error {
	if slices.ContainsFunc(ps, func(p Problem) bool { return !p.Warning }) {
		return ps
	}
	return nil
}

// Sort orders the problems by file, line and column and keeps the order of those at one place.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// maxQuoted is how many characters of a wrong value a message repeats.
const maxQuoted = 60

// quote returns s in double quotes, shortened to maxQuoted characters.
func quote(s string) string {
	if r := []rune(s); len(r) > maxQuoted {
		s = string(r[:maxQuoted]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
