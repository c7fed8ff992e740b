package emulator

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// UserSeed is a user to put into the tenant, seen everywhere at once.
type UserSeed struct {
	ID         string         `json:"id,omitempty"` // default from the seed
	UPN        string         `json:"userPrincipalName"`
	Name       string         `json:"displayName"`
	Mail       string         `json:"mail,omitempty"`
	Guest      bool           `json:"guest,omitempty"` // then Mail is the invited address and UPN is made
	Accepted   bool           `json:"accepted,omitempty"`
	Disabled   bool           `json:"disabled,omitempty"`
	Manager    string         `json:"manager,omitempty"`
	Properties map[string]any `json:"properties,omitempty"` // further properties, by their Graph names
}

// AddUser puts a member or guest into the tenant and returns its object id.
func (e *Emulator) AddUser(s UserSeed) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.settled()
	if err := t.schema.check("user", s.Properties); err != nil {
		return "", fmt.Errorf("emulator: user %s: %w", s.Name, err)
	}
	var props map[string]any
	if s.Guest {
		if s.Mail == "" {
			return "", fmt.Errorf("emulator: guest %s needs the address it was invited by", s.Name)
		}
		props = t.guestProps(s.Mail, or(s.Name, s.Mail))
		if s.Accepted {
			props["externalUserState"] = "Accepted"
		}
	} else {
		if s.UPN == "" {
			return "", fmt.Errorf("emulator: member %s needs a user principal name", s.Name)
		}
		props = map[string]any{"userPrincipalName": s.UPN, "displayName": or(s.Name, s.UPN), "mail": nilIfEmpty(or(s.Mail, s.UPN)), "proxyAddresses": []any{"SMTP:" + or(s.Mail, s.UPN)}}
	}
	props["accountEnabled"] = !s.Disabled
	maps.Copy(props, s.Properties)
	id := or(canonical(s.ID), t.dice.newID("user", lower(or(s.Mail, s.UPN))))
	if _, taken := t.users.byID[id]; taken {
		return "", fmt.Errorf("emulator: the id %s is taken", id)
	}
	if upn := text(props, "userPrincipalName"); len(t.users.find("userPrincipalName", upn)) > 0 {
		return "", fmt.Errorf("emulator: the user principal name %s is taken", upn)
	}
	u := t.addUser(id, props)
	u.ready, u.manager = t.present, s.Manager
	u.seen = []version{{t.present, u.props}}
	return id, nil
}

// settled returns the tenant as it is now, for a look or a change from outside. The caller holds mu.
func (e *Emulator) settled() *tenant {
	e.tenant.settle(e.now())
	return e.tenant
}

// AddContact puts a mail contact into the tenant: a guest that is invited to its address
// gets no proxy address.
func (e *Emulator) AddContact(address string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tenant.contacts[lower(address)] = true
}

// GroupSeed is a group to put into the tenant. Without flags it is a security group
// whose members anybody with the permission can change.
type GroupSeed struct {
	ID             string         `json:"id,omitempty"`
	Name           string         `json:"displayName"`
	Dynamic        bool           `json:"dynamic,omitempty"`
	Synced         bool           `json:"synced,omitempty"` // mastered on-premises
	RoleAssignable bool           `json:"roleAssignable,omitempty"`
	Restricted     bool           `json:"restricted,omitempty"` // in a restricted administrative unit
	MailEnabled    bool           `json:"mailEnabled,omitempty"`
	Unified        bool           `json:"unified,omitempty"`
	Members        []string       `json:"members,omitempty"` // object ids of users or groups
	Owners         []string       `json:"owners,omitempty"`
	Cap            time.Duration  `json:"cap,omitempty"`   // longest PIM assignment; 0: Config.AdminCap, negative: none and permanent ones are allowed
	Rules          []string       `json:"rules,omitempty"` // PIM enablement rules; default Justification
	Properties     map[string]any `json:"properties,omitempty"`
}

// AddGroup puts a group into the tenant and returns its object id.
func (e *Emulator) AddGroup(s GroupSeed) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.settled()
	if s.Name == "" {
		return "", fmt.Errorf("emulator: a group needs a name")
	}
	id := or(canonical(s.ID), t.dice.newID("group", lower(s.Name)))
	if t.groups.byID[id] != nil {
		return "", fmt.Errorf("emulator: the id %s is taken", id)
	}
	types := []any{}
	if s.Dynamic {
		types = append(types, "DynamicMembership")
	}
	if s.Unified {
		types = append(types, "Unified")
	}
	props := map[string]any{
		"id": id, "displayName": s.Name, "description": nil, "groupTypes": types, "createdDateTime": stamp(t.present),
		"securityEnabled": !s.MailEnabled || s.Unified, "mailEnabled": s.MailEnabled || s.Unified, "mailNickname": "group" + itoa(len(t.groups.order)),
		"isAssignableToRole": trueOrNil(s.RoleAssignable), "onPremisesSyncEnabled": trueOrNil(s.Synced), "isManagementRestricted": trueOrNil(s.Restricted),
		"membershipRule": nil, "proxyAddresses": []any{}, "visibility": nil, "deletedDateTime": nil,
	}
	if s.Dynamic {
		props["membershipRule"], props["membershipRuleProcessingState"] = `user.userType -eq "Guest"`, "On"
	}
	maps.Copy(props, s.Properties)
	g := &group{ord: len(t.groups.order), id: id, props: props, byID: map[string]*membership{}, owners: slices.Clone(s.Owners)}
	t.groups.byID[id] = g
	t.groups.order = append(t.groups.order, g)
	for _, m := range s.Members {
		if t.object(m) == nil {
			return "", fmt.Errorf("emulator: group %s: there is no object %s", s.Name, m)
		}
		t.join(g, m)
		g.byID[m].heard = t.present
	}
	if s.Cap != 0 || s.Rules != nil {
		p := t.policyOf(id)
		if s.Cap != 0 {
			p.longest, p.expires = max(s.Cap, 0), s.Cap > 0
		}
		if s.Rules != nil {
			p.enabled = s.Rules
		}
	}
	return id, nil
}

