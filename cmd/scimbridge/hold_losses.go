package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// holdLosses is what approving holds takes away: counted, by rule, and for each hold.
type holdLosses struct {
	kinds  map[contractor.HoldKind]int
	grants int
	people map[string]bool
	rules  map[string]map[string]int // rule and line -> what it gave -> how many lose it
}

// lossesOf works out what approving would take away, and fills in what each hold's person would lose. An edit of the mapping names it
// itself; an end takes all that its engagement gave; a later end takes nothing.
func lossesOf(ctx context.Context, s *db.Store, holds []contractor.Hold) (*holdLosses, error) {
	l := &holdLosses{kinds: map[contractor.HoldKind]int{}, people: map[string]bool{}, rules: map[string]map[string]int{}}
	for i := range holds {
		h := &holds[i]
		if h.State != contractor.HoldOpen {
			continue
		}
		l.kinds[h.Kind]++
		if h.Kind == contractor.HoldDateMove {
			continue
		}
		p, err := s.Person(ctx, h.Person)
		if ce, ok := errors.AsType[*contractor.Error](err); ok && ce.Code == contractor.CodeNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		var loses []string
		for k := range p.Holdings {
			g := &p.Holdings[k]
			what := contractor.LossOf(g.Entitlement)
			if h.Kind == contractor.HoldMapping && !slices.Contains(h.Loses, what) || h.Kind == contractor.HoldMassEnd && g.Engagement != h.Engagement {
				continue
			}
			loses = append(loses, what)
			rule := fmt.Sprintf("%s, line %d of %.12s", g.Rule, g.Line, g.Revision)
			if l.rules[rule] == nil {
				l.rules[rule] = map[string]int{}
			}
			l.rules[rule][kindOf(g.Entitlement.Kind)+" "+g.Entitlement.Name]++
		}
		if h.Kind == contractor.HoldMassEnd {
			h.Loses = loses
		}
		if l.grants += len(loses); len(loses) > 0 {
			l.people[h.Person] = true
		}
	}
	return l, nil
}

// print tells the counts first, then the rules.
func (l *holdLosses) print(w io.Writer) error {
	var parts []string
	for _, k := range []struct {
		kind      contractor.HoldKind
		one, many string
	}{
		{contractor.HoldMapping, "edit of the mapping that takes access from somebody", "people from whom an edit of the mapping takes access"},
		{contractor.HoldMassEnd, "sudden end", "sudden ends"},
		{contractor.HoldDateMove, "end put later", "ends put later"},
	} {
		if n := l.kinds[k.kind]; n == 1 {
			parts = append(parts, "1 "+k.one)
		} else if n > 1 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k.many))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	fmt.Fprintf(w, "%s\n", strings.Join(parts, ", "))
	if l.grants == 0 {
		_, err := fmt.Fprintln(w, "approving takes nothing away that is held now")
		return err
	}
	fmt.Fprintf(w, "approving takes away %s of %s\n\nby rule\n", count(l.grants, "grant"), people(len(l.people)))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, rule := range slices.Sorted(maps.Keys(l.rules)) {
		for _, what := range slices.Sorted(maps.Keys(l.rules[rule])) {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", rule, what, people(l.rules[rule][what]))
		}
	}
	return table.Flush()
}

// people counts people.
func people(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

// maxLosing bounds the people that a question lists.
const maxLosing = 50

// printLosing lists who loses what, before somebody is asked.
func printLosing(w io.Writer, losses []contractor.Loss) error {
	if len(losses) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nwho loses what they hold now")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, l := range losses {
		if i == maxLosing {
			fmt.Fprintf(table, "  and %d more\n", len(losses)-maxLosing)
			break
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", l.Person, l.Vendor, strings.Join(l.Loses, ", "))
	}
	return table.Flush()
}
