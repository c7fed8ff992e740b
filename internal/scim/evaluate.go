package scim

import (
	"strconv"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// holds answers a condition for one canonical value, as the store answers it for many. An attribute without a value equals
// nothing, so that only ne holds for it; a multi-valued attribute fulfils a comparison when one of its values does.
func holds(c contractor.Condition, v *value) bool {
	switch c := c.(type) {
	case contractor.And:
		for _, t := range c {
			if !holds(t, v) {
				return false
			}
		}
		return true
	case contractor.Or:
		for _, t := range c {
			if holds(t, v) {
				return true
			}
		}
		return false
	case contractor.Not:
		return !holds(c.Of, v)
	case contractor.Present:
		found := walk(v, c.Attr.Path)
		for _, f := range found {
			if !f.empty() {
				return true
			}
		}
		return false
	case contractor.Any:
		for _, f := range walk(v, c.Attr.Path) {
			if holds(c.Of, f) {
				return true
			}
		}
		return false
	case contractor.Compare:
		found := walk(v, c.Attr.Path)
		for _, f := range found {
			if compareValue(c, f) {
				return true
			}
		}
		return len(found) == 0 && c.Op == contractor.OpNe
	}
	return false
}

// walk lists the values at a path, one for each value of a list on the way.
func walk(v *value, path []string) []*value {
	if v.kind == list {
		var all []*value
		for i := range v.kids {
			all = append(all, walk(&v.kids[i].value, path)...)
		}
		return all
	}
	if len(path) == 0 {
		return []*value{v}
	}
	if v.kind != object {
		return nil
	}
	next := v.get(path[0])
	if next == nil {
		return nil
	}
	return walk(next, path[1:])
}

// compareValue compares one simple value with a literal of its type.
func compareValue(c contractor.Compare, v *value) bool {
	switch want := c.Value.(type) {
	case bool:
		return v.kind == boolean && (v.flag == want) == (c.Op == contractor.OpEq)
	case string:
		have := v.text
		if !c.Attr.CaseExact {
			have, want = strings.ToLower(have), strings.ToLower(want)
		}
		return v.kind == text && compareText(have, c.Op, want)
	case time.Time:
		have, err := time.Parse(time.RFC3339Nano, v.text)
		return err == nil && ordered(have.Compare(want), c.Op)
	case int64:
		have, err := strconv.ParseFloat(v.text, 64)
		return v.kind == number && err == nil && ordered(compareFloat(have, float64(want)), c.Op)
	case float64:
		have, err := strconv.ParseFloat(v.text, 64)
		return v.kind == number && err == nil && ordered(compareFloat(have, want), c.Op)
	}
	return false
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// ordered applies an operator to the outcome of a three-way comparison.
func ordered(n int, op contractor.Op) bool {
	switch op {
	case contractor.OpEq:
		return n == 0
	case contractor.OpNe:
		return n != 0
	case contractor.OpGt:
		return n > 0
	case contractor.OpGe:
		return n >= 0
	case contractor.OpLt:
		return n < 0
	case contractor.OpLe:
		return n <= 0
	}
	return false
}
