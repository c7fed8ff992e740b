package emulator

import (
	"slices"
	"time"
)

// State is what is true in the tenant, without any delay of readers.
type State struct {
	Now         time.Time           `json:"now"`
	Unknowns    Unknowns            `json:"unknowns"`
	Users       []UserState         `json:"users"` // soft-deleted ones included, purged ones gone
	Groups      []GroupState        `json:"groups"`
	Schedules   []ScheduleState     `json:"schedules"`
	Assignments []AssignmentState   `json:"assignments"`
	Requests    []RequestState      `json:"requests"` // of access packages
	Invitations []InvitationState   `json:"invitations"`
	Mails       []Mail              `json:"mails"`
	Tokens      []AccessToken       `json:"tokens"` // that people hold
	Roles       map[string][]string `json:"roles"`  // directory roles by name
	Policies    []map[string]any    `json:"conditionalAccessPolicies"`
	Locations   []map[string]any    `json:"namedLocations"`
	Metered     []string            `json:"metered"` // uses of features that are billed
}

// UserState is one user.
type UserState struct {
	ID         string         `json:"id"`
	UPN        string         `json:"userPrincipalName"`
	Mail       string         `json:"mail,omitempty"`
	Name       string         `json:"displayName"`
	Guest      bool           `json:"guest"`
	Enabled    bool           `json:"enabled"`
	State      string         `json:"externalUserState,omitempty"`
	Created    time.Time      `json:"created"`
	Deleted    *time.Time     `json:"deleted,omitempty"`
	Revoked    *time.Time     `json:"sessionsRevoked,omitempty"` // last revocation of sessions
	Manager    string         `json:"manager,omitempty"`
	Sponsors   []string       `json:"sponsors,omitempty"`
	Governed   bool           `json:"governed,omitempty"`
	MemberOf   []string       `json:"memberOf,omitempty"` // group ids, direct
	Properties map[string]any `json:"properties"`
}

// GroupState is one group.
type GroupState struct {
	ID      string   `json:"id"`
	Name    string   `json:"displayName"`
	Members []string `json:"members"` // direct, of live users and groups
	Owners  []string `json:"owners,omitempty"`
}

// ScheduleState is one PIM assignment or eligibility, past ones included.
type ScheduleState struct {
	ID       string     `json:"id"`
	Group    string     `json:"groupId"`
	User     string     `json:"principalId"`
	Access   string     `json:"accessId"`
	Eligible bool       `json:"eligible,omitempty"`
	Start    time.Time  `json:"start"`
	End      *time.Time `json:"end,omitempty"` // none: permanent
	Status   string     `json:"status"`
	Active   bool       `json:"active"`
}

// AssignmentState is one access package assignment, past ones included.
type AssignmentState struct {
	ID      string     `json:"id"`
	Package string     `json:"accessPackageId"`
	Policy  string     `json:"assignmentPolicyId"`
	User    string     `json:"targetId"`
	State   string     `json:"state"`
	Start   time.Time  `json:"start"`
	End     *time.Time `json:"end,omitempty"`
	Expired *time.Time `json:"expired,omitempty"`
	Groups  []string   `json:"groups,omitempty"` // that it holds now
}

// RequestState is one access package assignment request.
type RequestState struct {
	ID         string    `json:"id"`
	Type       string    `json:"requestType"`
	State      string    `json:"state"`
	Assignment string    `json:"assignmentId,omitempty"`
	Created    time.Time `json:"created"`
}

// State returns the truth.
func (e *Emulator) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.settled()
	s := State{
		Now: t.present, Unknowns: t.cfg.Unknowns, Invitations: slices.Clone(t.invits), Mails: slices.Clone(t.mails),
		Roles: map[string][]string{}, Metered: slices.Clone(t.ent.metered),
		Tokens: slices.DeleteFunc(slices.Clone(t.access), func(a AccessToken) bool { return !a.Until.After(t.present) }),
	}
	for _, u := range t.users.order {
		if u != nil {
			s.Users = append(s.Users, t.userState(u))
		}
	}
	for _, g := range t.groups.order {
		gs := GroupState{ID: g.id, Name: text(g.props, "displayName"), Members: []string{}, Owners: slices.Clone(g.owners)}
		for _, m := range g.members {
			if m.in && m.member != "" && t.object(m.member) != nil {
				gs.Members = append(gs.Members, m.member)
			}
		}
		s.Groups = append(s.Groups, gs)
	}
	for _, p := range t.pim.schedules {
		s.Schedules = append(s.Schedules, ScheduleState{
			ID: p.id, Group: p.group, User: p.principal, Access: p.access, Eligible: p.eligible,
			Start: p.start, End: pointer(p.end), Status: p.status, Active: p.active,
		})
	}
	for _, a := range t.ent.assignments {
		s.Assignments = append(s.Assignments, AssignmentState{
			ID: a.id, Package: a.pkg.id, Policy: a.policy.id, User: a.user, State: a.state,
			Start: a.start, End: pointer(a.end), Expired: pointer(a.expired), Groups: slices.Clone(a.granted),
		})
	}
	for _, r := range t.ent.requests {
		rs := RequestState{ID: r.id, Type: r.kind, State: r.state, Created: r.created}
		if r.target != nil {
			rs.Assignment = r.target.id
		}
		s.Requests = append(s.Requests, rs)
	}
	for _, r := range t.roles {
		s.Roles[r.name] = slices.Clone(r.members)
	}
	for _, p := range t.policy.conditional {
		s.Policies = append(s.Policies, p.props)
	}
	for _, l := range t.policy.locations {
		s.Locations = append(s.Locations, l.props)
	}
	return s
}

func (t *tenant) userState(u *user) UserState {
	us := UserState{
		ID: u.id, UPN: text(u.props, "userPrincipalName"), Mail: text(u.props, "mail"), Name: text(u.props, "displayName"),
		Guest: text(u.props, "userType") == "Guest", Enabled: flag(u.props, "accountEnabled"), State: text(u.props, "externalUserState"),
		Created: u.created, Deleted: pointer(u.deleted), Revoked: pointer(u.sessions), Manager: u.manager,
		Sponsors: slices.Clone(u.sponsors), Governed: u.governed, Properties: u.props,
	}
	for _, m := range t.groups.of[u.id] {
		if m.in {
			us.MemberOf = append(us.MemberOf, m.group.id)
		}
	}
	return us
}

func pointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// User returns one user of the state.
func (s State) User(id string) (UserState, bool) {
	for _, u := range s.Users {
		if u.ID == id {
			return u, true
		}
	}
	return UserState{}, false
}

// UserByMail returns the users with an address, soft-deleted ones included.
func (s State) UserByMail(address string) []UserState {
	var out []UserState
	for _, u := range s.Users {
		if lower(u.Mail) == lower(address) {
			out = append(out, u)
		}
	}
	return out
}

// Members returns the direct members of a group.
func (s State) Members(groupID string) []string {
	for _, g := range s.Groups {
		if g.ID == groupID {
			return g.Members
		}
	}
	return nil
}
