package mapper

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/strictyaml"
)

// Mapping is one mapping file, checked and compiled. It never changes and may be used by any number of goroutines.
type Mapping struct {
	source   []byte
	revision string
	doc      *strictyaml.Document

	zone         *time.Location
	vendors      map[string]*contractor.Vendor
	catalog      []contractor.Entitlement
	descriptions map[contractor.EntitlementKey]string
	places       map[contractor.EntitlementKey]place
	rules        []rule
	conjuncts    []conjunct  // the parts of all rules' conditions, each once
	guest        []*template // in the order of properties()
	sponsor      sponsorPolicy
	early        contractor.Span
	notify       []contractor.Span // longest first
	extend       contractor.ExtendRules
	attest       contractor.AttestRules
	offboarding  Offboarding
	vendorsLeave map[string]Offboarding // of vendors that have their own
	invitation   Invitation
	guard        contractor.Guard
	drift        map[contractor.DriftKind]contractor.DriftMode
	tests        []test
	conditional  *contractor.ConditionalAccess // nil: no such section

	language *language
	machines sync.Pool // of *machine
}

// Writes reports whether the mapping writes a property of the guest, by its name in Entra.
func (m *Mapping) Writes(property string) bool {
	return slices.ContainsFunc(m.guest, func(t *template) bool { return t.property.name == property })
}

// Offboarding says what happens to a guest whose last engagement ended.
type Offboarding struct {
	DeleteAfter    contractor.Span  // from the last end to the guest's deletion. Default 30d
	UnsponsorAfter *contractor.Span // from the last end to the removal of its sponsors; nil: they go with the guest
}

// Invitation says how Entra invites. Own mail text is not possible for apps (graph.md 0.2).
type Invitation struct {
	SendMail    bool   // Entra's own mail. Default false
	Language    string // of that mail, "" = en-US
	RedirectURL string // where the link leads, "" = https://myapps.microsoft.com
}

// OnLeave says what happens when a guest's sponsor leaves.
type OnLeave string

// The answers to a sponsor who left: ask for the sponsor's manager, go to the fallback group, or hold the person.
const (
	OnLeaveManager  OnLeave = "manager"
	OnLeaveFallback OnLeave = "fallback"
	OnLeaveHold     OnLeave = "hold"
)

type sponsorPolicy struct {
	required  bool
	from      []*expression
	onLeave   OnLeave
	fallback  string // "group:<object id>", "" if none
	asManager bool   // the sponsor is the guest's manager, too
}

// rule is one compiled rule.
type rule struct {
	name     string
	line     int
	when     *expression // nil: always
	parts    []int       // of when, indexes into Mapping.conjuncts
	grants   []contractor.Entitlement
	deny     string
	limit    contractor.Span // zero: none
	until    time.Time       // zero: none
	required bool            // a sponsor is required
	sponsors []*expression
}

// Source is the text that was parsed. The caller must not change it.
func (m *Mapping) Source() []byte { return m.source }

// Revision is the SHA-256 of the text, in hexadecimal.
func (m *Mapping) Revision() string { return m.revision }

// Problem is a mistake that another part finds in the file: at the value to which path leads, keys (string) and indexes from 0
// (int), or the nearest above it.
func (m *Mapping) Problem(path []any, message string) strictyaml.Problem {
	return m.doc.Problemf(m.doc.At(path...), "%s", message)
}

// Warning is the same for something doubtful.
func (m *Mapping) Warning(path []any, message string) strictyaml.Problem {
	return m.doc.Warningf(m.doc.At(path...), "%s", message)
}

// Says reports whether the file has a value at path.
func (m *Mapping) Says(path ...any) bool { return m.doc.Has(path...) }

func revisionOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Vendor returns a vendor's settings with the file's defaults filled in. The caller must not change them.
func (m *Mapping) Vendor(name string) (*contractor.Vendor, bool) {
	v, ok := m.vendors[name]
	return v, ok
}

// Vendors lists the vendors' names in alphabetical order.
func (m *Mapping) Vendors() []string {
	names := make([]string, 0, len(m.vendors))
	for n := range m.vendors {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Catalog lists every entitlement that rules may grant, groups first, by name. A group that is nothing but a sponsor's fallback
// is not among them.
func (m *Mapping) Catalog() []contractor.Entitlement { return slices.Clone(m.catalog) }

// Description is the catalog's description of an entitlement, "" if it has none.
func (m *Mapping) Description(key contractor.EntitlementKey) string { return m.descriptions[key] }

type place struct{ line, column int }

// Place is where the catalog names an entitlement, from 1; zeros if it does not.
func (m *Mapping) Place(key contractor.EntitlementKey) (line, column int) {
	p := m.places[key]
	return p.line, p.column
}

// RuleLine is the line in which a rule begins, 0 if there is no such rule.
func (m *Mapping) RuleLine(name string) int {
	for i := range m.rules {
		if m.rules[i].name == name {
			return m.rules[i].line
		}
	}
	return 0
}

// UsesSchedules reports whether a rule grants a group that Entra ends by itself (PIM for Groups).
func (m *Mapping) UsesSchedules() bool {
	return m.grantsAny(func(e contractor.Entitlement) bool {
		return e.Kind == contractor.KindGroup && e.Expiry == contractor.ExpiryEntra
	})
}

// UsesPackages reports whether a rule grants an access package.
func (m *Mapping) UsesPackages() bool {
	return m.grantsAny(func(e contractor.Entitlement) bool { return e.Kind == contractor.KindAccessPackage })
}

func (m *Mapping) grantsAny(is func(contractor.Entitlement) bool) bool {
	return slices.ContainsFunc(m.rules, func(r rule) bool { return slices.ContainsFunc(r.grants, is) })
}

// Offboarding returns the settings for guests whose last engagement ended.
func (m *Mapping) Offboarding() Offboarding { return m.offboarding }

// Invitation returns how guests are invited.
func (m *Mapping) Invitation() Invitation { return m.invitation }

// Notify lists how long before an end sponsors are told, longest first. The first is also when an engagement counts as
// expiring.
func (m *Mapping) Notify() []contractor.Span { return slices.Clone(m.notify) }

// Guard bounds sudden ends over all vendors together.
func (m *Mapping) Guard() contractor.Guard { return m.guard }

// OnLeave says what happens when a sponsor leaves.
func (m *Mapping) OnLeave() OnLeave { return m.sponsor.onLeave }

// SponsorFallback is "group:<object id>" of the group that answers when no sponsor can be found; "" if none.
func (m *Mapping) SponsorFallback() string { return m.sponsor.fallback }
