package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
)

// explanation is why a person holds what it holds, and why not; the form of explain --json.
type explanation struct {
	Person       string                 `json:"person"`
	Email        string                 `json:"email"`
	At           time.Time              `json:"at"`
	Revision     string                 `json:"revision,omitempty"` // of the mapping in force then
	Loaded       time.Time              `json:"loaded,omitzero"`
	LoadedBy     string                 `json:"loadedBy,omitempty"`
	Waits        string                 `json:"waits,omitempty"`
	Stopped      string                 `json:"stopped,omitempty"`
	Gaps         []string               `json:"notKnown,omitempty"` // sentences: what is not kept any more
	Engagements  []explainedEngagement  `json:"engagements"`
	Entitlements []explainedEntitlement `json:"entitlements"`
	Holds        []contractor.Hold      `json:"holds,omitempty"` // that waited then

	failed string
}

type explainedEngagement struct {
	ID         string                 `json:"id"`
	Vendor     string                 `json:"vendor"`
	Since      time.Time              `json:"recordSince"`          // from when on the record was as it is shown
	Event      int64                  `json:"event,omitempty"`      // of the journal that made it so
	Until      time.Time              `json:"recordUntil,omitzero"` // when it was next changed; zero: it still is so
	Sources    []scim.Source          `json:"read"`                 // each field of the record with its place in the vendor's payload
	Resource   json.RawMessage        `json:"resource,omitempty"`   // what the vendor sent, in SCIM's names
	Ignored    json.RawMessage        `json:"ignored,omitempty"`
	Evaluation *contractor.Evaluation `json:"evaluation,omitempty"`
	zone       *time.Location
}

type explainedEntitlement struct {
	Entitlement contractor.Entitlement `json:"entitlement"`
	Held        *db.AccessRow          `json:"held,omitempty"` // as it stood then, by the journal
	RuleText    string                 `json:"ruleText,omitempty"`
	WhyNot      []string               `json:"whyNot,omitempty"`
	Events      []explainedEvent       `json:"events"` // what was done about it by then
}

// explainedEvent is an event with the call to Graph that it tells of.
type explainedEvent struct {
	audit.Event
	Call string `json:"call,omitempty"`
}

