package db

import (
	"time"

	"scimbridge/internal/contractor"
)

// guide is the index that a query is best answered from. SQLite would have to guess how many rows a condition leaves; a guess
// that sorts a million rows for each page, or walks them for one, is what this avoids.
type guide struct {
	index   string // "": SQLite's choice
	rank    int    // lower is better; 0: none
	few     bool   // it finds few rows, so that sorting them costs nothing
	ordered bool   // it finds them in the order of the list
	wide    string // of a range: what finds the rows in the order of the list, should the range leave many; "": the list itself
}

const (
	rankFew = iota + 1
	rankOrdered
	rankRange
)

// guideOf looks among the conditions that must all hold for the one that leaves the fewest rows.
func guideOf(c contractor.Condition) guide {
	switch c := c.(type) {
	case contractor.And:
		var best guide
		for _, of := range c {
			best = narrower(best, guideOf(of))
		}
		return best
	case contractor.Or:
		if eachFew(c) {
			return guide{index: byRow, rank: rankFew, few: true}
		}
	case contractor.Compare:
		return guideOfCompare(c)
	}
	return guide{}
}

// narrower is the guide by which the conditions of both are best answered. A range is counted before it is used, so it goes before what may
// hold of nearly every row: active, and changed since yesterday.
func narrower(a, b guide) guide {
	switch {
	case a.rank == 0:
		return b
	case b.rank == 0:
		return a
	case a.rank == rankRange && b.rank == rankOrdered:
		a.wide = b.index
		return a
	case a.rank == rankOrdered && b.rank == rankRange:
		b.wide = a.index
		return b
	case b.rank < a.rank:
		return b
	}
	return a
}

// eachFew reports whether each of the alternatives finds few rows.
func eachFew(alternatives contractor.Or) bool {
	for _, of := range alternatives {
		if !guideOf(of).few {
			return false
		}
	}
	return len(alternatives) > 0
}

func guideOfCompare(c contractor.Compare) guide {
	if c.Value == nil {
		return guide{}
	}
	if isEmail(c.Attr) {
		if _, ok := c.Value.(string); ok && c.Op == contractor.OpEq {
			return guide{index: byRow, rank: rankFew, few: true}
		}
		return guide{}
	}
	col, ok := hotColumn(c.Attr)
	if !ok {
		return guide{}
	}
	equal := c.Op == contractor.OpEq
	switch {
	case equal && col.few:
		return guide{index: col.guide, rank: rankFew, few: true}
	case equal && col.ordered:
		if want, isText := c.Value.(string); isText && want == "" {
			return guide{}
		}
		return guide{index: col.guide, rank: rankOrdered, ordered: true}
	case col.ordered || col.guide == "":
		return guide{}
	}
	if at, isTime := c.Value.(time.Time); isTime && at.Nanosecond()%1000 != 0 && equal {
		return guide{} // it equals nothing that is stored, and the condition says so
	}
	switch c.Op {
	case contractor.OpEq, contractor.OpGt, contractor.OpGe, contractor.OpLt, contractor.OpLe, contractor.OpSw:
		return guide{index: col.guide, rank: rankRange}
	}
	return guide{}
}

// order is how a list is sorted: by a value, and by age among equals. Where there is no value, the row comes last, or first when
// descending (RFC 7644 section 3.4.2.3).
type order struct {
	key   fragment
	never bool   // never without a value
	index string // finds rows in this order; "" if there is none
	tie   string // column that decides among equals; "": the key has no equals
	desc  bool
}

// orderOf compiles what a query is sorted by. By default that is the order of creation.
func (k *compiler) orderOf(q *contractor.Query) (order, error) {
	if q.SortBy == nil {
		return order{key: frag("e.ord"), never: true, index: "engagements_ord", desc: q.Descending}, nil
	}
	a := *q.SortBy
	o := order{tie: "e.seq", desc: q.Descending}
	if col, ok := hotColumn(a); ok && !a.Multi {
		o.key, o.never, o.index = col.expr, col.never, col.index
		return o, nil
	}
	v, err := k.sortValue(a)
	if err != nil {
		return order{}, err
	}
	switch a.Type {
	case contractor.TypeDateTime:
		o.key = join("scim_micros(%)", v)
	case contractor.TypeInteger, contractor.TypeDecimal:
		o.key = join("scim_number(%)", v)
		if !a.Multi { // a text of digits is no number, and counts as none
			path, err := jsonPath(a.Path)
			if err != nil {
				return order{}, err
			}
			o.key = join("CASE WHEN % IN ('integer', 'real') THEN % END", jsonValue(document(""), path).kind, o.key)
		}
	case contractor.TypeBoolean:
		o.key = v
	default:
		o.key = v
		if !a.CaseExact {
			o.key = join("scim_fold(%)", v)
		}
	}
	return o, nil
}

// sortValue is the value that a row is sorted by: of several, the primary one, else the first.
func (k *compiler) sortValue(a contractor.Attr) (fragment, error) {
	if !a.Multi {
		path, err := jsonPath(a.Path)
		return join("json_extract(%, ?)", document("")).with(path), err
	}
	list, rest := cutMulti(a.Path)
	listPath, err := jsonPath(list)
	if err != nil {
		return fragment{}, err
	}
	restPath, err := jsonPath(rest)
	if err != nil {
		return fragment{}, err
	}
	alias := k.scope()
	value := elementValue(alias, restPath).value
	primary := "CASE " + alias + ".type WHEN 'object' THEN json_type(" + alias + ".value, '$.primary') END"
	f := join("(SELECT % FROM json_each(e.resource, ?) "+alias+" ORDER BY coalesce("+primary+" = 'true', FALSE) DESC, "+alias+".id LIMIT 1)", value)
	f.args = append(f.args, listPath)
	return f, nil
}

// by is the ORDER BY.
func (o order) by() fragment {
	way := ""
	if o.desc {
		way = " DESC"
	}
	f := join("%"+way, o.key)
	if !o.never {
		f = join("% IS NULL"+way+", %", o.key, f)
	}
	if o.tie != "" {
		f.sql += ", " + o.tie + way
	}
	return f
}

// after holds for the rows behind a position.
func (o order) after(p position) fragment {
	beyond := ">"
	if o.desc {
		beyond = "<"
	}
	switch {
	case o.tie == "":
		return join("% "+beyond+" ?", o.key).with(p.key)
	case o.never:
		return join("(%, "+o.tie+") "+beyond+" (?, ?)", o.key).with(p.key, p.tie)
	case p.key == nil && o.desc: // those without a value come first
		return join("(% IS NOT NULL OR "+o.tie+" < ?)", o.key).with(p.tie)
	case p.key == nil:
		return join("(% IS NULL AND "+o.tie+" > ?)", o.key).with(p.tie)
	}
	equal := join("% = ?", o.key).with(p.key)
	f := join("(% OR (% AND "+o.tie+" "+beyond+" ?", join("% "+beyond+" ?", o.key).with(p.key), equal).with(p.tie)
	if o.desc {
		return join("%))", f)
	}
	return join("%) OR % IS NULL)", f, o.key)
}