func trueOrNil(b bool) any {
	if b {
		return true
	}
	return nil
}

// PackageSeed is an access package with one policy.
type PackageSeed struct {
	ID                 string         `json:"id,omitempty"`
	Name               string         `json:"displayName"`
	Catalog            string         `json:"catalog,omitempty"`  // name; made when it is new
	Internal           bool           `json:"internal,omitempty"` // the catalog is not enabled for external users
	Groups             []string       `json:"groups"`
	Roles              []string       `json:"roles,omitempty"`            // names of Entra roles that the package holds; such a package is billed
	IncompatibleWith   []string       `json:"incompatibleWith,omitempty"` // packages or groups
	PolicyID           string         `json:"policyId,omitempty"`
	Policy             map[string]any `json:"policy,omitempty"`             // body of the policy; default: direct assignment, 365 days
	WithoutOwnSchedule bool           `json:"withoutOwnSchedule,omitempty"` // allowCustomAssignmentSchedule false
}

// AddAccessPackage puts a package with a policy into the tenant and returns the ids of
// both.
func (e *Emulator) AddAccessPackage(s PackageSeed) (pkg, policy string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.settled()
	for _, g := range s.Groups {
		if t.groups.byID[g] == nil {
			return "", "", fmt.Errorf("emulator: access package %s: there is no group %s", s.Name, g)
		}
	}
	p := &accessPackage{id: or(canonical(s.ID), t.dice.newID("access package", lower(s.Name))), name: s.Name, groups: s.Groups, roles: s.Roles, created: t.present}
	p.catalog = t.catalog(or(s.Catalog, "General"), !s.Internal)
	for _, id := range s.IncompatibleWith {
		if t.groups.byID[id] != nil {
			p.incompatibleGroups = append(p.incompatibleGroups, id)
		} else {
			p.incompatiblePackages = append(p.incompatiblePackages, id)
		}
	}
	body := s.Policy
	if body == nil {
		body = map[string]any{
			"displayName": "Direct assignment", "description": "Assigned by administrators", "allowedTargetScope": "notSpecified",
			"expiration":              map[string]any{"type": "afterDuration", "duration": "P365D"},
			"requestorSettings":       map[string]any{"allowCustomAssignmentSchedule": !s.WithoutOwnSchedule},
			"requestApprovalSettings": map[string]any{"isApprovalRequiredForAdd": false, "isApprovalRequiredForUpdate": false, "stages": []any{}},
		}
	}
	if err := t.schema.check("accessPackageAssignmentPolicy", body, "accessPackage"); err != nil {
		return "", "", fmt.Errorf("emulator: access package %s: %w", s.Name, err)
	}
	t.ent.packages = append(t.ent.packages, p)
	pol := t.addPackagePolicy(p, body)
	pol.id = or(canonical(s.PolicyID), pol.id)
	return p.id, pol.id, nil
}

func (t *tenant) catalog(name string, external bool) *catalog {
	for _, c := range t.ent.catalogs {
		if c.name == name {
			return c
		}
	}
	c := &catalog{id: t.dice.newID("catalog", lower(name)), name: name, external: external, created: t.present}
	t.ent.catalogs = append(t.ent.catalogs, c)
	return c
}

// AddDirectoryRole gives users an Entra role, which protects them from applications.
func (e *Emulator) AddDirectoryRole(name string, users ...string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.settled()
	id := t.dice.newID("role", lower(name))
	for _, r := range t.roles {
		if r.name == name {
			id = r.id
		}
	}
	r := or(t.roles[id], &directoryRole{id: id, name: name})
	for _, u := range users {
		if t.users.byID[u] == nil {
			return "", fmt.Errorf("emulator: role %s: there is no user %s", name, u)
		}
		r.members = append(r.members, u)
	}
	t.roles[id] = r
	return id, nil
}

// AddConnectedOrganization lets entitlement management invite people of these domains.
func (e *Emulator) AddConnectedOrganization(name string, domains ...string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.settled()
	var sources []any
	for _, d := range domains {
		sources = append(sources, map[string]any{"@odata.type": odataType("domainIdentitySource"), "domainName": d, "displayName": d})
	}
	id := t.dice.newID("connected organization", lower(name))
	t.ent.orgs = append(t.ent.orgs, map[string]any{
		"id": id, "displayName": name, "description": nil, "state": "configured", "identitySources": sources,
		"createdDateTime": stamp(t.present), "modifiedDateTime": stamp(t.present),
	})
	return id
}

// SetInvitePolicy sets who may invite guests: none, adminsAndGuestInviters,
// adminsGuestInvitersAndAllMembers or everyone.
func (e *Emulator) SetInvitePolicy(allowInvitesFrom string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.tenant.schema.checkValue("allowInvitesFrom", "allowInvitesFrom", allowInvitesFrom); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	next := maps.Clone(e.tenant.policy.authorization)
	next["allowInvitesFrom"] = allowInvitesFrom
	e.tenant.policy.authorization = next
	return nil
}
