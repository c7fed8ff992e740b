package scim

import (
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"scimbridge/internal/contractor"
)

// groupID is the SCIM id of a catalog entry: made from its place in Entra, so that it outlives a renaming, and not that place
// itself, which is none of the vendor's business.
func groupID(key contractor.EntitlementKey) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("scimbridge:"+string(key.Kind)+":"+key.ID)).String()
}

// shownGroup is one entry of the catalog as a Group. Members are read when they are wanted.
type shownGroup struct {
	key    contractor.EntitlementKey
	id     string
	loaded bool
	value  value
}

// catalog lists the groups in the catalog's order. Two names for one thing in Entra are one group, by the first name.
func (k *call) catalog() []shownGroup {
	var all []shownGroup
	seen := map[contractor.EntitlementKey]bool{}
	for _, e := range k.door.groups() {
		if seen[e.Key()] {
			continue
		}
		seen[e.Key()] = true
		g := shownGroup{key: e.Key(), id: groupID(e.Key())}
		g.value = value{kind: object, kids: []member{
			{"schemas", listOf([]member{{"", stringValue(urnGroup)}})},
			{"id", stringValue(g.id)},
			{"displayName", stringValue(e.Name)},
		}}
		all = append(all, g)
	}
	return all
}

// load reads a group's members: those of the vendor's own contractors who hold it now.
func (k *call) load(g *shownGroup) error {
	if g.loaded {
		return nil
	}
	g.loaded = true
	if err := k.hold(k.gate.traffic.heavy); err != nil { // as many as the vendor has contractors
		return err
	}
	members, err := k.door.store.Members(k.context(), k.vendor.Name, g.key)
	if err != nil || len(members) == 0 {
		return err
	}
	base := k.door.baseURL(k.Request())
	items := make([]member, len(members))
	for i, m := range members {
		items[i].value = value{kind: object, kids: []member{
			{"value", stringValue(m.ID)}, {"$ref", stringValue(base + "/Users/" + m.ID)}, {"type", stringValue("User")}, {"display", stringValue(m.Display)},
		}}
	}
	g.value.set("members", listOf(items))
	return nil
}

// finish adds meta; the version is made from the content, which no row stands behind.
func (k *call) finish(g *shownGroup) (version string) {
	h := fnv.New64a()
	_, _ = h.Write(g.value.appendTo(nil))
	version = `W/"` + strconv.FormatUint(h.Sum64(), 16) + `"`
	g.value.set("meta", value{kind: object, kids: []member{
		{"resourceType", stringValue("Group")},
		{"location", stringValue(k.door.baseURL(k.Request()) + "/Groups/" + g.id)},
		{"version", stringValue(version)},
	}})
	return version
}

// wantsMembers reports whether a projection leaves members in.
func wantsMembers(p *projection, t *resourceType) bool {
	if p == nil {
		return true
	}
	yes, _ := p.wants(t.root.byName["members"], false)
	return yes
}

func (k *call) listGroups() error {
	q, err := queryOf(k.QueryParams())
	if err != nil {
		return err
	}
	return k.answerGroups(&q)
}

func (k *call) answerGroups(q *query) error {
	found, err := k.findGroups(q)
	if err != nil {
		return err
	}
	start, count := q.page(k.door.limits)
	at := start - 1
	if q.byCursor {
		if at, err = groupCursor(q.cursor); err != nil {
			return err
		}
	}
	page, next := cutPage(found, at, count)
	b := listHead(nil, len(found), start, len(page), q, next)
	if b, err = k.appendGroups(b, page, project(k.door.group, q.attributes, q.excluded), true); err != nil {
		return err
	}
	return k.send(http.StatusOK, append(b, ']', '}'))
}

// cutPage cuts a page out of a list, and names the next.
func cutPage(all []shownGroup, at, count int) (page []shownGroup, next string) {
	if at >= len(all) {
		return nil, ""
	}
	end := min(len(all), at+count)
	if end < len(all) && count > 0 {
		next = "g" + strconv.Itoa(end)
	}
	return all[at:end], next
}

// groupCursor reads a cursor into the list of groups; it is short and hardly ever changes, so that a cursor is a place in it.
func groupCursor(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	at, err := strconv.Atoi(strings.TrimPrefix(s, "g"))
	if err != nil || at < 0 || s[0] != 'g' {
		return 0, errBadCursor()
	}
	return at, nil
}

func (k *call) appendGroups(b []byte, page []shownGroup, p *projection, first bool) ([]byte, error) {
	for i := range page {
		if !first {
			b = append(b, ',')
		}
		first = false
		if wantsMembers(p, k.door.group) {
			if err := k.load(&page[i]); err != nil {
				return nil, err
			}
		}
		k.finish(&page[i])
		full := page[i].value.appendTo(nil)
		if p != nil {
			b = p.apply(b, full)
		} else {
			b = append(b, full...)
		}
	}
	return b, nil
}

