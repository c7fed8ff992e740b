package scim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"scimbridge/internal/contractor"
)

// kind of a JSON value. absent is the zero value: no value at all, which SCIM treats as null (RFC 7643 section 2.5).
type kind uint8

const (
	absent kind = iota
	null
	boolean
	number
	text
	list
	object
)

// value is a JSON value. encoding/json into maps would lose the order of members, duplicates, and exact numbers, replace
// invalid UTF-8 silently, and cost four times as much.
type value struct {
	kind kind
	flag bool     // of a boolean
	text string   // content of a string, or a number as it was written
	kids []member // members of an object; items of a list, without names
}

type member struct {
	name  string
	value value
}

func stringValue(s string) value { return value{kind: text, text: s} }
func boolValue(b bool) value     { return value{kind: boolean, flag: b} }
func listOf(kids []member) value { return value{kind: list, kids: kids} }

// jsonLimits bound what one document may cost to read.
type jsonLimits struct {
	depth  int // nesting of lists and objects
	values int // values in all
}

// maxMembers bounds the members of one object, whose names are compared with each other.
const maxMembers = 1000

// jsonReader reads one document. Strings without escapes share the document's memory.
type jsonReader struct {
	doc    string
	pos    int
	depth  int
	left   int // values that may still come
	limits jsonLimits
	stack  []member // kids of the containers being read
	arena  []member // kids of those that were read
}

// parseJSON reads a whole document, strictly by RFC 8259: nothing after it, no duplicate names, no invalid UTF-8, no lone
// surrogates, and no NUL, which databases and directories downstream cannot be trusted with.
func parseJSON(doc string, limits jsonLimits) (value, error) {
	if !utf8.ValidString(doc) {
		return value{}, syntaxErrorf("the body is not valid UTF-8")
	}
	r := jsonReader{doc: doc, limits: limits, left: limits.values, stack: make([]member, 0, 24)} // room for the usual User
	r.space()
	if r.pos == len(doc) {
		return value{}, syntaxErrorf("the body is empty; send a JSON object")
	}
	v, err := r.value()
	if err != nil {
		return value{}, err
	}
	r.space()
	if r.pos < len(doc) {
		return value{}, r.errorf("something follows the JSON document")
	}
	return v, nil
}

func syntaxErrorf(format string, args ...any) *contractor.Error {
	return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimInvalidSyntax, Message: fmt.Sprintf(format, args...)}
}

func (r *jsonReader) errorf(format string, args ...any) error {
	return syntaxErrorf("the JSON is malformed at byte %d: %s", r.pos+1, fmt.Sprintf(format, args...))
}

