package db

import (
	"strconv"
	"strings"
)

// The statements of this package are written once, for SQLite. Where PostgreSQL wants other words for the same thing, they are
// turned here, token by token, once for each statement of a connection; functions and operators that PostgreSQL lacks are made
// in its schema (postgres/functions.sql). What remains different is written twice, beside an engine test.

// engine is the database that a store stands on.
type engine int

const (
	engineSQLite engine = iota
	enginePostgres

	bothEngines engine = -1
)

// tokenKind sorts what a statement is made of.
type tokenKind int

const (
	tokenSpace  tokenKind = iota // white space and comments
	tokenWord                    // keyword, name or number
	tokenText                    // 'literal' or "name"
	tokenParam                   // ? or ?N
	tokenSymbol                  // anything else, a character each
)

type token struct {
	kind  tokenKind
	text  string
	param int // of a parameter: its number, from 1
}

// tokens cuts a statement. Parameters get the numbers that SQLite gives them: a bare one follows the greatest before it.
func tokens(query string) []token {
	var list []token
	greatest := 0
	for i := 0; i < len(query); {
		start := i
		switch c := query[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			for i < len(query) && strings.IndexByte(" \t\n\r", query[i]) >= 0 {
				i++
			}
			list = append(list, token{kind: tokenSpace, text: " "})
		case strings.HasPrefix(query[i:], "--"):
			if end := strings.IndexByte(query[i:], '\n'); end >= 0 {
				i += end
			} else {
				i = len(query)
			}
			list = append(list, token{kind: tokenSpace, text: " "})
		case c == '\'' || c == '"':
			i = closing(query, i)
			list = append(list, token{kind: tokenText, text: query[start:i]})
		case c == '?':
			i++
			for i < len(query) && query[i] >= '0' && query[i] <= '9' {
				i++
			}
			n, err := strconv.Atoi(query[start+1 : i])
			if err != nil {
				n = greatest + 1
			}
			greatest = max(greatest, n)
			list = append(list, token{kind: tokenParam, text: query[start:i], param: n})
		case isWordByte(c):
			for i < len(query) && isWordByte(query[i]) {
				i++
			}
			list = append(list, token{kind: tokenWord, text: query[start:i]})
		default:
			i++
			list = append(list, token{kind: tokenSymbol, text: query[start:i]})
		}
	}
	return list
}

