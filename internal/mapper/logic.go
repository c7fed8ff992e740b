package mapper

import (
	"maps"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
)

// The reasoning here finds conditions that can never be true and rules that others make pointless. It is cautious: what it does
// not understand it takes for possible, so a warning is always right, and a missing one promises nothing.

// maxBranches bounds how far a condition is multiplied out; beyond it nothing is concluded.
const maxBranches = 64

// branch is one way for a condition to be true: everything in it holds at once.
type branch struct {
	texts  map[string]*values // by term: c.country, lower(c.title)
	times  map[string]*bounds // by term: c.end
	opaque map[string]bool    // parts that are not understood, by their text: must hold, or must not
	never  bool
}

// values is what a text may be.
type values struct {
	only  map[string]bool // nil: anything
	not   map[string]bool
	tests map[string]func(string) bool // by description
}

type bounds struct{ from, to time.Time } // inclusive, as far as known

func newBranch() *branch {
	return &branch{texts: map[string]*values{}, times: map[string]*bounds{}, opaque: map[string]bool{}}
}

// reasoner knows what stands behind the names of one file.
type reasoner struct {
	*language
	vendors []string
}

// branches multiplies a condition out. ok is false when it is too large to conclude anything.
func (r *reasoner) branches(n ast.Node) (out []*branch, ok bool) {
	return r.expand(n, true, 0)
}

// expand returns the ways for n to be want.
func (r *reasoner) expand(n ast.Node, want bool, depth int) ([]*branch, bool) {
	if depth > 100 {
		return nil, false
	}
	switch node := n.(type) {
	case *ast.BoolNode:
		b := newBranch()
		b.never = node.Value != want
		return []*branch{b}, true
	case *ast.UnaryNode:
		if node.Operator == "not" || node.Operator == "!" {
			return r.expand(node.Node, !want, depth+1)
		}
	case *ast.IdentifierNode:
		if source, ok := r.conditions[node.Value]; ok {
			tree, bad := r.parse(source)
			if bad != nil {
				return nil, false
			}
			return r.expand(tree.Node, want, depth+1)
		}
	case *ast.BinaryNode:
		switch node.Operator {
		case "and", "&&", "or", "||":
			left, ok1 := r.expand(node.Left, want, depth+1)
			right, ok2 := r.expand(node.Right, want, depth+1)
			if !ok1 || !ok2 {
				return nil, false
			}
			if both := node.Operator == "and" || node.Operator == "&&"; both == want {
				return cross(left, right)
			}
			return append(left, right...), len(left)+len(right) <= maxBranches
		}
	}
	b := newBranch()
	r.atom(b, n, want)
	return []*branch{b}, true
}

// cross combines every way on the left with every way on the right.
func cross(left, right []*branch) ([]*branch, bool) {
	if len(left)*len(right) > maxBranches {
		return nil, false
	}
	var out []*branch
	for _, l := range left {
		for _, r := range right {
			out = append(out, l.and(r))
		}
	}
	return out, true
}

// and is what holds when both hold.
func (b *branch) and(o *branch) *branch {
	out := newBranch()
	out.never = b.never || o.never
	for _, from := range []*branch{b, o} {
		for term, v := range from.texts {
			out.text(term).merge(v)
		}
		for term, t := range from.times {
			x := out.time(term)
			if !t.from.IsZero() && t.from.After(x.from) {
				x.from = t.from
			}
			if !t.to.IsZero() && (x.to.IsZero() || t.to.Before(x.to)) {
				x.to = t.to
			}
		}
		for s, want := range from.opaque {
			if had, ok := out.opaque[s]; ok && had != want {
				out.never = true
			}
			out.opaque[s] = want
		}
	}
	return out
}

func (b *branch) text(term string) *values {
	if b.texts[term] == nil {
		b.texts[term] = &values{not: map[string]bool{}, tests: map[string]func(string) bool{}}
	}
	return b.texts[term]
}

func (b *branch) time(term string) *bounds {
	if b.times[term] == nil {
		b.times[term] = &bounds{}
	}
	return b.times[term]
}

func (v *values) merge(o *values) {
	if o.only != nil {
		v.restrict(o.only)
	}
	maps.Copy(v.not, o.not)
	maps.Copy(v.tests, o.tests)
}

func (v *values) restrict(only map[string]bool) {
	kept := map[string]bool{}
	for s := range only {
		if v.only == nil || v.only[s] {
			kept[s] = true
		}
	}
	v.only = kept
}

// allows reports whether s passes everything that is known.
func (v *values) allows(s string) bool {
	if v.not[s] || v.only != nil && !v.only[s] {
		return false
	}
	for _, test := range v.tests {
		if !test(s) {
			return false
		}
	}
	return true
}

// left is what remains of a closed set; ok is false for an open one.
func (v *values) left() (out []string, ok bool) {
	if v.only == nil {
		return nil, false
	}
	for s := range v.only {
		if v.allows(s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out, true
}

// possible reports whether the branch can hold for any record.
func (b *branch) possible() bool {
	if b.never {
		return false
	}
	for _, v := range b.texts {
		if left, closed := v.left(); closed && len(left) == 0 {
			return false
		}
	}
	for _, t := range b.times {
		if !t.from.IsZero() && !t.to.IsZero() && t.from.After(t.to) {
			return false
		}
	}
	return true
}

func setOf(items []string) map[string]bool {
	set := make(map[string]bool, len(items))
	for _, s := range items {
		set[s] = true
	}
	return set
}

// implies reports whether every record for which a holds makes b hold too, as far as can be seen.
func implies(a, b []*branch) bool {
	for _, x := range a {
		if !slices.ContainsFunc(b, x.entails) {
			return false
		}
	}
	return true
}

// entails reports whether everything that b asks for is certain where a holds.
func (b *branch) entails(o *branch) bool {
	if o.never {
		return false
	}
	for s, want := range o.opaque {
		if had, ok := b.opaque[s]; !ok || had != want {
			return false
		}
	}
	for term, t := range o.times {
		x := b.times[term]
		if x == nil || !t.from.IsZero() && x.from.Before(t.from) || !t.to.IsZero() && (x.to.IsZero() || x.to.After(t.to)) {
			return false
		}
	}
	for term, v := range o.texts {
		x := b.texts[term]
		if x == nil || !x.within(v) {
			return false
		}
	}
	return true
}

// within reports whether every value that v allows is allowed by o.
func (v *values) within(o *values) bool {
	if left, closed := v.left(); closed {
		for _, s := range left {
			if !o.allows(s) {
				return false
			}
		}
		return true
	}
	if o.only != nil {
		return false
	}
	for s := range o.not {
		if v.allows(s) {
			return false
		}
	}
	for description := range o.tests {
		if v.tests[description] == nil {
			return false
		}
	}
	return true
}
