package emulator

import "net/http"

// operations is the table of everything that is served, with the application
// permissions of each operation, least privilege first.
func operations() []*operation {
	var all []*operation
	for _, group := range [][]*operation{
		userOperations(), userReferenceOperations(), deletedOperations(), groupOperations(), pimOperations(),
		entitlementOperations(), conditionalOperations(), policyOperations(), logOperations(), otherOperations(),
	} {
		all = append(all, group...)
	}
	return all
}

const (
	get  = http.MethodGet
	post = http.MethodPost
	put  = http.MethodPut
	pat  = http.MethodPatch
	del  = http.MethodDelete
)

func readUsers() []string {
	return []string{"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
}

func writeUsers() []string { return []string{"User.ReadWrite.All", "Directory.ReadWrite.All"} }

func deleteUsers() []string {
	return []string{"User.DeleteRestore.All", "User.ReadWrite.All", "Directory.ReadWrite.All"}
}

func readMembership() []string {
	return append([]string{"User.Read.All", "User.ReadWrite.All"}, groupReaders()...)
}

func writeMembers() []string {
	return []string{"GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"}
}

// patchers may change at least one property of a user; which one is checked later.
func patchers() []string {
	return append(writeUsers(),
		"User.EnableDisableAccount.All+User.Read.All", "User-LifeCycleInfo.ReadWrite.All+User.Read.All",
		"User-LifeCycleInfo.ReadWrite.All+User.ReadWrite.All", "CustomSecAttributeAssignment.ReadWrite.All+User.Read.All",
		"User-Mail.ReadWrite.All", "User-Phone.ReadWrite.All", "User.ManageIdentities.All")
}

func userOperations() []*operation {
	inviters := append([]string{"User.Invite.All"}, writeUsers()...)
	return []*operation{
		{id: "invitation.create", method: post, path: "/invitations", body: "invitation", inline: []string{"invitedUserSponsors", "invitedUser"}, permissions: inviters, success: 201, serve: invite},
		{id: "user.list", method: get, path: "/users", permissions: readUsers(), ru: 2, success: 200, serve: listUsers},
		{id: "user.create", method: post, path: "/users", body: "user", permissions: writeUsers(), success: 201, serve: createUser},
		{id: "user.get", method: get, path: "/users/{id}", permissions: readUsers(), success: 200, serve: getUser},
		{id: "user.update", method: pat, path: "/users/{id}", body: "user", permissions: patchers(), success: 204, serve: patchUser},
		{id: "user.delete", method: del, path: "/users/{id}", permissions: deleteUsers(), success: 204, serve: deleteUser},
		{id: "user.revoke", method: post, path: "/users/{id}/revokeSignInSessions", permissions: []string{"User.RevokeSessions.All", "Directory.ReadWrite.All"}, success: 200, serve: revokeSessions},
		{id: "user.delta", method: get, path: "/users/delta", permissions: readUsers(), success: 200, serve: usersDelta},
		{id: "user.memberOf", method: get, path: "/users/{id}/memberOf", permissions: readMembership(), ru: 2, success: 200, serve: listMemberOf},
		{id: "user.memberOf.cast", method: get, path: "/users/{id}/memberOf/{cast}", permissions: readMembership(), ru: 2, success: 200, serve: listMemberOf},
		{id: "user.transitiveMemberOf.all", method: get, path: "/users/{id}/transitiveMemberOf", permissions: readMembership(), ru: 2, success: 200, serve: listTransitiveMemberOf},
		{id: "user.transitiveMemberOf", method: get, path: "/users/{id}/transitiveMemberOf/{cast}", permissions: readMembership(), ru: 2, success: 200, serve: listTransitiveMemberOf},
		{id: "user.checkMemberGroups", method: post, path: "/users/{id}/checkMemberGroups", body: "(any)", permissions: readMembership(), ru: 4, success: 200, serve: checkMemberGroups},
		{id: "user.getMemberGroups", method: post, path: "/users/{id}/getMemberGroups", body: "(any)", permissions: readMembership(), ru: 2, success: 200, serve: getMemberGroups},
		{id: "object.checkMemberGroups", method: post, path: "/directoryObjects/{id}/checkMemberGroups", body: "(any)", permissions: readMembership(), ru: 4, success: 200, serve: checkMemberGroups},
		{id: "object.getByIds", method: post, path: "/directoryObjects/getByIds", body: "(any)", permissions: []string{"Directory.Read.All", "User.Read.All", "GroupMember.Read.All", "User.ReadWrite.All"}, ru: 3, success: 200, serve: getByIds},
	}
}

func userReferenceOperations() []*operation {
	return []*operation{
		{id: "user.sponsors.list", method: get, path: "/users/{id}/sponsors", permissions: readUsers(), success: 200, serve: listSponsors},
		{id: "user.sponsors.add", method: post, path: "/users/{id}/sponsors/$ref", body: "(reference)", permissions: writeUsers(), success: 204, serve: addSponsor},
		{id: "user.sponsors.remove", method: del, path: "/users/{id}/sponsors/{sponsorId}/$ref", permissions: writeUsers(), success: 204, serve: removeSponsor},
		{id: "user.manager.get", method: get, path: "/users/{id}/manager", permissions: readUsers(), success: 200, serve: getManager},
		{id: "user.manager.set", method: put, path: "/users/{id}/manager/$ref", body: "(reference)", permissions: writeUsers(), success: 204, serve: setManager},
		{id: "user.manager.remove", method: del, path: "/users/{id}/manager/$ref", permissions: writeUsers(), success: 204, serve: removeManager},
	}
}

func deletedOperations() []*operation {
	return []*operation{
		{id: "deleted.list", method: get, path: "/directory/deletedItems/microsoft.graph.user", permissions: readUsers(), success: 200, serve: listDeleted},
		{id: "deleted.get", method: get, path: "/directory/deletedItems/{id}", permissions: readUsers(), success: 200, serve: getDeleted},
		{id: "deleted.restore", method: post, path: "/directory/deletedItems/{id}/restore", permissions: deleteUsers(), success: 200, serve: restoreDeleted},
		{id: "deleted.purge", method: del, path: "/directory/deletedItems/{id}", permissions: deleteUsers(), success: 204, serve: purgeDeleted},
	}
}

func groupOperations() []*operation {
	return []*operation{
		{id: "group.list", method: get, path: "/groups", permissions: groupReaders(), success: 200, serve: listGroups},
		{id: "group.get", method: get, path: "/groups/{id}", permissions: groupReaders(), success: 200, serve: getGroup},
		{id: "group.members.addMany", method: pat, path: "/groups/{id}", body: "group", inline: []string{"members@odata.bind"}, permissions: writeMembers(), success: 204, serve: patchGroup},
		{id: "group.owners.list", method: get, path: "/groups/{id}/owners", permissions: groupReaders(), success: 200, serve: listOwners},
		{id: "group.members.list", method: get, path: "/groups/{id}/members", permissions: groupReaders(), ru: 3, success: 200, serve: listMembers},
		{id: "group.members.list.cast", method: get, path: "/groups/{id}/members/{cast}", permissions: groupReaders(), ru: 3, success: 200, serve: listMembers},
		{id: "group.transitiveMembers.list", method: get, path: "/groups/{id}/transitiveMembers", permissions: groupReaders(), ru: 5, success: 200, serve: listTransitiveMembers},
		{id: "group.transitiveMembers.list.cast", method: get, path: "/groups/{id}/transitiveMembers/{cast}", permissions: groupReaders(), ru: 5, success: 200, serve: listTransitiveMembers},
		{id: "group.members.add", method: post, path: "/groups/{id}/members/$ref", body: "(reference)", permissions: writeMembers(), success: 204, serve: addMember},
		{id: "group.members.remove", method: del, path: "/groups/{id}/members/{memberId}/$ref", permissions: writeMembers(), success: 204, serve: removeMember},
		{id: "group.members.getRef", method: get, path: "/groups/{id}/members/{memberId}/$ref", permissions: groupReaders(), success: 200, serve: memberRef},
		{id: "group.members.deleteObject", method: del, path: "/groups/{id}/members/{memberId}", permissions: deleteUsers(), success: 204, serve: deleteMemberObject},
		{id: "group.delta", method: get, path: "/groups/delta", permissions: groupReaders(), success: 200, serve: groupsDelta},
	}
}

func pimOperations() []*operation {
	const base = "/identityGovernance/privilegedAccess/group/"
	read := []string{
		"PrivilegedAssignmentSchedule.Read.AzureADGroup", "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup", "PrivilegedAccess.Read.AzureADGroup",
	}
	readEligible := []string{
		"PrivilegedEligibilitySchedule.Read.AzureADGroup", "PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup", "PrivilegedAccess.Read.AzureADGroup",
	}
	readPolicy := []string{
		"RoleManagementPolicy.Read.AzureADGroup", "RoleManagementPolicy.ReadWrite.AzureADGroup", "RoleManagement.Read.Directory", "RoleManagement.Read.All",
	}
	writePolicy := []string{"RoleManagementPolicy.ReadWrite.AzureADGroup"}
	all := []*operation{
		{id: "pim.request.create", method: post, path: base + "assignmentScheduleRequests", body: "privilegedAccessGroupAssignmentScheduleRequest", permissions: pimRemovers(), success: 201, serve: createAssignmentRequest},
		{id: "pim.request.list", method: get, path: base + "assignmentScheduleRequests", permissions: read, success: 200, serve: listAssignmentRequests},
		{id: "pim.request.get", method: get, path: base + "assignmentScheduleRequests/{id}", permissions: read, success: 200, serve: getPIMRequest},
		{id: "pim.request.cancel", method: post, path: base + "assignmentScheduleRequests/{id}/cancel", permissions: pimWriters(false), success: 204, serve: cancelPIMRequest},
		{id: "pim.schedule.list", method: get, path: base + "assignmentSchedules", permissions: read, success: 200, serve: listAssignmentSchedules},
		{id: "pim.schedule.get", method: get, path: base + "assignmentSchedules/{id}", permissions: read, success: 200, serve: getSchedule},
		{id: "pim.instance.list", method: get, path: base + "assignmentScheduleInstances", permissions: read, success: 200, serve: listAssignmentInstances},
		{id: "pim.eligibility.create", method: post, path: base + "eligibilityScheduleRequests", body: "privilegedAccessGroupEligibilityScheduleRequest", permissions: pimWriters(true), success: 201, serve: createEligibilityRequest},
		{id: "pim.eligibility.list", method: get, path: base + "eligibilityScheduleRequests", permissions: readEligible, success: 200, serve: listEligibilityRequests},
		{id: "pim.eligibility.schedules", method: get, path: base + "eligibilitySchedules", permissions: readEligible, success: 200, serve: listEligibilitySchedules},
		{id: "pim.eligibility.instances", method: get, path: base + "eligibilityScheduleInstances", permissions: readEligible, success: 200, serve: listEligibilityInstances},
		{id: "pim.policyAssignment.list", method: get, path: "/policies/roleManagementPolicyAssignments", permissions: readPolicy, success: 200, serve: listPolicyAssignments},
		{id: "pim.policy.get", method: get, path: "/policies/roleManagementPolicies/{id}", permissions: readPolicy, success: 200, serve: getRolePolicy},
		{id: "pim.policy.rule.update", method: pat, path: "/policies/roleManagementPolicies/{id}/rules/{ruleId}", body: "unifiedRoleManagementPolicyRule", permissions: writePolicy, success: 204, serve: patchPolicyRule},
	}
	return withService(governance, all)
}

func withService(s service, ops []*operation) []*operation {
	for _, op := range ops {
		op.service = s
	}
	return ops
}

func entitlementOperations() []*operation {
	const base = "/identityGovernance/entitlementManagement/"
	read := []string{"EntitlementManagement.Read.All", "EntitlementManagement.ReadWrite.All"}
	write := []string{"EntitlementManagement.ReadWrite.All"}
	return withService(governance, []*operation{
		{id: "em.catalog.list", method: get, path: base + "catalogs", permissions: read, success: 200, serve: listCatalogs},
		{id: "em.package.list", method: get, path: base + "accessPackages", permissions: read, success: 200, serve: listPackages},
		{id: "em.package.get", method: get, path: base + "accessPackages/{id}", permissions: read, success: 200, serve: getPackage},
		{id: "em.policy.list", method: get, path: base + "assignmentPolicies", permissions: read, success: 200, serve: listPackagePolicies},
		{id: "em.policy.get", method: get, path: base + "assignmentPolicies/{id}", permissions: read, success: 200, serve: getPackagePolicy},
		{id: "em.policy.create", method: post, path: base + "assignmentPolicies", body: "accessPackageAssignmentPolicy", inline: []string{"accessPackage", "questions"}, permissions: write, success: 201, serve: createPackagePolicy},
		{id: "em.request.create", method: post, path: base + "assignmentRequests", body: "accessPackageAssignmentRequest", inline: []string{"assignment"}, permissions: write, success: 201, serve: createPackageRequest},
		{id: "em.request.list", method: get, path: base + "assignmentRequests", permissions: read, success: 200, serve: listPackageRequests},
		{id: "em.request.get", method: get, path: base + "assignmentRequests/{id}", permissions: read, success: 200, serve: getPackageRequest},
		{id: "em.request.reprocess", method: post, path: base + "assignmentRequests/{id}/reprocess", permissions: write, success: 202, serve: reprocessPackageRequest},
		{id: "em.request.delete", method: del, path: base + "assignmentRequests/{id}", permissions: write, success: 204, serve: deletePackageRequest},
		{id: "em.request.cancel", method: post, path: base + "assignmentRequests/{id}/cancel", delegated: true, success: 204, serve: cancelPackageRequest},
		{id: "em.assignment.list", method: get, path: base + "assignments", permissions: read, success: 200, serve: listAssignments},
		{id: "em.assignment.get", method: get, path: base + "assignments/{id}", permissions: read, success: 200, serve: getAssignment},
		{id: "em.settings.get", method: get, path: base + "settings", permissions: read, success: 200, serve: getEntitlementSettings},
		{id: "em.settings.update", method: pat, path: base + "settings", body: "entitlementManagementSettings", permissions: write, success: 204, serve: patchEntitlementSettings},
		{id: "em.connectedOrg.list", method: get, path: base + "connectedOrganizations", permissions: read, success: 200, serve: listConnectedOrganizations},
		{id: "em.connectedOrg.create", method: post, path: base + "connectedOrganizations", body: "connectedOrganization", permissions: write, success: 201, serve: createConnectedOrganization},
	})
}

func conditionalOperations() []*operation {
	const base = "/identity/conditionalAccess/"
	read := []string{"Policy.Read.All", "Policy.Read.ConditionalAccess", "Policy.ReadWrite.ConditionalAccess+Policy.Read.All"}
	write := []string{"Policy.Read.All+Policy.ReadWrite.ConditionalAccess"}
	return withService(conditions, []*operation{
		{id: "ca.policy.list", method: get, path: base + "policies", permissions: read, success: 200, serve: listCAPolicies},
		{id: "ca.policy.get", method: get, path: base + "policies/{id}", permissions: read, success: 200, serve: getCAPolicy},
		{id: "ca.policy.create", method: post, path: base + "policies", body: "conditionalAccessPolicy", permissions: write, success: 201, serve: createCAPolicy},
		{id: "ca.policy.update", method: pat, path: base + "policies/{id}", body: "conditionalAccessPolicy", permissions: write, success: 204, serve: patchCAPolicy},
		{id: "ca.policy.delete", method: del, path: base + "policies/{id}", permissions: write, success: 204, serve: deleteCAPolicy},
		{id: "ca.location.list", method: get, path: base + "namedLocations", permissions: read, success: 200, serve: listLocations},
		{id: "ca.location.get", method: get, path: base + "namedLocations/{id}", permissions: read, success: 200, serve: getLocation},
		{id: "ca.location.create", method: post, path: base + "namedLocations", body: "namedLocation", permissions: write, success: 201, serve: createLocation},
		{id: "ca.location.update", method: pat, path: base + "namedLocations/{id}", body: "namedLocation", permissions: write, success: 204, serve: patchLocation},
		{id: "ca.location.delete", method: del, path: base + "namedLocations/{id}", permissions: write, success: 204, serve: deleteLocation},
	})
}

func policyOperations() []*operation {
	const xtap = "/policies/crossTenantAccessPolicy/"
	const strengths = "/policies/authenticationStrengthPolicies"
	read := []string{"Policy.Read.All"}
	write := []string{"Policy.ReadWrite.CrossTenantAccess"}
	readStrength := []string{"Policy.Read.AuthenticationMethod", "Policy.Read.All", "Policy.Read.ConditionalAccess"}
	writeStrength := []string{"Policy.ReadWrite.ConditionalAccess", "Policy.ReadWrite.AuthenticationMethod"}
	return withService(governance, []*operation{
		{id: "policy.authorization.get", method: get, path: "/policies/authorizationPolicy", permissions: read, success: 200, serve: getAuthorizationPolicy},
		{id: "xtap.default.get", method: get, path: xtap + "default", permissions: append(read, write...), success: 200, serve: getCrossTenantDefault},
		{id: "xtap.default.update", method: pat, path: xtap + "default", body: "crossTenantAccessPolicyConfigurationDefault", permissions: write, success: 204, serve: patchCrossTenantDefault},
		{id: "xtap.partner.list", method: get, path: xtap + "partners", permissions: append(read, write...), success: 200, serve: listPartners},
		{id: "xtap.partner.get", method: get, path: xtap + "partners/{id}", permissions: append(read, write...), success: 200, serve: getPartner},
		{id: "xtap.partner.create", method: post, path: xtap + "partners", body: "crossTenantAccessPolicyConfigurationPartner", permissions: write, success: 201, serve: createPartner},
		{id: "xtap.partner.update", method: pat, path: xtap + "partners/{id}", body: "crossTenantAccessPolicyConfigurationPartner", permissions: write, success: 204, serve: patchPartner},
		{id: "xtap.partner.delete", method: del, path: xtap + "partners/{id}", permissions: write, success: 204, serve: deletePartner},
		{id: "ca.strength.list", method: get, path: strengths, permissions: readStrength, success: 200, serve: listStrengths},
		{id: "ca.strength.get", method: get, path: strengths + "/{id}", permissions: readStrength, success: 200, serve: getStrength},
		{id: "ca.strength.create", method: post, path: strengths, body: "authenticationStrengthPolicy", permissions: writeStrength, success: 201, serve: createStrength},
		{id: "ca.strength.update", method: post, path: strengths + "/{id}/updateAllowedCombinations", body: "(any)", permissions: writeStrength, success: 200, serve: updateCombinations},
	})
}

func logOperations() []*operation {
	read := []string{"AuditLog.Read.All"}
	return withService(reports, []*operation{
		{id: "audit.directory.list", method: get, path: "/auditLogs/directoryAudits", permissions: read, success: 200, serve: listAudits},
		{id: "audit.directory.get", method: get, path: "/auditLogs/directoryAudits/{id}", permissions: read, success: 200, serve: getAudit},
		{id: "audit.signIns.list", method: get, path: "/auditLogs/signIns", permissions: read, success: 200, serve: listSignIns},
		{id: "audit.signIns.get", method: get, path: "/auditLogs/signIns/{id}", permissions: read, success: 200, serve: getSignIn},
	})
}
