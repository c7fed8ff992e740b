package emulator

import (
	"errors"
	"fmt"
	"strings"
)

// filterExpr is a parsed $filter (OData 4.01 URL conventions, the part of it that
// the emulated operations take).
type filterExpr interface {
	// eval judges an object; vars holds the variables of lambda expressions.
	eval(obj map[string]any, vars map[string]any) bool
	// fields lists the property paths that are read, lambda variables left out.
	fields() []string
}

// maxFilterDepth bounds nesting of parentheses, not and lambdas.
const maxFilterDepth = 32

// parseFilter parses a filter. Names are checked later, when the type is known.
func parseFilter(s string) (filterExpr, error) {
	toks, err := lexFilter(s)
	if err != nil {
		return nil, err
	}
	p := &filterParser{toks: toks}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokEnd {
		return nil, fmt.Errorf("syntax error at '%s'", p.peek().text)
	}
	return e, nil
}

type tokKind int

const (
	tokEnd tokKind = iota
	tokWord
	tokString
	tokPunct // ( ) , :
)

type tok struct {
	kind tokKind
	text string
}

func lexFilter(s string) ([]tok, error) {
	var out []tok
	for i := 0; i < len(s); {
		switch ch := s[i]; {
		case ch == ' ' || ch == '\t':
			i++
		case ch == '(' || ch == ')' || ch == ',':
			out = append(out, tok{tokPunct, string(ch)})
			i++
		case ch == ':' && len(out) > 0 && lambdaVariable(out):
			out = append(out, tok{tokPunct, ":"})
			i++
		case ch == '\'':
			text, n, ok := lexString(s[i:])
			if !ok {
				return nil, errors.New("unterminated string literal")
			}
			out = append(out, tok{tokString, text})
			i += n
		default:
			n := strings.IndexAny(s[i:], " \t(),'")
			if n < 0 {
				n = len(s) - i
			}
			word := s[i : i+n]
			if n == 0 {
				return nil, fmt.Errorf("unexpected '%c'", ch)
			}
			// A lambda variable ends at its colon; the colons of a time do not count.
			if v, _, cut := strings.Cut(word, ":"); cut && isLambdaOpen(out) {
				word = v
			}
			if word == "" {
				return nil, errors.New("unexpected ':'")
			}
			out = append(out, tok{tokWord, word})
			i += len(word)
		}
	}
	return append(out, tok{kind: tokEnd}), nil
}

// lexString reads a quoted string in which quotes are doubled.
func lexString(s string) (text string, length int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

// isLambdaOpen reports whether the tokens end in ".../any(" or ".../all(".
func isLambdaOpen(out []tok) bool {
	n := len(out)
	return n >= 2 && out[n-1].text == "(" && out[n-1].kind == tokPunct && isLambdaName(out[n-2])
}

// lambdaVariable reports whether the tokens end in ".../any( x".
func lambdaVariable(out []tok) bool {
	return out[len(out)-1].kind == tokWord && isLambdaOpen(out[:len(out)-1])
}

func isLambdaName(t tok) bool {
	return t.kind == tokWord && (strings.HasSuffix(t.text, "/any") || strings.HasSuffix(t.text, "/all"))
}

type filterParser struct {
	toks []tok
	pos  int
}

func (p *filterParser) peek() tok { return p.toks[p.pos] }

func (p *filterParser) next() tok {
	t := p.toks[p.pos]
	if t.kind != tokEnd {
		p.pos++
	}
	return t
}

func (p *filterParser) word(w string) bool {
	if t := p.peek(); t.kind == tokWord && strings.EqualFold(t.text, w) {
		p.pos++
		return true
	}
	return false
}

func (p *filterParser) punct(s string) error {
	if t := p.next(); t.kind != tokPunct || t.text != s {
		return fmt.Errorf("'%s' expected, found '%s'", s, t.text)
	}
	return nil
}

func (p *filterParser) or(depth int) (filterExpr, error) {
	left, err := p.and(depth)
	for err == nil && p.word("or") {
		var right filterExpr
		right, err = p.and(depth)
		left = boolExpr{or: true, left: left, right: right}
	}
	return left, err
}

func (p *filterParser) and(depth int) (filterExpr, error) {
	left, err := p.unary(depth)
	for err == nil && p.word("and") {
		var right filterExpr
		right, err = p.unary(depth)
		left = boolExpr{left: left, right: right}
	}
	return left, err
}

func (p *filterParser) unary(depth int) (filterExpr, error) {
	if depth > maxFilterDepth {
		return nil, errors.New("too deeply nested")
	}
	if p.word("not") {
		e, err := p.unary(depth + 1)
		return notExpr{e}, err
	}
	if t := p.peek(); t.kind == tokPunct && t.text == "(" {
		p.pos++
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		return e, p.punct(")")
	}
	return p.primary(depth)
}

func (p *filterParser) primary(depth int) (filterExpr, error) {
	t := p.next()
	if t.kind != tokWord {
		return nil, fmt.Errorf("a property is expected, found '%s'", t.text)
	}
	if open := p.peek(); open.kind == tokPunct && open.text == "(" {
		switch name := lower(t.text); {
		case name == "startswith" || name == "endswith" || name == "contains":
			return p.function(name)
		case isLambdaName(t):
			return p.lambda(t.text, depth)
		}
		return nil, fmt.Errorf("an unknown function with name '%s' was found", t.text)
	}
	op := lower(p.next().text)
	switch op {
	case "eq", "ne", "gt", "ge", "lt", "le":
		lit, err := p.literal()
		return compareExpr{path: t.text, op: op, lit: lit}, err
	case "in":
		return p.in(t.text)
	}
	return nil, fmt.Errorf("an operator is expected after '%s'", t.text)
}

func (p *filterParser) function(name string) (filterExpr, error) {
	if err := p.punct("("); err != nil {
		return nil, err
	}
	field := p.next()
	if field.kind != tokWord {
		return nil, fmt.Errorf("%s wants a property first", name)
	}
	if err := p.punct(","); err != nil {
		return nil, err
	}
	lit := p.next()
	if lit.kind != tokString {
		return nil, fmt.Errorf("%s wants a string second", name)
	}
	return functionExpr{name: name, path: field.text, arg: lit.text}, p.punct(")")
}

func (p *filterParser) lambda(text string, depth int) (filterExpr, error) {
	if err := p.punct("("); err != nil {
		return nil, err
	}
	v := p.next()
	if v.kind != tokWord {
		return nil, errors.New("a lambda variable is expected")
	}
	if err := p.punct(":"); err != nil {
		return nil, err
	}
	body, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	path, all := strings.CutSuffix(text, "/all")
	path = strings.TrimSuffix(path, "/any")
	return lambdaExpr{path: path, all: all, variable: v.text, body: body}, p.punct(")")
}

func (p *filterParser) in(path string) (filterExpr, error) {
	if err := p.punct("("); err != nil {
		return nil, err
	}
	e := inExpr{path: path}
	for {
		lit, err := p.literal()
		if err != nil {
			return nil, err
		}
		e.lits = append(e.lits, lit)
		switch t := p.next(); t.text {
		case ",":
		case ")":
			return e, nil
		default:
			return nil, errors.New("'in' wants a list in parentheses")
		}
	}
}
