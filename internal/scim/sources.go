package scim

import (
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// Source is where a field of the record stands in what the vendor sent.
type Source struct {
	Field string `json:"field"`           // of the record
	Path  string `json:"path"`            // as sent, in the mapping file's short form where there is one: ext:sap.validTo
	Alias bool   `json:"alias,omitempty"` // the vendor's section of the mapping says so; false: the field's own place, or a built-in one
	Value string `json:"value"`           // "" where it must not be shown
}

// Sources lists the fields of a stored record that have a value, each with the place in the vendor's payload that it was read from,
// in the record's order.
func (r *Reader) Sources(e *contractor.Engagement) []Source {
	d, err := recall(r.names, e)
	if err != nil {
		return nil
	}
	return d.sources(e.Aliased)
}

// sources lists where the record's fields come from; aliased are those that came under undeclared names before.
func (d *draft) sources(aliased map[string]string) []Source {
	var out []Source
	add := func(field, path, value string) {
		if field == "securityId" {
			value = ""
		}
		out = append(out, Source{field, shortPath(path), d.n.ownAlias(field, path), value})
	}
	r := d.record()
	for i := range d.n.fields {
		f := &d.n.fields[i]
		value := r.Email
		if f.to != nil {
			value = *f.to(&r)
		}
		if value == "" {
			continue
		}
		switch path, at := d.lastAlias(f.name, aliased), d.firstAt(f); {
		case path != "" && f.placed(at):
			add(f.name, path, value)
		case at >= 0:
			add(f.name, f.paths[at], value)
		case f.name == "email":
			add(f.name, "userName", value)
		case f.name == "supplier":
			out = append(out, Source{Field: f.name, Path: "vendors." + d.n.vendor.Name + ".supplier of the mapping", Value: value})
		}
	}
	return out
}

// lastAlias is the undeclared name under which the field came last; "" if it came under a declared one.
func (d *draft) lastAlias(field string, before map[string]string) string {
	for _, v := range slices.Backward(d.aliases) {
		if v.Field == field {
			return v.Path
		}
	}
	return before[field]
}

// firstAt is the index of the declared source that the field is read from; -1 if none has a value.
func (d *draft) firstAt(f *compiledField) int {
	for i := range f.targets {
		if f.targets[i].read(&d.root) != "" {
			return i
		}
	}
	return -1
}

// placed reports whether the declared source at an index is where an alias's value is kept.
func (f *compiledField) placed(at int) bool { return at >= 0 && sameTarget(&f.targets[at], &f.target) }

// ownAlias reports whether the vendor's section of the mapping names the path for the field.
func (n *names) ownAlias(field, path string) bool {
	for _, a := range aliasesOf(n.vendor, field) {
		if aliasKey(longPath(a)) == aliasKey(longPath(path)) {
			return true
		}
	}
	return false
}

// aliased says which fields came under names that no schema declares. What was sent whole says it for itself; a change leaves what
// it does not touch as it was.
func (d *draft) aliased(before map[string]string, was, is *contractor.Record) map[string]string {
	var out map[string]string
	put := func(field, path string) {
		if out == nil {
			out = map[string]string{}
		}
		out[field] = path
	}
	if !d.whole {
		for i := range d.n.fields {
			f := &d.n.fields[i]
			path := before[f.name]
			if path == "" || f.to != nil && *f.to(was) != *f.to(is) || f.to == nil && was.Email != is.Email {
				continue
			}
			put(f.name, path)
		}
	}
	for _, a := range d.aliases {
		put(a.Field, a.Path)
	}
	return out
}

// shortPath is the mapping file's short form of an extension's path (the opposite of longPath); any other path as it is.
func shortPath(path string) string {
	rest, ok := strings.CutPrefix(path, "urn:ietf:params:scim:schemas:extension:")
	if !ok {
		return path
	}
	name, attribute, ok := strings.Cut(rest, ":2.0:User:")
	if !ok || name == "" || strings.ContainsAny(name, ".:") {
		return path
	}
	return "ext:" + name + "." + strings.ReplaceAll(attribute, ":", ".")
}
