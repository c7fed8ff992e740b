package emulator

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Config says what kind of tenant to play. The zero value is a usable, unkind
// tenant; every field is optional.
type Config struct {
	// Seed decides every random choice. The same seed and the same calls give the
	// same answers.
	Seed uint64
	// Now is the clock, default time.Now. [Emulator.AdvanceClock] adds to it.
	Now func() time.Time

	TenantID        string   // default 7e57ab1e-0000-4000-8000-00000000c0de
	InitialDomain   string   // default contoso.onmicrosoft.example
	VerifiedDomains []string // default contoso.example; InitialDomain always counts
	BlockedDomains  []string // domains that the external collaboration settings refuse

	ClientID     string // application that may ask for tokens; default 5c1b1d9e-0000-4000-8000-00000000c1e7
	ClientSecret string // default "emulator-secret"
	// Certificates may sign client assertions instead of the secret.
	Certificates []*x509.Certificate
	// Federated lists external issuers whose tokens are taken as client assertions.
	Federated []FederatedCredential
	// ManagedIdentityHeader, when set, serves managed identity tokens (App Service
	// protocol) at /msi/token of the login handler to callers that send this header.
	ManagedIdentityHeader string
	// Permissions are the application permissions with admin consent. Default: the
	// least set for every feature that is emulated. Use an empty, non-nil slice for none.
	Permissions []string
	// TokenLifetime of access tokens, default 1 h.
	TokenLifetime time.Duration

	// Licence of the tenant, default P2. PIM and entitlement management want P2, conditional
	// access and the sign-in log P1.
	Licence Licence

	// PageSize is the longest page of any list, default 3.
	PageSize int
	// LogPageSize is the longest page of auditLogs, which allow five requests in ten
	// seconds. Default 50; the service's own is 1,000.
	LogPageSize int
	// Lag is the upper bound of replication delay, drawn anew for each write.
	// Default 1.5 s; negative means none.
	Lag time.Duration
	// Throttle is the chance per call of a 429 that no limit explains. Default 0.03;
	// negative means never.
	Throttle float64
	// ServerError is the chance per call of a 500, 502, 503 or 504. Half of them took
	// effect all the same. Default 0.01; negative means never.
	ServerError float64

	// Quota are the limits; zero fields take the documented figures.
	Quota Quota

	// AdminCap is the longest active assignment that a group's PIM policy allows
	// unless the group says otherwise. Default 180 days; negative means no cap.
	AdminCap time.Duration
	// EntitlementDelay is the upper bound of each stage of an access package
	// delivery. Default 2 s; negative means none.
	EntitlementDelay time.Duration
	// ProvisioningDelay is the upper bound of the time that a PIM request stays
	// pending when it is not provisioned at once. Default Lag.
	ProvisioningDelay time.Duration
	// AuditDelay is the upper bound of the time until a log entry can be read.
	// Default Lag. The service needs minutes.
	AuditDelay time.Duration
	// FiveMinutes is how long PIM refuses to remove a fresh assignment, and the
	// shortest assignment it takes. Default 5 min; negative means no such rule.
	FiveMinutes time.Duration
	// Retention of soft-deleted users, default 30 days.
	Retention time.Duration

	// Unknowns fixes behaviours that the documentation leaves open. What is left
	// Either is decided by the seed.
	Unknowns Unknowns

	// MaxCalls is how many calls are kept for [Emulator.Calls], default 100,000. The
	// report counts all of them.
	MaxCalls int
}

// Licence is the Entra ID edition of the tenant.
type Licence string

// The editions that make a difference here.
const (
	LicenceP2   Licence = "P2"
	LicenceP1   Licence = "P1"
	LicenceFree Licence = "Free"
)

// FederatedCredential is a trust in tokens of another issuer (workload identity
// federation).
type FederatedCredential struct {
	Issuer, Subject string
	Audience        string // default api://AzureADTokenExchange
	Key             any    // *rsa.PublicKey or *ecdsa.PublicKey that signs the issuer's tokens
}

// Default identities of the emulated tenant and application.
const (
	DefaultTenantID     = "7e57ab1e-0000-4000-8000-00000000c0de"
	DefaultClientID     = "5c1b1d9e-0000-4000-8000-00000000c1e7"
	DefaultClientSecret = "emulator-secret"
	DefaultDomain       = "contoso.onmicrosoft.example"
)

