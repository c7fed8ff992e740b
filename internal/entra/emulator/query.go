package emulator

import (
	"encoding/base64"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// query is the query string of a call.
type query struct {
	raw    string
	values url.Values
	bad    bool

	selects []string
	expand  []expansion
	top     int
	filter  filterExpr
	orderBy string
	desc    bool
	count   bool
}

// expansion is one item of $expand with the options that are emulated.
type expansion struct {
	name    string
	selects []string
	expand  []expansion
}

func parseQuery(raw string) query {
	v, err := url.ParseQuery(raw)
	return query{raw: raw, values: v, bad: err != nil}
}

// advanced reports whether the caller asked for advanced query capabilities.
func (c *call) advanced() bool {
	return strings.EqualFold(c.header.Get("ConsistencyLevel"), "eventual") && c.query.values.Get("$count") == "true"
}

// readOptions parses the system query options.
func (c *call) readOptions() error {
	q := &c.query
	if q.bad {
		return badRequest("The query string is malformed.")
	}
	for name := range q.values {
		switch name {
		case "$select", "$filter", "$expand", "$top", "$count", "$orderby", "$skiptoken", "$deltatoken", "$format":
		default:
			if strings.HasPrefix(name, "$") {
				return badRequest("The query option '%s' is not supported.", name)
			}
		}
	}
	if s := q.values.Get("$select"); s != "" {
		q.selects = splitTrim(s, ',')
	}
	if s := q.values.Get("$top"); s != "" {
		limit := 999
		if c.op.service == reports {
			limit = 1000
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > limit {
			return badRequest("Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", s, limit)
		}
		q.top = n
	}
	q.count = q.values.Get("$count") == "true"
	if s := q.values.Get("$orderby"); s != "" {
		field, dir, _ := strings.Cut(strings.TrimSpace(s), " ")
		if strings.Contains(s, ",") || dir != "" && dir != "asc" && dir != "desc" {
			return badRequest("The $orderby expression '%s' is not supported.", s)
		}
		q.orderBy, q.desc = field, dir == "desc"
	}
	var err error
	if s := q.values.Get("$expand"); s != "" {
		if q.expand, err = parseExpand(s); err != nil {
			return err
		}
	}
	if s := q.values.Get("$filter"); s != "" {
		if q.filter, err = parseFilter(s); err != nil {
			return refuse(http.StatusBadRequest, "BadRequest", "Invalid filter clause: %s", err)
		}
	}
	return nil
}

func splitTrim(s string, sep byte) []string {
	var out []string
	for part := range strings.SplitSeq(s, string(sep)) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// parseExpand reads "manager($select=id,displayName),policy($expand=rules)".
func parseExpand(s string) ([]expansion, error) {
	var out []expansion
	for _, item := range splitOutside(s, ',') {
		name, options, has := strings.Cut(strings.TrimSpace(item), "(")
		ex := expansion{name: strings.TrimSpace(name)}
		if has {
			options, closed := strings.CutSuffix(options, ")")
			if !closed {
				return nil, badRequest("The $expand expression '%s' is malformed.", s)
			}
			for _, o := range splitOutside(options, ';') {
				key, value, _ := strings.Cut(o, "=")
				switch strings.TrimSpace(key) {
				case "$select":
					ex.selects = splitTrim(value, ',')
				case "$expand":
					var err error
					if ex.expand, err = parseExpand(value); err != nil {
						return nil, err
					}
				case "$top", "$levels", "$count":
				default:
					return nil, badRequest("The option '%s' is not supported in $expand.", key)
				}
			}
		}
		if ex.name == "" {
			return nil, badRequest("The $expand expression '%s' is malformed.", s)
		}
		out = append(out, ex)
	}
	return out, nil
}

// splitOutside splits at sep where it is not inside parentheses.
func splitOutside(s string, sep byte) []string {
	var out []string
	depth, from := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case sep:
			if depth == 0 {
				out = append(out, s[from:i])
				from = i + 1
			}
		}
	}
	return append(out, s[from:])
}

// row is one element of a list in its lasting order.
type row struct {
	ord int
	obj map[string]any
}

// listing describes a list before paging.
type listing struct {
	context string
	typ     string // for the checks of $select, $filter and $orderby
	// rows yields the elements after ord in order; the caller stops when the page is full.
	rows func(after int) iter.Seq[row]
	// project turns a stored element into what the caller sees.
	project func(map[string]any) (map[string]any, error)
}

// list answers one page. Pages are short, sometimes empty, and joined by an opaque
// @odata.nextLink, as the service may do at any time.
func (c *call) list(l listing) (answer, error) {
	if err := c.checkFields(l.typ); err != nil {
		return answer{}, err
	}
	after, err := c.skipToken()
	if err != nil {
		return answer{}, err
	}
	size := c.e.cfg.PageSize
	if c.op.service == reports {
		size = c.e.cfg.LogPageSize
	}
	if c.query.top > 0 {
		size = min(size, c.query.top)
	}
	body := map[string]any{"@odata.context": c.context(l.context)}
	if c.query.count && c.query.values.Get("$skiptoken") == "" {
		n := 0
		for r := range l.rows(-1) {
			if c.keep(r.obj) {
				n++
			}
		}
		body["@odata.count"] = n
	}
	page, next, err := c.page(l, after, size)
	if err != nil {
		return answer{}, err
	}
	body["value"] = page
	if next != -1 {
		body["@odata.nextLink"] = c.nextLink(next)
	}
	return ok(body)
}

// emptyPages is the chance that a list that goes on answers with an empty page first.
const emptyPages = 0.05

func (c *call) page(l listing, after, size int) ([]any, int, error) {
	page := []any{}
	rows := l.rows
	if c.query.orderBy != "" {
		rows = c.sorted(l)
	}
	last := after
	for r := range rows(after) {
		if !c.keep(r.obj) {
			continue
		}
		if len(page) == size {
			if after < 0 && c.e.dice.chance(emptyPages, "empty page", c.path+"?"+c.query.raw) {
				return []any{}, -2, nil
			}
			return page, last, nil
		}
		last = r.ord
		obj, err := l.project(r.obj)
		if err != nil {
			return nil, 0, err
		}
		page = append(page, obj)
	}
	return page, -1, nil
}

// sorted orders the whole list by one property; the order number becomes the position.
func (c *call) sorted(l listing) func(int) iter.Seq[row] {
	var all []row
	for r := range l.rows(-1) {
		if c.keep(r.obj) {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b row) int {
		n := order(a.obj[c.query.orderBy], b.obj[c.query.orderBy])
		if c.query.desc {
			return -n
		}
		return n
	})
	return func(after int) iter.Seq[row] {
		return func(yield func(row) bool) {
			for i := after + 1; i < len(all); i++ {
				if !yield(row{i, all[i].obj}) {
					return
				}
			}
		}
	}
}

// order compares instants as such and everything else as text.
func order(a, b any) int {
	at, isTime := instant(a)
	bt, both := instant(b)
	if isTime && both {
		return at.Compare(bt)
	}
	return strings.Compare(lower(fmt.Sprint(a)), lower(fmt.Sprint(b)))
}

func (c *call) keep(obj map[string]any) bool {
	return c.query.filter == nil || c.query.filter.eval(obj, nil)
}

// nextLink repeats the query with a token that holds the position; -2 stands for a
// page that was left empty.
func (c *call) nextLink(pos int) string {
	v := url.Values{}
	maps.Copy(v, c.query.values)
	if pos == -2 {
		pos = -1
	}
	v.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte("pos:"+strconv.Itoa(pos)+":later")))
	return c.url + "?" + v.Encode()
}

