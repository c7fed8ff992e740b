package mapper

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/builtin"
)

// maxText bounds every text that an expression can make, in bytes. Entra takes no property as long.
const maxText = 4096

// function is one of the closed list of functions.
type function struct {
	usage  string // as shown to admins
	params []kind
	result kind
	types  any // the Go type that expr checks against
	call   func(args ...any) (any, error)
}

// coalesce is how a ?? b is called for texts; no identifier can be spelled so.
const coalesce = "??"

// functions is the closed list. Nothing in it reads a clock, and nothing can make more than maxText bytes.
func functions() map[string]function {
	str := func(v any) string { s, _ := v.(string); return s }
	num := func(v any) int { n, _ := v.(int); return n }
	tim := func(v any) time.Time { t, _ := v.(time.Time); return t }
	textToText := func(f func(string) string) func(args ...any) (any, error) {
		return func(args ...any) (any, error) { return f(str(args[0])), nil }
	}
	return map[string]function{
		"lower":  {`lower("ABC")`, []kind{text}, text, new(func(string) string), textToText(strings.ToLower)},
		"upper":  {`upper("abc")`, []kind{text}, text, new(func(string) string), textToText(strings.ToUpper)},
		"trim":   {`trim(" abc ")`, []kind{text}, text, new(func(string) string), textToText(strings.TrimSpace)},
		"domain": {`domain(c.email)`, []kind{text}, text, new(func(string) string), textToText(domain)},
		"left": {`left(c.workerId, 16)`, []kind{text, number}, text, new(func(string, int) string),
			func(args ...any) (any, error) { return left(str(args[0]), num(args[1])), nil }},
		"right": {`right(c.workerId, 16)`, []kind{text, number}, text, new(func(string, int) string),
			func(args ...any) (any, error) { return right(str(args[0]), num(args[1])), nil }},
		"replace": {`replace(c.title, "Sr.", "Senior")`, []kind{text, text, text}, text, new(func(string, string, string) string),
			func(args ...any) (any, error) { return replace(str(args[0]), str(args[1]), str(args[2])) }},
		"len": {`len(c.workerId)`, []kind{text}, number, new(func(string) int),
			func(args ...any) (any, error) { return utf8.RuneCountInString(str(args[0])), nil }},
		"int": {`int(c.jobCode)`, []kind{text}, number, new(func(string) int),
			func(args ...any) (any, error) { return whole(str(args[0])) }},
		"string": {`string(year(c.end))`, []kind{number}, text, new(func(int) string),
			func(args ...any) (any, error) { return strconv.Itoa(num(args[0])), nil }},
		"date": {`date("2026-12-31")`, []kind{text}, instant, new(func(string) time.Time), nil}, // worked out while compiling
		"days": {`days(30)`, []kind{number}, span, new(func(int) time.Duration),
			func(args ...any) (any, error) { return days(num(args[0])) }},
		"year": {`year(c.end)`, []kind{instant}, number, new(func(time.Time) int),
			func(args ...any) (any, error) { return tim(args[0]).Year(), nil }},
		"month": {`month(c.end)`, []kind{instant}, number, new(func(time.Time) int),
			func(args ...any) (any, error) { return int(tim(args[0]).Month()), nil }},
		"weekday": {`weekday(c.start)`, []kind{instant}, number, new(func(time.Time) int),
			func(args ...any) (any, error) { return weekday(tim(args[0])), nil }},
		"format": {`format(c.end, "2006-01-02")`, []kind{instant, text}, text, new(func(time.Time, string) string),
			func(args ...any) (any, error) { return format(tim(args[0]), str(args[1])) }},
		coalesce: {`c.title ?? "none"`, []kind{text, text}, text, new(func(string, string) string),
			func(args ...any) (any, error) {
				if s := str(args[0]); s != "" {
					return s, nil
				}
				return str(args[1]), nil
			}},
	}
}

func builtinFunction(name string, f function) *builtin.Function {
	return &builtin.Function{Name: name, Func: f.call, Types: funcTypes(f.types)}
}

// domain is what stands after the last @, in lower case; "" if there is none.
func domain(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(address[at+1:]))
}

// left is the first n characters of s, right the last.
func left(s string, n int) string {
	for i := range s {
		if n <= 0 {
			return s[:i]
		}
		n--
	}
	return s
}

func right(s string, n int) string {
	if n <= 0 {
		return ""
	}
	for i := len(s); i > 0; {
		_, size := utf8.DecodeLastRuneInString(s[:i])
		if i -= size; n == 1 {
			return s[i:]
		}
		n--
	}
	return s
}

func replace(s, old, with string) (string, error) {
	if old == "" {
		return s, nil
	}
	if len(s)+strings.Count(s, old)*(len(with)-len(old)) > maxText {
		return "", fmt.Errorf("replace makes more than %d bytes", maxText)
	}
	return strings.ReplaceAll(s, old, with), nil
}

func whole(s string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("int is given what is not a whole number")
	}
	return int(n), nil
}

// maxDays bounds days(): a century, as for every other span of the file.
const maxDays = 36525

func days(n int) (time.Duration, error) {
	if n < -maxDays || n > maxDays {
		return 0, fmt.Errorf("days is given %d; at most %d", n, maxDays)
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// weekday counts from Monday, 1, to Sunday, 7 (ISO 8601).
func weekday(t time.Time) int {
	if d := t.Weekday(); d != time.Sunday {
		return int(d)
	}
	return 7
}

func format(t time.Time, layout string) (string, error) {
	if len(layout) > 100 {
		return "", fmt.Errorf("the layout given to format is longer than 100 bytes")
	}
	return t.Format(layout), nil
}
