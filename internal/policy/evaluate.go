package policy

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// SignIn is an attempt to get in, as far as conditional access looks at it.
type SignIn struct {
	At     time.Time
	Person string // ours, for Hits
	UserID string
	// External is the type of external user in Graph's words, such as b2bCollaborationGuest; "" is an employee.
	External   string
	HomeTenant string
	Groups     []string // all ids, nested groups included
	Roles      []string
	AppID      string
	ClientApp  string // browser, mobileAppsAndDesktopClients, exchangeActiveSync, other
	IP         netip.Addr
	Country    string // two letters; "" unknown
	Platform   string
	Device     map[string]string // in the words of device filters; nil: not registered
	Risk       string            // none, low, medium, high
	UserRisk   string
	// Shown are the controls that the person fulfils, such as mfa, compliantDevice, strength:<id>, terms:<id>.
	Shown []string
}

// Verdict is what becomes of a sign-in.
type Verdict string

// Granted: let in. Asked: let in once what is missing is shown. Blocked: not let in.
const (
	Granted Verdict = "granted"
	Asked   Verdict = "asked"
	Blocked Verdict = "blocked"
)

// Applied is one policy's say.
type Applied struct {
	ID      string             `json:"id,omitempty"`
	Name    string             `json:"name"`
	State   contractor.CAState `json:"state"`
	Applies bool               `json:"applies"`
	Unmet   string             `json:"unmet,omitempty"`   // the first condition that does not hold; "" if it applies
	Verdict Verdict            `json:"verdict,omitempty"` // if it applies
	Missing []string           `json:"missing,omitempty"` // what it asks for; with Any, one of them
	Any     bool               `json:"any,omitempty"`
}

// Outcome is what all policies together make of a sign-in.
type Outcome struct {
	Verdict  Verdict       `json:"verdict"` // by the enforced policies
	By       []string      `json:"by,omitempty"`
	Missing  []string      `json:"missing,omitempty"`
	Policies []Applied     `json:"policies"`
	Again    time.Duration `json:"again,omitempty"` // the shortest sign-in frequency in force; 0: none
}

// Evaluate says what the policies make of a sign-in. All that are on and apply must be satisfied, and one that blocks decides.
// Policies in report-only say what they would do, and change nothing.
func Evaluate(policies []contractor.CAPolicy, locations []contractor.NamedLocation, s SignIn) Outcome {
	here := places{}
	for _, l := range locations {
		here[l.ID] = l
	}
	out := Outcome{Verdict: Granted, Policies: []Applied{}}
	for _, p := range policies {
		if p.State == contractor.CAOff {
			continue
		}
		a := applied(normal(p), here, s)
		out.Policies = append(out.Policies, a)
		if !a.Applies || p.State != contractor.CAOn {
			continue
		}
		if f := p.Session.Frequency; f > 0 && (out.Again == 0 || f < out.Again) {
			out.Again = f
		}
		switch {
		case a.Verdict == Granted:
			continue
		case a.Verdict == Blocked && out.Verdict != Blocked:
			out.By, out.Missing = nil, nil // what else is asked for no longer matters
		case a.Verdict == Asked && out.Verdict == Blocked:
			continue
		}
		out.Verdict = a.Verdict
		out.By = append(out.By, p.Name)
		for _, m := range a.Missing {
			if !slices.Contains(out.Missing, m) {
				out.Missing = append(out.Missing, m)
			}
		}
	}
	return out
}

func applied(p contractor.CAPolicy, here places, s SignIn) Applied {
	a := Applied{ID: p.ID, Name: p.Name, State: p.State}
	if a.Unmet = unmet(p, here, s); a.Unmet != "" {
		return a
	}
	a.Applies, a.Verdict = true, Granted
	if slices.Contains(p.Grant.Controls, contractor.CABlock) {
		a.Verdict = Blocked
		return a
	}
	asked := slices.Clone(p.Grant.Controls)
	if p.Grant.Strength != "" {
		asked = append(asked, "strength:"+p.Grant.Strength)
	}
	for _, t := range p.Grant.Terms {
		asked = append(asked, "terms:"+t)
	}
	for _, c := range asked {
		if !slices.Contains(s.Shown, c) {
			a.Missing = append(a.Missing, c)
		}
	}
	a.Any = p.Grant.Operator == "OR"
	if a.Any && len(a.Missing) < len(asked) {
		a.Missing = nil
	}
	if len(a.Missing) > 0 {
		a.Verdict = Asked
	}
	return a
}

