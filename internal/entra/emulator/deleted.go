package emulator

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// softDelete moves a user to the deleted items. Memberships, schedules and package
// assignments stay with it and come back when it is restored.
func (t *tenant) softDelete(u *user) {
	u.deleted = t.present
	t.users.live--
	t.publish(u, nil, 0, []string{"@removed"})
	gone := t.present
	t.later(t.present.Add(t.cfg.Retention), func() {
		if u.deleted.Equal(gone) && t.users.byID[u.id] == u {
			t.purge(u)
		}
	})
}

// restore brings a deleted user back as it was.
func (t *tenant) restore(u *user) {
	u.deleted = time.Time{}
	t.users.live++
	u.ready = t.present.Add(t.lag("restore", u.id))
	t.publish(u, u.props, 0, []string{"@restored"})
}

// purge removes a deleted user for good. Managers and sponsors that point to it lead
// nowhere from then on and are left out when they are read.
func (t *tenant) purge(u *user) {
	delete(t.users.byID, u.id)
	t.users.order[u.ord] = nil
	for _, m := range slices.Clone(t.groups.of[u.id]) {
		m.group.drop(m)
	}
	delete(t.groups.of, u.id)
	for _, r := range t.roles {
		r.members = slices.DeleteFunc(r.members, func(id string) bool { return id == u.id })
	}
	t.pim.forget(u.id)
	t.ent.forget(t, u.id)
	t.delta.userPurged(t.present, u.id)
}

// deletedView is a deleted user with the mark of its deletion.
func (c *call) deletedView(u *user) map[string]any {
	props := maps.Clone(u.props)
	props["deletedDateTime"] = stamp(u.deleted)
	if c.t.cfg.Unknowns.DeletedUPNMangled == Yes {
		props["userPrincipalName"] = strings.ReplaceAll(u.id, "-", "") + text(props, "userPrincipalName")
	}
	return props
}

func (c *call) deletedUser() (*user, error) {
	u, ok := c.t.users.byID[c.params["id"]]
	if !ok || u.deleted.IsZero() {
		return nil, notFound(c.params["id"])
	}
	return u, nil
}

func listDeleted(c *call) (answer, error) {
	if c.query.filter != nil {
		if c.t.cfg.Unknowns.DeletedFilters != Yes {
			return answer{}, unsupported("$filter is not supported on deletedItems.")
		}
		if err := c.checkUserFilter(c.query.filter); err != nil {
			return answer{}, err
		}
	}
	return c.list(listing{
		context: "directoryObjects/microsoft.graph.user", typ: "user",
		rows: func(after int) iter.Seq[row] {
			return func(yield func(row) bool) {
				for i := after + 1; i < len(c.t.users.order); i++ {
					u := c.t.users.order[i]
					if u == nil || u.deleted.IsZero() || u.replicating(c.now) {
						continue
					}
					if !yield(row{u.ord, c.deletedView(u)}) {
						return
					}
				}
			}
		},
		project: func(props map[string]any) (map[string]any, error) {
			return c.selected(props, append(userDefaults(), "deletedDateTime")), nil
		},
	})
}

func getDeleted(c *call) (answer, error) {
	u, err := c.deletedUser()
	if err != nil {
		return answer{}, err
	}
	obj := c.selected(c.deletedView(u), append(userDefaults(), "deletedDateTime"))
	obj["@odata.type"] = odataType("user")
	return ok(c.with("directoryObjects/$entity", obj))
}

func restoreDeleted(c *call) (answer, error) {
	u, err := c.deletedUser()
	if err != nil {
		return answer{}, err
	}
	if c.t.privileged(u.id) {
		return answer{}, denied()
	}
	if len(c.t.users.find("userPrincipalName", text(u.props, "userPrincipalName"))) > 0 {
		return answer{}, refuse(http.StatusConflict, "Request_Conflict", "Another object with the same value for property userPrincipalName already exists.")
	}
	c.t.restore(u)
	c.t.audit("Restore user", "UserManagement", c.token, nil, u.target())
	obj := project(u.props, userDefaults())
	obj["@odata.type"] = odataType("user")
	return ok(c.with("directoryObjects/$entity", obj))
}

func purgeDeleted(c *call) (answer, error) {
	u, err := c.deletedUser()
	if err != nil {
		return answer{}, err
	}
	if c.t.privileged(u.id) {
		return answer{}, denied()
	}
	c.t.purge(u)
	c.t.audit("Hard Delete user", "UserManagement", c.token, nil, u.target())
	return noContent()
}
