package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

const (
	revisionsShown = 30
	planPeople     = 100
	planTimeout    = 5 * time.Minute // 100,000 people and 200 rules take seconds
)

type mappingView struct {
	Status    Status
	Revision  string
	Loaded    time.Time
	Who       string
	InForce   bool
	Lines     []line
	Rules     []ruleLine
	Revisions []contractor.MappingRevision
	Refused   []string
}

// line is one line of a mapping file, with the rule that begins in it and the mistakes found in it.
type line struct {
	Number   int
	Text     string
	Comment  bool
	Rule     string
	People   int
	Denies   bool
	Problems []problem
}

type problem struct {
	Column  int
	Message string
	Warning bool
}

type ruleLine struct {
	Name   string
	Line   int
	People int
	Denies bool // People are those whom it holds
}

func (c *Console) mapping(w http.ResponseWriter, r *http.Request, s *session) error {
	v := mappingView{}
	var err error
	if v.Status, err = c.bridge.Status(r.Context()); err != nil {
		return err
	}
	if v.Status.Refused != "" {
		v.Refused = strings.Split(v.Status.Refused, "\n")
	}
	rev, err := c.store.RevisionLike(r.Context(), orElse(r.PathValue("revision"), v.Status.Revision))
	if err != nil {
		return err
	}
	v.Revision, v.Loaded, v.Who, v.InForce = rev.Hash, rev.Loaded, rev.Who, rev.Hash == v.Status.Revision
	m, _ := mapper.Parse("mapping", []byte(rev.Text)) // one that this version cannot read is shown all the same
	counts := map[string]int{}
	if v.InForce {
		list, err := c.store.RuleCounts(r.Context())
		if err != nil {
			return err
		}
		for _, x := range list {
			counts[x.Rule] = x.People
		}
	}
	v.Rules = rulesOf(m, counts)
	if v.Rules, err = c.withDenials(r.Context(), m, v.Rules, v.InForce); err != nil {
		return err
	}
	v.Lines = linesOf(rev.Text, v.Rules, nil)
	if v.Revisions, err = c.store.Revisions(r.Context(), revisionsShown); err != nil {
		return err
	}
	return c.page(w, r, s, "mapping", "Mapping", v)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// rulesOf lists the rules that grant something, by their lines.
func rulesOf(m *mapper.Mapping, counts map[string]int) (list []ruleLine) {
	if m == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, e := range m.Catalog() {
		for _, name := range m.Granting(e.Key()) {
			if !seen[name] {
				seen[name] = true
				list = append(list, ruleLine{Name: name, Line: m.RuleLine(name), People: counts[name]})
			}
		}
	}
	slices.SortFunc(list, func(a, b ruleLine) int { return a.Line - b.Line })
	return list
}

// withDenials adds the rules that deny, with the people whom they hold now where the file is in force.
func (c *Console) withDenials(ctx context.Context, m *mapper.Mapping, rules []ruleLine, inForce bool) ([]ruleLine, error) {
	if m == nil {
		return rules, nil
	}
	denials := m.Denials()
	counts := make([]int, len(denials))
	if inForce && len(denials) > 0 {
		reasons := make([]string, len(denials))
		for i, d := range denials {
			reasons[i] = d.Reason
		}
		var err error
		if counts, err = c.store.HeldFor(ctx, reasons); err != nil {
			return nil, err
		}
	}
	for i, d := range denials {
		rules = append(rules, ruleLine{Name: d.Rule, Line: d.Line, People: counts[i], Denies: true})
	}
	slices.SortFunc(rules, func(a, b ruleLine) int { return a.Line - b.Line })
	return rules, nil
}

func linesOf(text string, rules []ruleLine, problems map[int][]problem) []line {
	var list []line
	for i, s := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		x := line{Number: i + 1, Text: strings.TrimRight(s, "\r"), Comment: strings.HasPrefix(strings.TrimSpace(s), "#"), Problems: problems[i+1]}
		for _, rule := range rules {
			if rule.Line == x.Number {
				x.Rule, x.People, x.Denies = rule.Name, rule.People, rule.Denies
			}
		}
		list = append(list, x)
	}
	return list
}

type wrongView struct {
	File     string
	Lines    []line
	Errors   int
	Warnings int
	Others   []string // problems of no line
}

