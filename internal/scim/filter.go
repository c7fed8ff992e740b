package scim

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"scimbridge/internal/contractor"
)

// filterLimits bound what a filter may cost to read and to answer.
type filterLimits struct {
	bytes int // length
	terms int // comparisons
	depth int // nesting
}

// filterReader reads a filter (RFC 7644 section 3.4.2.2) or a PATCH path (3.5.2) and resolves it against the schema in one
// pass. Where the grammar is stricter than real clients it follows the clients: more than one blank, keywords and literals
// in any case, an operator behind a value path (emails[type eq "work"].value eq "x", Entra).
type filterReader struct {
	src    string
	pos    int
	t      *resourceType
	others []*resourceType // in a search over several types: what only they have is an attribute without value here
	scope  *attribute      // inside brackets: the multi-valued attribute before them
	depth  int
	terms  int
	limits filterLimits
}

// always and never are the conditions without terms.
func always() contractor.Condition { return contractor.And(nil) }
func never() contractor.Condition  { return contractor.Or(nil) }

func isAlways(c contractor.Condition) bool { a, ok := c.(contractor.And); return ok && len(a) == 0 }
func isNever(c contractor.Condition) bool  { o, ok := c.(contractor.Or); return ok && len(o) == 0 }

// parseFilter reads a whole filter over a resource type.
func parseFilter(src string, t *resourceType, limits filterLimits, others ...*resourceType) (contractor.Condition, error) {
	if len(src) > limits.bytes {
		return nil, filterErrorf("the filter is longer than %d bytes", limits.bytes)
	}
	if !utf8.ValidString(src) {
		return nil, filterErrorf("the filter is not valid UTF-8")
	}
	r := filterReader{src: src, t: t, others: others, limits: limits}
	r.blanks()
	if r.pos == len(src) {
		return nil, filterErrorf("the filter is empty; leave it out to list everything")
	}
	c, err := r.or()
	if err != nil {
		return nil, err
	}
	r.blanks()
	if r.pos < len(src) {
		return nil, r.errorf("expected \"and\", \"or\" or the end")
	}
	return c, nil
}

func filterErrorf(format string, args ...any) *contractor.Error {
	return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimInvalidFilter, Message: fmt.Sprintf(format, args...)}
}

func (r *filterReader) errorf(format string, args ...any) error {
	near := "its end"
	if r.pos < len(r.src) {
		near = fmt.Sprintf("character %d", r.pos+1)
	}
	return filterErrorf("the filter cannot be read at %s: %s", near, fmt.Sprintf(format, args...))
}

func (r *filterReader) blanks() {
	for r.pos < len(r.src) && r.src[r.pos] == ' ' {
		r.pos++
	}
}

// keyword takes a word in any case, if it stands here and ends here.
func (r *filterReader) keyword(word string) bool {
	end := r.pos + len(word)
	if end > len(r.src) || !strings.EqualFold(r.src[r.pos:end], word) {
		return false
	}
	if end < len(r.src) && nameByte(r.src[end]) {
		return false
	}
	r.pos = end
	return true
}

// joined takes " and " or " or " between two terms. The blank before it may be left out where the term ends by a sign.
func (r *filterReader) joined(word string) bool {
	at := r.pos
	r.blanks()
	if (r.pos > at || at > 0 && strings.IndexByte(`")]`, r.src[at-1]) >= 0) && r.keyword(word) && r.pos < len(r.src) && r.src[r.pos] == ' ' {
		r.blanks()
		return true
	}
	r.pos = at
	return false
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '$' || c == '.' || c == ':'
}

func (r *filterReader) or() (contractor.Condition, error) {
	var terms contractor.Or
	for {
		c, err := r.and()
		if err != nil {
			return nil, err
		}
		if !r.joined("or") {
			if terms == nil {
				return c, nil
			}
			return either(append(terms, c)), nil
		}
		terms = append(terms, c)
	}
}

func (r *filterReader) and() (contractor.Condition, error) {
	var terms contractor.And
	for {
		c, err := r.unary()
		if err != nil {
			return nil, err
		}
		if !r.joined("and") {
			if terms == nil {
				return c, nil
			}
			return every(append(terms, c)), nil
		}
		terms = append(terms, c)
	}
}

// either is the disjunction, without terms that can never hold.
func either(terms contractor.Or) contractor.Condition {
	kept := terms[:0]
	for _, c := range terms {
		if isAlways(c) {
			return c
		}
		if !isNever(c) {
			kept = append(kept, c)
		}
	}
	if len(kept) == 1 {
		return kept[0]
	}
	return kept
}

// every is the conjunction, without terms that always hold.
func every(terms contractor.And) contractor.Condition {
	kept := terms[:0]
	for _, c := range terms {
		if isNever(c) {
			return c
		}
		if !isAlways(c) {
			kept = append(kept, c)
		}
	}
	if len(kept) == 1 {
		return kept[0]
	}
	return kept
}

// no is the negation.
func no(c contractor.Condition) contractor.Condition {
	switch {
	case isAlways(c):
		return never()
	case isNever(c):
		return always()
	}
	return contractor.Not{Of: c}
}

