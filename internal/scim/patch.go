package scim

import (
	"errors"
	"fmt"
	"strings"

	"scimbridge/internal/contractor"
)

// patcher applies PATCH operations (RFC 7644 section 3.5.2) to a canonical resource. It works on a copy: where it fails,
// nothing has changed.
type patcher struct {
	in    *intake
	id    string // of the resource
	root  value
	makes bool // replace makes a value that its filter does not find (Entra), where the RFC wants noTarget
}

const (
	opAdd     = "add"
	opReplace = "replace"
	opRemove  = "remove"
)

// apply runs one operation as sent.
func (p *patcher) apply(op *value) error {
	if op.kind != object {
		return syntaxErrorf("each of Operations must be an object with op, path and value")
	}
	verb, path, v := op.fold("op"), op.fold("path"), op.fold("value")
	if verb == nil || verb.kind != text {
		return syntaxErrorf("an operation has no op; send add, replace or remove")
	}
	name := strings.ToLower(verb.text)
	switch name {
	case opRemove:
	case opAdd, opReplace:
		if v == nil {
			return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimInvalidValue, Message: "the operation " + name + " has no value"}
		}
	default:
		return syntaxErrorf("%.40q is not an operation; send add, replace or remove", verb.text)
	}
	if path != nil && path.kind != text && !path.empty() {
		return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimInvalidPath, Message: "an operation's path must be a string"}
	}
	if path == nil || path.text == "" {
		if name == opRemove {
			return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimNoTarget, Message: "the operation remove needs a path"}
		}
		return p.whole(name, v)
	}
	return p.named(name, strings.TrimSpace(path.text), v, false)
}

// whole merges an object of attributes: an operation without path. Read-only attributes in it are passed over, since clients
// send back what they got; the id must be right.
func (p *patcher) whole(verb string, v *value) error {
	if v.kind != object {
		return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimInvalidValue, Message: "without a path the value must be an object of attributes"}
	}
	for i := range v.kids {
		m := &v.kids[i]
		if strings.EqualFold(m.name, "schemas") {
			continue
		}
		if err := p.named(verb, m.name, &m.value, true); err != nil {
			return err
		}
	}
	return nil
}

// named runs an operation on a path. lenient: the path is a member's name in an operation without path.
func (p *patcher) named(verb, path string, v *value, lenient bool) error {
	if strings.EqualFold(path, "password") {
		return nil // never kept
	}
	tg, err := parsePath(path, p.in.t, pathLimits())
	if errors.Is(err, errNoAttribute) {
		if field, _, ok := p.in.names.alias(path); ok {
			if verb != opRemove {
				p.in.direct = append(p.in.direct, Alias{field, path})
			}
			return p.run(verb, p.in.names.fields[p.in.names.byName[field]].target, v, true)
		}
		if lenient || isURN(path) {
			return p.undeclared(verb, path, v)
		}
		return pathErrorf(path, "the schema has no such attribute; /Schemas lists those there are")
	}
	if err != nil {
		return err
	}
	if locked(&tg) {
		if tg.attr == p.in.t.root.byName["id"] && v != nil && v.kind == text && v.text == p.id {
			return nil // Okta repeats the id
		}
		if lenient && tg.attr != p.in.t.root.byName["id"] {
			return nil
		}
		return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimMutability, Path: tg.attr.path(), Message: "is read-only"}
	}
	return p.run(verb, tg, v, lenient)
}

// locked reports whether the target is read-only, or immutable as "schemas" is.
func locked(tg *target) bool {
	for a := tg.attr; a != nil; a = a.parent {
		if a.mutability == readOnly || a.mutability == immutable {
			return true
		}
	}
	return tg.sub != nil && tg.sub.mutability == readOnly
}

// undeclared notes what nobody reads, and lets the members of an undeclared extension find their aliases.
func (p *patcher) undeclared(verb, path string, v *value) error {
	if verb == opRemove || v.empty() {
		p.in.unused.drop(path)
		return nil
	}
	if v.kind == object {
		for i := range v.kids {
			if err := p.named(verb, join(path, v.kids[i].name), &v.kids[i].value, true); err != nil {
				return err
			}
		}
		return nil
	}
	p.in.leave(path, *v)
	return nil
}

// run applies an operation to a target in the schema.
func (p *patcher) run(verb string, tg target, v *value, lenient bool) error {
	a := tg.attr
	if a.mutability == writeOnly {
		return nil
	}
	switch {
	case tg.where != nil:
		return p.picked(verb, tg, v, lenient)
	case verb == opRemove:
		return p.remove(a, v)
	case a.multi:
		return p.many(verb, a, v)
	case a.typ == typeComplex:
		return p.parts(verb, a, v)
	}
	c, err := p.in.value(a, v)
	if err != nil {
		return err
	}
	if c.empty() {
		if verb == opAdd && v.kind == null {
			return nil
		}
		return p.remove(a, nil)
	}
	place(&p.root, a, c)
	return nil
}

