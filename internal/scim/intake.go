package scim

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"scimbridge/internal/contractor"
)

// intake brings what a vendor sent into the canonical form: declared attributes only, spelled and ordered as declared, typed
// as declared, without empty values. It is strict about what it cannot understand and kind about shapes that real clients
// send (scim-clients.md section 1). What is not declared goes to unused, or, where an alias names it, to found.
type intake struct {
	t      *resourceType
	names  *names
	unused value             // object
	found  map[string]source // by record field: the best undeclared value that an alias names
	direct []Alias           // values that a PATCH wrote under an alias's path
}

// source is an undeclared value that an alias names.
type source struct {
	path  string // as sent
	rank  int    // place in the field's list
	value value
}

// object reads a complex value. The result's members stand in declared order.
func (in *intake) object(a *attribute, v *value, path string) (value, error) {
	out := value{kind: object, kids: make([]member, 0, len(v.kids))}
	var seen uint64 // by declared order: no complex value declares more than 64 parts
	var later []*member
	for i := range v.kids {
		m := &v.kids[i]
		s := a.sub(m.name)
		if s == nil {
			later = append(later, m)
			continue
		}
		if seen&(1<<s.order) != 0 {
			return value{}, syntaxErrorf("the attribute %q appears twice, in different spellings", s.path())
		}
		seen |= 1 << s.order
		if s.mutability == readOnly || s.mutability == writeOnly {
			continue // RFC 7643 section 7: readOnly is ignored; the only writeOnly attribute is not kept
		}
		c, err := in.value(s, &m.value)
		if err != nil {
			return value{}, err
		}
		if !c.empty() {
			out.kids = append(out.kids, member{s.name, c})
		}
	}
	slices.SortFunc(out.kids, func(x, y member) int { return a.byName[x.name].order - a.byName[y.name].order })
	for _, m := range later {
		if err := in.undeclared(a, m, path, &out); err != nil {
			return value{}, err
		}
	}
	return out, nil
}

// undeclared deals with a member that the schema does not have under that name at that place.
func (in *intake) undeclared(a *attribute, m *member, path string, out *value) error {
	if a == in.t.root && strings.ContainsAny(m.name, ".:") {
		if s := in.t.lookup(m.name); s != nil { // a path as a name: "name.givenName", "urn:…:User:workerId"
			c, err := in.value(s, &m.value)
			if err != nil {
				return err
			}
			if s.mutability != readOnly && s.mutability != writeOnly && !c.empty() {
				if s.parent != nil && s.parent.multi {
					first(out, s, c)
				} else {
					place(out, s, c)
				}
			}
			return nil
		}
	}
	if a == in.t.root && strings.EqualFold(m.name, "password") {
		return nil // never kept, not even as unused
	}
	in.foreign(join(path, m.name), &m.value)
	return nil
}

// foreign keeps a value that no schema declares: for the aliases, or as unused.
func (in *intake) foreign(path string, v *value) {
	if v.empty() {
		return
	}
	if field, rank, ok := in.names.alias(path); ok {
		if best, seen := in.found[field]; !seen || rank < best.rank {
			if seen {
				in.leave(best.path, best.value)
			}
			if in.found == nil {
				in.found = map[string]source{}
			}
			in.found[field] = source{path, rank, *v}
			return
		}
	} else if v.kind == object {
		for i := range v.kids {
			in.foreign(join(path, v.kids[i].name), &v.kids[i].value)
		}
		return
	}
	in.leave(path, *v)
}

// maxUnused bounds how many values are kept that nobody reads.
const maxUnused = 500

// leave notes a value that was sent and that nobody reads, by its path.
func (in *intake) leave(path string, v value) {
	if len(in.unused.kids) < maxUnused && !v.empty() {
		in.unused.set(path, v)
	}
}