func (r *jsonReader) space() {
	for r.pos < len(r.doc) {
		switch r.doc[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

func (r *jsonReader) value() (value, error) {
	if r.left--; r.left < 0 {
		return value{}, syntaxErrorf("the body holds more than %d values", r.limits.values)
	}
	if r.pos >= len(r.doc) {
		return value{}, r.errorf("it ends where a value should stand")
	}
	switch c := r.doc[r.pos]; {
	case c == '"':
		s, err := r.str()
		return value{kind: text, text: s}, err
	case c == '{':
		return r.container('}')
	case c == '[':
		return r.container(']')
	case c == '-' || c >= '0' && c <= '9':
		return r.num()
	}
	for _, word := range [...]struct {
		word string
		v    value
	}{{"true", boolValue(true)}, {"false", boolValue(false)}, {"null", value{kind: null}}} {
		if strings.HasPrefix(r.doc[r.pos:], word.word) {
			r.pos += len(word.word)
			return word.v, nil
		}
	}
	return value{}, r.errorf("no value can begin here")
}

// container reads an object or a list, by its closing byte.
func (r *jsonReader) container(end byte) (value, error) {
	if r.depth++; r.depth > r.limits.depth {
		return value{}, syntaxErrorf("the body is nested more than %d levels deep", r.limits.depth)
	}
	r.pos++
	base := len(r.stack)
	for first := true; ; first = false {
		r.space()
		if r.pos < len(r.doc) && r.doc[r.pos] == end && first {
			r.pos++
			break
		}
		var m member
		var err error
		if end == '}' {
			if m.name, err = r.name(base); err != nil {
				return value{}, err
			}
		}
		if m.value, err = r.value(); err != nil {
			return value{}, err
		}
		r.stack = append(r.stack, m)
		r.space()
		if r.pos >= len(r.doc) {
			return value{}, r.errorf("it ends before %q", string(end))
		}
		c := r.doc[r.pos]
		r.pos++
		if c == end {
			break
		}
		if c != ',' {
			r.pos--
			return value{}, r.errorf("expected ',' or %q", string(end))
		}
	}
	r.depth--
	v := value{kind: list, kids: r.keep(r.stack[base:])}
	if end == '}' {
		v.kind = object
	}
	r.stack = r.stack[:base]
	return v, nil
}

// name reads a member's name and its colon.
func (r *jsonReader) name(base int) (string, error) {
	if r.pos >= len(r.doc) || r.doc[r.pos] != '"' {
		return "", r.errorf("expected a name in double quotes")
	}
	name, err := r.str()
	if err != nil {
		return "", err
	}
	if len(r.stack)-base >= maxMembers {
		return "", syntaxErrorf("an object in the body has more than %d members", maxMembers)
	}
	for i := range r.stack[base:] {
		if r.stack[base+i].name == name {
			return "", syntaxErrorf("the name %q appears twice in one object", name)
		}
	}
	r.space()
	if r.pos >= len(r.doc) || r.doc[r.pos] != ':' {
		return "", r.errorf("expected ':' after the name %q", name)
	}
	r.pos++
	r.space()
	return name, nil
}

// keep copies finished kids into the arena. Slices are handed out at full capacity: appending to one cannot reach the next.
func (r *jsonReader) keep(kids []member) []member {
	if len(kids) == 0 {
		return nil
	}
	if cap(r.arena)-len(r.arena) < len(kids) {
		r.arena = make([]member, 0, max(32, len(kids)))
	}
	at := len(r.arena)
	r.arena = append(r.arena, kids...)
	return r.arena[at:len(r.arena):len(r.arena)]
}

func (r *jsonReader) str() (string, error) {
	start := r.pos + 1
	for i := start; i < len(r.doc); i++ {
		switch c := r.doc[i]; {
		case c == '"':
			r.pos = i + 1
			return r.doc[start:i], nil
		case c == '\\':
			return r.escaped(start, i)
		case c < 0x20:
			r.pos = i
			return "", r.errorf("a control character must be escaped")
		}
	}
	r.pos = len(r.doc)
	return "", r.errorf("a string does not end")
}

// escaped reads the rest of a string from its first backslash.
func (r *jsonReader) escaped(start, i int) (string, error) {
	b := append(make([]byte, 0, i-start+32), r.doc[start:i]...)
	for i < len(r.doc) {
		c := r.doc[i]
		switch {
		case c == '"':
			r.pos = i + 1
			return string(b), nil
		case c < 0x20:
			r.pos = i
			return "", r.errorf("a control character must be escaped")
		case c != '\\':
			b = append(b, c)
			i++
			continue
		}
		n, out, ok := unescape(r.doc[i:])
		if !ok {
			r.pos = i
			return "", r.errorf("an escape sequence is malformed")
		}
		if out == 0 {
			r.pos = i
			return "", r.errorf("the NUL character is not accepted in any value")
		}
		b = utf8.AppendRune(b, out)
		i += n
	}
	r.pos = len(r.doc)
	return "", r.errorf("a string does not end")
}

// unescape reads the escape sequence that s begins with: its length and the rune it stands for.
func unescape(s string) (n int, out rune, ok bool) {
	if len(s) < 2 {
		return 0, 0, false
	}
	switch s[1] {
	case '"', '\\', '/':
		return 2, rune(s[1]), true
	case 'b':
		return 2, '\b', true
	case 'f':
		return 2, '\f', true
	case 'n':
		return 2, '\n', true
	case 'r':
		return 2, '\r', true
	case 't':
		return 2, '\t', true
	case 'u':
		hi, ok := hex4(s)
		if !ok {
			return 0, 0, false
		}
		if !utf16.IsSurrogate(hi) {
			return 6, hi, true
		}
		if lo, ok := hex4(s[6:]); ok {
			if r := utf16.DecodeRune(hi, lo); r != utf8.RuneError {
				return 12, r, true
			}
		}
	}
	return 0, 0, false
}

// hex4 reads \uXXXX.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil && s[2] != '+'
}

func (r *jsonReader) num() (value, error) {
	start := r.pos
	at := func() byte {
		if r.pos < len(r.doc) {
			return r.doc[r.pos]
		}
		return 0
	}
	digits := func() bool {
		from := r.pos
		for c := at(); c >= '0' && c <= '9'; c = at() {
			r.pos++
		}
		return r.pos > from
	}
	if at() == '-' {
		r.pos++
	}
	if at() == '0' {
		r.pos++
	} else if !digits() {
		return value{}, r.errorf("a number is malformed")
	}
	if at() == '.' {
		if r.pos++; !digits() {
			return value{}, r.errorf("a number is malformed")
		}
	}
	if c := at(); c == 'e' || c == 'E' {
		r.pos++
		if c := at(); c == '+' || c == '-' {
			r.pos++
		}
		if !digits() {
			return value{}, r.errorf("a number is malformed")
		}
	}
	lit := r.doc[start:r.pos]
	if f, err := strconv.ParseFloat(lit, 64); err != nil || math.IsInf(f, 0) {
		return value{}, r.errorf("the number %.20s is too large", lit)
	}
	return value{kind: number, text: lit}, nil
}