// remove takes an attribute away, or, of a multi-valued one, the values that were sent along (Entra).
func (p *patcher) remove(a *attribute, v *value) error {
	if a.required {
		return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimMutability, Path: a.path(), Message: "is required and cannot be removed"}
	}
	old := at(&p.root, a)
	if old == nil {
		return nil
	}
	if a.multi && v != nil && !v.empty() {
		c, err := p.in.value(a, v)
		if err != nil {
			return err
		}
		p.keep(a, func(item *value) bool {
			for i := range c.kids {
				if c.kids[i].value.equal(item) || within(&c.kids[i].value, item) {
					return false
				}
			}
			return true
		})
		return nil
	}
	p.clear(a)
	return nil
}

// within reports whether every member of part is a member of whole: {"value":"x"} names the value x of any type.
func within(part, whole *value) bool {
	if part.kind != object || len(part.kids) == 0 {
		return false
	}
	for i := range part.kids {
		w := whole.get(part.kids[i].name)
		if w == nil || !w.equal(&part.kids[i].value) {
			return false
		}
	}
	return true
}

// clear drops an attribute, and the complex value around it when that is left empty.
func (p *patcher) clear(a *attribute) {
	parent := at(&p.root, a.parent)
	if parent == nil {
		return
	}
	parent.drop(a.name)
	if a.parent.name != "" && len(parent.kids) == 0 {
		p.clear(a.parent)
	}
}

// keep filters the values of a multi-valued attribute.
func (p *patcher) keep(a *attribute, stays func(*value) bool) {
	old := at(&p.root, a)
	if old == nil {
		return
	}
	var kept []member
	for i := range old.kids {
		if stays(&old.kids[i].value) {
			kept = append(kept, old.kids[i])
		}
	}
	if len(kept) == 0 {
		p.clear(a)
		return
	}
	*old = listOf(kept)
}

// parts merges into a complex value: what is not sent stays (section 3.5.2.3).
func (p *patcher) parts(verb string, a *attribute, v *value) error {
	if v.kind == list && len(v.kids) == 1 {
		v = &v.kids[0].value
	}
	switch v.kind {
	case null, absent:
		if verb == opReplace {
			p.clear(a)
		}
		return nil
	case object:
		for i := range v.kids {
			m := &v.kids[i]
			s := a.sub(m.name)
			if s == nil {
				if err := p.named(verb, join(a.path(), m.name), &m.value, true); err != nil && !errors.Is(err, errNoAttribute) {
					return err
				}
				continue
			}
			if s.mutability == readOnly || s.mutability == writeOnly {
				continue
			}
			if err := p.run(verb, target{attr: s}, &m.value, true); err != nil {
				return err
			}
		}
		return nil
	}
	c, err := p.in.single(a, v) // a flat manager
	if err != nil {
		return err
	}
	if c.empty() {
		p.clear(a)
		return nil
	}
	place(&p.root, a, c)
	return nil
}

// many adds to, or replaces, all values of a multi-valued attribute.
func (p *patcher) many(verb string, a *attribute, v *value) error {
	c, err := p.in.value(a, v)
	if err != nil {
		return err
	}
	old := at(&p.root, a)
	if verb == opReplace || old == nil {
		if c.empty() {
			if verb == opReplace {
				p.clear(a)
			}
			return nil
		}
		place(&p.root, a, c)
		return nil
	}
	items := append([]member{}, old.kids...)
	for i := range c.kids {
		j := sameItem(items, &c.kids[i].value)
		if j < 0 {
			j = len(items)
			items = addItem(a, items, c.kids[i].value)
		} else {
			item := items[j].value.clone()
			merge(a, &item, &target{}, &c.kids[i].value)
			items[j].value = item
		}
		if j < len(items) && isPrimary(&c.kids[i].value) {
			demote(a, items, func(n int) bool { return n == j })
		}
	}
	*old = listOf(items)
	return nil
}

// sameItem finds the value that an added one is another telling of: all of it is there already, or value and type are the same
// (RFC 7643 section 2.4). -1: none.
func sameItem(items []member, v *value) int {
	for i := range items {
		have := &items[i].value
		if have.equal(v) || within(v, have) {
			return i
		}
		if value := v.get("value"); value != nil && have.get("value") != nil && value.equal(have.get("value")) {
			t, u := v.get("type"), have.get("type")
			if t == nil && u == nil || t != nil && u != nil && t.equal(u) {
				return i
			}
		}
	}
	return -1
}

func isPrimary(v *value) bool {
	m := v.get("primary")
	return m != nil && m.flag
}

// demote ends the primacy of all values but those that stay: there is one primary value, the one set last.
func demote(a *attribute, items []member, stays func(int) bool) {
	for i := range items {
		if !stays(i) && isPrimary(&items[i].value) {
			item := items[i].value.clone()
			insert(&item, a.byName["primary"], boolValue(false))
			items[i].value = item
		}
	}
}

// noTarget is RFC 7644's answer to a filter that picks nothing.
func noTarget(a *attribute) error {
	return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimNoTarget, Path: a.path(), Message: fmt.Sprintf("no value of %q fulfils the filter", a.name)}
}
