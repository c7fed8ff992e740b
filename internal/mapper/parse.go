package mapper

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/strictyaml"
)

// Version is the only version of the mapping file that this program reads.
const Version = 1

// Parse reads a mapping file and reports every mistake and warning in it, in the order of the file; file is the name they
// carry. The mapping is nil if there is any mistake; warnings alone leave it usable (Problems.Err).
func Parse(file string, data []byte) (*Mapping, strictyaml.Problems) {
	doc, problems := strictyaml.Parse(file, data)
	if doc == nil {
		return nil, problems
	}
	b := &builder{doc: doc, problems: problems, parts: map[string]int{}, Mapping: &Mapping{source: slices.Clone(data), revision: revisionOf(data), doc: doc}}
	// A value that could not be decoded is left as it was, and reported; the checks below then speak of what could be read.
	b.problems = append(b.problems, doc.Decode(&b.file)...)
	b.build()
	b.problems.Sort()
	b.problems = slices.CompactFunc(b.problems, func(p, q strictyaml.Problem) bool { return p == q })
	if b.problems.Err() != nil {
		return nil, b.problems
	}
	b.machines.New = func() any { return newMachine(b.language, len(b.conjuncts)) }
	return b.Mapping, b.problems
}

// builder checks a decoded file and fills in the mapping.
type builder struct {
	*Mapping
	doc      *strictyaml.Document
	file     mappingFile
	problems strictyaml.Problems
	groups   map[string]contractor.Entitlement
	packages map[string]contractor.Entitlement
	parts    map[string]int // of conditions, by their text: index into conjuncts
}

// at reports a mistake at the value that path leads to.
func (b *builder) at(path []any, format string, args ...any) {
	b.problems = append(b.problems, b.doc.Problemf(b.doc.At(path...), format, args...))
}

// atKey reports a mistake at the key that path leads to.
func (b *builder) atKey(path []any, format string, args ...any) {
	b.problems = append(b.problems, b.doc.Problemf(b.doc.KeyAt(path...), format, args...))
}

// warn reports a doubtful thing at the value that path leads to, warnKey at its key.
func (b *builder) warn(path []any, format string, args ...any) {
	b.problems = append(b.problems, b.doc.Warningf(b.doc.At(path...), format, args...))
}

func (b *builder) warnKey(path []any, format string, args ...any) {
	b.problems = append(b.problems, b.doc.Warningf(b.doc.KeyAt(path...), format, args...))
}

// path joins the steps to a value in the file.
func path(steps ...any) []any { return steps }

// has reports whether the file says anything at path.
func (b *builder) has(steps ...any) bool {
	return b.doc.At(steps...) != b.doc.At(steps[:len(steps)-1]...) || b.doc.KeyAt(steps...) != b.doc.KeyAt(steps[:len(steps)-1]...)
}

func (b *builder) build() {
	f := &b.file
	switch {
	case !b.has("version"):
		b.at(nil, "the version is missing; begin the file with version: %d", Version)
	case f.Version != Version:
		b.at(path("version"), "version %d is not known; this program reads version %d", f.Version, Version)
	}
	b.buildDefaults()
	b.buildCatalog()
	b.buildVendors()
	b.buildInvitation()
	b.buildLanguage()
	b.buildSponsor()
	b.buildGuest()
	b.buildRules()
	b.buildConditionalAccess()
	b.buildTests()
	b.finishCatalog()
	b.lint()
}

