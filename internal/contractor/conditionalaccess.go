package contractor

import (
	"encoding/json"
	"time"
)

// CAState says whether a conditional access policy acts on sign-ins.
type CAState string

// The states of a policy: its result is only written to the sign-in log (Graph: enabledForReportingButNotEnforced), it is
// enforced (enabled), or it does nothing (disabled).
const (
	CAReportOnly CAState = "report-only"
	CAOn         CAState = "on"
	CAOff        CAState = "off"
)

// Words that stand in the lists of a policy beside ids, as Graph writes them.
const (
	CAAll        = "All"        // users, applications, locations
	CAAllTrusted = "AllTrusted" // locations
	CABlock      = "block"      // grant control
	CAMFA        = "mfa"        // grant control
)

// CAPolicy is a conditional access policy as a tenant has it, or as the mapping declares it. The lists are sets of ids in small
// letters or of Graph's own words; a nil list is an empty one.
//
// A declared policy has no ID. Its Name is the mapping's, its locations are named as the mapping names them, and its strength
// is a name or an id.
type CAPolicy struct {
	ID         string     `json:"id,omitempty"`
	Name       string     `json:"name"` // displayName, or the declared name
	State      CAState    `json:"state"`
	Users      CAUsers    `json:"users"`
	Apps       CAApps     `json:"applications"`
	ClientApps []string   `json:"clientAppTypes,omitempty"` // all, browser, mobileAppsAndDesktopClients, exchangeActiveSync, other
	Locations  CAIncludes `json:"locations,omitzero"`       // ids of named locations, All, AllTrusted
	Platforms  CAIncludes `json:"platforms,omitzero"`
	Devices    CADevices  `json:"devices,omitzero"`
	SignInRisk []string   `json:"signInRiskLevels,omitempty"` // low, medium, high
	UserRisk   []string   `json:"userRiskLevels,omitempty"`
	Grant      CAGrant    `json:"grantControls,omitzero"`
	Session    CASession  `json:"sessionControls,omitzero"`
	Other      []string   `json:"other,omitempty"` // parts that are set and that this program does not declare, such as conditions.authenticationFlows
	Created    time.Time  `json:"-"`
	Line       int        `json:"line,omitempty"` // of the mapping; 0 for a tenant's
}

// CAIncludes is a condition with two sides: it holds for what is included and not excluded. Both empty: no such condition.
type CAIncludes struct {
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
}

// IsZero reports whether there is no such condition.
func (c CAIncludes) IsZero() bool { return len(c.Include) == 0 && len(c.Exclude) == 0 }

// CAUsers is whom a policy is for: everybody on an include side who is on no exclude side.
type CAUsers struct {
	IncludeUsers  []string `json:"includeUsers,omitempty"` // ids, All, None, GuestsOrExternalUsers
	ExcludeUsers  []string `json:"excludeUsers,omitempty"`
	IncludeGroups []string `json:"includeGroups,omitempty"`
	ExcludeGroups []string `json:"excludeGroups,omitempty"`
	IncludeRoles  []string `json:"includeRoles,omitempty"`
	ExcludeRoles  []string `json:"excludeRoles,omitempty"`
	IncludeGuests CAGuests `json:"includeGuests,omitzero"`
	ExcludeGuests CAGuests `json:"excludeGuests,omitzero"`
}

// CAGuests names external users by their type and home tenant.
type CAGuests struct {
	Types   []string `json:"types,omitempty"`   // b2bCollaborationGuest, otherExternalUser …
	Tenants []string `json:"tenants,omitempty"` // home tenant ids; empty: all
}

// IsZero reports whether nobody is named.
func (g CAGuests) IsZero() bool { return len(g.Types) == 0 }

// CAApps is what a policy protects.
type CAApps struct {
	Include []string `json:"include,omitempty"` // application ids, All, Office365, MicrosoftAdminPortals
	Exclude []string `json:"exclude,omitempty"`
}

// CADevices is a filter for devices.
type CADevices struct {
	Mode string `json:"mode,omitempty"` // include, exclude; "": no filter
	Rule string `json:"rule,omitempty"`
}

// CAGrant is what a sign-in must fulfil.
type CAGrant struct {
	Operator string   `json:"operator,omitempty"` // AND, OR; "" means AND
	Controls []string `json:"builtInControls,omitempty"`
	Strength string   `json:"authenticationStrength,omitempty"`
	Terms    []string `json:"termsOfUse,omitempty"` // ids of agreements
}

// IsZero reports whether nothing is asked for.
func (g CAGrant) IsZero() bool { return len(g.Controls) == 0 && g.Strength == "" && len(g.Terms) == 0 }

