package scim

// profile is what a kind of client is known to do, as defaults under the vendor's own settings.
type profile struct {
	ignoreGroups bool // its connection test writes groups and fails on a refusal
	makes        bool // its replace with a filter expects a missing value to be made
}

// profileOf finds a profile by the name that the mapping file uses.
func profileOf(name string) (profile, bool) {
	switch name {
	case "", "okta", "sap-ips", "pingfederate", "rippling":
		return profile{}, true
	case "entra":
		return profile{makes: true}, true
	case "jumpcloud":
		return profile{ignoreGroups: true}, true
	}
	return profile{}, false
}
