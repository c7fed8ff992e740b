package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
)

// former finds mappings that were in force, and keeps the last few that were asked for.
type former struct {
	store *db.Store
	mu    sync.Mutex
	known map[string]*mapper.Mapping // nil: not readable
}

// maxFormer bounds how many mappings are kept parsed.
const maxFormer = 8

func newFormer(store *db.Store) *former {
	return &former{store: store, known: map[string]*mapper.Mapping{}}
}

// rules fits lifecycle.Config.Former. A mapping that this program cannot read any more is not known.
func (f *former) rules(revision string) (lifecycle.Rules, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, asked := f.known[revision]
	if !asked {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		r, err := f.store.Revision(ctx, revision)
		if err != nil {
			return nil, false
		}
		m, _ = mapper.Parse("revision "+revision[:min(12, len(revision))], []byte(r.Text))
		if len(f.known) >= maxFormer {
			clear(f.known)
		}
		f.known[revision] = m
	}
	return m, m != nil
}

// comparison works out what one mapping changes against another, person by person. It is pure but for former.
type comparison struct {
	before  *mapper.Mapping // nil: none is in force
	after   *mapper.Mapping
	readers map[string]*scim.Reader // of vendors whose records the new mapping reads otherwise
	former  func(string) (lifecycle.Rules, bool)
	now     time.Time
	holds   map[string][]contractor.Hold // about ends that vendors moved, waiting or cancelled, by person
}

func newComparison(before, after *mapper.Mapping, former func(string) (lifecycle.Rules, bool), now time.Time) (*comparison, error) {
	c := &comparison{before: before, after: after, former: former, now: now, readers: map[string]*scim.Reader{}}
	for _, name := range after.Vendors() {
		v, _ := after.Vendor(name)
		if before != nil {
			if old, known := before.Vendor(name); known && reading(old) == reading(v) {
				continue
			}
		}
		r, err := scim.NewReader(v)
		if err != nil {
			return nil, err
		}
		c.readers[name] = r
	}
	return c, nil
}