// join makes a SCIM path: a colon behind a schema's URN, a dot elsewhere. URNs of SCIM schemas end in a resource type, which
// begins with a capital ("…:2.0:User"); attributes' names do not.
func join(path, name string) string {
	if path == "" {
		return name
	}
	if isURN(path) {
		if last := path[strings.LastIndexByte(path, ':')+1:]; last != "" && last[0] >= 'A' && last[0] <= 'Z' && !strings.Contains(last, ".") {
			return path + ":" + name
		}
	}
	return path + "." + name
}

func isURN(path string) bool { return len(path) > 4 && strings.EqualFold(path[:4], "urn:") }

// place puts a canonical value at an attribute's own place in a resource, or complex value, keeping declared order.
func place(root *value, a *attribute, v value) {
	parent := root
	if a.parent != nil && a.parent.name != "" {
		p := at(root, a.parent)
		if p == nil {
			place(root, a.parent, value{kind: object})
			p = at(root, a.parent)
		}
		parent = p
	}
	insert(parent, a, v)
}

// first puts a sub-attribute into the first value of a multi-valued attribute, and makes that where there is none.
func first(root *value, a *attribute, v value) {
	if list := at(root, a.parent); list != nil && len(list.kids) > 0 {
		insert(&list.kids[0].value, a, v)
		return
	}
	one := value{}
	insert(&one, a, v)
	place(root, a.parent, listOf([]member{{"", one}}))
}

// insert puts a sub-attribute into its complex value, in declared order; an empty value takes it out.
func insert(parent *value, a *attribute, v value) {
	parent.kind = object
	if v.empty() && v.kind != object {
		parent.drop(a.name)
		return
	}
	if old := parent.get(a.name); old != nil {
		*old = v
		return
	}
	i := 0
	for i < len(parent.kids) && a.parent.byName[parent.kids[i].name].order < a.order {
		i++
	}
	parent.kids = append(parent.kids[:i:i], append([]member{{a.name, v}}, parent.kids[i:]...)...)
}

// at finds an attribute's value in a canonical resource; nil if it has none.
func at(root *value, a *attribute) *value {
	if a.parent == nil {
		return root
	}
	p := at(root, a.parent)
	if p == nil || p.kind != object {
		return nil
	}
	return p.get(a.name)
}

// value reads an attribute's value, single or multi-valued.
func (in *intake) value(a *attribute, v *value) (value, error) {
	if v.kind == absent || v.kind == null {
		return value{}, nil
	}
	if !a.multi {
		if v.kind == list { // the manager as an array of one
			switch len(v.kids) {
			case 0:
				return value{}, nil
			case 1:
				return in.single(a, &v.kids[0].value)
			}
			return value{}, contractor.Invalid(a.path(), "takes one value, not a list of them")
		}
		return in.single(a, v)
	}
	items := v.kids
	if len(items) > maxItems {
		return value{}, contractor.Invalid(a.path(), fmt.Sprintf("has more than %d values", maxItems))
	}
	if v.kind != list {
		if v.empty() {
			return value{}, nil
		}
		items = []member{{"", *v}}
	}
	out := make([]member, 0, len(items))
	for i := range items {
		c, err := in.single(a, &items[i].value)
		if err != nil {
			return value{}, err
		}
		out = addItem(a, out, c)
	}
	if err := onePrimary(a, out); err != nil {
		return value{}, err
	}
	return listOf(out), nil
}

// maxItems bounds the values of one attribute, which are compared with each other.
const maxItems = 1000

// addItem appends to a multi-valued attribute unless the value is hollow or already there (RFC 7643 section 2.4).
func addItem(a *attribute, items []member, v value) []member {
	if hollow(a, &v) {
		return items
	}
	for i := range items {
		if items[i].value.equal(&v) {
			return items
		}
	}
	return append(items, member{"", v})
}

// hollow reports whether an item says nothing: Entra sends {"type":"work","primary":true} for an empty address.
func hollow(a *attribute, v *value) bool {
	if a.typ != typeComplex || v.empty() {
		return v.empty()
	}
	if a.byName["value"] != nil && v.get("value") == nil && v.get("$ref") == nil {
		return true
	}
	for i := range v.kids {
		if n := v.kids[i].name; n != "type" && n != "primary" {
			return false
		}
	}
	return true
}

