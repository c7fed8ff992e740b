package emulator

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// group is one group with everybody who is or was a member.
type group struct {
	ord     int
	id      string
	props   map[string]any
	owners  []string
	members []*membership // in the order of first joining
	byID    map[string]*membership
	onboard int // generation of its PIM policy ids; 0 before the first PIM use
}

// membership is the relation of one object to one group. It stays when the member
// leaves, because readers may still see it.
type membership struct {
	group  *group
	member string
	ord    int
	in     bool // the truth
	since  time.Time
	was    bool // what readers see until heard
	heard  time.Time
}

type groupStore struct {
	byID  map[string]*group
	order []*group
	of    map[string][]*membership // by member
}

func (s *groupStore) init() {
	s.byID = map[string]*group{}
	s.of = map[string][]*membership{}
}

// visible says what one reader sees of a membership at now.
func (t *tenant) visible(m *membership) bool {
	if !t.present.Before(m.heard) || m.in == m.was {
		return m.in
	}
	if t.dice.chance(flap, "membership", m.group.id+m.member) {
		return m.in
	}
	return m.was
}

// join and leave change the truth; readers follow.
func (t *tenant) join(g *group, member string)  { t.relate(g, member, true) }
func (t *tenant) leave(g *group, member string) { t.relate(g, member, false) }

func (t *tenant) relate(g *group, member string, in bool) {
	m := g.byID[member]
	if m == nil {
		m = &membership{group: g, member: member, ord: len(g.members)}
		g.members = append(g.members, m)
		g.byID[member] = m
		t.groups.of[member] = append(t.groups.of[member], m)
	}
	if m.in == in {
		return
	}
	m.was, m.in, m.since = m.in, in, t.present
	m.heard = t.present.Add(t.lag("member", g.id+member))
	t.later(m.heard, func() { t.delta.memberChanged(t.present, g.id, member, in) })
}

// drop forgets a membership of an object that is gone for good.
func (g *group) drop(m *membership) {
	delete(g.byID, m.member)
	g.members[m.ord] = &membership{group: g, member: "", ord: m.ord}
}

func (g *group) has(member string) bool {
	m := g.byID[member]
	return m != nil && m.in
}

func (g *group) is(name string) bool { b, _ := g.props[name].(bool); return b }

func (g *group) roleAssignable() bool { return g.is("isAssignableToRole") }

func (g *group) dynamic() bool {
	return slices.Contains(texts(g.props["groupTypes"]), "DynamicMembership")
}

func (g *group) unified() bool { return slices.Contains(texts(g.props["groupTypes"]), "Unified") }

// writable says why members cannot be changed through Graph, if so.
func (g *group) writable() error {
	switch {
	case g.is("onPremisesSyncEnabled"):
		return badRequest("Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently undergoing migration.")
	case g.dynamic():
		return badRequest("Insufficient privileges to complete the operation: members of a dynamic membership group cannot be changed.")
	case g.roleAssignable(), g.is("isManagementRestricted"):
		return denied()
	case g.is("mailEnabled") && !g.unified():
		return badRequest("Cannot Update a mail-enabled security groups and or distribution list.")
	}
	return nil
}

func groupDefaults() []string {
	return []string{
		"id", "deletedDateTime", "classification", "createdDateTime", "description", "displayName", "expirationDateTime", "groupTypes",
		"isAssignableToRole", "mail", "mailEnabled", "mailNickname", "membershipRule", "membershipRuleProcessingState",
		"onPremisesDomainName", "onPremisesLastSyncDateTime", "onPremisesSamAccountName", "onPremisesSecurityIdentifier", "onPremisesSyncEnabled",
		"preferredDataLocation", "preferredLanguage", "proxyAddresses", "renewedDateTime", "resourceBehaviorOptions", "resourceProvisioningOptions",
		"securityEnabled", "securityIdentifier", "theme", "visibility",
	}
}

func groupReaders() []string {
	return []string{
		"GroupMember.Read.All", "GroupMember.ReadWrite.All", "Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All",
	}
}

func (c *call) group() (*group, error) {
	g := c.t.groups.byID[c.params["id"]]
	if g == nil {
		return nil, notFound(c.params["id"])
	}
	return g, nil
}

func getGroup(c *call) (answer, error) {
	if err := c.checkFields("group"); err != nil {
		return answer{}, err
	}
	g, err := c.group()
	if err != nil {
		return answer{}, err
	}
	obj := c.selected(g.props, groupDefaults())
	for _, ex := range c.query.expand {
		if ex.name != "members" {
			return answer{}, badRequest("Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.group'.", ex.name)
		}
		list := []any{}
		for o := range c.t.memberRows(g)(-1) {
			if len(list) < 20 {
				list = append(list, c.objectView(o.obj))
			}
		}
		obj["members"] = list
	}
	return ok(c.with("groups/$entity", obj))
}

