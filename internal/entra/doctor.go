package entra

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// CheckLevel is the outcome of a check.
type CheckLevel string

// The outcomes. Fail: something does not work. Warn: it works, but less well or less safely than it could.
const (
	CheckOK   CheckLevel = "ok"
	CheckWarn CheckLevel = "warn"
	CheckFail CheckLevel = "fail"
)

// Check is one finding of Doctor: one line for the operator. It holds no personal data.
type Check struct {
	Area   string     `json:"area"` // token, clock, permission, invitations, group, package, licence, billing, sponsor, mail, certificate, quota
	Level  CheckLevel `json:"level"`
	Found  string     `json:"found"`         // what was seen
	Action string     `json:"action"`        // what to do; "" if nothing
	Name   string     `json:"name"`          // of the thing, such as the permission's or the catalog's
	Code   string     `json:"code,omitzero"` // Graph's error code

	Longest time.Duration `json:"-"` // of one assignment, by the group's PIM policy or the package's; 0: not limited, or not known
}

// DoctorConfig says what the mapping uses, so that nothing else is asked for.
type DoctorConfig struct {
	Catalog   []contractor.Entitlement
	Sponsors  []string      // references that the mapping names literally: addresses, object ids, group:<id>
	LeaveDate bool          // the mapping writes employeeLeaveDateTime
	Activity  bool          // the logs are watched
	Mailbox   string        // mails of our own are sent from it through Graph; "": they are not
	Policies  bool          // the mapping declares conditional access
	NotAfter  time.Time     // end of the certificate in use; zero: none
	MaxSkew   time.Duration // default 5 min
}

// certificateSoon is how long before its end a certificate is worth a word.
const certificateSoon = 30 * 24 * time.Hour

// Doctor looks at everything outside this program that its work on Entra depends on, and changes nothing. It makes a few calls
// per catalog entry, at the lowest priority.
func (c *Client) Doctor(ctx context.Context, d DoctorConfig) []Check {
	ctx = contractor.WithPriority(ctx, contractor.PrioritySweep)
	if d.MaxSkew == 0 {
		d.MaxSkew = 5 * time.Minute
	}
	x := &examination{c: c, d: d}
	if !x.token(ctx) {
		return x.found
	}
	x.invitations(ctx) // the first call: it tells the time, too
	x.clock()
	x.permissions()
	for _, e := range d.Catalog {
		switch e.Kind {
		case contractor.KindGroup:
			x.group(ctx, e)
		case contractor.KindAccessPackage:
			x.pack(ctx, e)
		}
	}
	x.licences(ctx)
	for _, s := range d.Sponsors {
		x.sponsor(ctx, s)
	}
	if d.Mailbox != "" {
		x.mailbox(ctx)
	}
	x.certificate(time.Now())
	x.quota()
	return x.found
}

type examination struct {
	c     *Client
	d     DoctorConfig
	roles []string // of the token; nil: not readable
	found []Check
}

func (x *examination) add(level CheckLevel, area, name, found, action string) {
	x.found = append(x.found, Check{Area: area, Level: level, Name: name, Found: found, Action: action})
}

func (x *examination) fail(area, name, what string, err error) {
	action := "run scimbridge doctor again later"
	code := ""
	level := CheckFail
	if f, ok := asFailure(err); ok {
		action, code = f.Message, f.Code
		if f.Verdict == contractor.VerdictThrottled { // the daemon at work is no fault: nothing was found out
			level, action = CheckWarn, "Graph's quota is used by somebody at the moment; run scimbridge doctor again in a minute"
		}
	}
	x.found = append(x.found, Check{Area: area, Level: level, Name: name, Found: what, Action: action, Code: code})
}

// token fetches one and reads the permissions in it.
func (x *examination) token(ctx context.Context) bool {
	raw, err := x.c.auth.current(ctx, "")
	if err != nil {
		f := &contractor.Failure{Op: "token", Cause: err}
		if t, ok := errors.AsType[*tokenError](err); ok {
			tokenFailure(f, t)
		}
		x.add(CheckFail, "token", "", "no access token", or(f.Message, "check the network and entra.login_url"))
		return false
	}
	x.roles = rolesOf(raw)
	x.add(CheckOK, "token", "", "the login service gives an access token", "")
	return true
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// rolesOf reads the application permissions that a token carries; nil if it is no JWT. The signature is not checked: the token
// is our own, and only its reader at Graph decides what it is worth.
func rolesOf(token string) []string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims struct {
		Roles []string `json:"roles"`
	}
	if json.Unmarshal(b, &claims) != nil {
		return nil
	}
	if claims.Roles == nil {
		return []string{}
	}
	return claims.Roles
}

// features are those that the mapping uses.
func (x *examination) features() map[Feature]bool {
	return x.d.features()
}

