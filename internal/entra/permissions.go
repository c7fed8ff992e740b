package entra

// Feature is a part of what the bridge can do, as far as it needs permissions of its own.
type Feature string

// The features.
const (
	FeatureGuests     Feature = "guests"     // find, invite, write, disable, revoke, delete, restore: always needed
	FeatureGroups     Feature = "groups"     // plain group membership, and the preflight of every group
	FeatureSchedules  Feature = "pim"        // PIM for Groups: memberships with an end of their own
	FeaturePackages   Feature = "packages"   // access packages
	FeatureLeaveDate  Feature = "leave-date" // employeeLeaveDateTime
	FeatureActivity   Feature = "activity"   // sign-in and audit logs
	FeatureMail       Feature = "mail"       // mails of our own through Graph (notify.sender: graph)
	FeaturePolicyRead Feature = "checks"     // doctor's look at invitation settings and conditional access
	FeaturePolicies   Feature = "policies"   // scimbridge policy apply: for an application of its own, not for the daemon's
)

// Features lists all features, in the order in which they are explained.
func Features() []Feature {
	return []Feature{FeatureGuests, FeatureGroups, FeatureSchedules, FeaturePackages, FeatureLeaveDate, FeatureActivity, FeatureMail, FeaturePolicyRead, FeaturePolicies}
}

// Permission is an application permission of Microsoft Graph.
type Permission struct {
	Name     string
	ID       string // app role id in the public cloud
	Why      string
	Optional bool // the feature works without it, with less
}

// GraphAppID is the application id of Microsoft Graph, whose app roles the permissions are.
const GraphAppID = "00000003-0000-0000-c000-000000000000"

// Permissions is the least set for a feature (graph.md 7.1).
func Permissions(f Feature) []Permission {
	switch f {
	case FeatureGuests:
		return []Permission{
			{Name: "User.ReadWrite.All", ID: "741f803b-c850-494e-b5df-cde7c675a1ca", Why: "look guests up, invite them, write their properties and sponsors, disable and delete them; there is no smaller one for properties and sponsors"},
			{Name: "User.RevokeSessions.All", ID: "77f3a031-c388-4f99-b373-dc68676a979e", Why: "revoke sessions at the end"},
			{Name: "User.DeleteRestore.All", ID: "eccc023d-eccf-4e7b-9683-8813ab36cecc", Why: "restore a guest whose contract is renewed"},
		}
	case FeatureGroups:
		return []Permission{{Name: "GroupMember.ReadWrite.All", ID: "dbaae8cf-10b5-4b86-a4a1-f871c94c6695", Why: "read groups, add and remove members"}}
	case FeatureSchedules:
		return []Permission{
			{Name: "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup", ID: "41202f2c-f7ab-45be-b001-85c9728b9d69", Why: "give memberships that Entra ends by itself"},
			{Name: "RoleManagementPolicy.Read.AzureADGroup", ID: "69e67828-780e-47fd-b28c-7b27d14864e6", Why: "know a group's longest assignment before asking for more", Optional: true},
		}
	case FeaturePackages:
		return []Permission{{Name: "EntitlementManagement.ReadWrite.All", ID: "9acd699f-1e81-4958-b001-93b1d2506e19", Why: "assign, move and remove access packages"}}
	case FeatureLeaveDate:
		return []Permission{{Name: "User-LifeCycleInfo.ReadWrite.All", ID: "925f1248-0f97-47b9-8ec8-538c54e01325", Why: "write employeeLeaveDateTime"}}
	case FeatureActivity:
		return []Permission{{Name: "AuditLog.Read.All", ID: "b0afded3-3588-46d8-8b3d-9842eff778da", Why: "read sign-ins of guests and changes made to them by others"}}
	case FeatureMail:
		return []Permission{{Name: "Mail.Send", ID: "b633e1c5-b582-4048-a93e-9f11b44c7e96", Why: "send mails to sponsors from one mailbox; bound it to that mailbox (docs/sponsors.md)"}}
	case FeaturePolicies:
		return []Permission{
			{Name: "Policy.Read.All", ID: "246dd0d5-5bd0-4def-940b-0421030a5b68", Why: "read conditional access policies, named locations and trust settings"},
			{Name: "Policy.ReadWrite.ConditionalAccess", ID: "01c0a623-fc9b-48e9-b794-0756f8e8f067", Why: "write our conditional access policies and named locations"},
			{Name: "GroupMember.Read.All", ID: "98830695-27a2-44f7-8c18-0c3ebc9698f6", Why: "see that a policy's group holds guests only"},
			{Name: "User.Read.All", ID: "df021288-bdef-4463-88db-98f22de89214", Why: "see that break-glass accounts exist and can sign in"},
			{Name: "Policy.ReadWrite.CrossTenantAccess", ID: "338163d7-f101-4c92-94ba-ca46fe52447c", Why: "trust the multifactor authentication of vendors' tenants, where the mapping says so", Optional: true},
		}
	case FeaturePolicyRead:
		return []Permission{{Name: "Policy.Read.All", ID: "246dd0d5-5bd0-4def-940b-0421030a5b68", Why: "check that invitations are allowed and that conditional access bounds sessions", Optional: true}}
	}
	return nil
}

// covers lists permissions that include another one.
func covers(name string) []string {
	switch name {
	case "User.ReadWrite.All":
		return []string{"Directory.ReadWrite.All"}
	case "GroupMember.ReadWrite.All":
		return []string{"Group.ReadWrite.All", "Directory.ReadWrite.All"}
	case "User.DeleteRestore.All":
		return []string{"Directory.ReadWrite.All"}
	case "User.RevokeSessions.All":
		return []string{"Directory.ReadWrite.All"}
	case "RoleManagementPolicy.Read.AzureADGroup":
		return []string{"RoleManagementPolicy.ReadWrite.AzureADGroup", "RoleManagement.Read.All"}
	}
	return nil
}

// forbidden are permissions that the bridge must never hold: each makes its credential a key to the tenant.
func forbidden() []string {
	return []string{
		"RoleManagement.ReadWrite.Directory", "AppRoleAssignment.ReadWrite.All", "Application.ReadWrite.All",
		"Directory.ReadWrite.All", "PrivilegedAccess.ReadWrite.AzureAD", "RoleManagement.ReadWrite.All",
	}
}
