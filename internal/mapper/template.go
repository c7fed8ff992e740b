package mapper

import (
	"fmt"
	"strings"
	"unicode"
)

// template is text with ${expressions}, for one property of the guest.
type template struct {
	property property
	parts    []part
}

// part is literal text or an expression.
type part struct {
	literal string
	expr    *expression // nil for literal text
}

// parseTemplate reads a guest attribute. "$${" stands for "${" itself. Offsets of mistakes are bytes in s.
func (l *language) parseTemplate(p property, s string) (*template, []mistake) {
	t := &template{property: p}
	var mistakes []mistake
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t.parts = append(t.parts, part{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$${"):
			literal.WriteString("${")
			i += 3
		case strings.HasPrefix(s[i:], "${"):
			flush()
			end := closingBrace(s, i+2)
			if end < 0 {
				return nil, append(mistakes, mistake{i, `this "${" is not closed; write ${c.supplier}`})
			}
			x, bad := l.compile(s[i+2:end], text, number, instant)
			for _, m := range bad {
				mistakes = append(mistakes, mistake{i + 2 + m.offset, m.message})
			}
			t.parts = append(t.parts, part{expr: x})
			i = end + 1
		default:
			literal.WriteByte(s[i])
			i++
		}
	}
	flush()
	if strings.Contains(s, "{{") || !strings.Contains(s, "$") && strings.HasPrefix(strings.TrimSpace(s), "c.") {
		mistakes = append(mistakes, mistake{0, `this is plain text; a field is put into it as ${c.supplier}`})
	}
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	if problem := t.staticProblem(); problem != "" {
		return nil, []mistake{{0, problem}}
	}
	return t, nil
}

// closingBrace finds the } that ends an expression begun before from, skipping texts in quotes. -1 if there is none.
func closingBrace(s string, from int) int {
	depth := 0
	var quote byte
	for i := from; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return i
		case c == '}':
			depth--
		}
	}
	return -1
}

// staticProblem checks what is known without a record: a text without expressions whole, else its literal part's length.
func (t *template) staticProblem() string {
	literal := ""
	for _, p := range t.parts {
		if p.expr != nil {
			if n := units(tidy(literal)); t.property.max > 0 && n > t.property.max {
				return fmt.Sprintf("the fixed part of %s alone has %d characters; Entra allows %d", t.property.name, n, t.property.max)
			}
			continue
		}
		literal += p.literal
	}
	for _, p := range t.parts {
		if p.expr != nil {
			return ""
		}
	}
	return t.property.problem(tidy(literal))
}

// render writes the property's value for the engagement in m's environment. A value that Entra would refuse is an error; so
// is an expression that fails. The error holds no value of the record.
func (t *template) render(m *machine) (string, error) {
	if len(t.parts) == 1 && t.parts[0].expr == nil {
		return tidy(t.parts[0].literal), nil
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.expr == nil {
			b.WriteString(p.literal)
			continue
		}
		s, err := m.text(p.expr)
		if err != nil {
			return "", fmt.Errorf("guest.%s could not be worked out: %w", t.property.name, err)
		}
		if b.Len()+len(s) > maxText {
			return "", fmt.Errorf("guest.%s is longer than %d bytes", t.property.name, maxText)
		}
		b.WriteString(s)
	}
	s := tidy(b.String())
	if problem := t.property.problem(s); problem != "" {
		return "", fmt.Errorf("%s", problem)
	}
	return s, nil
}

// tidy trims and joins runs of blanks, which absent fields leave behind, and takes control characters for blanks.
func tidy(s string) string {
	blank := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	return strings.Join(strings.FieldsFunc(s, blank), " ")
}
