package db

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"scimbridge/internal/contractor"
)

// maxConditions bounds the comparisons of one filter.
const maxConditions = 500

// errFilter is a filter that the store cannot answer.
func errFilter(message string) error {
	return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: "invalidFilter", Message: message}
}

// fragment is a piece of SQL and the values bound in it. A piece is put together from constants of this package alone; every
// name and value that comes from outside is bound.
type fragment struct {
	sql  string
	args []any
}

func frag(sql string, args ...any) fragment { return fragment{sql, args} }

// join puts pieces between constant text: "%" stands for the next piece.
func join(format string, parts ...fragment) fragment {
	var b strings.Builder
	var args []any
	for i, text := range strings.Split(format, "%") {
		if i > 0 {
			b.WriteString(parts[i-1].sql)
			args = append(args, parts[i-1].args...)
		}
		b.WriteString(text)
	}
	return fragment{b.String(), args}
}

// compiler turns conditions into SQL over the table engagements e.
type compiler struct {
	vendor     string // whose list is asked for
	conditions int
	scopes     int // aliases given out for json_each
}

// condition compiles c. In a scope (alias of a json_each) paths are relative to that value. The SQL may be NULL for false: it
// stands in a WHERE, or behind IS NOT TRUE.
func (k *compiler) condition(c contractor.Condition, scope string) (fragment, error) {
	switch c := c.(type) {
	case contractor.And:
		return k.list(c, " AND ", 1, scope)
	case contractor.Or:
		if scope == "" && len(c) > 1 && eachFew(c) {
			return k.union(c)
		}
		return k.list(c, " OR ", 0, scope)
	case contractor.Not:
		of, err := k.condition(c.Of, scope)
		return join("(%) IS NOT TRUE", of), err
	}
	if k.conditions++; k.conditions > maxConditions {
		return fragment{}, errFilter("the filter has more than " + strconv.Itoa(maxConditions) + " conditions; split it into several queries")
	}
	switch c := c.(type) {
	case contractor.Compare:
		return k.compare(c, scope)
	case contractor.Present:
		return k.present(c.Attr, scope)
	case contractor.Any:
		return k.any(c, scope)
	}
	return fragment{}, errFilter("the filter holds a condition that the store does not know")
}

// union compiles alternatives each of which finds few rows: each by its own index.
func (k *compiler) union(cs contractor.Or) (all fragment, err error) {
	for i, c := range cs {
		of, err := k.condition(c, "")
		if err != nil {
			return fragment{}, err
		}
		of = join("SELECT e.seq FROM engagements e"+indexedBy(guideOf(c).index)+" WHERE e.vendor = ? AND e.deleted = 0 AND %", of)
		of.args = append([]any{k.vendor}, of.args...)
		if all = join("% UNION ALL %", all, of); i == 0 {
			all = of
		}
	}
	return join("e.seq IN (%)", all), nil
}

// list joins conditions in balanced pairs, since SQLite bounds the depth of an expression and a chain is as deep as it is long.
// The truth of an empty list is bound: SQLite refuses to use a named index where it sees that nothing can match.
func (k *compiler) list(cs []contractor.Condition, op string, empty int, scope string) (fragment, error) {
	switch len(cs) {
	case 0:
		return frag("? = 1", empty), nil
	case 1:
		return k.condition(cs[0], scope)
	}
	left, err := k.list(cs[:len(cs)/2], op, empty, scope)
	if err != nil {
		return fragment{}, err
	}
	right, err := k.list(cs[len(cs)/2:], op, empty, scope)
	return join("(%"+op+"%)", left, right), err
}

// any compiles a value path: one value of a multi-valued attribute fulfils a whole condition.
func (k *compiler) any(c contractor.Any, scope string) (fragment, error) {
	path, err := jsonPath(c.Attr.Path)
	if err != nil {
		return fragment{}, err
	}
	alias := k.scope()
	of, err := k.condition(c.Of, alias)
	if err != nil {
		return fragment{}, err
	}
	return join("EXISTS (SELECT 1 FROM json_each(%, ?) "+alias+" WHERE %)", document(scope).with(path), of), nil
}

// with appends bound values to a piece whose placeholders follow it.
func (f fragment) with(args ...any) fragment {
	return fragment{f.sql, append(slices.Clone(f.args), args...)}
}

func (k *compiler) scope() string {
	k.scopes++
	return "v" + strconv.Itoa(k.scopes)
}

// document is the JSON that paths of a scope start from. A value of a list that is no object has none.
func document(scope string) fragment {
	if scope == "" {
		return frag("e.resource")
	}
	return frag("CASE " + scope + ".type WHEN 'object' THEN " + scope + ".value END")
}