// enum checks a word against the words that are known; "" is fine and means the default.
func (b *builder) enum(where []any, value string, known ...string) bool {
	if value == "" || slices.Contains(known, value) {
		return true
	}
	b.at(where, "%q is not known here%s; write %s", value, didYouMean(value, known), orList(known))
	return false
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (b *builder) buildDefaults() {
	d := &b.file.Defaults
	b.zone = b.location(path("defaults", "timezone"), d.Timezone, time.UTC)
	b.enum(path("defaults", "missing_end"), d.MissingEnd, string(contractor.MissingEndCap), string(contractor.MissingEndHold), string(contractor.MissingEndReject))
	b.enum(path("defaults", "end_in_past"), d.EndInPast, "revoke")
	if d.Quota != nil && *d.Quota < 0 {
		b.at(path("defaults", "quota"), "a quota cannot be below 0; 0 means no limit")
	}
	if d.Rate < 0 {
		b.at(path("defaults", "rate"), "a rate cannot be below 0; 0 means the standard rate")
	}
	b.early = d.ActivateEarly
	if d.ActivateEarly.Approx() > 90*24*time.Hour {
		b.at(path("defaults", "activate_early"), "%s is longer than 90d; a guest should not wait that long for a contract", d.ActivateEarly)
	}
	b.offboarding = b.buildOffboarding(path("defaults", "offboarding"), &d.Offboarding, Offboarding{DeleteAfter: contractor.Span{Days: 30}})
	b.notify = slices.Clone(d.Notify.BeforeEnd)
	for i, s := range b.notify {
		if s.IsZero() {
			b.at(path("defaults", "notify", "before_end", i), "a notice of 0 comes too late; write 1d")
		}
		if slices.Contains(b.notify[:i], s) {
			b.at(path("defaults", "notify", "before_end", i), "%s is in this list twice", s)
		}
	}
	slices.SortFunc(b.notify, func(x, y contractor.Span) int { return int(y.Approx()/time.Second) - int(x.Approx()/time.Second) })
	b.buildSponsorWork(d)
	b.guard = b.overallGuard()
	b.buildDrift()
}

// buildOffboarding reads the stages behind the end that can wait; what is not given is as otherwise.
func (b *builder) buildOffboarding(where []any, f *fileOffboarding, otherwise Offboarding) Offboarding {
	out := otherwise
	if f.DeleteAfter != nil {
		out.DeleteAfter = *f.DeleteAfter
	}
	if f.UnsponsorAfter != nil {
		out.UnsponsorAfter = f.UnsponsorAfter
	}
	if s := out.UnsponsorAfter; s != nil && s.Approx() >= out.DeleteAfter.Approx() {
		b.warn(append(where, "remove_sponsor_after"), "the guest is deleted %s after the end, and its sponsors with it; remove_sponsor_after: %s never comes before", out.DeleteAfter, s)
	}
	return out
}

// location reads a time zone, or returns the default where none is given.
func (b *builder) location(where []any, name string, otherwise *time.Location) *time.Location {
	if name == "" {
		return otherwise
	}
	z, err := contractor.LoadZone(name)
	if err != nil {
		if s := strictyaml.Suggest(name, commonZones()); s != "" {
			b.at(where, "unknown time zone %q (did you mean %q?)", name, s)
		} else {
			b.at(where, "%v", err)
		}
		return otherwise
	}
	return z
}

// buildGuard reads a guard. What it does not say of moved ends and of refused records is as otherwise; of sudden ends, as it stands.
func (b *builder) buildGuard(where []any, g *fileGuard, otherwise contractor.Guard) contractor.Guard {
	if g == nil {
		return otherwise
	}
	out := otherwise
	out.MaxEnds, out.MaxEndsPercent, out.Window = g.MaxEnds, g.MaxEndsPercent, 24*time.Hour
	if g.MaxMoves != nil || g.MaxMovesPercent != nil {
		out.MaxMoves, out.MaxMovesPercent = orZero(g.MaxMoves), orZero(g.MaxMovesPercent)
	}
	if g.MaxRefused != nil {
		out.MaxRefused = *g.MaxRefused
	}
	if g.OnRefused != "" && b.enum(append(where, "on_refused"), g.OnRefused, "alarm", "pause") {
		out.PauseRefused = g.OnRefused == "pause"
	}
	if out.MaxRefused < 0 {
		b.at(append(where, "max_refused"), "max_refused cannot be below 0; 0 means no limit")
	}
	if out.MaxEnds < 0 {
		b.at(append(where, "max_ends"), "max_ends cannot be below 0; 0 means no limit")
	}
	if out.MaxEndsPercent < 0 || out.MaxEndsPercent > 100 {
		b.at(append(where, "max_ends_percent"), "max_ends_percent is a percentage from 0 to 100, not %d", out.MaxEndsPercent)
	}
	if out.MaxMoves < 0 {
		b.at(append(where, "max_moves"), "max_moves cannot be below 0; 0 means no limit")
	}
	if out.MaxMovesPercent < 0 || out.MaxMovesPercent > 100 {
		b.at(append(where, "max_moves_percent"), "max_moves_percent is a percentage from 0 to 100, not %d", out.MaxMovesPercent)
	}
	if g.Window != nil {
		if out.Window = g.Window.Approx(); out.Window < time.Minute || out.Window > 90*24*time.Hour {
			b.at(append(where, "window"), "a guard's window lies between 1m and 90d, not %s", g.Window)
		}
	}
	return out
}

func orZero(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// overallGuard reads the guard over all vendors together, which has no say about one vendor's refused records.
func (b *builder) overallGuard() contractor.Guard {
	if g := b.file.Guard; g != nil && (g.MaxRefused != nil || g.OnRefused != "") {
		b.at(path("guard"), "max_refused and on_refused belong to one vendor's guard; write them under defaults.guard or vendors.NAME.guard")
	}
	otherwise := defaultGuard()
	otherwise.MaxRefused = 0
	return b.buildGuard(path("guard"), b.file.Guard, otherwise)
}

// defaultGuard bounds a feed about which the file says nothing: nobody's bad day empties a tenant.
func defaultGuard() contractor.Guard {
	return contractor.Guard{
		MaxEndsPercent: contractor.DefaultEndsPercent, MaxMovesPercent: contractor.DefaultMovesPercent, MaxRefused: contractor.DefaultMaxRefused,
	}
}

func (b *builder) buildInvitation() {
	i := b.file.Invitation
	if i.Language != "" {
		if problem := checkLanguage(i.Language); problem != "" {
			b.at(path("invitation", "language"), "%q %s", i.Language, problem)
		}
	}
	if i.RedirectURL != "" {
		u, err := url.Parse(i.RedirectURL)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			b.at(path("invitation", "redirect_url"), "%q is not an https address; write https://myapps.microsoft.com", i.RedirectURL)
		}
	}
	b.invitation = Invitation(i)
}

// word is how conditions and lists are named: they stand bare in expressions.
var word = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are the words of the expression language itself.
func reserved() []string {
	return []string{"c", "and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith", "true", "false", "nil", "let", "if", "else", "any", "all", "none", "now", "today"}
}

// buildLanguage makes the language of this file's expressions, and checks its lists and conditions.
func (b *builder) buildLanguage() {
	l := newLanguage(b.zone)
	l.lists, l.conditions = b.file.Lists, b.file.Conditions
	b.language = l
	named := func(section, name string) {
		switch {
		case !word.MatchString(name):
			b.atKey(path(section, name), "%q cannot be a name here: letters, digits and _ only, since it stands in expressions", name)
		case slices.Contains(reserved(), name):
			b.atKey(path(section, name), "%q is a word of the expressions; choose another name", name)
		default:
			if _, ok := l.functions[name]; ok {
				b.atKey(path(section, name), "%q is the name of a function; choose another", name)
			}
		}
	}
	for _, name := range sortedKeys(l.lists) {
		named("lists", name)
		if len(l.lists[name]) == 0 {
			b.at(path("lists", name), "the list %q is empty", name)
		}
		seen := map[string]bool{}
		for i, item := range l.lists[name] {
			if seen[item] {
				b.warn(path("lists", name, i), "%q is in the list %q twice", item, name)
			}
			seen[item] = true
		}
	}
	circles := l.circles()
	for _, name := range sortedKeys(l.conditions) {
		named("conditions", name)
		if _, both := l.lists[name]; both {
			b.atKey(path("conditions", name), "%q is the name of a list too; choose another", name)
		}
		if circle := circles[name]; circle != "" {
			b.at(path("conditions", name), "conditions cannot be built on themselves: %s", circle)
			continue
		}
		b.expression(path("conditions", name), l.conditions[name], truth)
	}
}

// circles finds the conditions that are built on themselves, each with the way from it back to it.
func (l *language) circles() map[string]string {
	uses := map[string][]string{}
	for name, source := range l.conditions {
		uses[name] = l.mentions(source)
	}
	out := map[string]string{}
	done := map[string]bool{}
	var way []string
	var walk func(name string)
	walk = func(name string) {
		if i := slices.Index(way, name); i >= 0 {
			circle := way[i:]
			for k, member := range circle {
				if out[member] == "" {
					out[member] = strings.Join(slices.Concat(circle[k:], circle[:k], []string{member}), " -> ")
				}
			}
			return
		}
		if done[name] {
			return
		}
		way = append(way, name)
		for _, next := range uses[name] {
			walk(next)
		}
		way = way[:len(way)-1]
		done[name] = true
	}
	for _, name := range sortedKeys(l.conditions) {
		walk(name)
	}
	return out
}

// expression compiles the expression at where and reports its mistakes there; nil if it has any.
func (b *builder) expression(where []any, source string, want ...kind) *expression {
	x, mistakes := b.language.compile(source, want...)
	b.mistakes(where, mistakes)
	return x
}

func (b *builder) mistakes(where []any, mistakes []mistake) {
	for _, m := range mistakes {
		b.problems = append(b.problems, b.doc.Problemf(b.doc.Within(m.offset, where...), "%s", m.message))
	}
}

func (b *builder) buildSponsor() {
	s := &b.file.Defaults.Sponsor
	where := path("defaults", "sponsor")
	b.enum(append(where, "on_leave"), s.OnLeave, string(OnLeaveManager), string(OnLeaveFallback), string(OnLeaveHold))
	b.sponsor = sponsorPolicy{required: s.Required, onLeave: OnLeave(s.OnLeave), asManager: s.Manager}
	if b.sponsor.onLeave == "" {
		b.sponsor.onLeave = OnLeaveManager
	}
	for i, source := range s.From {
		b.sponsor.from = append(b.sponsor.from, b.expression(path("defaults", "sponsor", "from", i), source, text))
	}
	if s.Fallback != "" {
		b.sponsor.fallback = b.fallbackGroup(path("defaults", "sponsor", "fallback"), s.Fallback)
	}
	if b.sponsor.onLeave == OnLeaveFallback && s.Fallback == "" {
		b.at(path("defaults", "sponsor", "on_leave"), `on_leave: fallback needs a fallback; add fallback: "group:name"`)
	}
	if s.Required && len(s.From) == 0 && s.Fallback == "" {
		b.warn(path("defaults", "sponsor", "required"), "a sponsor is required, but neither from nor fallback names one: only rules with their own sponsor can let anybody in")
	}
}

// fallbackGroup resolves "group:name" to "group:<object id>".
func (b *builder) fallbackGroup(where []any, s string) string {
	name, ok := strings.CutPrefix(s, "group:")
	if !ok {
		b.at(where, `%q is not a fallback; write "group:" and a name of catalog.groups`, s)
		return ""
	}
	g, ok := b.groups[name]
	if !ok {
		b.at(where, "group %q is not in catalog.groups%s", name, didYouMean(name, sortedKeys(b.groups)))
		return ""
	}
	return "group:" + g.ID
}

func (b *builder) buildGuest() {
	var known []string
	order := map[string]int{}
	for i, p := range properties() {
		known = append(known, p.name)
		order[p.name] = i
	}
	for _, name := range sortedKeys(b.file.Guest) {
		p, ok := findProperty(name)
		if !ok {
			b.atKey(path("guest", name), "a guest has no property %q that can be set here%s", name, orKnown(didYouMean(name, known), known))
			continue
		}
		t, mistakes := b.language.parseTemplate(p, b.file.Guest[name])
		b.mistakes(path("guest", name), mistakes)
		if t != nil {
			b.guest = append(b.guest, t)
		}
	}
	slices.SortStableFunc(b.guest, func(x, y *template) int {
		return rank(order, x.property.name) - rank(order, y.property.name)
	})
}

func rank(order map[string]int, name string) int {
	if i, ok := order[name]; ok {
		return i
	}
	return len(order)
}

func orKnown(suggestion string, known []string) string {
	if suggestion != "" {
		return suggestion
	}
	known = slices.DeleteFunc(slices.Clone(known), func(s string) bool { return strings.HasPrefix(s, "extensionAttribute") })
	return fmt.Sprintf("; there are %s, extensionAttribute1 to 15 and extension_<app id>_<name>", strings.Join(known, ", "))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