// unmet names the first condition of the policy that does not hold for the sign-in, "" if all do.
func unmet(p contractor.CAPolicy, here places, s SignIn) string {
	in := func(list []string, word, all string) bool {
		return slices.Contains(list, word) || slices.Contains(list, all)
	}
	switch {
	case !users(p.Users.IncludeUsers, p.Users.IncludeGroups, p.Users.IncludeRoles, p.Users.IncludeGuests, s):
		return "users"
	case users(p.Users.ExcludeUsers, p.Users.ExcludeGroups, p.Users.ExcludeRoles, p.Users.ExcludeGuests, s):
		return "excluded users"
	case !in(p.Apps.Include, s.AppID, contractor.CAAll) || slices.Contains(p.Apps.Exclude, s.AppID):
		return "applications"
	case !in(p.ClientApps, s.ClientApp, "all"):
		return "client apps"
	case !p.Locations.IsZero() && (!here.hold(p.Locations.Include, s) || here.hold(p.Locations.Exclude, s)):
		return "locations"
	case !p.Platforms.IsZero() && (!in(p.Platforms.Include, s.Platform, "all") || in(p.Platforms.Exclude, s.Platform, "all")):
		return "platforms"
	case !device(p.Devices, s):
		return "devices"
	case len(p.SignInRisk) > 0 && !slices.Contains(p.SignInRisk, s.Risk):
		return "sign-in risk"
	case len(p.UserRisk) > 0 && !slices.Contains(p.UserRisk, s.UserRisk):
		return "user risk"
	}
	return ""
}

func users(ids, groups, roles []string, guests contractor.CAGuests, s SignIn) bool {
	overlap := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(x string) bool {
			return slices.ContainsFunc(b, func(y string) bool { return strings.EqualFold(x, y) })
		})
	}
	return slices.Contains(ids, contractor.CAAll) || s.External != "" && slices.Contains(ids, "GuestsOrExternalUsers") ||
		overlap(ids, []string{s.UserID}) || overlap(groups, s.Groups) || overlap(roles, s.Roles) ||
		s.External != "" && slices.Contains(guests.Types, s.External) &&
			(len(guests.Tenants) == 0 || overlap(guests.Tenants, []string{s.HomeTenant}))
}

// hold reports whether the sign-in comes from one of the locations.
func (p places) hold(list []string, s SignIn) bool {
	return slices.ContainsFunc(list, func(id string) bool {
		switch id {
		case contractor.CAAll:
			return true
		case contractor.CAAllTrusted:
			for _, l := range p {
				if l.Trusted && inside(l, s) {
					return true
				}
			}
			return false
		}
		l, ok := p[id]
		return ok && inside(l, s)
	})
}

func inside(l contractor.NamedLocation, s SignIn) bool {
	if l.Kind == contractor.LocationCountries {
		return s.Country == "" && l.IncludeUnknown || s.Country != "" && slices.ContainsFunc(l.Countries, func(c string) bool { return strings.EqualFold(c, s.Country) })
	}
	return s.IP.IsValid() && slices.ContainsFunc(l.Ranges, func(r string) bool {
		prefix, err := netip.ParsePrefix(r)
		return err == nil && prefix.Contains(s.IP.Unmap())
	})
}

// device reports whether the filter lets the policy apply. A rule that this program cannot read lets it apply: a block that
// is not foreseen would be worse.
func device(d contractor.CADevices, s SignIn) bool {
	if d.Mode == "" {
		return true
	}
	f, err := contractor.ParseDeviceFilter(d.Rule)
	if err != nil {
		return true
	}
	return f.Match(s.Device) == (d.Mode == "include")
}

// ClientAppOf turns the words of the sign-in log (clientAppUsed) into those of the condition.
func ClientAppOf(logged string) string {
	switch strings.ToLower(logged) {
	case "browser":
		return "browser"
	case "mobile apps and desktop clients":
		return "mobileAppsAndDesktopClients"
	case "exchange activesync":
		return "exchangeActiveSync"
	case "":
		return ""
	}
	return "other" // IMAP, POP, SMTP, Authenticated SMTP, Other clients …
}

// FromLog is a sign-in of a guest of ours as the log tells it. What the person could have shown is not in the log, but for
// whoever was let in under a policy that asked for it.
func FromLog(a contractor.Activity, groups []string) SignIn {
	s := SignIn{
		At: a.At, Person: a.Person, UserID: a.Guest, External: "b2bCollaborationGuest", HomeTenant: a.HomeTenant, Groups: groups,
		AppID: strings.ToLower(a.AppID), ClientApp: ClientAppOf(a.ClientApp), Country: a.Country, Platform: a.Platform, Device: a.Device, Risk: a.Risk,
	}
	if ip, err := netip.ParseAddr(a.IP); err == nil {
		s.IP = ip
	}
	if word := trustWord(a.Device["trustType"]); word != a.Device["trustType"] {
		s.Device = maps.Clone(a.Device)
		s.Device["trustType"] = word
	}
	return s
}

// trustWord turns the log's words for the registration of a device into those of device filters.
func trustWord(logged string) string {
	switch strings.ToLower(logged) {
	case "azure ad joined", "microsoft entra joined":
		return "AzureAD"
	case "hybrid azure ad joined", "microsoft entra hybrid joined":
		return "ServerAD"
	case "azure ad registered", "microsoft entra registered":
		return "Workplace"
	}
	return logged
}

