package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/mapper"
)

// explanation is why a person holds what it holds, and why not; the form of explain --json.
type explanation struct {
	Person       string                 `json:"person"`
	Email        string                 `json:"email"`
	At           time.Time              `json:"at"`
	Revision     string                 `json:"revision,omitempty"` // of the mapping in force then
	Loaded       time.Time              `json:"loaded,omitzero"`
	Waits        string                 `json:"waits,omitempty"`
	Stopped      string                 `json:"stopped,omitempty"`
	Engagements  []explainedEngagement  `json:"engagements"`
	Entitlements []explainedEntitlement `json:"entitlements"`
	Holds        []contractor.Hold      `json:"holds,omitempty"`
}

type explainedEngagement struct {
	ID         string                 `json:"id"`
	Vendor     string                 `json:"vendor"`
	Changed    time.Time              `json:"changedSince,omitzero"` // the record changed after At: what it said then is not kept
	Aliases    map[string][]string    `json:"aliases,omitempty"`     // where the vendor's section lets a field be read from
	Resource   json.RawMessage        `json:"resource,omitempty"`    // what the vendor sent, in SCIM's names
	Ignored    json.RawMessage        `json:"ignored,omitempty"`
	Evaluation *contractor.Evaluation `json:"evaluation,omitempty"` // by the record of today
	zone       *time.Location
}

type explainedEntitlement struct {
	Entitlement contractor.Entitlement `json:"entitlement"`
	Held        *contractor.Holding    `json:"held,omitempty"` // at At; rule and line as last written
	WhyNot      []string               `json:"whyNot,omitempty"`
	Events      []audit.Event          `json:"events"` // what was done about it up to At, with Graph's request ids
}

