package scim

import (
	"strings"
	"unicode/utf8"
)

// get finds a member of an object by its exact name.
func (v *value) get(name string) *value {
	for i := range v.kids {
		if v.kids[i].name == name {
			return &v.kids[i].value
		}
	}
	return nil
}

// fold finds a member of an object by its name in any case (SCIM names are case-insensitive).
func (v *value) fold(name string) *value {
	if v.kind != object {
		return nil
	}
	for i := range v.kids {
		if strings.EqualFold(v.kids[i].name, name) {
			return &v.kids[i].value
		}
	}
	return nil
}

// set puts a member into an object, or replaces the one of that name.
func (v *value) set(name string, to value) {
	if old := v.get(name); old != nil {
		*old = to
		return
	}
	v.kind = object
	v.kids = append(v.kids, member{name, to})
}

// drop takes a member out of an object.
func (v *value) drop(name string) {
	for i := range v.kids {
		if v.kids[i].name == name {
			v.kids = append(v.kids[:i:i], v.kids[i+1:]...)
			return
		}
	}
}

// empty reports whether SCIM counts the value as unassigned: absent, null, "", an empty list, an object of such values.
func (v *value) empty() bool {
	switch v.kind {
	case absent, null:
		return true
	case text:
		return v.text == ""
	case list, object:
		for i := range v.kids {
			if !v.kids[i].value.empty() {
				return false
			}
		}
		return true
	}
	return false
}

// equal compares two canonical values; objects by their members in order.
func (v *value) equal(w *value) bool {
	if v.kind != w.kind || v.flag != w.flag || v.text != w.text || len(v.kids) != len(w.kids) {
		return false
	}
	for i := range v.kids {
		if v.kids[i].name != w.kids[i].name || !v.kids[i].value.equal(&w.kids[i].value) {
			return false
		}
	}
	return true
}

// clone copies the value so deep that a change of the copy is not seen in the original.
func (v *value) clone() value {
	c := *v
	if v.kids != nil {
		c.kids = make([]member, len(v.kids))
		for i := range v.kids {
			c.kids[i] = member{v.kids[i].name, v.kids[i].value.clone()}
		}
	}
	return c
}

// appendTo writes the value as compact JSON.
func (v *value) appendTo(b []byte) []byte {
	switch v.kind {
	case boolean:
		if v.flag {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case number:
		return append(b, v.text...)
	case text:
		return appendString(b, v.text)
	case list:
		b = append(b, '[')
		for i := range v.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.kids[i].value.appendTo(b)
		}
		return append(b, ']')
	case object:
		b = append(b, '{')
		for i := range v.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, v.kids[i].name), ':')
			b = v.kids[i].value.appendTo(b)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

// appendString writes a JSON string. Text that is not UTF-8 comes out as U+FFFD.
func appendString(b []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}
