package scim

import (
	"slices"
	"strings"
)

// projection is the attributes and excludedAttributes of a request (RFC 7644 section 3.9), resolved against the schema. Names
// that the schema does not have are passed over.
type projection struct {
	t     *resourceType
	only  map[*attribute]bool // with attributes: those asked for, and what lies around them; nil: all
	whole map[*attribute]bool // of only: with all below them
	skip  map[*attribute]bool
}

// project resolves the two lists; nil if neither names anything.
func project(t *resourceType, attributes, excluded []string) *projection {
	p := &projection{t: t, skip: map[*attribute]bool{}}
	for _, name := range attributes {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if p.only == nil {
			p.only, p.whole = map[*attribute]bool{}, map[*attribute]bool{}
		}
		for _, a := range p.find(name) {
			p.whole[a] = true
			for ; a != nil; a = a.parent {
				p.only[a] = true
			}
		}
	}
	for _, name := range excluded {
		for _, a := range p.find(strings.TrimSpace(name)) {
			if a.returned != returnedAlways && a.name != "schemas" {
				p.skip[a] = true
			}
		}
	}
	if p.only == nil && len(p.skip) == 0 {
		return nil
	}
	return p
}

// find resolves a name; the core schema's URN stands for all its attributes.
func (p *projection) find(name string) []*attribute {
	if strings.EqualFold(name, p.t.urn) {
		return slices.DeleteFunc(slices.Clone(p.t.root.subs), (*attribute).extension)
	}
	if a := p.t.lookup(name); a != nil {
		return []*attribute{a}
	}
	return nil
}

// maxNames bounds how many attributes a request may name: more than the schemas have. What follows is passed over, as names that
// the schema does not have are.
const maxNames = 300

// splitNames reads a comma-separated list of names, from one or several parameters.
func splitNames(params []string) []string {
	var all []string
	for _, p := range params {
		for name := range strings.SplitSeq(p, ",") {
			if len(all) < maxNames {
				all = append(all, name)
			}
		}
	}
	return all
}

// wants reports whether an attribute is to be returned, and whether all below it is.
func (p *projection) wants(a *attribute, all bool) (yes, whole bool) {
	switch {
	case a.returned == returnedNever || p.skip[a]:
		return false, false
	case a.returned == returnedAlways || a.name == "schemas" && a.parent == p.t.root:
		return true, true
	case p.only == nil:
		return a.returned != returnedRequest, true
	case a.returned == returnedRequest:
		return p.whole[a], true
	case all:
		return true, true
	}
	return p.only[a], p.whole[a]
}

// apply appends what the request asked for of a whole resource.
func (p *projection) apply(b, full []byte) []byte {
	v, err := parseJSON(string(full), jsonLimits{depth: 16, values: 1 << 20})
	if err != nil {
		return append(b, full...) // cannot be: the door wrote it itself
	}
	v = p.cut(p.t.root, &v, p.only == nil)
	p.dropSchemas(&v)
	return v.appendTo(b)
}

func (p *projection) cut(a *attribute, v *value, all bool) value {
	if v.kind == list {
		out := value{kind: list}
		for i := range v.kids {
			if c := p.cut(a, &v.kids[i].value, all); c.kind != object || len(c.kids) > 0 {
				out.kids = append(out.kids, member{"", c})
			}
		}
		return out
	}
	if v.kind != object || len(a.subs) == 0 {
		return *v
	}
	out := value{kind: object}
	for i := range v.kids {
		m := &v.kids[i]
		s := a.byName[m.name]
		if s == nil {
			continue
		}
		yes, whole := p.wants(s, all)
		if !yes {
			continue
		}
		if c := p.cut(s, &m.value, whole || all); !c.empty() || m.value.kind == boolean {
			out.kids = append(out.kids, member{m.name, c})
		}
	}
	return out
}

// dropSchemas takes the URNs of extensions that were cut away out of "schemas".
func (p *projection) dropSchemas(v *value) {
	s := v.get("schemas")
	if s == nil {
		return
	}
	s.kids = slices.DeleteFunc(slices.Clone(s.kids), func(m member) bool {
		return slices.Contains(p.t.extensions, m.value.text) && v.get(m.value.text) == nil
	})
}
