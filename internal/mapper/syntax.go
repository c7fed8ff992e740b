package mapper

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/file"

	"scimbridge/internal/strictyaml"
)

// syntaxMistake says in people's words why an expression cannot be read.
func syntaxMistake(source string, err error) mistake {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return mistake{0, "this expression cannot be read: " + firstLine(err.Error())}
	}
	offset := byteOffset(source, fe.From)
	before, rest := source[:offset], source[offset:]
	switch {
	case strings.ContainsAny(rest[:min(len(rest), 3)], "“”„‘’«»"):
		return mistake{offset, `this is a typographic quote; write "`}
	case strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "=="):
		return mistake{offset, "two values are compared with =="}
	case strings.HasPrefix(rest, "<>"):
		return mistake{offset, "unequal is written !="}
	case strings.HasPrefix(rest, ">") && strings.HasSuffix(before, "<"):
		return mistake{offset - 1, "unequal is written !="}
	case strings.TrimSpace(source) == "":
		return mistake{0, "the expression is empty"}
	case strings.Contains(fe.Message, "literal not terminated"):
		return mistake{offset, "a text begins here and its closing quote is missing"}
	case strings.Contains(fe.Message, "token EOF") && strings.HasSuffix(strings.TrimSpace(source), ","):
		return mistake{len(source), "the expression ends here: # begins a comment in YAML; put the whole expression in single quotes"}
	case strings.Contains(fe.Message, "token EOF") && strings.Count(source, "(") > strings.Count(source, ")"):
		return mistake{len(source), `a closing ")" is missing`}
	case strings.Contains(fe.Message, "token EOF"):
		return mistake{len(source), "the expression ends too early; something is missing here"}
	case strings.Contains(fe.Message, "exceeds maximum allowed nodes"):
		return mistake{0, fmt.Sprintf("this expression has more than %d parts; simplify it", maxNodes)}
	case strings.Contains(fe.Message, "cannot be mixed"):
		return mistake{offset, "put the part with ?? in parentheses"}
	case strings.Contains(fe.Message, "Unclosed"), strings.Contains(fe.Message, "unclosed"):
		return mistake{offset, "a bracket is not closed"}
	case strings.HasPrefix(rest, ")") || strings.HasPrefix(rest, "]") || strings.HasPrefix(rest, "}"):
		return mistake{offset, fmt.Sprintf("%q is not expected here; is there one too many, or a value missing before it?", rest[:1])}
	}
	word := firstWord(rest)
	switch {
	case word == "contains" || word == "startsWith" || word == "endsWith" || word == "matches":
		return mistake{offset, fmt.Sprintf("%s stands between two texts: c.title %s \"x\"", word, word)}
	case word == "AND" || word == "OR" || word == "NOT" || word == "IN":
		return mistake{offset, fmt.Sprintf("%q is written in small letters: %s", word, strings.ToLower(word))}
	case strings.EqualFold(word, "is") || strings.EqualFold(word, "equals"):
		return mistake{offset, fmt.Sprintf("%q is not known; two values are compared with ==", word)}
	case strings.EqualFold(word, "like"):
		return mistake{offset, fmt.Sprintf("%q is not known; write contains, startsWith, endsWith or matches", word)}
	case word != "":
		return mistake{offset, fmt.Sprintf("%q is not expected here; is and, or or == missing before it?", word)}
	case strings.Contains(fe.Message, "unrecognized character") && rest != "":
		return mistake{offset, fmt.Sprintf("the character %q cannot be used here", []rune(rest)[0])}
	case rest != "":
		return mistake{offset, fmt.Sprintf("%q is not expected here", []rune(rest)[0])}
	}
	return mistake{offset, "this expression cannot be read: " + firstLine(fe.Message)}
}

// firstWord is the run of letters, digits and underscores at the start of s.
func firstWord(s string) string {
	end := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if end < 0 {
		end = len(s)
	}
	return s[:min(end, 60)]
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// didYouMean returns ` (did you mean "x"?)`, or "" when nothing is near.
func didYouMean(word string, candidates []string) string {
	if s := strictyaml.Suggest(word, candidates); s != "" {
		return fmt.Sprintf(" (did you mean %q?)", s)
	}
	return ""
}

// count writes "1 value" or "2 values".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// oneOf names the wanted kinds.
func oneOf(kinds []kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return strings.Join(names, " or ")
}