// DefaultPermissions returns the least privileges that together allow every
// operation a bridge for guests needs (one per feature, none of them wider than
// the feature).
func DefaultPermissions() []string {
	return []string{
		"User.Invite.All", "User.Read.All", "User.ReadWrite.All",
		"User-LifeCycleInfo.ReadWrite.All", "User.EnableDisableAccount.All",
		"User.RevokeSessions.All", "User.DeleteRestore.All",
		"CustomSecAttributeAssignment.ReadWrite.All",
		"GroupMember.ReadWrite.All",
		"PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup",
		"RoleManagementPolicy.Read.AzureADGroup",
		"EntitlementManagement.ReadWrite.All",
		"Policy.ReadWrite.ConditionalAccess", "Policy.Read.All",
		"Policy.ReadWrite.CrossTenantAccess",
		"AuditLog.Read.All", "Mail.Send",
	}
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.TenantID = or(c.TenantID, DefaultTenantID)
	c.InitialDomain = or(c.InitialDomain, DefaultDomain)
	if c.VerifiedDomains == nil {
		c.VerifiedDomains = []string{"contoso.example"}
	}
	if !slices.Contains(c.VerifiedDomains, c.InitialDomain) {
		c.VerifiedDomains = append(slices.Clone(c.VerifiedDomains), c.InitialDomain)
	}
	c.ClientID = or(c.ClientID, DefaultClientID)
	c.ClientSecret = or(c.ClientSecret, DefaultClientSecret)
	if c.Permissions == nil {
		c.Permissions = DefaultPermissions()
	}
	c.TokenLifetime = or(c.TokenLifetime, time.Hour)
	c.Licence = or(c.Licence, LicenceP2)
	c.PageSize = or(c.PageSize, 3)
	c.LogPageSize = or(c.LogPageSize, 50)
	c.Lag = orNone(c.Lag, 1500*time.Millisecond)
	c.Throttle = orNone(c.Throttle, 0.03)
	c.ServerError = orNone(c.ServerError, 0.01)
	c.Quota = c.Quota.withDefaults()
	c.AdminCap = orNone(c.AdminCap, 180*24*time.Hour)
	c.EntitlementDelay = orNone(c.EntitlementDelay, 2*time.Second)
	c.ProvisioningDelay = orNone(c.ProvisioningDelay, c.Lag)
	c.AuditDelay = orNone(c.AuditDelay, c.Lag)
	c.FiveMinutes = orNone(c.FiveMinutes, 5*time.Minute)
	c.Retention = or(c.Retention, 30*24*time.Hour)
	c.MaxCalls = or(c.MaxCalls, 100_000)
	return c
}

func (c Config) validate() error {
	var errs []error
	for name, id := range map[string]string{"TenantID": c.TenantID, "ClientID": c.ClientID} {
		if _, err := uuid.Parse(id); err != nil {
			errs = append(errs, fmt.Errorf("%s %q is not a GUID", name, id))
		}
	}
	if !strings.Contains(c.InitialDomain, ".") {
		errs = append(errs, fmt.Errorf("InitialDomain %q is not a domain", c.InitialDomain))
	}
	if c.Licence != LicenceP2 && c.Licence != LicenceP1 && c.Licence != LicenceFree {
		errs = append(errs, fmt.Errorf("Licence %q is not P2, P1 or Free", c.Licence))
	}
	if c.PageSize < 1 || c.PageSize > 999 || c.LogPageSize < 1 || c.LogPageSize > 1000 {
		errs = append(errs, fmt.Errorf("PageSize %d is not between 1 and 999, or LogPageSize %d not between 1 and 1000", c.PageSize, c.LogPageSize))
	}
	if c.Throttle > 1 || c.ServerError > 1 {
		errs = append(errs, fmt.Errorf("the chances Throttle %g and ServerError %g must not be above 1", c.Throttle, c.ServerError))
	}
	if c.MaxCalls < 0 || c.Retention < 0 || c.TokenLifetime < 0 {
		errs = append(errs, errors.New("negative values make no sense for MaxCalls, Retention and TokenLifetime"))
	}
	return errors.Join(errs...)
}

// or returns v, or def when v is the zero value.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// orNone returns def for zero and zero for a negative v: zero fields of Config
// mean the default, negative ones switch the thing off.
func orNone[T float64 | time.Duration](v, def T) T {
	switch {
	case v == 0:
		return def
	case v < 0:
		return 0
	}
	return v
}