// closing is the position behind a quoted text; a doubled quote does not end it.
func closing(query string, i int) int {
	quote := query[i]
	for i++; i < len(query); i++ {
		if query[i] != quote {
			continue
		}
		if i+1 < len(query) && query[i+1] == quote {
			i++
			continue
		}
		return i + 1
	}
	return len(query)
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// pgStatement is a statement in PostgreSQL's words, cut at its parameters.
type pgStatement struct {
	parts  []string  // len(params)+1
	params []pgParam // in the order in which they stand
}

// pgParam is a place of a parameter. A bare one stands where the column it is stored in says its type. Everywhere else the type
// of its value is written behind it: left to itself, PostgreSQL takes what it cannot tell for text.
type pgParam struct {
	number int
	bare   bool
}

// postgresStatement turns a statement.
func postgresStatement(query string) *pgStatement {
	r := rewriter{in: tokens(query)}
	r.run()
	r.parts = append(r.parts, r.out.String())
	return &pgStatement{parts: r.parts, params: r.params}
}

// text writes the statement for arguments of these types ("" for NULL).
func (s *pgStatement) text(types []string) string {
	var b strings.Builder
	for i, p := range s.params {
		b.WriteString(s.parts[i])
		b.WriteString("$" + strconv.Itoa(p.number))
		if !p.bare && p.number <= len(types) && types[p.number-1] != "" {
			b.WriteString("::" + types[p.number-1])
		}
	}
	b.WriteString(s.parts[len(s.params)])
	return b.String()
}

// shape is what tells two texts of a statement apart: the types of the arguments that are written.
func (s *pgStatement) shape(types []string) string {
	var b strings.Builder
	for _, p := range s.params {
		if !p.bare && p.number <= len(types) {
			b.WriteString(types[p.number-1])
		}
		b.WriteByte(',')
	}
	return b.String()
}

// scope is an open parenthesis: whether it holds a row of VALUES, or is a query in FROM that has to have a name.
type scope struct {
	values, derived bool
}

type rewriter struct {
	in     []token
	at     int
	out    strings.Builder
	parts  []string
	params []pgParam

	scopes  []scope
	last    token // not space
	before  token // the one before last
	values  bool  // VALUES was read: parentheses that open now are rows
	setting bool  // behind SET, before WHERE
	names   int
}

// next is the token behind the current one that is not space.
func (r *rewriter) next() token {
	for i := r.at + 1; i < len(r.in); i++ {
		if r.in[i].kind != tokenSpace {
			return r.in[i]
		}
	}
	return token{}
}

// skip moves on to the next token that is not space.
func (r *rewriter) skip() {
	for r.at++; r.at < len(r.in) && r.in[r.at].kind == tokenSpace; r.at++ {
	}
}

func (r *rewriter) run() {
	for ; r.at < len(r.in); r.at++ {
		t := r.in[r.at]
		switch t.kind {
		case tokenSpace:
			r.out.WriteString(t.text)
			continue
		case tokenParam:
			r.param(t)
		case tokenWord:
			if r.word(t) {
				continue
			}
		case tokenSymbol:
			r.symbol(t)
		case tokenText:
			if r.last.text == "x" && r.in[r.at-1].kind == tokenWord { // a blob
				r.out.WriteString(`'\x` + t.text[1:] + `::bytea`)
			} else {
				r.out.WriteString(t.text)
			}
		}
		r.before, r.last = r.last, t
	}
}

// word writes a word; true if it stands for nothing in PostgreSQL.
func (r *rewriter) word(t token) bool {
	next := r.next()
	switch t.text {
	case "INDEXED": // INDEXED BY name
		r.skip()
		r.skip()
		return true
	case "NOT":
		if next.text == "INDEXED" {
			r.skip()
			return true
		}
	case "CROSS": // CROSS JOIN … ON keeps SQLite's planner from turning the join around; PostgreSQL has no such form
		return true
	case "x":
		if r.in[min(r.at+1, len(r.in)-1)].kind == tokenText {
			r.last = t
			return true
		}
	case "LIMIT":
		if next.text == "-" { // LIMIT -1: none
			r.skip()
			r.skip()
			r.out.WriteString("LIMIT ALL")
			return true
		}
	case "VALUES":
		r.values = true
	case "SET":
		r.setting = true
	case "WHERE", "RETURNING", "FROM", "SELECT":
		r.setting, r.values = false, false
	case "ON":
		r.values = false
	}
	r.out.WriteString(t.text)
	return false
}

func (r *rewriter) symbol(t token) {
	switch t.text {
	case "(":
		r.scopes = append(r.scopes, scope{
			values:  r.values && (r.last.text == "VALUES" || r.last.text == ","),
			derived: (r.last.text == "FROM" || r.last.text == "JOIN") && r.next().text == "SELECT",
		})
		r.out.WriteString("(")
	case ")":
		r.out.WriteString(")")
		if len(r.scopes) == 0 {
			return
		}
		s := r.scopes[len(r.scopes)-1]
		r.scopes = r.scopes[:len(r.scopes)-1]
		if s.derived && !r.named() {
			r.names++
			r.out.WriteString(" AS derived_" + strconv.Itoa(r.names))
		}
	case "+": // as a sign before a column it keeps SQLite from an index
		sign := r.at > 0 && (r.in[r.at-1].kind == tokenSpace || r.in[r.at-1].text == "(") && r.at+1 < len(r.in) && r.in[r.at+1].kind == tokenWord
		if !sign {
			r.out.WriteString("+")
		}
	default:
		r.out.WriteString(t.text)
	}
}

// named reports whether a name follows the parenthesis that closes.
func (r *rewriter) named() bool {
	next := r.next()
	if next.kind != tokenWord {
		return false
	}
	switch next.text {
	case "WHERE", "ORDER", "GROUP", "LIMIT", "UNION", "JOIN", "LEFT", "CROSS", "ON", "HAVING", "OFFSET":
		return false
	}
	return true
}

func (r *rewriter) param(t token) {
	next := r.next()
	bare := false
	switch {
	case len(r.scopes) > 0 && r.scopes[len(r.scopes)-1].values:
		bare = (r.last.text == "(" || r.last.text == ",") && (next.text == "," || next.text == ")")
	case r.setting && r.last.text == "=" && r.before.kind == tokenWord:
		bare = next.text == "," || next.text == "" || next.text == "WHERE" || next.text == "RETURNING"
	}
	r.parts = append(r.parts, r.out.String())
	r.out.Reset()
	r.params = append(r.params, pgParam{number: t.param, bare: bare})
}