func newExplain(io streams) *cobra.Command {
	var file, at string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain PERSON [ENTITLEMENT]",
		Short: "Say why somebody has what they have, and why not",
		Long: `Say why a person holds, or does not hold, what the mapping can grant: from what the vendor sent, over alias, rule and line of the
mapping revision in force, to the grant, the call to Graph and its request id. PERSON is an address, or the id of a person, an
engagement or a guest; ENTITLEMENT a name of the catalog or an id of Entra. With --at for an instant of the past: what was held and
done comes from the journal and the holdings, rules from the revision in force then. Old values of records are not kept: where a
record changed since, it says so, and rules are asked with the values of today.

Exit codes: 0 explained, 1 failed or nobody found.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			when, err := instantOf(at, time.UTC)
			if err != nil {
				return err
			}
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return withStore(cmd.Context(), cfg, func(s *db.Store) error {
				wanted := ""
				if len(args) == 2 {
					wanted = args[1]
				}
				x, err := explain(cmd.Context(), s, args[0], wanted, when)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(io.out, x)
				}
				return x.print(io.out)
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&at, "at", "", "for this date or instant; default: now")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func explain(ctx context.Context, s *db.Store, who, wanted string, at time.Time) (*explanation, error) {
	p, err := s.FindPerson(ctx, who)
	if err != nil {
		return nil, err
	}
	r, err := s.RevisionAt(ctx, at)
	if err != nil {
		return nil, err
	}
	m, problems := mapper.Parse("revision", []byte(r.Text))
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("the mapping of that time cannot be read by this version: %w", err)
	}
	x := &explanation{Person: p.ID, Email: p.Email, At: at, Revision: r.Hash, Loaded: r.Loaded, Waits: p.Held, Engagements: []explainedEngagement{}, Entitlements: []explainedEntitlement{}}
	if !p.Block.At.IsZero() && !at.Before(p.Block.At) {
		x.Stopped = "by " + p.Block.By + ": " + p.Block.Reason
	}
	if x.Holds, err = s.Holds(ctx, contractor.HoldQuery{Person: p.ID}); err != nil {
		return nil, err
	}
	events, changed, err := history(ctx, s, p.ID, at)
	if err != nil {
		return nil, err
	}
	for i := range p.Engagements {
		e := &p.Engagements[i]
		if e.Created.After(at) {
			continue
		}
		x.Engagements = append(x.Engagements, explainEngagement(m, e, at, changed[e.ID]))
	}
	held := map[contractor.EntitlementKey]*contractor.Holding{}
	for h, err := range s.HoldingsAt(ctx, contractor.HoldingQuery{At: at, Person: p.ID}) {
		if err != nil {
			return nil, err
		}
		held[h.Holding.Entitlement.Key()] = &h.Holding
	}
	entitlements := m.Catalog()
	for _, h := range held {
		if !slices.ContainsFunc(entitlements, func(e contractor.Entitlement) bool { return e.Key() == h.Entitlement.Key() }) {
			entitlements = append(entitlements, h.Entitlement)
		}
	}
	for _, e := range entitlements {
		if wanted != "" && !strings.EqualFold(wanted, e.Name) && !strings.EqualFold(wanted, e.ID) {
			continue
		}
		y := explainedEntitlement{Entitlement: e, Held: held[e.Key()], Events: []audit.Event{}}
		for _, ev := range events {
			if strings.Contains(ev.Entitlement, e.ID) {
				y.Events = append(y.Events, ev)
			}
		}
		if y.Held == nil {
			y.WhyNot = x.whyNot(m, e)
		}
		x.Entitlements = append(x.Entitlements, y)
	}
	if wanted != "" && len(x.Entitlements) == 0 {
		return nil, fmt.Errorf("%q is not in the catalog of the mapping of that time, and is not held", wanted)
	}
	return x, nil
}

// maxHistory bounds the events that are read about one person.
const maxHistory = 10_000

// history is what the journal says about a person up to an instant, and which records a vendor, or a new mapping, changed after it.
func history(ctx context.Context, s *db.Store, person string, at time.Time) (events []audit.Event, changed map[string]time.Time, err error) {
	changed = map[string]time.Time{}
	for e, err := range s.Journal(ctx, contractor.JournalQuery{Person: person, Limit: maxHistory}) {
		if err != nil {
			return nil, nil, err
		}
		switch {
		case !e.Time.After(at):
			events = append(events, e)
		case strings.HasPrefix(e.Kind, "engagement.") && changed[e.Engagement].IsZero():
			changed[e.Engagement] = e.Time
		}
	}
	return events, changed, nil
}

func explainEngagement(m *mapper.Mapping, e *contractor.Engagement, at, changed time.Time) explainedEngagement {
	then := *e
	if then.EndedAt.After(at) { // it had not ended yet
		then.EndedAt = time.Time{}
		then.Record.Active = true
	}
	ev := m.Evaluate(&then, at)
	x := explainedEngagement{ID: e.ID, Vendor: e.Vendor, Changed: changed, Ignored: e.Unused, Evaluation: &ev, zone: ev.Period.Zone}
	x.Resource = withoutSecret(e.Resource)
	if v, known := m.Vendor(e.Vendor); known {
		x.Aliases = v.Aliases
	}
	return x
}

// withoutSecret hides the one attribute that is never shown.
func withoutSecret(resource json.RawMessage) json.RawMessage {
	var doc map[string]any
	if json.Unmarshal(resource, &doc) != nil {
		return nil
	}
	if ext, ok := doc[contractor.ExtensionURN].(map[string]any); ok && ext["securityId"] != nil {
		ext["securityId"] = "(not shown)"
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil
	}
	return b
}

// whyNot says why an entitlement is not held.
func (x *explanation) whyNot(m *mapper.Mapping, e contractor.Entitlement) []string {
	var why []string
	if x.Stopped != "" {
		why = append(why, "the person is stopped "+x.Stopped)
	}
	rules := m.Granting(e.Key())
	if len(rules) == 0 {
		return append(why, "no rule grants it")
	}
	if len(x.Engagements) == 0 {
		return append(why, "there was no engagement")
	}
	for i := range x.Engagements {
		ev := x.Engagements[i].Evaluation
		name := "engagement " + ev.Engagement + " of " + ev.Vendor
		for _, g := range ev.Grants {
			if g.Entitlement.Key() != e.Key() {
				continue
			}
			if x.At.Before(g.Start) {
				why = append(why, name+": it begins at "+inZone(g.Start, x.Engagements[i].zone, "?"))
			} else if !x.At.Before(g.End) {
				why = append(why, name+": it ended at "+inZone(g.End, x.Engagements[i].zone, "?")+" by rule "+g.Rule)
			} else {
				why = append(why, name+": rule "+g.Rule+" grants it, and it is not in Entra yet; "+orText(x.Waits, "see scimbridge contractor show"))
			}
		}
		if ev.Status == contractor.StatusHeld || ev.Status == contractor.StatusOffboarding {
			why = append(why, fmt.Sprintf("%s is %s: %s", name, ev.Status, orText(ev.Reason, "the contract is over")))
		}
		for _, r := range ev.Rules {
			if slices.Contains(rules, r.Rule) && r.Outcome != mapper.Matched {
				why = append(why, fmt.Sprintf("%s: rule %s (line %d) %s: %s", name, r.Rule, r.Line, r.Outcome, r.Detail))
			}
		}
	}
	return why
}

func (x *explanation) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "person    %s (%s), at %s\nmapping   %.12s, in force since %s\n", x.Email, x.Person, day(x.At), x.Revision, day(x.Loaded))
	if x.Stopped != "" {
		fmt.Fprintf(&b, "STOPPED   %s\n", x.Stopped)
	}
	if x.Waits != "" {
		fmt.Fprintf(&b, "waits     %s\n", x.Waits)
	}
	for _, h := range x.Holds {
		fmt.Fprintf(&b, "held      number %d: %s\n", h.ID, h.Why)
	}
	for i := range x.Engagements {
		e := &x.Engagements[i]
		fmt.Fprintf(&b, "\nENGAGEMENT %s of vendor %s\n", e.ID, e.Vendor)
		if !e.Changed.IsZero() {
			fmt.Fprintf(&b, "  its record was changed at %s, after that time; the values below are those of today\n", day(e.Changed))
		}
		fmt.Fprintf(&b, "  sent      %s\n", e.Resource)
		for _, f := range slices.Sorted(maps.Keys(e.Aliases)) {
			fmt.Fprintf(&b, "  alias     %s is read from the first of %s\n", f, strings.Join(e.Aliases[f], ", "))
		}
		printEvaluation(&b, e.Evaluation, e.zone)
		b.WriteString("\nsent and ignored\n")
		printIgnored(&b, e.Ignored)
	}
	for i := range x.Entitlements {
		x.Entitlements[i].print(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (y *explainedEntitlement) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s %s (%s)\n", strings.ToUpper(kindOf(y.Entitlement.Kind)), y.Entitlement.Name, y.Entitlement.ID)
	if h := y.Held; h != nil {
		fmt.Fprintf(b, "  held since %s until %s by rule %s, line %d of mapping %.12s, for engagement %s of %s; Entra ends it: %s\n",
			day(h.Since), day(h.End), h.Rule, h.Line, h.Revision, h.Engagement, h.Vendor, orWord(h.EntraEnd, "no, the bridge does"))
	} else {
		b.WriteString("  not held\n")
	}
	for _, w := range y.WhyNot {
		fmt.Fprintf(b, "    %s\n", w)
	}
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, e := range y.Events {
		rule := ""
		if e.Rule != "" {
			rule = fmt.Sprintf("rule %s, line %d of %.12s", e.Rule, e.Line, e.Revision)
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\trequest-id %s\t%s\n", e.Time.Format("2006-01-02 15:04:05"), e.Kind, rule, orText(e.RequestID, "-"), e.Reason)
	}
	_ = table.Flush() // a strings.Builder takes everything
}
