package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/policy"
)

// policyReport is what policy plan says, and its JSON.
type policyReport struct {
	Mapping  string `json:"mapping"`
	Revision string `json:"revision"`
	policy.Result
	Hits     []policy.Hit `json:"hits,omitempty"`
	HitsFrom time.Time    `json:"hitsFrom,omitzero"`
	SignIns  int          `json:"signIns"`
}

// changeLine says one change: + made, ~ changed, - deleted.
func changeLine(c policy.Change) string {
	sign := map[policy.Action]string{policy.Create: "+", policy.Update: "~", policy.Delete: "-"}[c.Action]
	if c.Adopt && len(c.Fields) == 0 {
		sign = "="
	}
	name := ""
	if c.Kind == policy.KindPolicy {
		name = " " + c.Name
	}
	return fmt.Sprintf("%s %s%s: %s", sign, c.Kind, name, strings.TrimPrefix(c.Words, "new location "))
}

func (r *policyReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "conditional access for contractors: %s declared in %s (revision %.12s)\n", countOf(len(r.Policies), "policy", "policies"), r.Mapping, r.Revision)
	printChanges(&b, r.Changes)
	for _, st := range r.Policies {
		for _, w := range st.Warnings {
			fmt.Fprintf(&b, "note: %s: %s\n", st.Name, w)
		}
	}
	for _, t := range r.Trusts {
		fmt.Fprintf(&b, "trust: %s%s\n", t.Words, map[bool]string{true: " (by the default for all tenants)"}[t.Inherited])
	}
	r.printHits(&b)
	for _, l := range r.Left {
		fmt.Fprintf(&b, "left alone: %s\n", l.Words)
	}
	for _, f := range r.Refusals {
		at := ""
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d: ", r.Mapping, f.Line)
		}
		fmt.Fprintf(&b, "refused: %s%s\n", at, f.Words)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printChanges(b *strings.Builder, changes []policy.Change) {
	if len(changes) == 0 {
		b.WriteString("nothing to do\n")
	}
	for _, c := range changes {
		b.WriteString(changeLine(c) + "\n")
		for _, f := range c.Fields {
			fmt.Fprintf(b, "    %s: %s -> %s\n", f.Path, f.From, f.To)
		}
		if c.Drift != "" {
			fmt.Fprintf(b, "    drift: %s\n", c.Drift)
		}
		if len(c.Restarts) > 0 {
			fmt.Fprintf(b, "    the watch of %s begins anew\n", strings.Join(c.Restarts, ", "))
		}
		if c.Adopt {
			b.WriteString("    found by its name: taken over, and never deleted\n")
		}
	}
}

// printHits says whom the policies would have hit.
func (r *policyReport) printHits(b *strings.Builder) {
	if r.HitsFrom.IsZero() {
		return
	}
	if r.SignIns == 0 {
		fmt.Fprintf(b, "no sign-in of a contractor since %s is known; the daemon reads them (docs/activity.md)\n", day(r.HitsFrom))
		return
	}
	fmt.Fprintf(b, "of %s of contractors since %s, if enforced:\n", count(r.SignIns, "sign-in"), day(r.HitsFrom))
	for _, h := range r.Hits {
		fmt.Fprintf(b, "    %s: %d blocked, %d asked for more", h.Policy, h.Blocked, h.Asked)
		if h.Blocked > 0 {
			fmt.Fprintf(b, "; blocked, the last at %s: %s", day(h.Last), strings.Join(h.People[:min(len(h.People), 5)], ", "))
			if n := len(h.People) + h.More - 5; n > 0 {
				fmt.Fprintf(b, " and %d more", n)
			}
		}
		b.WriteString("\n")
	}
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// shownPolicy is a line of policy show.
type shownPolicy struct {
	Name     string             `json:"name"`
	ID       string             `json:"id"`
	Ours     bool               `json:"ours"`
	Declared contractor.CAState `json:"declared,omitempty"`
	State    contractor.CAState `json:"state,omitempty"` // in the tenant; "": not there
	Words    string             `json:"words"`
	Waits    time.Time          `json:"waits,omitzero"`
	Watched  time.Time          `json:"watched,omitzero"`
	Drift    string             `json:"drift,omitempty"`
}

// policyShown is what policy show says, and its JSON.
type policyShown struct {
	Policies  []shownPolicy  `json:"policies"`
	Trusts    []policy.Trust `json:"trusts,omitempty"`
	Frequency string         `json:"signInFrequency,omitempty"` // enforced on every guest
}

func (s *policyShown) print(w io.Writer) error {
	var b strings.Builder
	for _, p := range s.Policies {
		state := string(p.State)
		if p.State == "" {
			state = "not in the tenant"
		}
		if p.Declared != "" && p.Declared != p.State {
			state += ", declared " + string(p.Declared)
		}
		whose := ""
		if !p.Ours {
			whose = " [not ours]"
		}
		fmt.Fprintf(&b, "%s%s: %s\n    %s\n", p.Name, whose, state, p.Words)
		if !p.Waits.IsZero() {
			fmt.Fprintf(&b, "    may be enforced from %s\n", day(p.Waits))
		}
		if p.Drift != "" {
			fmt.Fprintf(&b, "    drift: %s; scimbridge policy apply puts it back\n", p.Drift)
		}
	}
	if len(s.Policies) == 0 {
		b.WriteString("no policy is declared or ours\n")
	}
	for _, t := range s.Trusts {
		fmt.Fprintf(&b, "trust: %s%s\n", t.Words, map[bool]string{true: " (by the default for all tenants)"}[t.Inherited])
	}
	if s.Frequency != "" {
		fmt.Fprintf(&b, "every guest signs in again at least every %s\n", s.Frequency)
	} else {
		b.WriteString("no enforced policy makes every guest sign in again: a session can outlive its contract; see docs/conditional-access.md\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
