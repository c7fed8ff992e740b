package emulator

import (
	"iter"
	"maps"
	"net/http"
	"slices"
)

// directoryRole is an activated Entra role with its members.
type directoryRole struct {
	id, name string
	members  []string
}

// object returns the properties of a live directory object, with its type.
func (t *tenant) object(id string) map[string]any {
	if u := t.users.byID[id]; u != nil && u.deleted.IsZero() {
		return typed(u.props, "user")
	}
	if g := t.groups.byID[id]; g != nil {
		return typed(g.props, "group")
	}
	if r := t.roles[id]; r != nil {
		return typed(r.props(), "directoryRole")
	}
	if id == t.principal {
		return typed(map[string]any{"id": id, "displayName": appDisplayName, "appId": t.cfg.ClientID}, "servicePrincipal")
	}
	return nil
}

func typed(props map[string]any, typ string) map[string]any {
	out := make(map[string]any, len(props)+1)
	maps.Copy(out, props)
	out["@odata.type"] = odataType(typ)
	return out
}

func (r *directoryRole) props() map[string]any {
	return map[string]any{"id": r.id, "displayName": r.name, "description": nil, "roleTemplateId": r.id, "deletedDateTime": nil}
}

// objectView shows a directory object in a list of objects: its default properties, or
// nothing but type and id when the caller may not read that kind.
func (c *call) objectView(o map[string]any) map[string]any {
	typ := text(o, "@odata.type")
	var names []string
	switch typ {
	case odataType("user"):
		names = userDefaults()
		if !c.allowed("User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All", "Directory.Read.All", "Directory.ReadWrite.All") {
			names = nil
		}
	case odataType("group"):
		names = groupDefaults()
		if !c.allowed(groupReaders()...) {
			names = nil
		}
	case odataType("directoryRole"):
		names = []string{"displayName", "description", "roleTemplateId"}
		if !c.allowed("RoleManagement.Read.Directory", "RoleManagement.Read.All", "RoleManagement.ReadWrite.Directory", "Directory.Read.All", "Directory.ReadWrite.All") {
			names = nil
		}
	}
	if typ == odataType("servicePrincipal") {
		names = []string{"displayName", "appId"}
	}
	if len(c.query.selects) > 0 && names != nil {
		names = c.query.selects
	}
	return project(o, names)
}

// listObjects answers a list of directory objects given by id.
func (c *call) listObjects(ids []string) (answer, error) {
	return c.list(listing{
		context: "directoryObjects", typ: c.castOr("directoryObject"),
		rows: func(after int) iter.Seq[row] {
			return func(yield func(row) bool) {
				for i := after + 1; i < len(ids); i++ {
					o := c.t.object(ids[i])
					if o == nil || !c.castFits(o) {
						continue
					}
					if !yield(row{i, o}) {
						return
					}
				}
			}
		},
		project: func(o map[string]any) (map[string]any, error) { return c.objectView(o), nil },
	})
}

// castOr returns the type that the path casts to. Lists of mixed objects take the
// properties of any one type that has them all.
func (c *call) castOr(def string) string {
	if cast := c.params["cast"]; cast != "" {
		return bare(cast)
	}
	if def != "directoryObject" || len(c.query.selects) == 0 {
		return def
	}
	for _, typ := range []string{"user", "group"} {
		lacks := func(name string) bool { _, ok := c.t.schema.property(typ, name); return !ok }
		if !slices.ContainsFunc(c.query.selects, lacks) {
			return typ
		}
	}
	return def
}

func (c *call) castFits(o map[string]any) bool {
	cast := c.params["cast"]
	return cast == "" || text(o, "@odata.type") == odataType(bare(cast))
}

// checkCast refuses casts to types that are no directory objects here.
func (c *call) checkCast() error {
	switch bare(c.params["cast"]) {
	case "", "user", "group", "directoryRole", "servicePrincipal", "device", "orgContact", "administrativeUnit":
		return nil
	}
	return refuse(http.StatusBadRequest, "BadRequest", "Resource not found for the segment '%s'.", c.params["cast"])
}

// privileged reports whether an application may not touch the sensitive side of a
// user: it holds a directory role, or is member or owner of a role-assignable group.
func (t *tenant) privileged(id string) bool {
	for _, r := range t.roles {
		if slices.Contains(r.members, id) {
			return true
		}
	}
	for _, m := range t.groups.of[id] {
		if m.in && m.group.roleAssignable() {
			return true
		}
	}
	for _, g := range t.groups.order {
		if g.roleAssignable() && slices.Contains(g.owners, id) {
			return true
		}
	}
	return false
}

func listRoles(c *call) (answer, error) {
	var all []*directoryRole
	for _, r := range c.t.roles {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *directoryRole) int { return compareText(a.id, b.id) })
	return c.list(listing{
		context: "directoryRoles", typ: "directoryRole",
		rows: func(after int) iter.Seq[row] {
			return func(yield func(row) bool) {
				for i := after + 1; i < len(all); i++ {
					if !yield(row{i, all[i].props()}) {
						return
					}
				}
			}
		},
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

func listRoleMembers(c *call) (answer, error) {
	r := c.t.roles[c.params["id"]]
	if r == nil {
		return answer{}, notFound(c.params["id"])
	}
	return c.listObjects(r.members)
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