// candidate is the file that a form sends, or the text pasted into it.
func candidate(r *http.Request) (name string, text []byte, err error) {
	if f, header, err := r.FormFile("file"); err == nil {
		defer f.Close() //nolint:errcheck // it was read
		text, err = io.ReadAll(io.LimitReader(f, maxForm))
		if err != nil {
			return "", nil, err
		}
		if len(text) > 0 {
			return header.Filename, text, nil
		}
	}
	text = []byte(strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n"))
	if len(strings.TrimSpace(string(text))) == 0 {
		return "", nil, contractor.Errorf(contractor.CodeInvalid, "Choose an edited mapping file, or paste its text.")
	}
	return "candidate", text, nil
}

// makePlan checks a candidate: its mistakes at their lines, or else what it would change for everybody.
func (c *Console) makePlan(w http.ResponseWriter, r *http.Request, s *session) error {
	name, text, err := candidate(r)
	if err != nil {
		return err
	}
	m, problems := mapper.Parse(name, text)
	failed := problems.Err() != nil
	if !failed && m == nil {
		return contractor.Errorf(contractor.CodeInvalid, "The mapping is empty.")
	}
	if !failed {
		for _, t := range m.RunTests() {
			problems = append(problems, t.Problems...)
		}
		failed = problems.Err() != nil
	}
	if failed {
		v := wrongView{File: name}
		at := map[int][]problem{}
		for _, p := range problems {
			if p.Warning {
				v.Warnings++
			} else {
				v.Errors++
			}
			if p.Line < 1 {
				v.Others = append(v.Others, p.String())
				continue
			}
			at[p.Line] = append(at[p.Line], problem{p.Column, p.Message, p.Warning})
		}
		v.Lines = linesOf(string(text), nil, at)
		c.show(w, r, s, http.StatusUnprocessableEntity, "wrong", "Mistakes in "+name, v)
		return nil
	}
	return c.begin(w, r, "plan", "Planning "+name, planTimeout, func(ctx context.Context, k *work) (string, error) {
		id, err := c.bridge.MakePlan(ctx, s.actor(), m, func(done, of int) { k.told("people", int64(done), int64(of)) })
		return "/mapping/plans/" + id, err
	})
}

type planView struct {
	*Plan
	Kinds  []kindCount
	Rules  []ruleChanges
	Losing []field
	People []planPerson
	Next   string
	First  string
	Stale  bool // the mapping in force is another than it was
}

type kindCount struct {
	Kind  mapper.ChangeKind
	Count int
}

type ruleChanges struct {
	Rule   string
	Counts []kindCount
}

type planPerson struct {
	ID, Name string
	Changes  []planChange
}

type planChange struct {
	Kind  mapper.ChangeKind
	Words string
	Line  int
}

func kinds() []mapper.ChangeKind {
	return []mapper.ChangeKind{mapper.Removed, mapper.Shortened, mapper.Held, mapper.Granted, mapper.Extended, mapper.Released, mapper.Updated}
}

func (c *Console) plan(w http.ResponseWriter, r *http.Request, s *session) error {
	skip, err := place(r)
	if err != nil {
		return err
	}
	p, err := c.bridge.Plan(r.Context(), r.PathValue("plan"), skip, planPeople)
	if err != nil {
		return err
	}
	v := planView{Plan: p, Stale: p.Applied.IsZero() && p.Before != c.bridge.Mapping().Revision()}
	if p.More {
		v.Next = with(r.URL, "skip", strconv.Itoa(skip+planPeople))
	}
	if skip > 0 {
		v.First = with(r.URL, "skip", "")
	}
	v.Kinds = counted(p.Kinds)
	for _, rule := range sortedKeys(p.Rules) {
		v.Rules = append(v.Rules, ruleChanges{rule, counted(p.Rules[rule])})
	}
	for _, vendor := range sortedKeys(p.Losing) {
		v.Losing = append(v.Losing, field{vendor, strconv.Itoa(p.Losing[vendor])})
	}
	names := map[string]string{}
	for _, x := range p.People {
		c.nameOf(r, x.Person, names)
		y := planPerson{ID: x.Person, Name: names[x.Person]}
		for i := range x.Changes {
			y.Changes = append(y.Changes, changeWords(&x.Changes[i]))
		}
		v.People = append(v.People, y)
	}
	return c.page(w, r, s, "plan", "Plan "+p.ID[:min(12, len(p.ID))], v)
}

// place is where in a list a page begins.
func place(r *http.Request) (skip int, err error) {
	text := r.FormValue("skip")
	if text == "" {
		return 0, nil
	}
	if skip, err = strconv.Atoi(text); err != nil || skip < 0 {
		return 0, contractor.Errorf(contractor.CodeInvalid, "%q is no place in the list.", text)
	}
	return skip, nil
}

func counted(m map[mapper.ChangeKind]int) (list []kindCount) {
	for _, k := range kinds() {
		if m[k] > 0 {
			list = append(list, kindCount{k, m[k]})
		}
	}
	return list
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// changeWords tells one change.
func changeWords(ch *mapper.Change) planChange {
	what := strings.ReplaceAll(string(ch.Entitlement.Kind), "_", " ") + " " + ch.Entitlement.Name
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02") }
	x := planChange{Kind: ch.Kind}
	switch ch.Kind {
	case mapper.Granted:
		x.Words, x.Line = fmt.Sprintf("%s until %s, by rule %s", what, day(ch.After.End), ch.After.Rule), ch.After.Line
	case mapper.Removed:
		x.Words = fmt.Sprintf("%s, which rule %s gives until %s", what, ch.Before.Rule, day(ch.Before.End))
	case mapper.Extended, mapper.Shortened:
		x.Words, x.Line = fmt.Sprintf("%s from %s to %s, by rule %s", what, day(ch.Before.End), day(ch.After.End), ch.After.Rule), ch.After.Line
	case mapper.Held, mapper.Released:
		x.Words = "contract of " + ch.Vendor + ": " + ch.Reason
	case mapper.Updated:
		x.Words = "the guest's " + strings.Join(ch.Properties, ", ")
	}
	if ch.ToCome {
		x.Words += " (has not begun)"
	}
	return x
}
