package contractor

import (
	"fmt"
	"slices"
	"strings"
)

// DeviceFilter is a parsed rule of a filter for devices ("Filter for devices" in the documentation of conditional access):
// comparisons of device attributes joined with -and, -or, -not and parentheses.
type DeviceFilter struct{ root deviceNode }

// DeviceFilterError is a mistake in a rule. Offset is in bytes.
type DeviceFilterError struct {
	Offset  int
	Message string
	Near    []string // words among which the writer's may be meant; Word is what was written
	Word    string
}

func (e *DeviceFilterError) Error() string { return e.Message }

// MaxDeviceRule is the documented length of a rule, in characters.
const MaxDeviceRule = 3072

// maxDeviceDepth bounds parentheses and -not.
const maxDeviceDepth = 32

type deviceNode interface {
	match(device map[string]string) bool
}

type (
	deviceAnd     []deviceNode
	deviceOr      []deviceNode
	deviceNot     struct{ of deviceNode }
	deviceCompare struct {
		attribute string // small letters
		operator  string // small letters, without "-" and without "not"
		negative  bool
		whole     bool // the attribute is a collection: contains means one of its values
		values    []string
	}
)

// Match reports whether the rule holds for a device. A device that is not registered has no attributes: comparisons with a
// positive operator fail for it, those with a negative one hold. Attributes are in Graph's spelling; values of collections are
// separated by line ends.
func (f *DeviceFilter) Match(device map[string]string) bool {
	folded := make(map[string]string, len(device))
	for k, v := range device {
		folded[strings.ToLower(k)] = v
	}
	return f.root.match(folded)
}

func (n deviceAnd) match(d map[string]string) bool {
	return !slices.ContainsFunc(n, func(o deviceNode) bool { return !o.match(d) })
}

func (n deviceOr) match(d map[string]string) bool {
	return slices.ContainsFunc(n, func(o deviceNode) bool { return o.match(d) })
}

func (n deviceNot) match(d map[string]string) bool { return !n.of.match(d) }

func (n deviceCompare) match(d map[string]string) bool {
	have, known := d[n.attribute]
	found := known && slices.ContainsFunc(n.values, func(want string) bool { return n.one(strings.ToLower(have), strings.ToLower(want)) })
	return found != n.negative
}

func (n deviceCompare) one(have, want string) bool {
	switch {
	case n.whole:
		return slices.Contains(strings.Split(have, "\n"), want)
	case n.operator == "startswith":
		return strings.HasPrefix(have, want)
	case n.operator == "endswith":
		return strings.HasSuffix(have, want)
	case n.operator == "contains":
		return strings.Contains(have, want)
	}
	return have == want // eq, in
}

// Operators by kind of attribute.
func deviceTextOperators() []string {
	return []string{"-eq", "-ne", "-startsWith", "-notStartsWith", "-endsWith", "-notEndsWith", "-contains", "-notContains", "-in", "-notIn"}
}

// deviceAttribute is what the documentation says of one attribute.
type deviceAttribute struct {
	name      string
	operators []string
	values    []string // the only ones; nil: any
	whole     bool
}

func deviceAttributes() []deviceAttribute {
	text, equal, some, contains := deviceTextOperators(), []string{"-eq", "-ne"}, []string{"-eq", "-ne", "-in", "-notIn"}, []string{"-contains", "-notContains"}
	list := []deviceAttribute{
		{name: "deviceId", operators: some},
		{name: "displayName", operators: text},
		{name: "deviceOwnership", operators: equal, values: []string{"Personal", "Company"}},
		{name: "enrollmentProfileName", operators: text},
		{name: "isCompliant", operators: equal, values: []string{"True", "False"}},
		{name: "manufacturer", operators: text},
		{name: "mdmAppId", operators: some},
		{name: "model", operators: text},
		{name: "operatingSystem", operators: text},
		{name: "operatingSystemVersion", operators: text},
		{name: "physicalIds", operators: contains, whole: true},
		{name: "profileType", operators: equal, values: []string{"RegisteredDevice", "SecureVM", "Printer", "Shared", "IoT"}},
		{name: "systemLabels", operators: contains, whole: true},
		{name: "trustType", operators: equal, values: []string{"AzureAD", "ServerAD", "Workplace"}},
	}
	for i := 1; i <= 15; i++ {
		list = append(list, deviceAttribute{name: fmt.Sprintf("extensionAttribute%d", i), operators: text})
	}
	return list
}

// ParseDeviceFilter reads a rule such as
//
//	device.isCompliant -ne True -and (device.operatingSystem -in ["Windows", "macOS"])
//
// Errors are *DeviceFilterError.
func ParseDeviceFilter(rule string) (*DeviceFilter, error) {
	if n := len([]rune(rule)); n > MaxDeviceRule {
		return nil, &DeviceFilterError{Message: fmt.Sprintf("the rule has %d characters; Entra takes at most %d", n, MaxDeviceRule)}
	}
	p := &deviceParser{source: rule}
	p.next()
	root, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.kind != deviceEnd {
		return nil, p.fail("-and or -or is wanted here, not %q", p.text)
	}
	return &DeviceFilter{root}, nil
}

type deviceToken int

const (
	deviceEnd deviceToken = iota
	deviceWord
	deviceText // in quotes
	deviceSign // ( ) [ ] ,
	deviceBad
)

type deviceParser struct {
	source string
	at     int // of the token
	after  int
	kind   deviceToken
	text   string // without quotes
}