// CASession bounds the session that a sign-in begins.
type CASession struct {
	Frequency         time.Duration `json:"-"`                           // whole hours or days; 0: not bounded. In JSON "12h0m0s"
	EveryTime         bool          `json:"everyTime,omitempty"`         // signInFrequency of every time
	PersistentBrowser string        `json:"persistentBrowser,omitempty"` // never, always; "": the tenant's default
}

// IsZero reports whether the session is not bounded.
func (s CASession) IsZero() bool { return s == CASession{} }

// MarshalJSON writes the frequency as people do.
func (s CASession) MarshalJSON() ([]byte, error) {
	type plain CASession
	w := struct {
		plain
		Frequency string `json:"signInFrequency,omitempty"`
	}{plain: plain(s)}
	if s.Frequency > 0 {
		w.Frequency = s.Frequency.String()
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *CASession) UnmarshalJSON(b []byte) error {
	type plain CASession
	var w struct {
		plain
		Frequency string `json:"signInFrequency"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*s = CASession(w.plain)
	if w.Frequency == "" {
		return nil
	}
	d, err := time.ParseDuration(w.Frequency)
	s.Frequency = d
	return err
}

// LocationKind is the kind of a named location.
type LocationKind string

// Countries by the address's country, or ranges of addresses.
const (
	LocationCountries LocationKind = "countries"
	LocationRanges    LocationKind = "ip_ranges"
)

// NamedLocation is a named location as a tenant has it, or as the mapping declares it (no ID, the mapping's name).
type NamedLocation struct {
	ID             string       `json:"id,omitempty"`
	Name           string       `json:"name"`
	Kind           LocationKind `json:"kind"`
	Countries      []string     `json:"countries,omitempty"`      // two capital letters
	IncludeUnknown bool         `json:"includeUnknown,omitempty"` // addresses of no known country, too
	Lookup         string       `json:"lookup,omitempty"`         // clientIpAddress, authenticatorAppGps; countries only
	Ranges         []string     `json:"ranges,omitempty"`         // CIDR
	Trusted        bool         `json:"trusted,omitempty"`        // ranges only
	Line           int          `json:"line,omitempty"`
}

// AuthenticationStrength is a set of ways to sign in that a policy can ask for.
type AuthenticationStrength struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Custom bool   `json:"custom,omitempty"`
}

// TenantTrust is what the tenant takes over from another one at a guest's sign-in (cross-tenant access settings, inbound trust).
// A nil value is inherited from the default.
type TenantTrust struct {
	Tenant          string `json:"tenant"` // home tenant id; "" is the default for all
	MFA             *bool  `json:"mfa,omitempty"`
	CompliantDevice *bool  `json:"compliantDevice,omitempty"`
	HybridDevice    *bool  `json:"hybridDevice,omitempty"`
	// Partner says whether the tenant has a configuration of its own at all.
	Partner bool `json:"partner,omitempty"`
}

// CAGroup is what has to be known of a group before a policy may name it.
type CAGroup struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Found   bool   `json:"found"`
	Rule    string `json:"rule,omitempty"` // of a group with dynamic membership
	Members int    `json:"members"`        // internal users among its members, nested groups included
	Guests  int    `json:"guests"`         // guests among them
	Enabled int    `json:"enabled"`        // of all of them, those who can sign in
	// Capped says that there are more than were read.
	Capped bool `json:"capped,omitempty"`
}

// ConditionalAccess is what the mapping declares under conditional_access.
type ConditionalAccess struct {
	BreakGlassGroups []string      // excluded from every policy
	BreakGlassUsers  []string      // the same
	ReportOnlyFor    time.Duration // how long a policy is watched before it may be switched on
	Locations        []NamedLocation
	Policies         []CAPolicy
	Tenants          []PartnerTenant
	KeptGroups       map[string]string // the catalog's groups: Entra id to name. Only these can be a policy's scope
}

// PartnerTenant is a vendor's own Entra tenant.
type PartnerTenant struct {
	Name     string
	ID       string
	TrustMFA *bool // what inbound trust in its multifactor authentication is to be; nil: shown and left alone
	Line     int
}

// CAManaged is what the store remembers of a policy or location that this program keeps in the tenant.
type CAManaged struct {
	Kind string // policy, location
	Name string // as declared
	ID   string // in Entra; "" while only the intent to make it is known
	// Mine says that this program made it, so that it may delete it; false: it was found by its name and taken over.
	Mine bool
	// Written is the object as it was last written, JSON of CAPolicy or NamedLocation; nil: not yet.
	Written []byte
	// Watched is since when the policy has been in the tenant in its present form without being enforced or, once enforced,
	// since when it had been before; zero: not known.
	Watched time.Time
	Changed time.Time // when this row was last written
}
