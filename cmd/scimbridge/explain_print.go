package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"scimbridge/internal/scim"
)

func (x *explanation) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "person    %s (%s), at %s\n", x.Email, x.Person, x.At.UTC().Format("2006-01-02 15:04:05 UTC"))
	if x.Revision != "" {
		fmt.Fprintf(&b, "mapping   %.12s, in force since %s, loaded by %s\n", x.Revision, day(x.Loaded), x.LoadedBy)
	}
	for _, g := range x.Gaps {
		fmt.Fprintf(&b, "NOT KNOWN %s\n", g)
	}
	if x.Stopped != "" {
		fmt.Fprintf(&b, "STOPPED   %s\n", x.Stopped)
	}
	if x.Waits != "" {
		fmt.Fprintf(&b, "waits     %s\n", x.Waits)
	}
	for i := range x.Holds {
		fmt.Fprintf(&b, "held      number %d: %s\n", x.Holds[i].ID, x.Holds[i].Why)
	}
	for i := range x.Engagements {
		x.Engagements[i].print(&b)
	}
	for i := range x.Entitlements {
		x.Entitlements[i].print(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *explainedEngagement) print(b *strings.Builder) {
	fmt.Fprintf(b, "\nENGAGEMENT %s of vendor %s\n", e.ID, e.Vendor)
	fmt.Fprintf(b, "  its record is so since %s", day(e.Since))
	if e.Event > 0 {
		fmt.Fprintf(b, " (event %d)", e.Event)
	}
	if !e.Until.IsZero() {
		fmt.Fprintf(b, ", until it was changed at %s", day(e.Until))
	}
	b.WriteString("\n\nread from what the vendor sent\n")
	printSources(b, e.Sources)
	if e.Evaluation != nil {
		printEvaluation(b, e.Evaluation, e.zone)
	}
	b.WriteString("\nsent and ignored\n")
	printIgnored(b, e.Ignored)
}

// printSources tells each field of a record with its place in the vendor's payload.
func printSources(b *strings.Builder, sources []scim.Source) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, s := range sources {
		value := "(not shown)"
		if s.Value != "" {
			value = fmt.Sprintf("%.60q", s.Value)
		}
		by := ""
		if s.Alias {
			by = "alias"
		}
		fmt.Fprintf(table, "  c.%s\t%s\tfrom %s\t%s\n", s.Field, value, s.Path, by)
	}
	_ = table.Flush() // a strings.Builder takes everything
	if len(sources) == 0 {
		b.WriteString("  nothing that is kept\n")
	}
}

func (y *explainedEntitlement) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s %s (%s)\n", strings.ToUpper(kindOf(y.Entitlement.Kind)), y.Entitlement.Name, y.Entitlement.ID)
	if h := y.Held; h != nil {
		ends := "Entra ends it by itself"
		if !h.EndsItself {
			ends = "the bridge ends it"
		}
		fmt.Fprintf(b, "  held since %s until %s by rule %s, line %d of mapping %.12s, for engagement %s of %s; %s\n",
			day(h.Since), day(h.Until), h.Rule, h.Line, h.Revision, h.Engagement, h.Vendor, ends)
		if h.Event > 0 {
			fmt.Fprintf(b, "  event %d of the journal says so; prove it with: scimbridge audit prove %d\n", h.Event, h.Event)
		}
		if h.Removing {
			b.WriteString("  its removal was sent to Entra and not yet seen done\n")
		}
		for i, l := range strings.Split(y.RuleText, "\n") {
			if y.RuleText != "" {
				fmt.Fprintf(b, "  %5d | %s\n", h.Line+i, l)
			}
		}
	} else {
		b.WriteString("  not held\n")
	}
	if y.Held != nil && len(y.WhyNot) > 0 {
		b.WriteString("  it stood in Entra, and nothing granted it any more\n")
	}
	for _, w := range y.WhyNot {
		fmt.Fprintf(b, "    %s\n", w)
	}
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for i := range y.Events {
		e := &y.Events[i]
		rule := ""
		if e.Rule != "" {
			rule = fmt.Sprintf("rule %s, line %d of %.12s", e.Rule, e.Line, e.Revision)
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\trequest-id %s\t%s\n", e.Time.Format("2006-01-02 15:04:05"), e.Kind, rule, e.Call, orText(e.RequestID, "-"), e.Reason)
	}
	_ = table.Flush() // a strings.Builder takes everything
}
