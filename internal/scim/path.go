package scim

import (
	"errors"
	"strings"

	"scimbridge/internal/contractor"
)

// target is what a PATCH path names (RFC 7644 section 3.5.2): an attribute, or values of a multi-valued one picked by a
// filter, or a sub-attribute of those.
type target struct {
	attr  *attribute
	where contractor.Condition // relative to one value of attr; nil: no filter
	sub   *attribute           // behind the filter; nil: the values themselves
}

// errNoAttribute says that a path is well formed and names nothing in the schema.
var errNoAttribute = errors.New("the schema has no such attribute")

// parsePath reads a PATCH path. errNoAttribute (wrapped in nothing) is the caller's to judge: an alias may know the name.
func parsePath(src string, t *resourceType, limits filterLimits) (target, error) {
	if len(src) > limits.bytes {
		return target{}, pathErrorf(src, "it is too long")
	}
	if a := t.root.sub(src); a != nil {
		return target{attr: a}, nil
	}
	r := filterReader{src: src, t: t, limits: limits}
	name := r.name()
	if name == "" {
		return target{}, pathErrorf(src, "an attribute's name should begin it")
	}
	a := t.lookup(name)
	if r.pos == len(src) {
		if a == nil {
			return target{}, errNoAttribute
		}
		if a.parent.multi { // emails.value: of every value
			return target{attr: a.parent, where: always(), sub: a}, nil
		}
		return target{attr: a}, nil
	}
	if src[r.pos] != '[' {
		return target{}, pathErrorf(src, "it goes on behind the attribute's name")
	}
	if a == nil {
		if !strings.Contains(src, "]") {
			return target{}, pathErrorf(src, "the bracket is not closed")
		}
		return target{}, errNoAttribute
	}
	if !a.multi || a.typ != typeComplex {
		return target{}, pathErrorf(src, "only multi-valued attributes take a filter")
	}
	where, err := r.brackets(a)
	if err != nil {
		if e, ok := errors.AsType[*contractor.Error](err); ok {
			return target{}, pathErrorf(src, e.Message)
		}
		return target{}, err
	}
	out := target{attr: a, where: where}
	if r.pos == len(src) {
		return out, nil
	}
	if src[r.pos] == '.' {
		r.pos++
		out.sub = a.sub(r.name())
	}
	if out.sub == nil || r.pos < len(src) {
		return target{}, pathErrorf(src, "what follows the bracket is not a sub-attribute")
	}
	return out, nil
}

func pathErrorf(path, why string) *contractor.Error {
	if len(path) > 200 {
		path = path[:200] + "…"
	}
	return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimInvalidPath, Message: "the path \"" + strings.ToValidUTF8(path, "") + "\" cannot be used: " + why}
}

// terms are the sub-attributes that a filter fixes by eq, so that a value can be made which fulfils it.
func (tg *target) terms() value {
	made := value{kind: object}
	tg.collect(tg.where, &made)
	return made
}

func (tg *target) collect(c contractor.Condition, made *value) {
	switch c := c.(type) {
	case contractor.And:
		for _, t := range c {
			tg.collect(t, made)
		}
	case contractor.Compare:
		if c.Op != contractor.OpEq {
			return
		}
		if a := tg.attr.byName[c.Attr.Path[0]]; a != nil && a.mutability != readOnly {
			switch v := c.Value.(type) {
			case string:
				insert(made, a, stringValue(v))
			case bool:
				insert(made, a, boolValue(v))
			}
		}
	}
}

// read is the first value at the target that is not empty, as text.
func (tg *target) read(root *value) string {
	v := at(root, tg.attr)
	if v == nil {
		return ""
	}
	if tg.attr.multi {
		for i := range v.kids {
			item := &v.kids[i].value
			if tg.where != nil && !holds(tg.where, item) {
				continue
			}
			if tg.sub != nil {
				item = item.get(tg.sub.name)
			}
			if item != nil && item.text != "" {
				return item.text
			}
		}
		return ""
	}
	if v.kind == boolean {
		if v.flag {
			return "true"
		}
		return "false"
	}
	return v.text
}
