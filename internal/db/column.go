package db

import (
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// column is a hot attribute: one that stands in a column of its own, mostly with an index.
type column struct {
	expr    fragment            // text, integer or micros; NULL where the attribute has no value
	typ     contractor.AttrType // string, boolean or dateTime
	exact   bool                // of a string: caseExact
	fold    func(string) string // of a string that is not exact: how the column was folded
	never   bool                // never without a value
	index   string              // (vendor, column): finds by value and orders by it; "" if there is none
	guide   string              // (vendor, column, …): finds by value
	few     bool                // a value finds few rows
	ordered bool                // the guide orders what it finds by ord
}

const contractorURN = contractor.ExtensionURN

// hotColumn finds the column of an attribute. What a column folded cannot answer with case; the resource does.
func hotColumn(a contractor.Attr) (column, bool) {
	c, ok := columnOf(strings.Join(a.Path, "\n"))
	switch {
	case !ok || c.typ != a.Type && (c.typ != contractor.TypeString || a.Type == contractor.TypeDateTime):
		return column{}, false
	case c.typ != contractor.TypeString || c.exact == a.CaseExact:
		return c, true
	case c.exact:
		return column{expr: join("scim_fold(%)", c.expr), typ: c.typ, fold: fold, never: c.never}, true
	}
	return column{}, false
}

func columnOf(path string) (column, bool) {
	switch path {
	case "id":
		return column{expr: frag("e.id"), typ: contractor.TypeString, exact: true, never: true, guide: "sqlite_autoindex_engagements_1", few: true}, true
	case "userName":
		return column{expr: frag("e.user_key"), typ: contractor.TypeString, fold: userKey, never: true,
			index: "engagements_user", guide: "engagements_user", few: true}, true
	case "externalId":
		return column{expr: frag("e.external_id"), typ: contractor.TypeString, exact: true, guide: "engagements_external", few: true}, true
	case "active":
		return column{expr: frag("e.active"), typ: contractor.TypeBoolean, never: true, guide: "engagements_active", ordered: true}, true
	case "meta\ncreated":
		return column{expr: frag("e.created"), typ: contractor.TypeDateTime, never: true, index: "engagements_created", guide: "engagements_created"}, true
	case "meta\nlastModified":
		return column{expr: frag("e.modified"), typ: contractor.TypeDateTime, never: true, index: "engagements_modified", guide: "engagements_modified"}, true
	case contractorURN + "\nworkerId":
		return column{expr: frag("e.worker_id"), typ: contractor.TypeString, exact: true, guide: "engagements_worker", few: true}, true
	case contractorURN + "\nendDate":
		return column{expr: frag("e.end_date"), typ: contractor.TypeString, fold: fold, guide: "engagements_end_date"}, true
	case contractorURN + "\nstatus":
		return column{expr: frag("nullif(e.status, '')"), typ: contractor.TypeString, exact: true, guide: "engagements_status", ordered: true}, true
	case contractorURN + "\nstatusReason":
		return standingColumn("statusReason"), true
	case contractorURN + "\nentraObjectId":
		return standingColumn("entraObjectId"), true
	case contractorURN + "\nentraUserState":
		return standingColumn("entraUserState"), true
	case contractorURN + "\naccessSummary":
		return column{expr: frag("(SELECT group_concat(a.value, ', ') FROM json_each(e.standing, '$.access') a)"), typ: contractor.TypeString, exact: true}, true
	case contractorURN + "\neffectiveStart":
		return column{expr: frag("e.start_at"), typ: contractor.TypeDateTime}, true
	case contractorURN + "\neffectiveEnd":
		return column{expr: frag("e.end_at"), typ: contractor.TypeDateTime}, true
	case contractorURN + "\nextendedFrom":
		return column{expr: frag("e.prev_end"), typ: contractor.TypeDateTime}, true
	}
	return column{}, false
}

// standingColumn is what the bridge says of an engagement, and the resource does not hold.
func standingColumn(name string) column {
	return column{expr: frag("json_extract(e.standing, '$." + name + "')"), typ: contractor.TypeString, exact: true}
}

// isEmail reports whether an attribute is the addresses, which have columns and a table of their own.
func isEmail(a contractor.Attr) bool {
	return !a.CaseExact && len(a.Path) > 0 && a.Path[0] == "emails" && (len(a.Path) == 1 || len(a.Path) == 2 && a.Path[1] == "value")
}

// compareHot answers a comparison from columns; false if the attribute has none.
func (k *compiler) compareHot(c contractor.Compare) (f fragment, ok bool, err error) {
	if isEmail(c.Attr) && c.Op == contractor.OpEq {
		want, isText := c.Value.(string)
		if !isText {
			return f, false, nil
		}
		want = fold(want)
		return frag(`e.seq IN (SELECT m.seq FROM engagements m INDEXED BY engagements_email WHERE m.vendor = ? AND m.deleted = 0 AND m.email_key = ?
			UNION ALL SELECT o.engagement FROM engagement_emails o WHERE o.email_key = ?)`, k.vendor, want, want), true, nil
	}
	col, ok := hotColumn(c.Attr)
	if !ok {
		return f, false, nil
	}
	switch want := c.Value.(type) {
	case string:
		if col.typ != contractor.TypeString {
			return f, false, errFilter("the filter compares a value that is no string with one")
		}
		if !col.exact {
			want = col.fold(want)
		}
		if col.guide == "engagements_status" && c.Op == contractor.OpEq && want != "" {
			return frag("e.status = ?", want), true, nil // by its index
		}
		f, err = compareText(col.expr, c.Op, want)
	case bool:
		if col.typ != contractor.TypeBoolean {
			return f, false, errFilter("the filter compares a value that is no boolean with one")
		}
		if c.Op != contractor.OpEq && c.Op != contractor.OpNe {
			return f, false, errFilter("a boolean can be compared by eq and ne alone")
		}
		return join("% = ?", col.expr).with(boolean(want == (c.Op == contractor.OpEq))), true, nil // it is never without a value
	case time.Time:
		if col.typ != contractor.TypeDateTime {
			return f, false, errFilter("the filter compares a value that is no date-time with one")
		}
		f, err = compareTime(col.expr, c.Op, want)
	default:
		return f, false, errFilter("the filter compares an attribute with a value of another type")
	}
	if err == nil && c.Op == contractor.OpNe && !col.never {
		f = join("(% OR % IS NULL)", f, col.expr)
	}
	return f, true, err
}

// presentHot answers whether an attribute has a value, from columns.
func presentHot(a contractor.Attr) (fragment, bool) {
	if len(a.Path) == 1 && a.Path[0] == contractorURN { // the bridge's word stands beside the vendor's
		v := jsonValue(document(""), `$."`+contractorURN+`"`)
		return join("(% OR e.standing <> '{}' OR e.prev_end IS NOT NULL)", presentValue(v)), true
	}
	if len(a.Path) == 1 && (a.Path[0] == "meta" || a.Path[0] == "schemas") {
		return frag("TRUE"), true
	}
	col, ok := columnOf(strings.Join(a.Path, "\n"))
	switch {
	case !ok:
		return fragment{}, false
	case col.never:
		return frag("TRUE"), true
	case col.typ == contractor.TypeString:
		return join("coalesce(%, '') <> ''", col.expr), true
	}
	return join("% IS NOT NULL", col.expr), true
}
