package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// ParseLeaf reads the canonical form of an event and accepts nothing else: every field once, in its order, none that is not
// known. Two readers can therefore never see two events in one leaf. A new field of Event needs a migration of the store, so
// that an older program refuses the database instead of the journal.
func ParseLeaf(leaf []byte) (*Event, error) {
	v, err := parseLeaf(leaf)
	if err != nil {
		return nil, err
	}
	e := &Event{Seq: v.seq, Line: v.line, Detail: bytes.Clone(v.detail)}
	texts := []struct {
		into *string
		from text
	}{
		{&e.Kind, v.kind}, {(*string)(&e.Actor.Kind), v.actorKind}, {&e.Actor.Name, v.actorName}, {(*string)(&e.Outcome), v.outcome},
		{&e.Reason, v.reason}, {&e.Person, v.person}, {&e.Engagement, v.engagement}, {&e.Vendor, v.vendor},
		{&e.Entitlement, v.entitlement}, {&e.Rule, v.rule}, {&e.Revision, v.revision}, {&e.RequestID, v.requestID},
		{&e.ClientID, v.clientID}, {&e.PersonalHash, v.personalHash}, {&e.Prev, v.prev},
	}
	for _, t := range texts {
		if *t.into, err = t.from.string(); err != nil {
			return nil, err
		}
	}
	if e.Time, err = v.time.instant(); err != nil {
		return nil, fmt.Errorf("its time cannot be read: %w", err)
	}
	if v.until != nil {
		if e.Until, err = v.until.instant(); err != nil {
			return nil, fmt.Errorf("its until cannot be read: %w", err)
		}
	}
	return e, nil
}

// text is the inside of a JSON string, still escaped.
type text []byte

func (t text) string() (string, error) {
	if bytes.IndexByte(t, '\\') < 0 {
		return string(t), nil
	}
	var s string
	err := json.Unmarshal(append(append([]byte{'"'}, t...), '"'), &s)
	return s, err
}

// is compares with a stored column.
func (t text) is(column []byte) bool {
	if bytes.IndexByte(t, '\\') < 0 {
		return bytes.Equal(t, column)
	}
	s, err := t.string()
	return err == nil && s == string(column)
}

func (t text) instant() (at time.Time, err error) {
	err = at.UnmarshalText(t) // stricter than time.Parse
	return at, err
}

// view is a leaf taken apart without copying.
type view struct {
	seq                                int64
	line                               int
	time, kind, actorKind, actorName   text
	outcome, reason                    text
	person, engagement, vendor         text
	entitlement, rule, revision, until text
	requestID, clientID                text
	detail                             []byte
	personalHash, prev                 text
}

func parseLeaf(leaf []byte) (view, error) {
	c := cursor{rest: leaf}
	var v view
	switch {
	case hasControl(leaf):
		c.fail("a control character")
	case !utf8.Valid(leaf):
		c.fail("bytes that are not UTF-8")
	}
	c.want(`{"seq":`)
	v.seq = c.integer()
	v.time = c.field(`,"time":`)
	v.kind = c.field(`,"kind":`)
	v.actorKind = c.field(`,"actor":{"kind":`)
	v.actorName = c.optional(`,"name":`)
	c.want(`}`)
	v.outcome = c.field(`,"outcome":`)
	v.reason = c.optional(`,"reason":`)
	v.person = c.optional(`,"person":`)
	v.engagement = c.optional(`,"engagement":`)
	v.vendor = c.optional(`,"vendor":`)
	v.entitlement = c.optional(`,"entitlement":`)
	v.rule = c.optional(`,"rule":`)
	if c.has(`,"line":`) {
		v.line = int(c.integer())
	}
	v.revision = c.optional(`,"revision":`)
	v.until = c.optional(`,"until":`)
	v.requestID = c.optional(`,"requestId":`)
	v.clientID = c.optional(`,"clientRequestId":`)
	if c.has(`,"detail":`) {
		v.detail = c.value()
	}
	v.personalHash = c.optional(`,"personalHash":`)
	v.prev = c.field(`,"prev":`)
	c.want(`}`)
	if c.err == nil && len(c.rest) > 0 {
		c.fail("more than one value")
	}
	if c.err != nil {
		return view{}, fmt.Errorf("it is not an event in canonical form: %w (byte %d)", c.err, len(leaf)-len(c.rest)+1)
	}
	return v, nil
}

// cursor reads a leaf from the left. After the first mistake it reads nothing more.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *cursor) has(s string) bool {
	if c.err != nil || len(c.rest) < len(s) || string(c.rest[:len(s)]) != s {
		return false
	}
	c.rest = c.rest[len(s):]
	return true
}

func (c *cursor) want(s string) {
	if c.err == nil && !c.has(s) {
		c.fail("%s is missing", s)
	}
}

func (c *cursor) field(key string) text {
	c.want(key)
	return c.quoted()
}

func (c *cursor) optional(key string) text {
	if !c.has(key) {
		return nil
	}
	return c.quoted()
}

// quoted reads a JSON string.
func (c *cursor) quoted() text {
	if c.err != nil {
		return nil
	}
	n := quotedLength(c.rest)
	if n == 0 {
		c.fail("a string is missing")
		return nil
	}
	raw := c.rest[:n]
	if bytes.IndexByte(raw, '\\') >= 0 && !json.Valid(raw) {
		c.fail("a string is not JSON")
		return nil
	}
	c.rest = c.rest[n:]
	return text(raw[1 : n-1])
}

// quotedLength is the length of the JSON string that b begins with, 0 if it begins with none.
func quotedLength(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return 0
		}
		i += n + 1
		escapes := 0
		for escapes < n && b[i-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// hasControl reports whether b has a control character, which in JSON stands escaped: eight bytes at a time.
func hasControl(b []byte) bool {
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		if (x-0x2020202020202020)&^x&0x8080808080808080 != 0 {
			return true
		}
		b = b[8:]
	}
	for _, c := range b {
		if c < 0x20 {
			return true
		}
	}
	return false
}

// integer reads a decimal number in its one form.
func (c *cursor) integer() int64 {
	if c.err != nil {
		return 0
	}
	n := 0
	for n < len(c.rest) && (c.rest[n] >= '0' && c.rest[n] <= '9' || n == 0 && c.rest[n] == '-') {
		n++
	}
	digits := string(c.rest[:n])
	i, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || strconv.FormatInt(i, 10) != digits {
		c.fail("a number is missing")
		return 0
	}
	c.rest = c.rest[n:]
	return i
}

// value reads any JSON value.
func (c *cursor) value() []byte {
	if c.err != nil {
		return nil
	}
	n := valueLength(c.rest)
	if n == 0 || !json.Valid(c.rest[:n]) {
		c.fail("detail is not JSON")
		return nil
	}
	v := c.rest[:n]
	c.rest = c.rest[n:]
	return v
}

// valueLength is where the JSON value that b begins with ends, 0 if it does not; whether it is one is for json.Valid to say.
func valueLength(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := quotedLength(b[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return 0
}