// jsonPath writes a path for SQLite's JSON functions. It is bound, not spliced into SQL.
func jsonPath(names []string) (string, error) {
	var b strings.Builder
	b.WriteByte('$')
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "\"\x00") {
			return "", errFilter("an attribute name in the filter is malformed")
		}
		b.WriteString(`."` + name + `"`)
	}
	return b.String(), nil
}

// cutMulti splits the path of a multi-valued attribute into the list and the way from one of its values.
func cutMulti(path []string) (list, rest []string) {
	n := 1
	if len(path) > 1 && strings.Contains(path[0], ":") { // an extension's URN comes first
		n = 2
	}
	if rest = path[n:]; len(rest) == 0 {
		rest = []string{"value"}
	}
	return path[:n], rest
}

func (k *compiler) compare(c contractor.Compare, scope string) (fragment, error) {
	if c.Value == nil {
		return k.compareNull(c, scope)
	}
	if scope == "" {
		if f, ok, err := k.compareHot(c); ok || err != nil {
			return f, err
		}
	}
	if c.Attr.Multi && scope == "" {
		return k.compareMulti(c)
	}
	path, err := jsonPath(c.Attr.Path)
	if err != nil {
		return fragment{}, err
	}
	v := jsonValue(document(scope), path)
	f, err := compareValue(v, c)
	if c.Op == contractor.OpNe {
		f = join("(% OR % IS NULL)", f, v.kind)
	}
	return f, err
}

// compareNull: an attribute that is null has no value (RFC 7643 section 2.5).
func (k *compiler) compareNull(c contractor.Compare, scope string) (fragment, error) {
	present, err := k.present(c.Attr, scope)
	switch c.Op {
	case contractor.OpEq:
		return join("(%) IS NOT TRUE", present), err
	case contractor.OpNe:
		return present, err
	}
	return fragment{}, errFilter("null can be compared by eq and ne alone")
}

// compareMulti holds when one of the values does; ne also when there is none.
func (k *compiler) compareMulti(c contractor.Compare) (fragment, error) {
	list, rest := cutMulti(c.Attr.Path)
	listPath, err := jsonPath(list)
	if err != nil {
		return fragment{}, err
	}
	restPath, err := jsonPath(rest)
	if err != nil {
		return fragment{}, err
	}
	alias := k.scope()
	v := elementValue(alias, restPath)
	f, err := compareValue(v, c)
	exists := join("EXISTS (SELECT 1 FROM json_each(e.resource, ?) "+alias+" WHERE %)", f)
	exists.args = append([]any{listPath}, exists.args...)
	if c.Op != contractor.OpNe {
		return exists, err
	}
	some := join("EXISTS (SELECT 1 FROM json_each(e.resource, ?) "+alias+" WHERE % IS NOT NULL)", v.kind)
	some.args = append([]any{listPath}, some.args...)
	return join("(% OR NOT %)", exists, some), err
}

// typed is a JSON value in SQL: kind is its json_type, NULL where it is missing or null.
type typed struct{ kind, value fragment }

func jsonValue(doc fragment, path string) typed {
	return typed{
		kind:  join("nullif(json_type(%, ?), 'null')", doc).with(path),
		value: join("json_extract(%, ?)", doc).with(path),
	}
}

// elementValue is a sub-attribute of one value of a list, or the value itself in a list of simple values.
func elementValue(alias, path string) typed {
	plainKind, plain := "NULL", "NULL"
	if path == `$."value"` {
		plainKind, plain = alias+".type", alias+".atom"
	}
	return typed{
		kind:  frag("nullif(CASE "+alias+".type WHEN 'object' THEN json_type("+alias+".value, ?) ELSE "+plainKind+" END, 'null')", path),
		value: frag("CASE "+alias+".type WHEN 'object' THEN json_extract("+alias+".value, ?) ELSE "+plain+" END", path),
	}
}

// compareValue compares a JSON value with a literal. A value of another type than the literal's compares as nothing.
func compareValue(v typed, c contractor.Compare) (fragment, error) {
	switch want := c.Value.(type) {
	case string:
		x := v.value
		if !c.Attr.CaseExact {
			x, want = join("scim_fold(%)", x), fold(want)
		}
		f, err := compareText(x, c.Op, want)
		return join("(% = 'text' AND %)", v.kind, f), err
	case bool:
		f, err := compareBool(join("% = 'true'", v.kind), c.Op, want)
		return join("(% IN ('true', 'false') AND %)", v.kind, f), err
	case int64, float64, int:
		op, err := sqlOp(c.Op)
		return join("(% IN ('integer', 'real') AND scim_number(%) "+op+" ?)", v.kind, v.value).with(want), err
	case time.Time:
		x := join("scim_micros(%)", v.value)
		f, err := compareTime(x, c.Op, want)
		return join("(% = 'text' AND %)", v.kind, f), err
	}
	return fragment{}, errFilter("the filter compares with a value of a type that the store does not know")
}

