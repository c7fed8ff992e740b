package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// userDefaults are the properties that a read returns without $select.
func userDefaults() []string {
	return []string{
		"businessPhones", "displayName", "givenName", "id", "jobTitle", "mail", "mobilePhone",
		"officeLocation", "preferredLanguage", "surname", "userPrincipalName",
	}
}

// readUser finds a user by id as a reader meets it: for a while after a write some
// replicas have not heard.
func (c *call) readUser(id string) (*user, map[string]any, error) {
	u, live := c.t.live(id)
	if u == nil {
		return nil, nil, notFound(id)
	}
	props := u.props
	switch {
	case live && c.now.Before(u.ready):
		if err := c.unready(u); err != nil {
			return nil, nil, err
		}
	case u.replicating(c.now) && c.t.dice.chance(flap, "stale read", u.id):
		if props = u.listed(c.now); props == nil {
			return nil, nil, notFound(id)
		}
	case !live:
		return nil, nil, notFound(id)
	}
	return u, props, nil
}

// unready is what a caller meets who comes too early after a creation: mostly 404,
// sometimes a failure, sometimes luck.
func (c *call) unready(u *user) error {
	switch n := c.t.dice.pick(10, "unready", u.id); {
	case n < 4:
		return notFound(u.id)
	case n < 5:
		return refuse(http.StatusInternalServerError, "Request_InternalServerError", "An internal server error occurred.")
	case n < 6:
		return refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "The service is temporarily unavailable.")
	}
	return nil
}