func listGroups(c *call) (answer, error) {
	return c.list(listing{
		context: "groups", typ: "group",
		rows: func(after int) iter.Seq[row] {
			return func(yield func(row) bool) {
				for i := after + 1; i < len(c.t.groups.order); i++ {
					if !yield(row{i, c.t.groups.order[i].props}) {
						return
					}
				}
			}
		},
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, groupDefaults()), nil },
	})
}

// patchGroup adds members by members@odata.bind, all or none; properties want the
// permission to write groups.
func patchGroup(c *call) (answer, error) {
	g, err := c.group()
	if err != nil {
		return answer{}, err
	}
	bind, binds := c.body["members@odata.bind"]
	wide := c.allowed("Group.ReadWrite.All", "Directory.ReadWrite.All")
	for name := range c.body {
		if name != "members@odata.bind" && !strings.HasPrefix(name, "@odata.") && !wide {
			return answer{}, denied()
		}
	}
	if binds {
		if !wide && c.t.cfg.Unknowns.BindNeedsGroupReadWrite == Yes {
			return answer{}, denied()
		}
		if err := c.bindMembers(g, bind); err != nil {
			return answer{}, err
		}
	}
	props := maps.Clone(g.props)
	for name, v := range c.body {
		if !strings.Contains(name, "@odata.") {
			props[name] = v
		}
	}
	g.props = props
	c.t.later(c.now.Add(c.t.lag("index", g.id)), func() { c.t.delta.groupChanged(c.t.present, g.id) })
	return noContent()
}

// maxBind is how many members one PATCH may add.
const maxBind = 20

func (c *call) bindMembers(g *group, bind any) error {
	list, isList := bind.([]any)
	if !isList || len(list) == 0 || len(list) > maxBind || len(texts(bind)) != len(list) {
		return badRequest("members@odata.bind wants 1 to %d URLs.", maxBind)
	}
	if err := g.writable(); err != nil {
		return err
	}
	var ids []string
	for _, target := range texts(bind) {
		_, id, err := c.parseReference(target)
		if err != nil {
			return err
		}
		if id, err = c.newMember(g, id); err != nil {
			return err
		}
		if slices.Contains(ids, id) {
			return badRequest("One or more added object references already exist for the following modified properties: 'members'.")
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		c.t.join(g, id)
		c.t.audit("Add member to group", "GroupManagement", c.token, nil, c.t.targetOf(id), g.target())
	}
	return nil
}

// newMember checks that an object can be added to the group and returns its id.
func (c *call) newMember(g *group, id string) (string, error) {
	if other := c.t.groups.byID[id]; other != nil {
		if other == g {
			return "", badRequest("A group cannot be a member of itself.")
		}
	} else {
		u, err := c.writeUser(id)
		if err != nil {
			return "", err
		}
		id = u.id
	}
	if g.has(id) {
		return "", badRequest("One or more added object references already exist for the following modified properties: 'members'.")
	}
	return id, nil
}

func addMember(c *call) (answer, error) {
	g, err := c.group()
	if err != nil {
		return answer{}, err
	}
	_, id, err := c.reference()
	if err != nil {
		return answer{}, err
	}
	if err := g.writable(); err != nil {
		return answer{}, err
	}
	if id, err = c.newMember(g, id); err != nil {
		return answer{}, err
	}
	c.t.join(g, id)
	c.t.audit("Add member to group", "GroupManagement", c.token, nil, c.t.targetOf(id), g.target())
	return noContent()
}

func removeMember(c *call) (answer, error) {
	g, err := c.group()
	if err != nil {
		return answer{}, err
	}
	if err := g.writable(); err != nil {
		return answer{}, err
	}
	id := c.params["memberId"]
	if !g.has(id) || c.t.object(id) == nil {
		if c.t.dice.chance(0.5, "removal message", g.id) {
			return answer{}, refuse(http.StatusNotFound, "Request_ResourceNotFound", "One or more removed object references do not exist for the following modified properties: 'members'.")
		}
		return answer{}, notFound(id)
	}
	c.t.leave(g, id)
	c.t.pim.memberRemoved(c.t, g.id, id)
	c.t.audit("Remove member from group", "GroupManagement", c.token, nil, c.t.targetOf(id), g.target())
	return noContent()
}

// deleteMemberObject is the trap: without /$ref the path names the user itself, and
// the service deletes it.
func deleteMemberObject(c *call) (answer, error) {
	g, err := c.group()
	if err != nil {
		return answer{}, err
	}
	id := c.params["memberId"]
	if !g.has(id) {
		return answer{}, notFound(id)
	}
	if c.t.groups.byID[id] != nil {
		return answer{}, denied()
	}
	c.params["id"] = id
	return deleteUser(c)
}
