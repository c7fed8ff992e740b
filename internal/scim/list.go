package scim

import (
	"net/http"
	"slices"
	"strconv"

	"scimbridge/internal/contractor"
)

func (k *call) listUsers() error {
	q, err := queryOf(k.QueryParams())
	if err != nil {
		return err
	}
	return k.answerUsers(&q)
}

// answerUsers runs a search over the vendor's Users.
func (k *call) answerUsers(q *query) error {
	page, start, err := k.findUsers(q, k.door.users)
	if err != nil {
		return err
	}
	r := k.renderer(q.attributes, q.excluded)
	size := 256
	for i := range page.Items {
		size += len(page.Items[i].Resource) + 768
	}
	body := k.door.bodies.take(size)
	defer k.door.bodies.give(k.Request(), body)
	b := *body
	b = listHead(b, page.Total, start, len(page.Items), q, page.Next)
	for i := range page.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.user(b, &page.Items[i])
	}
	*body = append(b, ']', '}')
	return k.send(http.StatusOK, *body)
}

// findUsers asks the store.
func (k *call) findUsers(q *query, t *resourceType, others ...*resourceType) (contractor.Page, int, error) {
	start, count := q.page(k.door.limits)
	ask := contractor.Query{Vendor: k.vendor.Name, Start: start - 1, Count: count, Cursor: q.cursor, UseCursor: q.byCursor}
	if q.filter != "" {
		where, err := parseFilter(q.filter, t, k.door.limits.filter(), others...)
		if err != nil {
			return contractor.Page{}, start, err
		}
		if isNever(where) {
			return contractor.Page{}, start, nil
		}
		if !isAlways(where) {
			ask.Where = where
		}
		if unique(where) { // the look-up of every client: no room for a page is needed
			ask.Count = min(ask.Count, 1)
		}
	}
	by, descending, err := q.order(t)
	switch {
	case err == nil:
	case len(others) > 0 && others[0].lookup(q.sortBy) != nil: // an attribute that only the other type has
		by = nil
	default:
		return contractor.Page{}, start, err
	}
	if by != nil {
		ask.SortBy, ask.Descending = &by.full, descending
	}
	switch {
	case ask.Count > heavyPage:
		err = k.hold(k.gate.traffic.heavy)
	case ask.Count > 1:
		err = k.hold(k.gate.traffic.pages)
	default:
		err = nil
	}
	if err != nil {
		return contractor.Page{}, start, err
	}
	page, err := k.door.store.List(k.context(), ask)
	return page, start, err
}

// unique reports whether a condition can hold for one User at most.
func unique(c contractor.Condition) bool {
	switch c := c.(type) {
	case contractor.And:
		return slices.ContainsFunc(c, unique)
	case contractor.Compare:
		return c.Op == contractor.OpEq && len(c.Attr.Path) == 1 && (c.Attr.Path[0] == "id" || c.Attr.Path[0] == "userName" || c.Attr.Path[0] == "externalId")
	}
	return false
}

// listHead writes a ListResponse up to its first resource.
func listHead(b []byte, total, start, n int, q *query, next string) []byte {
	b = append(b, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":`...)
	b = strconv.AppendInt(b, int64(total), 10)
	if q.byCursor {
		if next != "" {
			b = appendString(append(b, `,"nextCursor":`...), next)
		}
	} else {
		b = strconv.AppendInt(append(b, `,"startIndex":`...), int64(start), 10)
	}
	b = strconv.AppendInt(append(b, `,"itemsPerPage":`...), int64(n), 10)
	return append(b, `,"Resources":[`...)
}