func (r *filterReader) unary() (contractor.Condition, error) {
	r.blanks()
	negated := r.keyword("not")
	if negated {
		r.blanks()
		if r.pos >= len(r.src) || r.src[r.pos] != '(' {
			return nil, r.errorf("expected '(' after \"not\"")
		}
	}
	if r.pos >= len(r.src) || r.src[r.pos] != '(' {
		return r.term()
	}
	if r.depth++; r.depth > r.limits.depth {
		return nil, filterErrorf("the filter is nested more than %d levels deep", r.limits.depth)
	}
	r.pos++
	c, err := r.or()
	if err != nil {
		return nil, err
	}
	r.blanks()
	if r.pos >= len(r.src) || r.src[r.pos] != ')' {
		return nil, r.errorf("expected ')'")
	}
	r.pos++
	r.depth--
	if negated {
		return no(c), nil
	}
	return c, nil
}

// name takes an attribute's path.
func (r *filterReader) name() string {
	from := r.pos
	for r.pos < len(r.src) && nameByte(r.src[r.pos]) {
		r.pos++
	}
	return r.src[from:r.pos]
}

// term reads a comparison, a presence test, or a value path.
func (r *filterReader) term() (contractor.Condition, error) {
	if r.terms++; r.terms > r.limits.terms {
		return nil, filterErrorf("the filter has more than %d comparisons", r.limits.terms)
	}
	from := r.pos
	name := r.name()
	if name == "" {
		return nil, r.errorf("expected the name of an attribute")
	}
	a := r.resolve(name)
	if a == nil && !r.elsewhere(name) {
		r.pos = from
		return nil, r.errorf("there is no attribute %q", name)
	}
	if r.pos < len(r.src) && r.src[r.pos] == '[' {
		if r.scope != nil {
			return nil, r.errorf("brackets cannot stand inside brackets")
		}
		return r.valuePath(a)
	}
	return r.compare(a)
}

// resolve finds the attribute of a name; below the scope inside brackets.
func (r *filterReader) resolve(name string) *attribute {
	if r.scope != nil {
		return r.scope.sub(name)
	}
	return r.t.lookup(name)
}

// elsewhere reports whether another of the types searched has the attribute.
func (r *filterReader) elsewhere(name string) bool {
	if r.scope != nil {
		return false
	}
	for _, t := range r.others {
		if t.lookup(name) != nil {
			return true
		}
	}
	return false
}

// brackets reads "[…]" behind the multi-valued attribute a.
func (r *filterReader) brackets(a *attribute) (contractor.Condition, error) {
	if a.typ != typeComplex || a.extension() {
		return nil, r.errorf("%q has no sub-attributes to put in brackets", a.path())
	}
	r.pos++
	r.scope = a
	c, err := r.or()
	r.scope = nil
	if err != nil {
		return nil, err
	}
	r.blanks()
	if r.pos >= len(r.src) || r.src[r.pos] != ']' {
		return nil, r.errorf("expected ']'")
	}
	r.pos++
	return c, nil
}

// valuePath reads emails[type eq "work"], and what Entra puts behind it: .value eq "x".
func (r *filterReader) valuePath(a *attribute) (contractor.Condition, error) {
	if a == nil {
		return nil, r.errorf("brackets cannot be used in a search over several resource types unless all have the attribute")
	}
	c, err := r.brackets(a)
	if err != nil {
		return nil, err
	}
	if r.pos < len(r.src) && r.src[r.pos] == '.' {
		r.pos++
		name := r.name()
		s := a.sub(name)
		if s == nil {
			return nil, r.errorf("%q has no sub-attribute %q", a.path(), name)
		}
		r.scope = a
		behind, err := r.compare(s)
		r.scope = nil
		if err != nil {
			return nil, err
		}
		c = every(contractor.And{c, behind})
	}
	if isNever(c) {
		return c, nil
	}
	if isAlways(c) {
		return contractor.Present{Attr: a.full}, nil
	}
	if !a.multi {
		return widen(a, c), nil
	}
	return contractor.Any{Attr: a.full, Of: c}, nil
}

// widen makes a condition relative to a single-valued complex attribute one relative to the resource: manager[value eq "x"].
func widen(a *attribute, c contractor.Condition) contractor.Condition {
	full := func(rel contractor.Attr) contractor.Attr { return a.byName[rel.Path[0]].full }
	switch c := c.(type) {
	case contractor.And:
		out := make(contractor.And, len(c))
		for i := range c {
			out[i] = widen(a, c[i])
		}
		return out
	case contractor.Or:
		out := make(contractor.Or, len(c))
		for i := range c {
			out[i] = widen(a, c[i])
		}
		return out
	case contractor.Not:
		return contractor.Not{Of: widen(a, c.Of)}
	case contractor.Compare:
		c.Attr = full(c.Attr)
		return c
	case contractor.Present:
		return contractor.Present{Attr: full(c.Attr)}
	}
	return c
}
