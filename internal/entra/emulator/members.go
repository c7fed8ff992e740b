package emulator

import (
	"iter"
	"net/http"
	"slices"
)

// memberRows yields the direct members that a reader sees.
func (t *tenant) memberRows(g *group) func(int) iter.Seq[row] {
	return func(after int) iter.Seq[row] {
		return func(yield func(row) bool) {
			for i := after + 1; i < len(g.members); i++ {
				m := g.members[i]
				if m.member == "" || !t.visible(m) {
					continue
				}
				if o := t.object(m.member); o != nil && !yield(row{i, o}) {
					return
				}
			}
		}
	}
}

// transitive lists the ids of members through any depth of groups.
func (t *tenant) transitive(g *group, seen map[string]bool) []string {
	var out []string
	for _, m := range g.members {
		if m.member == "" || seen[m.member] || !t.visible(m) || t.object(m.member) == nil {
			continue
		}
		seen[m.member] = true
		out = append(out, m.member)
		if inner := t.groups.byID[m.member]; inner != nil {
			out = append(out, t.transitive(inner, seen)...)
		}
	}
	return out
}

// memberOf lists the groups and roles of an object as readers see them.
func (t *tenant) memberOf(id string, transitive bool) []map[string]any {
	var out []map[string]any
	seen := map[string]bool{}
	var walk func(string)
	walk = func(id string) {
		for _, m := range t.groups.of[id] {
			if seen[m.group.id] || !t.visible(m) {
				continue
			}
			seen[m.group.id] = true
			out = append(out, t.object(m.group.id))
			if transitive {
				walk(m.group.id)
			}
		}
		for _, r := range t.roles {
			if !seen[r.id] && slices.Contains(r.members, id) {
				seen[r.id] = true
				out = append(out, t.object(r.id))
			}
		}
	}
	walk(id)
	slices.SortFunc(out, func(a, b map[string]any) int { return compareText(text(a, "id"), text(b, "id")) })
	return out
}

func listMembers(c *call) (answer, error) {
	if err := c.checkCast(); err != nil {
		return answer{}, err
	}
	g, err := c.group()
	if err != nil {
		return answer{}, err
	}
	rows := c.t.memberRows(g)
	return c.list(listing{
		context: "directoryObjects", typ: c.castOr("directoryObject"),
		rows: func(after int) iter.Seq[row] {
			return func(yield func(row) bool) {
				for r := range rows(after) {
					if c.castFits(r.obj) && !yield(r) {
						return
					}
				}
			}
		},
		project: func(o map[string]any) (map[string]any, error) { return c.objectView(o), nil },
	})
}

func listTransitiveMembers(c *call) (answer, error) {
	if err := c.checkCast(); err != nil {
		return answer{}, err
	}
	g, err := c.group()
	if err != nil {
		return answer{}, err
	}
	return c.listObjects(c.t.transitive(g, map[string]bool{g.id: true}))
}

func listOwners(c *call) (answer, error) {
	g, err := c.group()
	if err != nil {
		return answer{}, err
	}
	return c.listObjects(g.owners)
}

func listMemberOf(c *call) (answer, error)           { return c.memberships(false) }
func listTransitiveMemberOf(c *call) (answer, error) { return c.memberships(true) }

func (c *call) memberships(transitive bool) (answer, error) {
	if err := c.checkCast(); err != nil {
		return answer{}, err
	}
	u, _, err := c.readUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	var ids []string
	for _, o := range c.t.memberOf(u.id, transitive) {
		ids = append(ids, text(o, "id"))
	}
	return c.listObjects(ids)
}

// maxCheck is how many groups one checkMemberGroups takes.
const maxCheck = 20

func checkMemberGroups(c *call) (answer, error) {
	raw, has := c.body["groupIds"].([]any)
	want := texts(c.body["groupIds"])
	if !has || len(want) != len(raw) || len(want) == 0 || len(want) > maxCheck || len(c.body) != 1 {
		return answer{}, badRequest("The property 'groupIds' wants 1 to %d group ids.", maxCheck)
	}
	return c.groupIDs(func(id string) bool {
		return slices.ContainsFunc(want, func(w string) bool { return canonical(w) == id })
	})
}

func getMemberGroups(c *call) (answer, error) {
	security, isBool := c.body["securityEnabledOnly"].(bool)
	if _, given := c.body["securityEnabledOnly"]; given && !isBool || len(c.body) > 1 {
		return answer{}, badRequest("The body holds 'securityEnabledOnly' and nothing else.")
	}
	return c.groupIDs(func(id string) bool { return !security || c.t.groups.byID[id].is("securityEnabled") })
}

func (c *call) groupIDs(want func(string) bool) (answer, error) {
	u, _, err := c.readUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	ids := []any{}
	for _, o := range c.t.memberOf(u.id, true) {
		if id := text(o, "id"); c.t.groups.byID[id] != nil && want(id) {
			ids = append(ids, id)
		}
	}
	return ok(map[string]any{"@odata.context": c.context("Collection(Edm.String)"), "value": ids})
}

// getByIds answers directory objects by id.
func getByIds(c *call) (answer, error) {
	ids := texts(c.body["ids"])
	if len(ids) == 0 || len(ids) > 1000 {
		return answer{}, badRequest("The property 'ids' wants 1 to 1000 ids.")
	}
	types := texts(c.body["types"])
	list := []any{}
	for _, id := range ids {
		o := c.t.object(canonical(id))
		if o == nil || len(types) > 0 && !slices.ContainsFunc(types, func(w string) bool { return odataType(w) == text(o, "@odata.type") }) {
			continue
		}
		list = append(list, c.objectView(o))
	}
	return ok(map[string]any{"@odata.context": c.context("directoryObjects"), "value": list})
}

// memberRef: reading one reference is not supported for groups (graph/known-issues).
func memberRef(*call) (answer, error) {
	return answer{}, refuse(http.StatusBadRequest, "Request_UnsupportedQuery", "GET on a single $ref is not supported for groups.")
}