func (p *deviceParser) fail(format string, args ...any) *DeviceFilterError {
	return &DeviceFilterError{Offset: p.at, Message: fmt.Sprintf(format, args...), Word: p.text}
}

func (p *deviceParser) next() {
	s := p.source
	for p.after < len(s) && strings.IndexByte(" \t\r\n", s[p.after]) >= 0 {
		p.after++
	}
	p.at = p.after
	if p.at == len(s) {
		p.kind, p.text = deviceEnd, ""
		return
	}
	switch c := s[p.at]; {
	case strings.IndexByte("()[],", c) >= 0:
		p.kind, p.text, p.after = deviceSign, s[p.at:p.at+1], p.at+1
	case c == '"' || c == '\'':
		end := strings.IndexByte(s[p.at+1:], c)
		if end < 0 {
			p.kind, p.text, p.after = deviceBad, s[p.at:], len(s)
			return
		}
		p.kind, p.text, p.after = deviceText, s[p.at+1:p.at+1+end], p.at+end+2
	default:
		end := strings.IndexAny(s[p.at:], " \t\r\n()[],\"'")
		if end < 0 {
			end = len(s) - p.at
		}
		p.kind, p.text, p.after = deviceWord, s[p.at:p.at+end], p.at+end
	}
}

func (p *deviceParser) word(want string) bool {
	return p.kind == deviceWord && strings.EqualFold(strings.TrimPrefix(p.text, "-"), want)
}

func (p *deviceParser) sign(want string) bool { return p.kind == deviceSign && p.text == want }

func (p *deviceParser) or(depth int) (deviceNode, error) {
	var list deviceOr
	for {
		n, err := p.and(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if !p.word("or") {
			break
		}
		p.next()
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *deviceParser) and(depth int) (deviceNode, error) {
	var list deviceAnd
	for {
		n, err := p.term(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if !p.word("and") {
			break
		}
		p.next()
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *deviceParser) term(depth int) (deviceNode, error) {
	if depth >= maxDeviceDepth {
		return nil, p.fail("the rule is nested deeper than %d", maxDeviceDepth)
	}
	switch {
	case p.sign("("):
		p.next()
		n, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.sign(")") {
			return nil, p.fail("a closing parenthesis is missing")
		}
		p.next()
		return n, nil
	case p.word("not"):
		p.next()
		n, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		return deviceNot{n}, nil
	}
	return p.compare()
}

func (p *deviceParser) compare() (deviceNode, error) {
	switch {
	case p.kind == deviceEnd:
		return nil, p.fail("a comparison is missing; write device.isCompliant -eq True")
	case p.kind == deviceBad:
		return nil, p.fail("a closing quote is missing")
	case p.kind != deviceWord:
		return nil, p.fail("a comparison is wanted here, not %q; write device.isCompliant -eq True", p.text)
	}
	name, ok := cutFold(p.text, "device.")
	if !ok {
		return nil, p.fail("%q is not an attribute; attributes are written device.isCompliant", p.text)
	}
	attributes := deviceAttributes()
	i := slices.IndexFunc(attributes, func(a deviceAttribute) bool { return strings.EqualFold(a.name, name) })
	if i < 0 {
		e := p.fail("a device has no attribute %q that conditional access knows", name)
		e.Word = name
		for _, a := range attributes {
			e.Near = append(e.Near, a.name)
		}
		return nil, e
	}
	a := attributes[i]
	p.next()
	operator := p.text
	if p.kind != deviceWord || !slices.ContainsFunc(a.operators, func(o string) bool { return strings.EqualFold(o, operator) }) {
		e := p.fail("device.%s cannot be compared with %q; it takes %s", a.name, operator, strings.Join(a.operators, ", "))
		e.Near = a.operators
		return nil, e
	}
	c := deviceCompare{attribute: strings.ToLower(a.name), operator: strings.ToLower(strings.TrimPrefix(operator, "-")), whole: a.whole}
	if c.operator == "ne" {
		c.operator, c.negative = "eq", true
	} else if rest, isNot := strings.CutPrefix(c.operator, "not"); isNot {
		c.operator, c.negative = rest, true
	}
	p.next()
	var err error
	if c.values, err = p.values(a, c.operator == "in"); err != nil {
		return nil, err
	}
	return c, nil
}

func (p *deviceParser) values(a deviceAttribute, many bool) ([]string, error) {
	if !many {
		v, err := p.value(a)
		return []string{v}, err
	}
	if !p.sign("[") {
		return nil, p.fail(`-in and -notIn want a list: ["Windows", "macOS"]`)
	}
	var list []string
	for {
		p.next()
		v, err := p.value(a)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if p.sign("]") {
			p.next()
			return list, nil
		}
		if !p.sign(",") {
			return nil, p.fail("a comma or ] is wanted in the list")
		}
	}
}

func (p *deviceParser) value(a deviceAttribute) (string, error) {
	switch {
	case p.kind == deviceBad:
		return "", p.fail("a closing quote is missing")
	case p.kind != deviceText && (p.kind != deviceWord || a.values == nil):
		return "", p.fail("a value in quotes is wanted for device.%s", a.name)
	}
	v := p.text
	if a.values != nil && !slices.ContainsFunc(a.values, func(known string) bool { return strings.EqualFold(known, v) }) {
		e := p.fail("device.%s is never %q; it is %s", a.name, v, strings.Join(a.values, ", "))
		e.Near = a.values
		return "", e
	}
	p.next()
	return v, nil
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}