// findGroups filters and sorts the catalog.
func (k *call) findGroups(q *query, others ...*resourceType) ([]shownGroup, error) {
	all := k.catalog()
	by, descending, err := q.order(k.door.group)
	if err != nil {
		if len(others) > 0 && k.door.users.lookup(q.sortBy) != nil {
			by = nil // in a search over both types: an attribute that groups do not have
		} else {
			return nil, err
		}
	}
	if q.filter != "" {
		where, err := parseFilter(q.filter, k.door.group, k.door.limits.filter(), others...)
		if err != nil {
			return nil, err
		}
		var kept []shownGroup
		for i := range all {
			if mentions(where, "members") {
				if err := k.load(&all[i]); err != nil {
					return nil, err
				}
			}
			if holds(where, &all[i].value) {
				kept = append(kept, all[i])
			}
		}
		all = kept
	}
	if by != nil {
		slices.SortStableFunc(all, func(a, b shownGroup) int {
			n := strings.Compare(strings.ToLower(sortText(&a.value, by)), strings.ToLower(sortText(&b.value, by)))
			if descending {
				return -n
			}
			return n
		})
	}
	return all, nil
}

func sortText(v *value, by *attribute) string {
	if found := walk(v, by.full.Path); len(found) > 0 {
		return found[0].text
	}
	return ""
}

// mentions reports whether a condition asks for a top-level attribute.
func mentions(c contractor.Condition, name string) bool {
	switch c := c.(type) {
	case contractor.And:
		return slices.ContainsFunc(c, func(t contractor.Condition) bool { return mentions(t, name) })
	case contractor.Or:
		return slices.ContainsFunc(c, func(t contractor.Condition) bool { return mentions(t, name) })
	case contractor.Not:
		return mentions(c.Of, name)
	case contractor.Compare:
		return c.Attr.Path[0] == name
	case contractor.Present:
		return c.Attr.Path[0] == name
	case contractor.Any:
		return c.Attr.Path[0] == name
	}
	return false
}

func (k *call) getGroup() error {
	for _, g := range k.catalog() {
		if g.id != k.Param("id") {
			continue
		}
		var p *projection
		if k.Request().URL.RawQuery != "" {
			q := k.QueryParams()
			p = project(k.door.group, splitNames(q["attributes"]), splitNames(q["excludedAttributes"]))
		}
		if wantsMembers(p, k.door.group) {
			if err := k.load(&g); err != nil {
				return err
			}
		}
		version := k.finish(&g)
		h := k.Response().Header()
		h.Set("ETag", version)
		if slices.Contains(conditionsOf(k.Request().Header).noneMatch, bare(version)) {
			k.Response().WriteHeader(http.StatusNotModified)
			return nil
		}
		h.Set("Location", k.door.baseURL(k.Request())+"/Groups/"+g.id)
		body := g.value.appendTo(nil)
		if p != nil {
			body = p.apply(nil, body)
		}
		return k.send(http.StatusOK, body)
	}
	return contractor.Errorf(contractor.CodeNotFound, "there is no group %s", k.Param("id"))
}

// writeGroup answers every write to Groups.
func (k *call) writeGroup() error {
	status, body, err := k.ignoreGroup(k.Request().Method, k.Param("id"), func() (value, error) {
		return k.body(k.door.limits.Body, k.door.limits.json())
	})
	if err != nil {
		return err
	}
	if body == nil {
		k.Response().WriteHeader(status)
		return nil
	}
	return k.send(status, body)
}

// ignoreGroup refuses a write, or, where the vendor's settings say so, answers as if it had been done: what a contractor may
// have is the mapping's to say, and some clients will not go on without groups.
func (k *call) ignoreGroup(method, id string, read func() (value, error)) (status int, body []byte, err error) {
	if !k.vendor.IgnoreGroups && !k.profile.ignoreGroups {
		return 0, nil, contractor.Errorf(contractor.CodeForbidden, "groups are read-only here: the customer's mapping decides who is in them; turn group provisioning off, or ask the customer to set groups: ignore for this vendor")
	}
	if method == http.MethodPatch || method == http.MethodDelete {
		return http.StatusNoContent, nil, nil
	}
	sent, err := read()
	if err != nil {
		return 0, nil, err
	}
	name := sent.fold("displayName")
	if name == nil || name.kind != text || name.text == "" {
		return 0, nil, contractor.Invalid("displayName", "is required")
	}
	g := shownGroup{id: id, value: value{kind: object}}
	if id == "" {
		g.id = uuid.NewSHA1(uuid.NameSpaceURL, []byte("scimbridge:ignored:"+k.vendor.Name+":"+name.text)).String()
		for _, c := range k.catalog() {
			if n := c.value.get("displayName"); strings.EqualFold(n.text, name.text) {
				g.id = c.id
			}
		}
	}
	g.value.set("schemas", listOf([]member{{"", stringValue(urnGroup)}}))
	g.value.set("id", stringValue(g.id))
	g.value.set("displayName", *name)
	k.finish(&g)
	if status = http.StatusOK; method == http.MethodPost {
		status = http.StatusCreated
		k.Response().Header().Set("Location", k.door.baseURL(k.Request())+"/Groups/"+g.id)
	}
	return status, g.value.appendTo(nil), nil
}
