package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// textLimits are the documented lengths of user properties, in characters.
func textLimits() map[string]int {
	return map[string]int{
		"displayName": 256, "givenName": 64, "surname": 64, "mobilePhone": 64, "city": 128, "country": 128,
		"companyName": 64, "department": 64, "jobTitle": 128, "employeeId": 16, "mailNickname": 64, "state": 128,
		"streetAddress": 1024, "postalCode": 40, "officeLocation": 128, "usageLocation": 2,
	}
}

// readOnly are properties that no PATCH may name.
func readOnly() []string {
	return []string{
		"id", "createdDateTime", "creationType", "deletedDateTime", "externalUserState", "externalUserStateChangeDateTime",
		"proxyAddresses", "signInActivity", "assignedLicenses", "assignedPlans", "isManagementRestricted", "imAddresses",
		"lastPasswordChangeDateTime", "licenseAssignmentStates", "onPremisesSyncEnabled", "onPremisesDistinguishedName",
		"onPremisesDomainName", "onPremisesLastSyncDateTime", "onPremisesSamAccountName", "onPremisesSecurityIdentifier",
		"onPremisesUserPrincipalName", "provisionedPlans", "securityIdentifier", "serviceProvisioningErrors",
		"signInSessionsValidFromDateTime", "identityParentId", "authorizationInfo", "legalAgeGroupClassification",
	}
}

// sensitive are the properties of a privileged user that an application cannot touch
// (graph/api/resources/users, "Who can perform sensitive actions").
func sensitive() []string {
	return []string{
		"accountEnabled", "businessPhones", "mobilePhone", "onPremisesImmutableId", "otherMails", "passwordProfile", "userPrincipalName",
	}
}

func patchUser(c *call) (answer, error) {
	u, err := c.writeUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(c.body)), func(n string) bool { return strings.HasPrefix(n, "@odata.") })
	for _, name := range names {
		if err := c.mayWrite(u, name); err != nil {
			return answer{}, err
		}
	}
	for _, name := range names {
		if err := checkUserValue(name, c.body[name]); err != nil {
			return answer{}, err
		}
	}
	props := maps.Clone(u.props)
	var changed []any
	for _, name := range names {
		merged := mergeValue(u.props[name], c.body[name], name)
		if !equalJSON(merged, u.props[name]) {
			changed = append(changed, modified(name, u.props[name], merged))
		}
		props[name] = merged
	}
	if err := c.t.checkUnique(u, props); err != nil {
		return answer{}, err
	}
	c.t.set(u, props, 0)
	if len(changed) > 0 {
		c.t.audit("Update user", "UserManagement", c.token, changed, u.target())
	}
	return noContent()
}

// mayWrite checks the permission for one property.
func (c *call) mayWrite(u *user, name string) error {
	if slices.Contains(readOnly(), name) {
		return badRequest("Property '%s' is read-only and cannot be set.", name)
	}
	if slices.Contains(sensitive(), name) && c.t.privileged(u.id) {
		return denied()
	}
	wide := []string{"User.ReadWrite.All", "Directory.ReadWrite.All"}
	switch name {
	case "employeeLeaveDateTime":
		if !c.allowed("User-LifeCycleInfo.ReadWrite.All+User.Read.All", "User-LifeCycleInfo.ReadWrite.All+User.ReadWrite.All") {
			return denied()
		}
		return nil
	case "customSecurityAttributes":
		if !c.allowed("CustomSecAttributeAssignment.ReadWrite.All+User.Read.All", "CustomSecAttributeAssignment.ReadWrite.All+User.ReadWrite.All") {
			return denied()
		}
		return nil
	case "accountEnabled":
		wide = append(wide, "User.EnableDisableAccount.All+User.Read.All")
	case "otherMails":
		wide = append(wide, "User-Mail.ReadWrite.All")
	case "businessPhones", "mobilePhone":
		wide = append(wide, "User-Phone.ReadWrite.All")
	case "identities":
		wide = append(wide, "User.ManageIdentities.All")
	}
	if !c.allowed(wide...) {
		return denied()
	}
	return nil
}