// onePrimary refuses more than one primary value (RFC 7643 section 2.4).
func onePrimary(a *attribute, items []member) error {
	n := 0
	for i := range items {
		if p := items[i].value.get("primary"); p != nil && p.flag {
			n++
		}
	}
	if n > 1 {
		return contractor.Invalid(a.path(), "has more than one primary value; mark at most one")
	}
	return nil
}

// single reads one value of an attribute.
func (in *intake) single(a *attribute, v *value) (value, error) {
	if v.kind == absent || v.kind == null {
		return value{}, nil
	}
	if v.kind == object && a.typ != typeComplex {
		if inner := v.fold("value"); inner != nil && len(v.kids) == 1 {
			v = inner // {"value": "x"} for a simple attribute
		}
	}
	switch a.typ {
	case typeComplex:
		return in.complex(a, v)
	case typeBoolean:
		if v.kind == boolean {
			return *v, nil
		}
		if v.kind == text {
			switch {
			case strings.EqualFold(v.text, "true"):
				return boolValue(true), nil
			case strings.EqualFold(v.text, "false"):
				return boolValue(false), nil
			case v.text == "":
				return value{}, nil
			}
		}
		return value{}, contractor.Invalid(a.path(), fmt.Sprintf("must be true or false, not %s", shown(v)))
	case string(contractor.TypeInteger), string(contractor.TypeDecimal):
		return in.number(a, v)
	}
	switch v.kind {
	case text:
		if a.typ == typeBinary && !isBase64(v.text) {
			return value{}, contractor.Invalid(a.path(), "must be base64")
		}
		if clears(a, v.text) {
			return value{}, nil
		}
		return *v, nil
	case number: // employeeNumber: 4711
		return stringValue(v.text), nil
	}
	return value{}, contractor.Invalid(a.path(), fmt.Sprintf("must be a string, not %s", shown(v)))
}

func (in *intake) number(a *attribute, v *value) (value, error) {
	if v.kind == text && v.text == "" {
		return value{}, nil
	}
	if v.kind == number || v.kind == text {
		_, err := strconv.ParseFloat(v.text, 64)
		if a.typ == string(contractor.TypeInteger) {
			_, err = strconv.ParseInt(v.text, 10, 64)
		}
		if err == nil {
			return value{kind: number, text: v.text}, nil
		}
	}
	return value{}, contractor.Invalid(a.path(), fmt.Sprintf("must be a number, not %s", shown(v)))
}

func (in *intake) complex(a *attribute, v *value) (value, error) {
	switch v.kind {
	case object:
		return in.object(a, v, a.path())
	case text, number: // a flat manager, an address without its type, a whole name
		if v.text == "" {
			return value{}, nil
		}
		for _, name := range [...]string{"value", "formatted"} {
			if s := a.byName[name]; s != nil {
				c, err := in.single(s, v)
				if err != nil || c.empty() {
					return value{}, err
				}
				return value{kind: object, kids: []member{{name, c}}}, nil
			}
		}
	}
	return value{}, contractor.Invalid(a.path(), fmt.Sprintf("must be an object, not %s", shown(v)))
}

// clears reports whether a string means that there is no value. Entra never sends null; in the contract's own fields the
// word "none" stands for it too, which in a name or a title it may not.
func clears(a *attribute, s string) bool {
	return s == "" || a.schema == urnContractor && strings.EqualFold(s, "none")
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil
}

// shown names what was sent instead, without repeating it: it may be personal.
func shown(v *value) string {
	switch v.kind {
	case boolean:
		return "a boolean"
	case number:
		return "a number"
	case text:
		return "a string"
	case list:
		return "a list"
	case object:
		return "an object"
	}
	return "null"
}
