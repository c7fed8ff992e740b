package scim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// names is how one vendor calls things: the record's fields with their sources, compiled.
type names struct {
	t       *resourceType
	vendor  *contractor.Vendor
	fields  []compiledField
	byName  map[string]int   // field by name
	foreign map[string]named // undeclared path, folded -> field and rank
}

type compiledField struct {
	field
	target  target   // where an alias's value is kept
	targets []target // declared sources, first non-empty wins
	paths   []string // of targets, as written
}

type named struct {
	field string
	rank  int
}

// pathLimits bound the paths of PATCH operations and of aliases.
func pathLimits() filterLimits { return filterLimits{bytes: 1024, terms: 10, depth: 4} }

// compileNames works out a vendor's names. Mistakes in the vendor's aliases are returned all at once, as Mistakes; the rest
// stands.
func compileNames(t *resourceType, v *contractor.Vendor) (*names, error) {
	n := &names{t: t, vendor: v, byName: map[string]int{}, foreign: map[string]named{}}
	known := map[string]bool{}
	var mistakes Mistakes
	for _, f := range fields() {
		known[f.name] = true
		c := compiledField{field: f}
		var err error
		if c.place == "" {
			c.place = c.sources[0]
		}
		if c.target, err = parsePath(c.place, t, pathLimits()); err != nil {
			return nil, fmt.Errorf("field %s: %w", f.name, err)
		}
		own := aliasesOf(v, f.name)
		for rank, s := range slices.Concat(own, f.sources) {
			if err := n.source(&c, s, rank); err != nil {
				mistakes = append(mistakes, Mistake{v.Name, []any{"aliases", f.name, rank}, err.Error()})
			}
		}
		n.byName[f.name] = len(n.fields)
		n.fields = append(n.fields, c)
	}
	for name := range v.Aliases {
		if !known[name] && !known[longName(name)] {
			mistakes = append(mistakes, Mistake{v.Name, []any{"aliases", name}, fmt.Sprintf("the record has no field %q to give an alias to", name)})
		}
	}
	return n, mistakes.err()
}

// source adds one source to a field.
func (n *names) source(c *compiledField, s string, rank int) error {
	s = longPath(s)
	tg, err := parsePath(s, n.t, pathLimits())
	switch {
	case errors.Is(err, errNoAttribute):
		key := aliasKey(s)
		if _, taken := n.foreign[key]; !taken {
			n.foreign[key] = named{c.name, rank}
		}
		// What an undeclared source says is kept at the field's own place: that place now ranks as high.
		if !slices.ContainsFunc(c.targets, func(t target) bool { return sameTarget(&t, &c.target) }) {
			c.targets, c.paths = append(c.targets, c.target), append(c.paths, longPath(c.place))
		}
		return nil
	case err != nil:
		return err
	}
	if !slices.ContainsFunc(c.targets, func(t target) bool { return sameTarget(&t, &tg) }) {
		c.targets, c.paths = append(c.targets, tg), append(c.paths, s)
	}
	return nil
}

func sameTarget(a, b *target) bool {
	return a.attr == b.attr && a.sub == b.sub && a.where == nil && b.where == nil
}

// aliasesOf are the vendor's own sources for a field; "start" and "end" are short for the dates.
func aliasesOf(v *contractor.Vendor, field string) []string {
	own := v.Aliases[field]
	for name, sources := range v.Aliases {
		if name != field && longName(name) == field {
			own = slices.Concat(own, sources)
		}
	}
	return own
}

func longName(field string) string {
	switch field {
	case "start":
		return "startDate"
	case "end":
		return "endDate"
	}
	return field
}

// longPath spells out the mapping file's short form: ext:sap.validTo is the attribute validTo of the extension sap.
func longPath(s string) string {
	rest, ok := strings.CutPrefix(s, "ext:")
	if !ok {
		return s
	}
	ext, attr, ok := strings.Cut(rest, ".")
	if !ok {
		return s
	}
	return "urn:ietf:params:scim:schemas:extension:" + ext + ":2.0:User:" + attr
}

// aliasKey folds a path for look-up: case, and whether a dot or a colon stands before the last name, say nothing.
func aliasKey(path string) string { return strings.ReplaceAll(strings.ToLower(path), ".", ":") }

// alias finds the field that an undeclared path is a source of, and its rank among them.
func (n *names) alias(path string) (field string, rank int, ok bool) {
	a, ok := n.foreign[aliasKey(path)]
	return a.field, a.rank, ok
}

// own is the rank of a field's own place among its sources.
func (n *names) own(field string) int {
	c := &n.fields[n.byName[field]]
	for rank, s := range slices.Concat(aliasesOf(n.vendor, field), c.sources) {
		if longPath(s) == c.place {
			return rank
		}
	}
	return len(c.sources)
}
