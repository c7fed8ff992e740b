package strictyaml

import (
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Within returns the place in the file of byte offset of the text at path, as decoded: a
// character of a folded line, of a quoted text with escapes or of an indented block is found
// where the administrator wrote it. An offset at or past the end is the place just after the
// text. Where path leads to no text, Within is At.
func (d *Document) Within(offset int, path ...any) Pos {
	_, value, parent := d.find(path)
	n := target(value)
	if n.Kind != yaml.ScalarNode {
		return position(value)
	}
	runes, end := d.trace(n, parent)
	if runes == nil {
		return position(value)
	}
	i := utf8.RuneCountInString(n.Value[:max(0, min(offset, len(n.Value)))])
	if i < len(runes) {
		return runes[i].Pos
	}
	return end
}

// traced is one character of a decoded text and where it stands in the file.
type traced struct {
	rune
	Pos
}

// trace decodes the scalar n a second time, keeping the place of each character, and the
// place just after the last. It returns nil where its result is not the value that the
// parser found, so that a difference between the two costs precision, never truth.
func (d *Document) trace(n, parent *yaml.Node) (runes []traced, end Pos) {
	c := cursor{lines: d.lines, line: n.Line - 1, col: n.Column - 1}
	c.load()
	if c.peek() == '&' { // an anchor stands before the text
		for c.peek() != ' ' && c.peek() != '\n' && c.peek() != eof {
			c.next()
		}
		c.skipBlank()
	}
	want := utf8.RuneCountInString(n.Value)
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		runes = c.block(n, parent)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		c.next()
		runes = c.flow(want, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		c.next()
		runes = c.flow(want, '\'')
	default:
		runes = c.flow(want, 0)
	}
	if !sameText(runes, n.Value) {
		return nil, Pos{}
	}
	if runes == nil {
		return []traced{}, c.pos()
	}
	last := runes[len(runes)-1]
	if last.rune == '\n' {
		return runes, last.Pos
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return runes, Pos{last.Line, last.Column + 1}
	}
	return runes, c.pos()
}

func sameText(runes []traced, want string) bool {
	i := 0
	for _, r := range want {
		if i >= len(runes) || runes[i].rune != r {
			return false
		}
		i++
	}
	return i == len(runes)
}

const eof = rune(-1)

// cursor reads the file forward, one character at a time; a line ends with '\n'.
type cursor struct {
	lines []string
	line  int    // index into lines
	col   int    // index into text
	text  []rune // the current line
}

func (c *cursor) load() {
	c.text = nil
	if c.line < len(c.lines) {
		c.text = []rune(c.lines[c.line])
	}
}

func (c *cursor) pos() Pos { return Pos{c.line + 1, c.col + 1} }

func (c *cursor) peek() rune {
	switch {
	case c.col < len(c.text):
		return c.text[c.col]
	case c.line < len(c.lines)-1:
		return '\n'
	}
	return eof
}

// next returns the current character with its place and moves past it.
func (c *cursor) next() traced {
	t := traced{c.peek(), c.pos()}
	switch t.rune {
	case eof:
	case '\n':
		c.line, c.col = c.line+1, 0
		c.load()
	default:
		c.col++
	}
	return t
}

func (c *cursor) blank() bool { return c.peek() == ' ' || c.peek() == '\t' }

// skipBlank skips blanks, comments and line ends between an anchor and its value.
func (c *cursor) skipBlank() {
	for {
		switch {
		case c.blank() || c.peek() == '\n':
			c.next()
		case c.peek() == '#':
			for c.peek() != '\n' && c.peek() != eof {
				c.next()
			}
		default:
			return
		}
	}
}

// flow reads want characters of a plain (quote 0), single-quoted or double-quoted text.
// Line ends inside it fold: one becomes a space, more become one less.
func (c *cursor) flow(want int, quote rune) (out []traced) {
	for len(out) < want && c.peek() != eof {
		switch r := c.peek(); {
		case c.blank() || r == '\n':
			out = append(out, c.gap(false)...)
		case quote == '"' && r == '\\':
			escape := c.next()
			if c.peek() == '\n' {
				out = append(out, c.gap(true)...)
				continue
			}
			out = append(out, traced{c.escaped(), escape.Pos})
		case quote == '\'' && r == '\'':
			out = append(out, c.next())
			c.next() // the second of the pair
		default:
			out = append(out, c.next())
		}
	}
	return out
}

// gap reads blanks and line ends up to the next visible character. escaped: the first line
// end was escaped and counts for nothing.
func (c *cursor) gap(escaped bool) []traced {
	var blanks, breaks []traced
	for c.blank() || c.peek() == '\n' {
		if t := c.next(); t.rune == '\n' {
			breaks = append(breaks, t)
		} else {
			blanks = append(blanks, t)
		}
	}
	switch {
	case len(breaks) == 0:
		return blanks
	case len(breaks) > 1 || escaped:
		return breaks[1:]
	}
	return []traced{{' ', breaks[0].Pos}}
}

// escaped reads what follows a backslash in a double-quoted text.
func (c *cursor) escaped() rune {
	switch r := c.next().rune; r {
	case '0':
		return 0
	case 'a':
		return '\a'
	case 'b':
		return '\b'
	case 't', '\t':
		return '\t'
	case 'n':
		return '\n'
	case 'v':
		return '\v'
	case 'f':
		return '\f'
	case 'r':
		return '\r'
	case 'e':
		return 0x1b
	case 'N':
		return 0x85
	case '_':
		return 0xa0
	case 'L':
		return 0x2028
	case 'P':
		return 0x2029
	case 'x':
		return c.hex(2)
	case 'u':
		return c.hex(4)
	case 'U':
		return c.hex(8)
	default:
		return r
	}
}

func (c *cursor) hex(digits int) rune {
	var s []rune
	for range digits {
		s = append(s, c.next().rune)
	}
	v, err := strconv.ParseUint(string(s), 16, 32)
	if err != nil || v > utf8.MaxRune {
		return utf8.RuneError
	}
	return rune(v)
}

// block reads a literal (|) or folded (>) block. The indentation is that of the first
// line with text; with an indentation indicator it is counted from the enclosing block.
func (c *cursor) block(n, parent *yaml.Node) []traced {
	folded := c.next().rune == '>'
	chomp, indent := ' ', 0
	for c.peek() != '\n' && c.peek() != eof && c.peek() != '#' && !c.blank() {
		if r := c.next().rune; r == '+' || r == '-' {
			chomp = r
		} else {
			indent = int(r - '0')
		}
	}
	for c.peek() != '\n' && c.peek() != eof {
		c.next()
	}
	c.next()
	if indent == 0 {
		return c.blockLines(c.detectIndent(), folded, chomp)
	}
	// The enclosing block's own indentation is not in the tree: the parent begins at its
	// indentation except where it stands in a list item or flow. Try what gives the value.
	first := *c
	for base := 0; parent != nil && base < parent.Column; base++ {
		*c = first
		if runes := c.blockLines(base+indent, folded, chomp); sameText(runes, n.Value) {
			return runes
		}
	}
	return nil
}

// detectIndent returns the indentation of the first line with text, or the deepest of the
// lines of blanks when there is no text.
func (c *cursor) detectIndent() int {
	deepest := 1
	for ahead := *c; ; ahead.next() {
		spaces := 0
		for ahead.peek() == ' ' {
			ahead.next()
			spaces++
		}
		deepest = max(deepest, spaces)
		if ahead.peek() != '\n' {
			return deepest
		}
	}
}

func (c *cursor) blockLines(indent int, folded bool, chomp rune) (out []traced) {
	var end, empty []traced // the last line's end, and the empty lines after it
	afterMore := false      // the last line began with a blank: it does not fold
	c.indentation(indent, &empty)
	for c.col == indent && c.peek() != eof {
		more := c.blank()
		if folded && len(end) > 0 && !afterMore && !more {
			if len(empty) == 0 {
				out = append(out, traced{' ', end[0].Pos})
			}
		} else {
			out = append(out, end...)
		}
		out = append(out, empty...)
		end, empty, afterMore = nil, nil, more
		for c.peek() != '\n' && c.peek() != eof {
			out = append(out, c.next())
		}
		if c.peek() == '\n' {
			end = append(end, c.next())
		}
		c.indentation(indent, &empty)
	}
	if chomp != '-' {
		out = append(out, end...)
	}
	if chomp == '+' {
		out = append(out, empty...)
	}
	return out
}

// indentation skips up to indent spaces, and collects the ends of empty lines on the way.
func (c *cursor) indentation(indent int, empty *[]traced) {
	for {
		for c.col < indent && c.peek() == ' ' {
			c.next()
		}
		if c.peek() != '\n' {
			return
		}
		*empty = append(*empty, c.next())
	}
}