func (c *call) skipToken() (int, error) {
	s := c.query.values.Get("$skiptoken")
	if s == "" {
		return -1, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	parts := strings.Split(string(raw), ":")
	if err == nil && len(parts) == 3 && parts[0] == "pos" {
		if n, err := strconv.Atoi(parts[1]); err == nil && n >= -1 {
			return n, nil
		}
	}
	return 0, refuse(http.StatusBadRequest, "Directory_ExpiredPageToken", "The specified page token value has expired and can no longer be included in your request.")
}

// checkFields refuses names that the type does not have.
func (c *call) checkFields(typ string) error {
	names := slices.Clone(c.query.selects)
	if c.query.orderBy != "" {
		names = append(names, c.query.orderBy)
	}
	if c.query.filter != nil {
		names = append(names, c.query.filter.fields()...)
	}
	for _, n := range names {
		root, _, _ := strings.Cut(n, "/")
		if _, ok := c.t.schema.property(typ, root); ok {
			continue
		}
		if _, ok := c.t.schema.navigation(typ, root); ok {
			continue
		}
		if strings.HasPrefix(root, "extension_") {
			continue
		}
		return badRequest("Could not find a property named '%s' on type 'microsoft.graph.%s'.", root, typ)
	}
	return nil
}

// project copies the named properties; always keeps control information and the id.
func project(obj map[string]any, names []string) map[string]any {
	out := make(map[string]any, len(names)+2)
	for k, v := range obj {
		if strings.HasPrefix(k, "@") {
			out[k] = v
		}
	}
	for _, n := range names {
		if v, ok := obj[n]; ok {
			out[n] = v
		} else {
			out[n] = nil
		}
	}
	if id, ok := obj["id"]; ok {
		out["id"] = id
	}
	return out
}

// selected projects onto $select, or onto the default properties of the type (nil
// means all).
func (c *call) selected(obj map[string]any, defaults []string) map[string]any {
	switch {
	case len(c.query.selects) > 0:
		return project(obj, c.query.selects)
	case defaults != nil:
		return project(obj, defaults)
	}
	return obj
}
