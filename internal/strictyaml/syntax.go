package strictyaml

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// syntaxError finds the place of a syntax error and says it in people's words.
//
// The parser names only a line, and often that of the enclosing block. But it reads
// forward, so every text that reaches the offending character fails with the same words:
// the shortest such text ends at the mistake. It is found by bisection, first by lines,
// then by characters. A text that fails merely because it ends too early fails otherwise,
// or not at all, once a word follows.
//
// Every text is parsed below an empty line, because the parser takes the mark of the first
// line for no mark at all and then says something else.
func syntaxError(data []byte) (Pos, string) {
	parse := func(prefix string) string {
		if _, err := parseAll([]byte("\n" + prefix)); err != nil {
			return strings.TrimPrefix(err.Error(), "yaml: ")
		}
		return ""
	}
	full := parse(string(data))
	fails := func(prefix string) bool { return parse(prefix) == full && parse(prefix+" x") == full }

	lines := splitLines(data)
	line := min(sort.Search(len(lines), func(i int) bool { return fails(strings.Join(lines[:i+1], "\n")) }), len(lines)-1)
	before := strings.Join(append(lines[:line:line], ""), "\n")
	text := []rune(lines[line])
	column := sort.Search(len(text), func(i int) bool { return fails(before + string(text[:i+1])) })
	at := '\n'
	if column < len(text) {
		at = text[column]
	}
	message, named := cutLine(full)
	// Some mistakes are known only some characters after they begin.
	switch {
	case strings.HasPrefix(message, "unknown anchor"):
		column = lastBefore(text, column, "*")
	case strings.Contains(message, "escape") || strings.Contains(message, "hexdecimal"):
		column = lastBefore(text, column, `\`)
	case strings.HasPrefix(message, "did not find expected ','"):
		if named > 0 && named <= line { // the opening bracket stands in a line above
			line = named - 1
			text = []rune(lines[line])
			column = len(text)
		}
		column = lastBefore(text, column, "[{")
	}
	return Pos{line + 1, column + 1}, inWords(message, at)
}

// cutLine takes the line off the parser's message. Below the empty line that syntaxError
// adds, the parser's count from 0 is our count from 1.
func cutLine(message string) (rest string, line int) {
	if n, err := fmt.Sscanf(message, "line %d:", &line); n != 1 || err != nil {
		return message, 0
	}
	_, rest, _ = strings.Cut(message, ": ")
	return rest, line
}

// lastBefore returns the index at or before column of the last of chars in text, or column.
func lastBefore(text []rune, column int, chars string) int {
	for i := min(column, len(text)-1); i >= 0; i-- {
		if strings.ContainsRune(chars, text[i]) {
			return i
		}
	}
	return column
}

// inWords turns the parser's message into a sentence that says what to do. at is the
// offending character.
func inWords(message string, at rune) string {
	if at == '\t' {
		return "a tab stands where YAML wants spaces; indent with spaces"
	}
	switch message {
	case "mapping values are not allowed in this context":
		return `a ":" is not expected here; put the text in quotes if the colon belongs to it, else check the indentation`
	case "found character that cannot start any token":
		return fmt.Sprintf("text cannot begin with %q; put it in quotes", at)
	case "did not find expected key", "did not find expected '-' indicator", "did not find expected <document start>":
		return "this does not line up with the lines above; check the indentation, and quotes that end too early"
	case "could not find expected ':'":
		return `a ":" is missing after a key`
	case "found unexpected end of stream", "found unexpected document indicator":
		return "this quote is never closed"
	case "did not find expected ',' or ']'":
		return `a "," or the closing "]" is missing`
	case "did not find expected ',' or '}'":
		return `a "," or the closing "}" is missing`
	case "found unknown escape character", "did not find expected hexdecimal number", "found invalid Unicode character escape code":
		return `this escape is unknown in double quotes; write \\ for a backslash, or use single quotes`
	case "block sequence entries are not allowed in this context":
		return `a list item cannot begin here; put "- …" on a line of its own`
	case "did not find expected node content":
		return "a value is missing here"
	case "did not find expected alphabetic or numeric character":
		return `text cannot begin with "*" or "&"; put it in quotes`
	}
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name = strings.TrimSuffix(name, "' referenced")
		return fmt.Sprintf("there is no &%s before this *%s; put the text in quotes if the star belongs to it", name, name)
	}
	if !utf8.ValidString(message) {
		message = strings.ToValidUTF8(message, "?")
	}
	return "this is not valid YAML: " + message
}