// Features lists what the configuration and the mapping use, in the order of Features.
func (d *DoctorConfig) Features() []Feature {
	used := d.features()
	return slices.DeleteFunc(Features(), func(f Feature) bool { return !used[f] })
}

func (d *DoctorConfig) features() map[Feature]bool {
	used := map[Feature]bool{FeatureGuests: true, FeaturePolicyRead: true, FeatureLeaveDate: d.LeaveDate, FeatureActivity: d.Activity, FeatureMail: d.Mailbox != ""}
	for _, e := range d.Catalog {
		switch {
		case e.Kind == contractor.KindAccessPackage:
			used[FeaturePackages] = true
		case e.Expiry == contractor.ExpiryBridge:
			used[FeatureGroups] = true
		default:
			used[FeatureGroups], used[FeatureSchedules] = true, true
		}
	}
	return used
}

// permissions compares what the token carries with what is needed: less fails, more is a risk.
func (x *examination) permissions() {
	if x.roles == nil {
		x.add(CheckWarn, "permission", "", "the token's permissions cannot be read", "check them in the portal: App registrations, API permissions")
		return
	}
	used := x.features()
	wanted := map[string]bool{}
	for _, f := range Features() {
		for _, p := range Permissions(f) {
			if !used[f] {
				continue
			}
			wanted[p.Name] = true
			for _, more := range covers(p.Name) {
				wanted[more] = wanted[more] || slices.Contains(x.roles, more) && !slices.Contains(x.roles, p.Name)
			}
			switch {
			case x.holds(p.Name):
				x.add(CheckOK, "permission", p.Name, "granted", "")
			case p.Optional:
				x.add(CheckWarn, "permission", p.Name, "missing; optional: "+p.Why, "grant it with admin consent, or live without")
			default:
				x.add(CheckFail, "permission", p.Name, "missing: "+p.Why, "grant it with admin consent (scripts/entra-setup.sh, docs/entra-setup.md)")
			}
		}
	}
	for _, r := range x.roles {
		switch {
		case slices.Contains(forbidden(), r):
			x.add(CheckFail, "permission", r, "granted, and never needed: whoever steals the credential owns the tenant", "take it away")
		case !wanted[r]:
			action := "take it away"
			if x.d.Policies && slices.ContainsFunc(Permissions(FeaturePolicies), func(p Permission) bool { return p.Name == r }) {
				action = "take it away: give scimbridge policy apply an application of its own, which no daemon holds"
			}
			x.add(CheckWarn, "permission", r, "granted, but nothing that the daemon does needs it", action)
		}
	}
}

func (x *examination) holds(name string) bool {
	return slices.Contains(x.roles, name) || slices.ContainsFunc(covers(name), func(more string) bool { return slices.Contains(x.roles, more) })
}

func (x *examination) clock() {
	ahead, known := x.c.ClockSkew()
	switch {
	case !known:
		x.add(CheckWarn, "clock", "", "Graph did not tell the time", "")
	case ahead.Abs() > x.d.MaxSkew:
		x.add(CheckFail, "clock", "", fmt.Sprintf("this machine's clock is %s off Graph's: nothing is ended by the clock until it is right", ahead.Round(time.Second)), "set it right (timedatectl, chronyc tracking)")
	case ahead.Abs() > x.d.MaxSkew/10:
		x.add(CheckWarn, "clock", "", fmt.Sprintf("this machine's clock is %s off Graph's", ahead.Round(time.Second)), "look at the time service (timedatectl, chronyc tracking)")
	default:
		x.add(CheckOK, "clock", "", "this machine's clock agrees with Graph's", "")
	}
}

// invitations looks at who may invite. The settings are read by id of no object, so this also shows that Graph answers at all.
func (x *examination) invitations(ctx context.Context) {
	var p struct {
		AllowInvitesFrom string `json:"allowInvitesFrom"`
	}
	k := read("read authorization policy", "/policies/authorizationPolicy", "", "Policy.Read.All")
	_, err := x.c.do(ctx, k, &p)
	switch {
	case status(err) == http.StatusForbidden:
		x.add(CheckWarn, "invitations", "", "not checked: Policy.Read.All is missing", "see to it by hand: External Identities, External collaboration settings must not restrict invitations to administrators")
	case err != nil:
		x.fail("invitations", "", "Graph did not answer", err)
	case p.AllowInvitesFrom == "none" || p.AllowInvitesFrom == "adminsAndGuestInviters":
		x.add(CheckFail, "invitations", p.AllowInvitesFrom, "invitations by applications are refused", "External Identities, External collaboration settings: allow members to invite (changes need up to an hour)")
	default:
		x.add(CheckOK, "invitations", p.AllowInvitesFrom, "applications may invite", "")
	}
}