func newExplain(io streams) *cobra.Command {
	var file, at string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain PERSON [ENTITLEMENT]",
		Short: "Say why somebody has what they have, and why not",
		Long: `Say why a person holds, or does not hold, what the mapping can grant: from what the vendor sent, over alias, rule and line of the
mapping revision in force, to the grant, the call to Graph and its request id. PERSON is an address, or the id of a person, an
engagement or a guest; ENTITLEMENT a name of the catalog or an id of Entra. With --at for an instant of the past: the records as
they were, the mapping in force then, what admins and guards had decided by then, what was held and what was done. Of each
engagement the last 100 states are kept, until the person is erased; what is not known any more is said.

Exit codes: 0 explained, 1 failed or nobody found.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			when, err := instantOf(at, time.UTC)
			if err != nil {
				return err
			}
			if when.After(time.Now()) {
				return fmt.Errorf("--at %s has not come yet; scimbridge plan and scimbridge try tell what will be", at)
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
				x, err := explain(cmd.Context(), s, args[0], wanted, when, at != "")
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
	cmd.Flags().StringVar(&at, "at", "", "for this date or instant (UTC unless it says otherwise); default: now")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func explain(ctx context.Context, s *db.Store, who, wanted string, at time.Time, past bool) (*explanation, error) {
	p, err := s.FindPerson(ctx, who)
	if err != nil {
		return nil, err
	}
	x := &explanation{Person: p.ID, Email: p.Email, At: at, Engagements: []explainedEngagement{}, Entitlements: []explainedEntitlement{}}
	m, err := x.mapping(ctx, s)
	if err != nil {
		return nil, err
	}
	then, err := momentOf(ctx, s, p, m, at, past)
	if err != nil {
		return nil, err
	}
	x.Waits, x.failed, x.Holds, x.Gaps = then.waits, then.failed, then.holds, append(x.Gaps, then.gaps...)
	if b := then.person.Block; !b.At.IsZero() {
		x.Stopped = "by " + b.By + ": " + b.Reason
	}
	for i := range then.person.Engagements {
		x.Engagements = append(x.Engagements, explainEngagement(m, &then.person.Engagements[i], then))
	}
	if err := x.entitlements(ctx, s, m, then, wanted); err != nil {
		return nil, err
	}
	if wanted != "" && len(x.Entitlements) == 0 {
		return nil, fmt.Errorf("%q is not in the catalog of the mapping of that time, and is not held", wanted)
	}
	return x, nil
}

// mapping reads the mapping in force at the instant; nil where none was, or this program cannot read it any more.
func (x *explanation) mapping(ctx context.Context, s *db.Store) (*mapper.Mapping, error) {
	r, err := s.RevisionAt(ctx, x.At)
	var ce *contractor.Error
	switch {
	case errors.As(err, &ce) && ce.Code == contractor.CodeNotFound:
		x.Gaps = append(x.Gaps, ce.Message)
		return nil, nil
	case err != nil:
		return nil, err
	}
	x.Revision, x.Loaded, x.LoadedBy = r.Hash, r.Loaded, r.Who
	m, problems := mapper.Parse("revision", []byte(r.Text))
	if problems.Err() != nil {
		x.Gaps = append(x.Gaps, "this version of scimbridge cannot read the mapping of that time: "+problems[0].Message)
	}
	return m, nil
}

func explainEngagement(m *mapper.Mapping, e *contractor.Engagement, then *moment) explainedEngagement {
	since := then.record.Since[e.ID]
	x := explainedEngagement{
		ID: e.ID, Vendor: e.Vendor, Since: since, Event: then.eventAt(e.ID, since), Until: then.record.Until[e.ID], Sources: []scim.Source{},
		Ignored: e.Unused, Resource: withoutSecret(e.Resource),
	}
	if m == nil {
		return x
	}
	ev := m.Evaluate(e, then.at)
	x.Evaluation, x.zone = &ev, ev.Period.Zone
	if v, known := m.Vendor(e.Vendor); known {
		r, _ := scim.NewReader(v) // mistakes in aliases are validate's to tell
		x.Sources = append(x.Sources, r.Sources(e)...)
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

// entitlements explains everything that the mapping of then could grant, and whatever else was held.
func (x *explanation) entitlements(ctx context.Context, s *db.Store, m *mapper.Mapping, then *moment, wanted string) error {
	held := map[contractor.EntitlementKey]*db.AccessRow{}
	var all []contractor.Entitlement
	if m != nil {
		all = m.Catalog()
	}
	for h, err := range s.AccessAt(ctx, db.AccessQuery{At: x.At, Person: x.Person}) {
		if err != nil {
			return err
		}
		e := contractor.Entitlement{Kind: h.Kind, Name: h.Granted, ID: h.GrantedID}
		held[e.Key()] = &h
		if !slices.ContainsFunc(all, func(known contractor.Entitlement) bool { return known.Key() == e.Key() }) {
			all = append(all, e)
		}
	}
	for _, e := range all {
		if wanted != "" && !strings.EqualFold(wanted, e.Name) && !strings.EqualFold(wanted, e.ID) {
			continue
		}
		y := explainedEntitlement{Entitlement: e, Held: held[e.Key()], Events: []explainedEvent{}}
		for _, ev := range then.events {
			if strings.HasSuffix(ev.Entitlement, "("+e.ID+")") || strings.HasSuffix(ev.Entitlement, " "+e.ID) {
				y.Events = append(y.Events, explainedEvent{ev, callOf(&ev)})
			}
		}
		if y.Held == nil || !x.granted(e.Key()) {
			y.WhyNot = x.whyNot(m, e)
		}
		if y.Held == nil {
			x.Entitlements = append(x.Entitlements, y)
			continue
		}
		if r, err := s.Revision(ctx, y.Held.Revision); err == nil {
			y.RuleText = ruleText(r.Text, y.Held.Line)
		}
		x.Entitlements = append(x.Entitlements, y)
	}
	return nil
}

// granted reports whether an engagement granted it at the instant.
func (x *explanation) granted(key contractor.EntitlementKey) bool {
	for i := range x.Engagements {
		if ev := x.Engagements[i].Evaluation; ev != nil && slices.ContainsFunc(ev.Grants, func(g contractor.Grant) bool {
			return g.Entitlement.Key() == key && !x.At.Before(g.Start) && x.At.Before(g.End)
		}) {
			return x.Stopped == ""
		}
	}
	return false
}

// callOf is the call to Graph that an event tells of; "" if it tells of none.
func callOf(e *audit.Event) string {
	var told struct{ Call string }
	_ = json.Unmarshal(e.Detail, &told) // without a detail there is none
	return told.Call
}

// maxRuleLines bounds how much of a rule is repeated.
const maxRuleLines = 12

// ruleText is the rule that begins in a line of a mapping file: up to the next one, or to where its section ends.
func ruleText(text string, line int) string {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	lines = lines[line-1:]
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }
	end := 1
	for ; end < len(lines) && end < maxRuleLines; end++ {
		if l := strings.TrimSpace(lines[end]); l != "" && indent(lines[end]) <= indent(lines[0]) {
			break
		}
	}
	rule := lines[:end]
	for len(rule) > 1 && (strings.TrimSpace(rule[len(rule)-1]) == "" || strings.HasPrefix(strings.TrimSpace(rule[len(rule)-1]), "#")) {
		rule = rule[:len(rule)-1]
	}
	for i := range rule {
		rule[i] = strings.TrimRight(rule[i], " \r")
	}
	return strings.Join(rule, "\n")
}

// whyNot says why an entitlement was not held.
func (x *explanation) whyNot(m *mapper.Mapping, e contractor.Entitlement) []string {
	var why []string
	if x.Stopped != "" {
		why = append(why, "the person is stopped "+x.Stopped)
	}
	if m == nil {
		return why
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
			switch {
			case x.At.Before(g.Start):
				why = append(why, name+": it begins at "+inZone(g.Start, x.Engagements[i].zone, "?"))
			case !x.At.Before(g.End):
				why = append(why, name+": it ended at "+inZone(g.End, x.Engagements[i].zone, "?")+" by rule "+g.Rule)
			default:
				why = append(why, fmt.Sprintf("%s: rule %s (line %d) grants it, and it was not in Entra yet; %s", name, g.Rule, g.Line, x.obstacle()))
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

// obstacle is what stood between a grant and Entra.
func (x *explanation) obstacle() string {
	switch {
	case x.Waits != "":
		return x.Waits
	case x.failed != "":
		return "the last try failed: " + x.failed
	}
	return "the loop had not come to it; see scimbridge contractor show"
}
