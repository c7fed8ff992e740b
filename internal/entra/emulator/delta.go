package emulator

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// deltaStore is the change feed of users and groups: what readers may learn, in the
// order in which they may. Every entry stands for "look at this object again".
type deltaStore struct {
	first   int
	changes []change
}

type change struct {
	at       time.Time
	user     string
	group    string
	member   string // of a group
	joined   bool
	gone     bool // purged
	selected []string
}

// tokenLife is how long a delta token of directory objects is good.
const tokenLife = 7 * 24 * time.Hour

func (d *deltaStore) add(c change) {
	old := 0
	for old < len(d.changes) && c.at.Sub(d.changes[old].at) > tokenLife {
		old++
	}
	d.changes = append(d.changes[old:], c)
	d.first += old
}

func (d *deltaStore) userChanged(at time.Time, id string, properties []string) {
	d.add(change{at: at, user: id, selected: properties})
}
func (d *deltaStore) userPurged(at time.Time, id string)   { d.add(change{at: at, user: id, gone: true}) }
func (d *deltaStore) groupChanged(at time.Time, id string) { d.add(change{at: at, group: id}) }
func (d *deltaStore) memberChanged(at time.Time, group, member string, in bool) {
	d.add(change{at: at, group: group, member: member, joined: in})
}

func (d *deltaStore) end() int { return d.first + len(d.changes) }

// deltaToken is the state that nextLink and deltaLink carry.
type deltaToken struct {
	phase   string // full: walking all objects; feed: following changes
	pos     int    // in the walk or the feed
	from    int    // where the feed begins after the walk
	issued  time.Time
	selects string
	filter  string
}

func (tk deltaToken) String() string {
	raw := strings.Join([]string{
		tk.phase, strconv.Itoa(tk.pos), strconv.Itoa(tk.from), strconv.FormatInt(tk.issued.Unix(), 10), tk.selects, tk.filter,
	}, "|")
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}

func parseDeltaToken(s string) (deltaToken, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	parts := strings.SplitN(string(raw), "|", 6)
	if err != nil || len(parts) != 6 {
		return deltaToken{}, false
	}
	pos, err1 := strconv.Atoi(parts[1])
	from, err2 := strconv.Atoi(parts[2])
	unix, err3 := strconv.ParseInt(parts[3], 10, 64)
	ok := err1 == nil && err2 == nil && err3 == nil && (parts[0] == "full" || parts[0] == "feed")
	return deltaToken{parts[0], pos, from, time.Unix(unix, 0), parts[4], parts[5]}, ok
}

func usersDelta(c *call) (answer, error)  { return c.delta("user") }
func groupsDelta(c *call) (answer, error) { return c.delta("group") }

func (c *call) delta(typ string) (answer, error) {
	tk, err := c.deltaStart(typ)
	if err != nil {
		return answer{}, err
	}
	if c.now.Sub(tk.issued) > tokenLife || tk.phase == "feed" && tk.pos < c.t.delta.first {
		return answer{}, c.deltaExpired(typ)
	}
	if tk.selects != "" {
		c.query.selects = strings.Split(tk.selects, ",")
	}
	ids := splitTrim(tk.filter, ',')
	var page []any
	if tk.phase == "full" {
		page = c.deltaWalk(typ, &tk, ids)
	} else {
		page = c.deltaFeed(typ, &tk, ids)
	}
	body := map[string]any{"@odata.context": c.context(typ + "s"), "value": page}
	link := "@odata.nextLink"
	param := "$skiptoken"
	if tk.phase == "done" {
		tk.phase, tk.issued, link, param = "feed", c.now, "@odata.deltaLink", "$deltatoken"
	}
	body[link] = c.base + "/" + typ + "s/delta?" + param + "=" + tk.String()
	return ok(body)
}

// deltaStart reads the token, or the options of a first call.
func (c *call) deltaStart(typ string) (deltaToken, error) {
	v := c.query.values
	given := or(v.Get("$skiptoken"), v.Get("$deltatoken"))
	if given != "" && given != "latest" {
		tk, good := parseDeltaToken(given)
		if !good {
			return tk, refuse(http.StatusBadRequest, "syncStateNotFound", "The sync state generation is not found; full synchronization required.")
		}
		return tk, nil
	}
	if len(c.query.expand) > 0 || c.query.orderBy != "" || c.query.top > 0 {
		return deltaToken{}, unsupported("Delta queries take only $select and $filter on ids.")
	}
	if err := c.checkFields(typ); err != nil {
		return deltaToken{}, err
	}
	ids, err := deltaIDs(c.query.filter)
	if err != nil {
		return deltaToken{}, err
	}
	tk := deltaToken{
		phase: "full", pos: -1, from: c.t.delta.end(), issued: c.now, selects: strings.Join(c.query.selects, ","), filter: strings.Join(ids, ","),
	}
	if given == "latest" {
		tk.phase, tk.pos = "feed", tk.from
	}
	return tk, nil
}

// deltaIDs reads "id eq 'a' or id eq 'b'", at most 50.
func deltaIDs(f filterExpr) ([]string, error) {
	var ids []string
	var walk func(filterExpr) bool
	walk = func(f filterExpr) bool {
		switch f := f.(type) {
		case nil:
			return true
		case compareExpr:
			ids = append(ids, canonical(f.lit.text))
			return f.path == "id" && f.op == "eq" && f.lit.kind == litText
		case boolExpr:
			return f.or && walk(f.left) && walk(f.right)
		}
		return false
	}
	if !walk(f) || len(ids) > 50 {
		return nil, unsupported("Delta queries filter on at most 50 ids only.")
	}
	return ids, nil
}