// group is the preflight of a catalog entry, with its PIM policy where Entra is to end the memberships.
func (x *examination) group(ctx context.Context, e contractor.Entitlement) {
	x.c.groups.drop(strings.ToLower(e.ID))
	if _, err := x.c.CheckGroup(ctx, e.ID); err != nil {
		x.fail("group", e.Name, "cannot be used", err)
		return
	}
	if e.Expiry == contractor.ExpiryBridge {
		x.add(CheckWarn, "group", e.Name, "its memberships depend on scimbridge to end (expiry: bridge)", "use expiry: entra where the tenant has P2 or ID Governance")
		return
	}
	rules, err := x.c.policyRules(ctx, e.ID)
	if err != nil {
		x.add(CheckWarn, "group", e.Name, "can be used; its PIM policy cannot be read, so nobody knows how long an assignment may last", "grant RoleManagementPolicy.Read.AzureADGroup")
		return
	}
	limit := capOf(rules)
	var demands []string
	for _, r := range rules {
		if !strings.EqualFold(r.ID, "Enablement_Admin_Assignment") {
			continue
		}
		for _, demand := range r.EnabledRules {
			if !strings.EqualFold(demand, "Justification") {
				demands = append(demands, demand)
			}
		}
	}
	switch {
	case len(demands) > 0:
		x.add(CheckFail, "group", e.Name, "its PIM policy demands "+strings.Join(demands, " and ")+" from whoever assigns, which an application cannot give", "change the group's PIM settings for members: no multifactor authentication or ticket on active assignment")
	case limit > 0:
		x.add(CheckOK, "group", e.Name, "memberships end by themselves; PIM allows "+days(limit)+" at a time, longer contracts are extended in time", "")
		x.found[len(x.found)-1].Longest = limit
	default:
		x.add(CheckOK, "group", e.Name, "memberships end by themselves", "")
	}
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
	return d.String()
}

// sponsor resolves a reference of the mapping. An address is personal, so the finding does not name it.
func (x *examination) sponsor(ctx context.Context, ref string) {
	name := ref
	if strings.Contains(ref, "@") {
		name = "(address)"
	}
	x.c.sponsors.drop(strings.ToLower(strings.TrimSpace(ref)))
	id, err := x.c.FindSponsor(ctx, ref)
	switch {
	case err != nil:
		x.fail("sponsor", name, "cannot be looked up", err)
	case id == "":
		x.add(CheckFail, "sponsor", name, "is no enabled internal user and no group", "correct defaults.sponsor in the mapping")
	default:
		x.add(CheckOK, "sponsor", name, "is in the tenant", "")
	}
}

// mailbox looks at where our mails come from, without sending one.
func (x *examination) mailbox(ctx context.Context) {
	var u account
	_, err := x.c.do(ctx, read("read mailbox", "/users/"+seg(x.d.Mailbox), query("$select", accountSelect), "User.Read.All"), &u)
	switch {
	case status(err) == http.StatusNotFound:
		x.add(CheckFail, "mail", "", "the mailbox of notify.from is not in the tenant", "correct notify.from, or make a shared mailbox with that address")
	case err != nil:
		x.fail("mail", "", "the mailbox of notify.from cannot be looked up", err)
	case u.Mail == "":
		x.add(CheckFail, "mail", "", "the account of notify.from has no mailbox", "give it an Exchange Online mailbox (a shared one needs no licence), or name another")
	default:
		x.add(CheckOK, "mail", "", "the mailbox of notify.from is in the tenant; see that an application access policy bounds Mail.Send to it", "")
	}
}

func (x *examination) certificate(now time.Time) {
	switch left := x.d.NotAfter.Sub(now); {
	case x.d.NotAfter.IsZero():
	case left <= 0:
		x.add(CheckFail, "certificate", "", "expired on "+x.d.NotAfter.UTC().Format(time.DateOnly), "make a new one, add it to the app registration, then replace the file; no restart is needed")
	case left < certificateSoon:
		x.add(CheckWarn, "certificate", "", "expires on "+x.d.NotAfter.UTC().Format(time.DateOnly), "make a new one, add it to the app registration, then replace the file; no restart is needed")
	default:
		x.add(CheckOK, "certificate", "", "expires on "+x.d.NotAfter.UTC().Format(time.DateOnly), "")
	}
}

func (x *examination) quota() {
	s := x.c.Stats()
	limit := x.c.budget.limits.Writes
	found := fmt.Sprintf("%d of %d writes used in %s", s.WritesUsed, limit.Count, limit.Per)
	if s.WritesAllowed < limit.Count {
		x.add(CheckWarn, "quota", "", fmt.Sprintf("%s; Graph's answers have brought us down to %d", found, s.WritesAllowed), "see whether another program uses the same application")
		return
	}
	x.add(CheckOK, "quota", "", found, "")
}