// reading is a digest of the settings on which a vendor's records depend.
func reading(v *contractor.Vendor) string {
	b, _ := json.Marshal([]any{v.Aliases, v.Supplier, v.Profile, v.TestUsers, v.EmailDomains, v.DateLayouts, v.Zone.String()})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// outcome is what a mapping changes for one person.
type outcome struct {
	person  string
	digest  string
	changes []mapper.Change
	losses  []contractor.Loss
}

func (c *comparison) person(p *contractor.Person) outcome {
	o := outcome{person: p.ID}
	if !p.Block.At.IsZero() {
		return o // stopped: nothing is granted, whatever the mapping says, and an edit takes nothing
	}
	p = c.kept(p)
	was := contractor.Desired{At: c.now}
	if c.before != nil {
		was = c.before.Desired(p, c.now)
	}
	next := c.rederived(p)
	is := c.after.Desired(next, c.now)
	o.changes = mapper.Compare(was, is)
	o.losses = lifecycle.Losses(p, c.now, &is, c.former)
	if len(o.changes) > 0 || len(o.losses) > 0 {
		o.digest = digestOf(p)
	}
	return o
}

// kept is the person with the ends that stand while newer ones are held, as the loop sees it.
func (c *comparison) kept(p *contractor.Person) *contractor.Person {
	holds := c.holds[p.ID]
	if len(holds) == 0 {
		return p
	}
	q := *p
	q.Engagements = slices.Clone(p.Engagements)
	for i := range q.Engagements {
		e := &q.Engagements[i]
		v, known := c.after.Vendor(e.Vendor)
		if !known && c.before != nil {
			v, known = c.before.Vendor(e.Vendor)
		}
		if known {
			e.KeptUntil = lifecycle.KeptUntil(e, v, holds, c.now)
		}
	}
	return &q
}

// rederived is the person with records as the new mapping reads them.
func (c *comparison) rederived(p *contractor.Person) *contractor.Person {
	if len(c.readers) == 0 {
		return p
	}
	q := *p
	q.Engagements = slices.Clone(p.Engagements)
	for i := range q.Engagements {
		e := &q.Engagements[i]
		if r := c.readers[e.Vendor]; r != nil && !e.Deleted && len(e.Resource) > 0 {
			*e, _ = r.Rederive(*e) // what the vendor could not send today stands all the same
		}
	}
	return &q
}

// digestOf is what a plan depends on of a person: the records, and what admins decided. What the loop writes is not in it.
func digestOf(p *contractor.Person) string {
	type engagement struct {
		ID, Vendor       string
		Record           contractor.Record
		EndedAt, Until   time.Time
		Deleted, Test    bool
		Unused, Resource string
	}
	parts := make([]engagement, len(p.Engagements))
	for i := range p.Engagements {
		e := &p.Engagements[i]
		parts[i] = engagement{e.ID, e.Vendor, e.Record, e.EndedAt, e.Extended.Until, e.Deleted, e.Test, string(e.Unused), string(e.Resource)}
	}
	b, _ := json.Marshal([]any{p.ID, p.Block.At, parts})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// compareBatch is how many people are compared at once.
const compareBatch = 500

// population compares everybody, in the store's order, on all cores, a batch in memory at a time. each is called in order.
func (c *comparison) population(ctx context.Context, store *db.Store, each func(batch []outcome) error) error {
	holds, err := store.KeptEnds(ctx)
	if err != nil {
		return err
	}
	c.holds = map[string][]contractor.Hold{}
	for _, h := range holds {
		c.holds[h.Person] = append(c.holds[h.Person], h)
	}
	batches := make(chan []*contractor.Person, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var readErr error
	go func() {
		defer close(batches)
		batch := make([]*contractor.Person, 0, compareBatch)
		send := func() bool {
			select {
			case batches <- batch:
				batch = make([]*contractor.Person, 0, compareBatch)
				return true
			case <-ctx.Done():
				return false
			}
		}
		for p, err := range store.People(ctx) {
			if err != nil {
				readErr = err
				return
			}
			if batch = append(batch, p); len(batch) == compareBatch && !send() {
				return
			}
		}
		if len(batch) > 0 {
			send()
		}
	}()
	for batch := range batches {
		out := make([]outcome, len(batch))
		var workers sync.WaitGroup
		n := runtime.GOMAXPROCS(0)
		for w := range n {
			workers.Go(func() {
				for i := w; i < len(batch); i += n {
					out[i] = c.person(batch[i])
				}
			})
		}
		workers.Wait()
		if err := each(out); err != nil {
			return err
		}
	}
	if readErr == nil {
		readErr = ctx.Err()
	}
	return readErr
}

// tally counts changes.
type tally struct {
	People    int                                  `json:"people"`  // looked at
	Changed   int                                  `json:"changed"` // of them
	Kinds     map[mapper.ChangeKind]int            `json:"changes"`
	Losing    map[string]int                       `json:"losing"` // people who lose access that they hold now, by vendor
	Rules     map[string]map[mapper.ChangeKind]int `json:"rules"`
	Exceeding []string                             `json:"exceeding,omitempty"` // the guards that would hold the removals, unless the plan is applied
}

func newTally() *tally {
	return &tally{Kinds: map[mapper.ChangeKind]int{}, Losing: map[string]int{}, Rules: map[string]map[mapper.ChangeKind]int{}}
}

func (t *tally) add(o *outcome) {
	t.People++
	if len(o.changes) == 0 && len(o.losses) == 0 {
		return
	}
	t.Changed++
	for i := range o.changes {
		ch := &o.changes[i]
		t.Kinds[ch.Kind]++
		rule := ruleOf(ch)
		if rule == "" {
			continue
		}
		if t.Rules[rule] == nil {
			t.Rules[rule] = map[mapper.ChangeKind]int{}
		}
		t.Rules[rule][ch.Kind]++
	}
	for _, l := range o.losses {
		t.Losing[l.Vendor]++
	}
}

// ruleOf is the rule to which a change belongs: the one that grants now, else the one that granted.
func ruleOf(ch *mapper.Change) string {
	switch {
	case ch.After != nil:
		return ch.After.Rule
	case ch.Before != nil:
		return ch.Before.Rule
	}
	return ""
}

// guards says which guards the removals exceed.
func (t *tally) guards(m *mapper.Mapping, live map[string]int) {
	check := func(name string, g contractor.Guard, n, live int) {
		if g.MaxEnds > 0 && n > g.MaxEnds || g.MaxEndsPercent > 0 && n > contractor.GuardFloor && n*100 > g.MaxEndsPercent*live {
			t.Exceeding = append(t.Exceeding, name)
		}
	}
	total, all := 0, 0
	for _, name := range slices.Sorted(maps.Keys(t.Losing)) {
		total += t.Losing[name]
		if v, known := m.Vendor(name); known {
			check("vendor "+name, v.Guard, t.Losing[name], live[name])
		}
	}
	for _, n := range live {
		all += n
	}
	check("all vendors together", m.Guard(), total, all)
}

// planOf computes and stores what after changes against the mapping in force.
func planOf(ctx context.Context, store *db.Store, actor audit.Actor, after *mapper.Mapping, now time.Time, progress func(done int)) (*db.Plan, *tally, error) {
	revision, before, err := inForce(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	c, err := newComparison(before, after, newFormer(store).rules, now)
	if err != nil {
		return nil, nil, err
	}
	p, err := store.BeginPlan(ctx, actor, revision, after.Revision(), string(after.Source()))
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.New()
	_, _ = sum.Write([]byte(revision + "\n" + after.Revision() + "\n"))
	t, n := newTally(), 0
	err = c.population(ctx, store, func(batch []outcome) error {
		var people []db.PlanPerson
		for i := range batch {
			o := &batch[i]
			t.add(o)
			if o.digest == "" {
				continue
			}
			x, err := o.stored(sum)
			if err != nil {
				return err
			}
			people = append(people, x)
		}
		progress(t.People)
		if len(people) == 0 {
			return nil
		}
		n += len(people)
		return store.AddPlanPeople(ctx, p, n-len(people), people)
	})
	if err != nil {
		return nil, nil, err
	}
	vendors, err := store.ListVendors(ctx)
	if err != nil {
		return nil, nil, err
	}
	live := map[string]int{}
	for _, v := range vendors {
		live[v.Name] = v.Live
	}
	t.guards(after, live)
	summary, err := json.Marshal(t)
	if err != nil {
		return nil, nil, err
	}
	return p, t, store.FinishPlan(ctx, p, hex.EncodeToString(sum.Sum(nil)), summary)
}

// stored is the outcome as the plan keeps it; it adds it to the plan's hash.
func (o *outcome) stored(sum hash.Hash) (db.PlanPerson, error) {
	changes := slices.Clone(o.changes)
	for i := range changes {
		changes[i].ToCome = false // the instant of planning is not a part of the plan
	}
	b, err := json.Marshal(changes)
	if err != nil {
		return db.PlanPerson{}, err
	}
	_, _ = sum.Write([]byte(o.person + o.digest))
	_, _ = sum.Write(b)
	b, err = json.Marshal(o.changes)
	return db.PlanPerson{Person: o.person, Digest: o.digest, Losses: o.losses, Changes: b}, err
}

// inForce reads the mapping that the daemon runs, or ran last; nil if there never was one.
func inForce(ctx context.Context, store *db.Store) (revision string, m *mapper.Mapping, err error) {
	r, err := store.Revision(ctx, "")
	var ce *contractor.Error
	if errors.As(err, &ce) && ce.Code == contractor.CodeNotFound {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	m, problems := mapper.Parse("the mapping in force", []byte(r.Text))
	return r.Hash, m, problems.Err()
}

// sameEffect reports whether two outcomes change the same, but for properties of guests.
func sameEffect(a, b []mapper.Change) bool {
	effect := func(list []mapper.Change) (out []mapper.Change) {
		for _, ch := range list {
			if ch.Kind != mapper.Updated {
				ch.ToCome = false
				out = append(out, ch)
			}
		}
		return out
	}
	return reflect.DeepEqual(effect(a), effect(b))
}
