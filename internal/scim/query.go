package scim

import (
	"net/url"
	"strconv"

	"scimbridge/internal/contractor"
)

// query is a search as the client asked for it, by URL or by /.search (RFC 7644 sections 3.4.2, 3.4.3; RFC 9865).
type query struct {
	filter               string
	sortBy, sortOrder    string
	start, count         int // start counts from 1
	counted              bool
	cursor               string
	byCursor             bool
	attributes, excluded []string
}

// queryOf reads the parameters of a GET.
func queryOf(p url.Values) (query, error) {
	q := query{
		filter: p.Get("filter"), sortBy: p.Get("sortBy"), sortOrder: p.Get("sortOrder"),
		attributes: splitNames(p["attributes"]), excluded: splitNames(p["excludedAttributes"]),
	}
	_, q.byCursor = p["cursor"]
	q.cursor = p.Get("cursor")
	var err error
	if q.start, _, err = whole(p, "startIndex"); err != nil {
		return q, err
	}
	q.count, q.counted, err = whole(p, "count")
	return q, err
}

func whole(p url.Values, name string) (n int, given bool, err error) {
	s := p.Get(name)
	if s == "" {
		return 0, false, nil
	}
	n, err = strconv.Atoi(s)
	if err != nil {
		return 0, true, contractor.Invalid(name, "must be a whole number")
	}
	return n, true, nil
}

const urnSearch = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

// searchOf reads the body of a /.search.
func searchOf(v *value) (query, error) {
	if v.kind != object {
		return query{}, syntaxErrorf("the body must be a JSON object")
	}
	if err := messageSchema(v, urnSearch); err != nil {
		return query{}, err
	}
	var q query
	for _, f := range [...]struct {
		name string
		to   *string
	}{{"filter", &q.filter}, {"sortBy", &q.sortBy}, {"sortOrder", &q.sortOrder}, {"cursor", &q.cursor}} {
		if m := v.fold(f.name); m != nil && m.kind != null {
			if m.kind != text {
				return q, contractor.Invalid(f.name, "must be a string")
			}
			*f.to = m.text
			q.byCursor = q.byCursor || f.name == "cursor"
		}
	}
	for _, f := range [...]struct {
		name string
		to   *[]string
	}{{"attributes", &q.attributes}, {"excludedAttributes", &q.excluded}} {
		m := v.fold(f.name)
		if m == nil {
			continue
		}
		if m.kind == text {
			*f.to = splitNames([]string{m.text})
		}
		for i := range m.kids {
			*f.to = append(*f.to, m.kids[i].value.text)
		}
	}
	var err error
	if q.start, _, err = wholeOf(v, "startIndex"); err != nil {
		return q, err
	}
	q.count, q.counted, err = wholeOf(v, "count")
	return q, err
}

func wholeOf(v *value, name string) (n int, given bool, err error) {
	m := v.fold(name)
	if m == nil || m.kind == null {
		return 0, false, nil
	}
	if m.kind != number && m.kind != text {
		return 0, true, contractor.Invalid(name, "must be a whole number")
	}
	return whole(url.Values{name: {m.text}}, name)
}

// page works out how many to return, from where: values below what makes sense mean the least that does (section 3.4.2.4).
func (q *query) page(l Limits) (start, count int) {
	start, count = max(q.start, 1), l.Page
	if q.byCursor { // the cursor says where (RFC 9865 section 2)
		start = 1
	}
	if q.counted {
		count = max(q.count, 0)
	}
	return start, min(count, l.MaxPage)
}

// order resolves sortBy and sortOrder.
func (q *query) order(t *resourceType) (by *attribute, descending bool, err error) {
	switch q.sortOrder {
	case "", "ascending", "Ascending", "asc":
	case "descending", "Descending", "desc":
		descending = true
	default:
		return nil, false, contractor.Invalid("sortOrder", "must be ascending or descending")
	}
	if q.sortBy == "" {
		return nil, false, nil
	}
	by = t.lookup(q.sortBy)
	bad := func(why string) error {
		return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimInvalidPath, Path: "sortBy", Message: why}
	}
	if by == nil {
		return nil, false, bad("the schema has no such attribute")
	}
	if by.typ == typeComplex {
		if by = by.value(); by == nil {
			return nil, false, bad("the attribute is complex; name one of its sub-attributes")
		}
	}
	return by, descending, nil
}