// checkUserValue holds the limits that the types do not express.
func checkUserValue(name string, v any) error {
	invalid := badRequest("Invalid value specified for property '%s' of resource 'User'.", name)
	switch v := v.(type) {
	case nil:
		switch name {
		case "displayName", "accountEnabled", "usageLocation", "userPrincipalName", "mailNickname", "userType":
			return invalid
		}
	case string:
		limit, limited := textLimits()[name]
		if v == "" || limited && len([]rune(v)) > limit {
			return invalid
		}
		switch name {
		case "usageLocation":
			if len(v) != 2 || strings.ToUpper(v) != v {
				return invalid
			}
		case "userType":
			if v != "Member" && v != "Guest" {
				return invalid
			}
		}
		if strings.HasPrefix(name, "extension_") && len([]rune(v)) > 256 {
			return invalid
		}
	case []any:
		if name == "otherMails" {
			for _, m := range texts(v) {
				if len(v) > 250 || m == "" || len(m) > 250 || !strings.Contains(m, "@") {
					return invalid
				}
			}
		}
	case map[string]any:
		return checkUserObject(name, v)
	}
	return nil
}

func checkUserObject(name string, v map[string]any) error {
	switch name {
	case "onPremisesExtensionAttributes":
		for k, e := range v {
			if s, ok := e.(string); ok && (s == "" || len([]rune(s)) > 1024) {
				return badRequest("Invalid value specified for property '%s' of resource 'User'.", k)
			}
		}
	case "customSecurityAttributes":
		for set, attrs := range v {
			if set == "@odata.type" {
				continue
			}
			m, ok := attrs.(map[string]any)
			if !ok || m["@odata.type"] != "#Microsoft.DirectoryServices.CustomSecurityAttributeValue" {
				return badRequest("The attribute set '%s' needs the @odata.type '#Microsoft.DirectoryServices.CustomSecurityAttributeValue'.", set)
			}
		}
	}
	return nil
}

// mergeValue applies PATCH: objects merge by member, everything else is replaced.
func mergeValue(old, v any, name string) any {
	add, isObject := v.(map[string]any)
	have, _ := old.(map[string]any)
	if !isObject || have == nil {
		return v
	}
	out := maps.Clone(have)
	for k, e := range add {
		if name == "customSecurityAttributes" {
			e = mergeValue(have[k], e, "")
		}
		out[k] = e
	}
	return out
}

// checkUnique keeps user principal names apart; mail is not unique.
func (t *tenant) checkUnique(u *user, props map[string]any) error {
	upn, _ := props["userPrincipalName"].(string)
	for _, other := range t.users.find("userPrincipalName", upn) {
		if other != u {
			return badRequest("Another object with the same value for property userPrincipalName already exists.")
		}
	}
	return nil
}

func revokeSessions(c *call) (answer, error) {
	u, err := c.writeUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	u.sessions = c.now
	props := maps.Clone(u.props)
	props["signInSessionsValidFromDateTime"] = stamp(c.now)
	c.t.set(u, props, 0)
	c.t.audit("Update StsRefreshTokenValidFrom Timestamp", "UserManagement", c.token, nil, u.target())
	if c.t.cfg.Unknowns.RevokeAnswers204 == Yes {
		return noContent()
	}
	return ok(map[string]any{"@odata.context": c.context("Edm.Boolean"), "value": true})
}

func deleteUser(c *call) (answer, error) {
	u, err := c.writeUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	if c.t.privileged(u.id) {
		return answer{}, denied()
	}
	c.t.softDelete(u)
	c.t.audit("Delete user", "UserManagement", c.token, nil, u.target())
	return noContent()
}

// setManager and its sisters write references between users.
func setManager(c *call) (answer, error) {
	u, err := c.writeUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	set, id, err := c.reference()
	if err != nil {
		return answer{}, err
	}
	if set == "groups" {
		return answer{}, badRequest("A manager is a user or an organizational contact.")
	}
	m, err := c.writeUser(id)
	if err != nil {
		return answer{}, notFound(id)
	}
	if m == u {
		return answer{}, badRequest("A user cannot be their own manager.")
	}
	u.manager = m.id
	c.t.referenceChanged(u, "manager")
	c.t.audit("Update user", "UserManagement", c.token, nil, u.target())
	return noContent()
}