// Hit is what one policy would have made of recent sign-ins.
type Hit struct {
	Policy  string    `json:"policy"` // as declared
	Seen    int       `json:"seen"`   // sign-ins looked at
	Blocked int       `json:"blocked"`
	Asked   int       `json:"asked"`  // for something; whether they could have shown it is not in the log
	People  []string  `json:"people"` // those who would have been blocked, each once; at most maxPeople
	More    int       `json:"more,omitempty"`
	Last    time.Time `json:"last,omitzero"` // the last of them
}

// maxPeople is how many people a Hit names.
const maxPeople = 50

// Hits says for each policy of a plan whom it would have hit if it had been enforced. Only sign-ins that worked count: the
// others were not let in anyway.
func Hits(planned []Standing, locations []contractor.NamedLocation, signIns []SignIn) []Hit {
	here := places{}
	for _, l := range locations {
		here[l.ID] = l
	}
	hits := make([]Hit, 0, len(planned))
	for _, st := range planned {
		h := Hit{Policy: st.Name, Seen: len(signIns), People: []string{}}
		p := normal(st.Resolved)
		for _, s := range signIns {
			a := applied(p, here, s)
			switch a.Verdict {
			case Asked:
				h.Asked++
			case Blocked:
				h.Blocked++
				if s.At.After(h.Last) {
					h.Last = s.At
				}
				switch {
				case slices.Contains(h.People, s.Person):
				case len(h.People) < maxPeople:
					h.People = append(h.People, s.Person)
				default:
					h.More++
				}
			}
		}
		hits = append(hits, h)
	}
	return hits
}

// Places are the locations as they stand after a plan, those that it makes included, for Hits.
func Places(r Result, have Tenant) []contractor.NamedLocation {
	list := slices.Clone(have.Locations)
	for _, c := range r.Changes {
		if c.Kind != KindLocation || c.Location == nil {
			continue
		}
		l := *c.Location
		switch c.Action {
		case Create:
			l.ID = newMark + c.Name
			list = append(list, l)
		case Update:
			for i := range list {
				if list[i].ID == c.ID {
					list[i] = l
				}
			}
		}
	}
	return list
}

// Forbids names the declared policies that would have blocked a sign-in, and says whether one of them is enforced. declared
// are the policies and locations as they stand in the tenant, or as they are to stand there.
func Forbids(policies []contractor.CAPolicy, locations []contractor.NamedLocation, s SignIn) (by []string, enforced bool) {
	here := places{}
	for _, l := range locations {
		here[l.ID] = l
	}
	for _, p := range policies {
		if p.State == contractor.CAOff {
			continue
		}
		if a := applied(normal(p), here, s); a.Verdict == Blocked {
			by = append(by, strings.TrimPrefix(p.Name, Prefix))
			enforced = enforced || p.State == contractor.CAOn
		}
	}
	return by, enforced
}

// Declared returns the declared policies and locations in a form that can be evaluated without a tenant: locations are known
// by their names. Strengths stay as declared, since a strength blocks nobody.
func Declared(want *contractor.ConditionalAccess) ([]contractor.CAPolicy, []contractor.NamedLocation) {
	if want == nil {
		return nil, nil
	}
	locations := slices.Clone(want.Locations)
	for i := range locations {
		locations[i].ID = locations[i].Name
	}
	policies := slices.Clone(want.Policies)
	for i := range policies {
		u := &policies[i].Users
		u.ExcludeGroups = append(slices.Clone(u.ExcludeGroups), want.BreakGlassGroups...)
		u.ExcludeUsers = append(slices.Clone(u.ExcludeUsers), want.BreakGlassUsers...)
	}
	return policies, locations
}

// SignInFrequency is the shortest sign-in frequency that the policies enforce on every guest of every tenant for every
// application without any further condition: how long a session of a contractor can outlive the contract, besides the token's
// own hour. False if none does.
func SignInFrequency(policies []contractor.CAPolicy) (time.Duration, bool) {
	var shortest time.Duration
	for _, p := range policies {
		p = normal(p)
		everybody := slices.Contains(p.Users.IncludeUsers, contractor.CAAll) || slices.Contains(p.Users.IncludeUsers, "GuestsOrExternalUsers") ||
			slices.Contains(p.Users.IncludeGuests.Types, "b2bCollaborationGuest") && len(p.Users.IncludeGuests.Tenants) == 0
		if p.State != contractor.CAOn || !everybody || conditional(p) || len(p.Apps.Exclude) > 0 || p.Session.Frequency == 0 && !p.Session.EveryTime || len(p.Other) > 0 {
			continue
		}
		f := p.Session.Frequency
		if p.Session.EveryTime {
			f = time.Second
		}
		if shortest == 0 || f < shortest {
			shortest = f
		}
	}
	return shortest, shortest > 0
}