// writeUser finds a live user for a change.
func (c *call) writeUser(id string) (*user, error) {
	u, live := c.t.live(id)
	if u == nil || !live {
		return nil, notFound(id)
	}
	if c.now.Before(u.ready) {
		if err := c.unready(u); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func getUser(c *call) (answer, error) {
	if err := c.checkUserSelect(); err != nil {
		return answer{}, err
	}
	if err := c.checkFields("user"); err != nil {
		return answer{}, err
	}
	u, props, err := c.readUser(c.params["id"])
	if err != nil {
		return answer{}, err
	}
	obj, err := c.userView(u, props)
	if err != nil {
		return answer{}, err
	}
	return ok(c.with("users/$entity", obj))
}

func listUsers(c *call) (answer, error) {
	if err := c.checkUserSelect(); err != nil {
		return answer{}, err
	}
	if err := c.checkUserFilter(c.query.filter); err != nil {
		return answer{}, err
	}
	if c.query.orderBy != "" && (c.query.filter != nil && !c.advanced() ||
		!slices.Contains([]string{"displayName", "userPrincipalName", "createdDateTime"}, c.query.orderBy)) {
		return answer{}, unsupported("Sorting by '%s' is not supported here.", c.query.orderBy)
	}
	if c.query.count && !c.advanced() {
		return answer{}, unsupported("'$count' needs the header ConsistencyLevel: eventual.")
	}
	if len(c.query.expand) > 0 && c.advanced() {
		return answer{}, unsupported("$expand cannot be combined with advanced queries.")
	}
	rows := c.t.candidates(c.query.filter)
	if mentions(c.query.filter, "signInActivity") {
		if slices.ContainsFunc(c.query.filter.fields(), func(p string) bool { return !strings.HasPrefix(p, "signInActivity/") }) {
			return answer{}, unsupported("A filter on signInActivity cannot name other properties.")
		}
		rows = c.t.activeRows
	}
	return c.list(listing{
		context: "users", typ: "user", rows: rows,
		project: func(props map[string]any) (map[string]any, error) {
			return c.userView(c.t.users.byID[text(props, "id")], props)
		},
	})
}

func unsupported(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "Request_UnsupportedQuery", format, args...)
}

// checkUserSelect refuses properties that need a permission of their own.
func (c *call) checkUserSelect() error {
	if slices.Contains(c.query.selects, "signInActivity") || mentions(c.query.filter, "signInActivity") {
		if !c.allowed("AuditLog.Read.All") {
			return denied()
		}
		if c.e.cfg.Licence == LicenceFree {
			return refuse(http.StatusForbidden, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "Neither tenant is B2C or tenant doesn't have premium license")
		}
	}
	if slices.Contains(c.query.selects, "customSecurityAttributes") &&
		!c.allowed("CustomSecAttributeAssignment.Read.All", "CustomSecAttributeAssignment.ReadWrite.All") {
		return denied()
	}
	return nil
}

// checkUserFilter applies the table of what can be filtered on users, with and without
// advanced query capabilities.
func (c *call) checkUserFilter(f filterExpr) error {
	switch f := f.(type) {
	case nil:
		return nil
	case boolExpr:
		if f.or && c.t.cfg.Unknowns.OneFilterForAll == No && slices.ContainsFunc(f.fields(), func(p string) bool { return p != f.fields()[0] }) {
			return unsupported("Unsupported Query.")
		}
		if err := c.checkUserFilter(f.left); err != nil {
			return err
		}
		return c.checkUserFilter(f.right)
	case notExpr:
		if !c.advanced() {
			return unsupported("Unsupported Query: 'not' needs advanced query capabilities.")
		}
		return c.checkUserFilter(f.of)
	case compareExpr:
		return c.userComparison(f.path, f.op)
	case inExpr:
		return c.userComparison(f.path, "eq")
	case functionExpr:
		return c.userFunction(f)
	case lambdaExpr:
		return c.userLambda(f)
	}
	return unsupported("Unsupported query.")
}

func (c *call) userComparison(path, op string) error {
	root, _, _ := strings.Cut(path, "/")
	plain := []string{
		"id", "accountEnabled", "createdDateTime", "displayName", "givenName", "surname", "jobTitle", "department", "city", "country",
		"employeeId", "externalUserState", "mail", "mailNickname", "userPrincipalName", "userType", "usageLocation", "signInActivity",
		"onPremisesImmutableId", "onPremisesSyncEnabled", "creationType",
	}
	late := []string{
		"companyName", "employeeType", "employeeHireDate", "employeeOrgData", "employeeLeaveDateTime", "officeLocation", "onPremisesExtensionAttributes",
		"mobilePhone", "postalCode", "state", "streetAddress", "customSecurityAttributes", "externalUserStateChangeDateTime",
	}
	switch {
	case slices.Contains(plain, root):
		if op == "ne" && !c.advanced() {
			return unsupported("Unsupported or invalid query filter clause specified for property '%s' of resource 'User': 'ne' needs advanced query capabilities.", path)
		}
		return nil
	case slices.Contains(late, root) || strings.HasPrefix(root, "extension_"):
		if !c.advanced() {
			return unsupported("Unsupported or invalid query filter clause specified for property '%s' of resource 'User': ConsistencyLevel: eventual and $count=true are needed.", path)
		}
		return nil
	}
	return unsupported("Unsupported or invalid query filter clause specified for property '%s' of resource 'User'.", path)
}

func (c *call) userFunction(f functionExpr) error {
	switch f.name {
	case "startswith":
		return c.userComparison(f.path, "eq")
	case "endswith":
		if (f.path == "mail" || f.path == "userPrincipalName") && c.advanced() {
			return nil
		}
	}
	return unsupported("Unsupported or invalid query filter clause specified for property '%s' of resource 'User'.", f.path)
}

func (c *call) userLambda(f lambdaExpr) error {
	switch f.path {
	case "otherMails", "proxyAddresses", "businessPhones", "assignedLicenses":
		if fn, ok := f.body.(functionExpr); ok && fn.name != "startswith" && !c.advanced() {
			return unsupported("%s on '%s' needs advanced query capabilities.", fn.name, f.path)
		}
		return nil
	case "identities":
		return c.identitiesFilter(f)
	}
	return unsupported("Unsupported or invalid query filter clause specified for property '%s' of resource 'User'.", f.path)
}

// identitiesFilter holds the rule that an issuer alone finds only what is no
// federated identity (graph/api/resources/objectidentity).
func (c *call) identitiesFilter(f lambdaExpr) error {
	cmp, single := f.body.(compareExpr)
	if !single {
		return nil
	}
	alone := []string{"google.com", "facebook.com", "mail", "phone"}
	if cmp.path != f.variable+"/issuer" || !slices.Contains(alone, cmp.lit.text) {
		return unsupported("Filters on identities need both issuer and issuerAssignedId.")
	}
	return nil
}

// userView is what the caller sees: the selected or default properties and what was
// expanded.
func (c *call) userView(u *user, props map[string]any) (map[string]any, error) {
	if slices.Contains(c.query.selects, "signInActivity") {
		props = c.t.logs.withActivity(u.id, props)
	}
	var obj map[string]any
	if len(c.query.selects) > 0 {
		obj = project(props, c.query.selects)
	} else {
		obj = project(props, userDefaults())
	}
	for _, ex := range c.query.expand {
		if err := c.expandUser(u, ex, obj); err != nil {
			return nil, err
		}
	}
	return obj, nil
}

func mentions(f filterExpr, property string) bool {
	return f != nil && slices.ContainsFunc(f.fields(), func(p string) bool { return strings.HasPrefix(p, property) })
}

// expandUser adds a navigation property, at most 20 objects of it.
func (c *call) expandUser(u *user, ex expansion, obj map[string]any) error {
	view := func(id string) map[string]any {
		o := c.t.object(id)
		if o == nil {
			return nil
		}
		if len(ex.selects) > 0 {
			return project(o, ex.selects)
		}
		return c.objectView(o)
	}
	switch ex.name {
	case "manager":
		if m := view(u.manager); m != nil {
			obj["manager"] = m
		}
	case "sponsors":
		list := []any{}
		for _, id := range u.sponsors {
			if s := view(id); s != nil {
				list = append(list, s)
			}
		}
		obj["sponsors"] = list
	case "memberOf", "transitiveMemberOf":
		list := []any{}
		for _, o := range c.t.memberOf(u.id, ex.name == "transitiveMemberOf") {
			if len(list) < 20 {
				list = append(list, view(text(o, "id")))
			}
		}
		obj[ex.name] = list
	default:
		return badRequest("Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.user'.", ex.name)
	}
	return nil
}