// deltaExpired sends the caller back to the start, in one of the two ways in which the
// service does.
func (c *call) deltaExpired(typ string) error {
	if c.t.dice.chance(0.5, "delta expired", typ) {
		return refuse(http.StatusBadRequest, "syncStateNotFound", "The sync state generation is not found; full synchronization required.")
	}
	e := refuse(http.StatusGone, "resyncRequired", "Resync required. Replace any local items with the server's version.")
	e.header = http.Header{"Location": {c.base + "/" + typ + "s/delta?$deltatoken="}}
	return e
}

func (c *call) deltaWalk(typ string, tk *deltaToken, ids []string) []any {
	page := []any{}
	emit := func(ord int, o map[string]any) bool {
		if len(ids) > 0 && !slices.Contains(ids, text(o, "id")) {
			return true
		}
		if len(page) == c.e.cfg.PageSize {
			return false
		}
		tk.pos = ord
		page = append(page, o)
		return true
	}
	if typ == "user" {
		for r := range c.t.userRows(tk.pos) {
			if !emit(r.ord, c.deltaUser(text(r.obj, "id"), r.obj)) {
				return page
			}
		}
	} else {
		for i := tk.pos + 1; i < len(c.t.groups.order); i++ {
			g := c.t.groups.order[i]
			if !emit(i, c.deltaGroup(g, c.allMembers(g))) {
				return page
			}
		}
	}
	tk.phase, tk.pos = "done", tk.from
	return page
}

// deltaUser shows the selected properties that have a value.
func (c *call) deltaUser(id string, props map[string]any) map[string]any {
	o := c.selected(props, userDefaults())
	if slices.Contains(c.query.selects, "manager") {
		delete(o, "manager")
		if u := c.t.users.byID[id]; u != nil && u.manager != "" {
			o["manager@delta"] = []any{map[string]any{"@odata.type": odataType("user"), "id": u.manager}}
		}
	}
	return o
}

func (c *call) allMembers(g *group) []any {
	var list []any
	for _, m := range g.members {
		if m.member != "" && m.in {
			list = append(list, map[string]any{"@odata.type": text(typed(nil, c.t.kind(m.member)), "@odata.type"), "id": m.member})
		}
	}
	return list
}

func (t *tenant) kind(id string) string {
	if t.groups.byID[id] != nil {
		return "group"
	}
	return "user"
}

func (c *call) deltaGroup(g *group, members []any) map[string]any {
	o := maps.Clone(c.selected(g.props, groupDefaults()))
	delete(o, "members")
	if len(members) > 0 && (len(c.query.selects) == 0 || slices.Contains(c.query.selects, "members")) {
		o["members@delta"] = members
	}
	return o
}

// replayed is the chance that a change is told twice.
const replayed = 0.1

// deltaFeed tells the changes since the token's position, each object at most once a
// page.
func (c *call) deltaFeed(typ string, tk *deltaToken, ids []string) []any {
	page := []any{}
	told := map[string]bool{}
	d := &c.t.delta
	for ; tk.pos < d.end(); tk.pos++ {
		ch := d.changes[tk.pos-d.first]
		id := or(ch.user, ch.group)
		if (typ == "user") != (ch.user != "") || told[id] && ch.member == "" || len(ids) > 0 && !slices.Contains(ids, id) || !c.deltaSelects(ch) {
			continue
		}
		if len(page) >= c.e.cfg.PageSize {
			return page
		}
		told[id] = true
		if o := c.deltaItem(typ, ch); o != nil {
			page = append(page, o)
			if c.t.dice.chance(replayed, "delta replay", id) {
				page = append(page, o)
			}
		}
	}
	tk.phase = "done"
	return page
}

// deltaSelects reports whether a change touches something that the caller selected.
func (c *call) deltaSelects(ch change) bool {
	if len(c.query.selects) == 0 || ch.user == "" || ch.gone {
		return true
	}
	return slices.ContainsFunc(ch.selected, func(p string) bool {
		return strings.HasPrefix(p, "@") || p == "id" || slices.Contains(c.query.selects, p)
	})
}

func (c *call) deltaItem(typ string, ch change) map[string]any {
	if typ == "group" {
		g := c.t.groups.byID[ch.group]
		if g == nil {
			return map[string]any{"id": ch.group, "@removed": map[string]any{"reason": "deleted"}}
		}
		if ch.member == "" {
			return c.deltaGroup(g, nil)
		}
		m := map[string]any{"@odata.type": odataType(c.t.kind(ch.member)), "id": ch.member}
		if !ch.joined {
			m["@removed"] = map[string]any{"reason": "deleted"}
		}
		return c.deltaGroup(g, []any{m})
	}
	u := c.t.users.byID[ch.user]
	switch {
	case u == nil:
		return map[string]any{"id": ch.user, "@removed": map[string]any{"reason": "deleted"}}
	case !u.deleted.IsZero():
		return map[string]any{"id": ch.user, "@removed": map[string]any{"reason": "changed"}}
	}
	return c.deltaUser(u.id, u.props)
}