func removeManager(c *call) (answer, error) {
	u, err := c.writeUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	if u.manager == "" {
		return answer{}, notFound("manager")
	}
	u.manager = ""
	c.t.referenceChanged(u, "manager")
	return noContent()
}

func getManager(c *call) (answer, error) {
	u, _, err := c.readUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	m := c.t.object(u.manager)
	if m == nil {
		return answer{}, notFound("manager")
	}
	return ok(c.with("directoryObjects/$entity", c.objectView(m)))
}

// maxSponsors is the documented limit (entra/external-id/b2b-sponsors).
const maxSponsors = 5

func listSponsors(c *call) (answer, error) {
	u, _, err := c.readUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	return c.listObjects(u.sponsors)
}

func addSponsor(c *call) (answer, error) {
	u, err := c.writeUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	_, id, err := c.reference()
	if err != nil {
		return answer{}, err
	}
	id, err = c.t.sponsor(id)
	if err != nil {
		return answer{}, err
	}
	u.sponsors = slices.DeleteFunc(slices.Clone(u.sponsors), func(s string) bool { return c.t.object(s) == nil })
	if slices.Contains(u.sponsors, id) {
		if c.t.cfg.Unknowns.DuplicateSponsorRefused == Yes {
			return answer{}, badRequest("One or more added object references already exist for the following modified properties: 'sponsors'.")
		}
		return noContent()
	}
	if len(u.sponsors) >= maxSponsors {
		return answer{}, badRequest("A user can have at most %d sponsors.", maxSponsors)
	}
	u.sponsors = append(slices.Clone(u.sponsors), id)
	c.t.audit("Update user", "UserManagement", c.token, nil, u.target())
	return noContent()
}

// sponsor checks that an id can be one: a live user or a group.
func (t *tenant) sponsor(id string) (string, error) {
	if g := t.groups.byID[id]; g != nil {
		return g.id, nil
	}
	if s, live := t.live(id); live {
		return s.id, nil
	}
	return "", notFound(id)
}

func removeSponsor(c *call) (answer, error) {
	u, err := c.writeUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	i := slices.Index(u.sponsors, c.params["sponsorId"])
	if i < 0 {
		return answer{}, notFound(c.params["sponsorId"])
	}
	u.sponsors = slices.Delete(slices.Clone(u.sponsors), i, i+1)
	c.t.audit("Update user", "UserManagement", c.token, nil, u.target())
	return noContent()
}

// referenceChanged tells the change feed about a navigation property that it tracks.
func (t *tenant) referenceChanged(u *user, name string) {
	t.later(t.present.Add(t.lag("index", u.id)), func() { t.delta.userChanged(t.present, u.id, []string{name}) })
}

func createUser(c *call) (answer, error) {
	upn, domain, _ := strings.Cut(text(c.body, "userPrincipalName"), "@")
	if upn == "" || !slices.Contains(c.t.cfg.VerifiedDomains, domain) || c.body["accountEnabled"] == nil ||
		text(c.body, "displayName") == "" || text(c.body, "mailNickname") == "" || text(object(c.body, "passwordProfile"), "password") == "" {
		return answer{}, badRequest("A new user needs accountEnabled, displayName, mailNickname, passwordProfile and a userPrincipalName in a verified domain.")
	}
	for _, name := range slices.Sorted(maps.Keys(c.body)) {
		if slices.Contains(readOnly(), name) {
			return answer{}, badRequest("Property '%s' is read-only and cannot be set.", name)
		}
		if err := checkUserValue(name, c.body[name]); err != nil {
			return answer{}, err
		}
	}
	if err := c.t.checkUnique(nil, c.body); err != nil {
		return answer{}, err
	}
	props := maps.Clone(c.body)
	delete(props, "passwordProfile")
	u := c.t.addUser(c.t.dice.newID("user", lower(text(c.body, "userPrincipalName"))), props)
	c.t.audit("Add user", "UserManagement", c.token, nil, u.target())
	return answer{status: http.StatusCreated, body: c.with("users/$entity", project(u.props, userDefaults()))}, nil
}
