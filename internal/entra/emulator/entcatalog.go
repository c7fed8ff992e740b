package emulator

import (
	"maps"
	"strings"
)

func listCatalogs(c *call) (answer, error) {
	var rows []map[string]any
	for _, cat := range c.t.ent.catalogs {
		rows = append(rows, cat.view())
	}
	return c.list(listing{
		context: "identityGovernance/entitlementManagement/catalogs", typ: "accessPackageCatalog", rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

// packageView is a package with all that can be expanded.
func (t *tenant) packageView(p *accessPackage) map[string]any {
	out := p.view()
	policies, scopes, groups, incompatible := []any{}, []any{}, []any{}, []any{}
	for _, pol := range t.ent.policies {
		if pol.pkg == p {
			policies = append(policies, pol.view())
		}
	}
	for _, id := range p.groups {
		scopes = append(scopes, map[string]any{
			"id": p.id + "_" + id, "createdDateTime": stamp(p.created),
			"role":  map[string]any{"id": "Member_" + id, "displayName": "Member", "originId": "Member_" + id, "originSystem": "AadGroup"},
			"scope": map[string]any{"id": id, "displayName": "Root", "originId": id, "originSystem": "AadGroup", "isRootScope": true},
		})
	}
	for _, name := range p.roles {
		scopes = append(scopes, map[string]any{
			"id": p.id + "_" + name, "createdDateTime": stamp(p.created),
			"role":  map[string]any{"id": name, "displayName": "Active Member", "originId": "Active", "originSystem": "DirectoryRole"},
			"scope": map[string]any{"id": name, "displayName": name, "originId": name, "originSystem": "DirectoryRole", "isRootScope": true},
		})
	}
	for _, id := range p.incompatibleGroups {
		if o := t.object(id); o != nil {
			groups = append(groups, project(o, []string{"id", "displayName"}))
		}
	}
	for _, id := range p.incompatiblePackages {
		if other := t.ent.pkg(id); other != nil {
			incompatible = append(incompatible, other.view())
		}
	}
	out["catalog"] = p.catalog.view()
	out["assignmentPolicies"], out["resourceRoleScopes"] = policies, scopes
	out["incompatibleGroups"], out["incompatibleAccessPackages"] = groups, incompatible
	return out
}

func packageNav() []string {
	return []string{"catalog", "assignmentPolicies", "resourceRoleScopes", "incompatibleGroups", "incompatibleAccessPackages"}
}

func listPackages(c *call) (answer, error) {
	var rows []map[string]any
	for _, p := range c.t.ent.packages {
		rows = append(rows, c.t.packageView(p))
	}
	return c.list(listing{
		context: "identityGovernance/entitlementManagement/accessPackages", typ: "accessPackage", rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) { return c.unexpanded(o, packageNav()...) },
	})
}

func getPackage(c *call) (answer, error) {
	p := c.t.ent.pkg(c.params["id"])
	if p == nil {
		return answer{}, itemNotFound("The access package '%s' is not found.", c.params["id"])
	}
	obj, err := c.unexpanded(c.t.packageView(p), packageNav()...)
	if err != nil {
		return answer{}, err
	}
	return ok(c.with("identityGovernance/entitlementManagement/accessPackages/$entity", obj))
}

func (t *tenant) policyView(p *packagePolicy) map[string]any {
	out := p.view()
	out["accessPackage"], out["catalog"] = p.pkg.view(), p.pkg.catalog.view()
	for _, name := range []string{"customExtensionStageSettings", "questions"} {
		if out[name] == nil {
			out[name] = []any{}
		}
	}
	return out
}

func policyNav() []string {
	return []string{"accessPackage", "catalog", "customExtensionStageSettings", "questions"}
}

func listPackagePolicies(c *call) (answer, error) {
	var rows []map[string]any
	for _, p := range c.t.ent.policies {
		rows = append(rows, c.t.policyView(p))
	}
	return c.list(listing{
		context: "identityGovernance/entitlementManagement/assignmentPolicies", typ: "accessPackageAssignmentPolicy", rows: sliceRows(rows),
		project: func(o map[string]any) (map[string]any, error) { return c.unexpanded(o, policyNav()...) },
	})
}

func getPackagePolicy(c *call) (answer, error) {
	p := c.t.ent.policy(c.params["id"])
	if p == nil {
		return answer{}, itemNotFound("The assignment policy '%s' is not found.", c.params["id"])
	}
	obj, err := c.unexpanded(c.t.policyView(p), policyNav()...)
	if err != nil {
		return answer{}, err
	}
	return ok(c.with("identityGovernance/entitlementManagement/assignmentPolicies/$entity", obj))
}

func createPackagePolicy(c *call) (answer, error) {
	pkg := c.t.ent.pkg(canonical(text(object(c.body, "accessPackage"), "id")))
	switch {
	case text(c.body, "displayName") == "":
		return answer{}, emInvalid("The property 'displayName' is required.")
	case pkg == nil:
		return answer{}, itemNotFound("The access package is not found.")
	}
	p := c.t.addPackagePolicy(pkg, maps.Clone(c.body))
	return created(c.with("identityGovernance/entitlementManagement/assignmentPolicies/$entity", p.view()))
}

func (t *tenant) addPackagePolicy(pkg *accessPackage, body map[string]any) *packagePolicy {
	p := &packagePolicy{id: t.dice.newID("package policy", pkg.id), pkg: pkg, body: body, created: t.present}
	t.ent.policies = append(t.ent.policies, p)
	return p
}

func getEntitlementSettings(c *call) (answer, error) {
	return ok(c.with("identityGovernance/entitlementManagement/settings/$entity", c.t.ent.settings))
}

func patchEntitlementSettings(c *call) (answer, error) {
	s := maps.Clone(c.t.ent.settings)
	for k, v := range c.body {
		if k != "id" && !strings.HasPrefix(k, "@") {
			s[k] = v
		}
	}
	c.t.ent.settings = s
	return noContent()
}

func listConnectedOrganizations(c *call) (answer, error) {
	return c.list(listing{
		context: "identityGovernance/entitlementManagement/connectedOrganizations", typ: "connectedOrganization", rows: sliceRows(c.t.ent.orgs),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

func createConnectedOrganization(c *call) (answer, error) {
	if text(c.body, "displayName") == "" {
		return answer{}, emInvalid("The property 'displayName' is required.")
	}
	o := maps.Clone(c.body)
	o["id"] = c.t.dice.newID("connected organization", text(o, "displayName"))
	o["createdDateTime"], o["modifiedDateTime"] = stamp(c.now), stamp(c.now)
	o["state"] = valueOr(o["state"], "configured")
	c.t.ent.orgs = append(c.t.ent.orgs, o)
	return created(c.with("identityGovernance/entitlementManagement/connectedOrganizations/$entity", o))
}