// sqlOp is the SQL operator of a comparison by order.
func sqlOp(op contractor.Op) (string, error) {
	switch op {
	case contractor.OpEq:
		return "=", nil
	case contractor.OpNe:
		return "<>", nil
	case contractor.OpGt:
		return ">", nil
	case contractor.OpGe:
		return ">=", nil
	case contractor.OpLt:
		return "<", nil
	case contractor.OpLe:
		return "<=", nil
	}
	return "", errFilter("the operator " + strconv.Quote(string(op)) + " does not apply to a value of this type")
}

// compareText compares text in byte order. Substrings are looked for with instr and substr, which know no wildcards; a prefix is
// a range, which an index can answer.
func compareText(x fragment, op contractor.Op, want string) (fragment, error) {
	switch op {
	case contractor.OpCo:
		return join("instr(%, ?) > 0", x).with(want), nil
	case contractor.OpSw:
		f := join("% >= ?", x).with(want)
		if after, ok := afterPrefix(want); ok {
			return join("(% AND %)", f, join("% < ?", x).with(after)), nil
		}
		return f, nil
	case contractor.OpEw:
		if want == "" {
			return join("% IS NOT NULL", x), nil
		}
		return join("substr(%, ?) = ?", x).with(-utf8.RuneCountInString(want), want), nil
	}
	sqlOp, err := sqlOp(op)
	return join("% "+sqlOp+" ?", x).with(want), err
}

// afterPrefix is the least string behind all that begin with prefix; false if there is none.
func afterPrefix(prefix string) (string, bool) {
	runes := []rune(prefix)
	for i, r := range slices.Backward(runes) {
		switch {
		case r == 0xD7FF: // surrogates are no characters
			return string(runes[:i]) + "\uE000", true
		case r < utf8.MaxRune:
			return string(runes[:i]) + string(r+1), true
		}
	}
	return "", false
}

func compareBool(x fragment, op contractor.Op, want bool) (fragment, error) {
	switch op {
	case contractor.OpEq, contractor.OpNe:
	default:
		return fragment{}, errFilter("a boolean can be compared by eq and ne alone")
	}
	if want == (op == contractor.OpEq) {
		return x, nil
	}
	return join("NOT (%)", x), nil
}

// compareTime compares stored microseconds with an instant that may be finer.
func compareTime(x fragment, op contractor.Op, want time.Time) (fragment, error) {
	micros := want.UnixMicro()
	whole := time.UnixMicro(micros).Equal(want)
	switch {
	case whole:
	case op == contractor.OpEq:
		return join("(% IS NOT NULL AND ? = 1)", x).with(0), nil
	case op == contractor.OpNe:
		return join("% IS NOT NULL", x), nil
	case op == contractor.OpGe: // at or after 1.5 is after 1
		op = contractor.OpGt
	case op == contractor.OpLt: // before 1.5 is at or before 1
		op = contractor.OpLe
	}
	sqlOp, err := sqlOp(op)
	return join("% "+sqlOp+" ?", x).with(micros), err
}

// present holds when the attribute has a value that is not empty.
func (k *compiler) present(a contractor.Attr, scope string) (fragment, error) {
	if scope == "" {
		if f, ok := presentHot(a); ok {
			return f, nil
		}
		if a.Multi {
			return k.presentMulti(a)
		}
	}
	path, err := jsonPath(a.Path)
	if err != nil {
		return fragment{}, err
	}
	return presentValue(jsonValue(document(scope), path)), nil
}

func presentValue(v typed) fragment {
	return join("CASE % WHEN 'text' THEN % <> '' WHEN 'array' THEN % <> '[]' WHEN 'object' THEN % <> '{}' ELSE % IS NOT NULL END",
		v.kind, v.value, v.value, v.value, v.kind)
}

func (k *compiler) presentMulti(a contractor.Attr) (fragment, error) {
	list, rest := cutMulti(a.Path)
	listPath, err := jsonPath(list)
	if err != nil {
		return fragment{}, err
	}
	if len(list) == len(a.Path) { // the list itself
		return presentValue(jsonValue(document(""), listPath)), nil
	}
	restPath, err := jsonPath(rest)
	if err != nil {
		return fragment{}, err
	}
	alias := k.scope()
	f := join("EXISTS (SELECT 1 FROM json_each(e.resource, ?) "+alias+" WHERE %)", presentValue(elementValue(alias, restPath)))
	f.args = append([]any{listPath}, f.args...)
	return f, nil
}
