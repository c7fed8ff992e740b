package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/console"
	"scimbridge/internal/contractor"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/mapper"
	"scimbridge/internal/policy"
)

// consoleBridge is the running daemon as the console sees it.
type consoleBridge struct{ d *daemon }

// Mapping implements console.Bridge.
func (b *consoleBridge) Mapping() *mapper.Mapping { return b.d.mapping.get() }

// Wake implements console.Bridge.
func (b *consoleBridge) Wake() { b.d.loop.Wake() }

// Status implements console.Bridge.
func (b *consoleBridge) Status(ctx context.Context) (console.Status, error) {
	st, err := b.d.status(ctx)
	if err != nil {
		return console.Status{}, err
	}
	graph := b.d.graph.Stats()
	waiting := 0
	for _, n := range graph.Waiting {
		waiting += n
	}
	return console.Status{
		Version: st.Version, Started: st.Started, Trouble: st.Trouble, File: st.Mapping.File, Revision: st.Mapping.Revision, Loaded: st.Mapping.Loaded,
		Refused: st.Mapping.Refused, Passes: st.Passes, Lag: time.Duration(st.Lag * float64(time.Second)), GraphURL: st.Entra.URL,
		LastAnswer: st.Entra.LastAnswer, LastError: st.Entra.LastError, Skew: time.Duration(st.Entra.SkewSecs * float64(time.Second)).Abs(),
		Throttled: st.Entra.Throttled, Writes: console.Quota{Used: graph.WritesUsed, Allowed: graph.WritesAllowed}, Waiting: waiting,
		Watching: b.d.config.Watch != nil, Mailing: b.d.config.Notify != nil,
	}, nil
}

// MakePlan implements console.Bridge.
func (b *consoleBridge) MakePlan(ctx context.Context, actor audit.Actor, m *mapper.Mapping, told func(done, of int)) (string, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	stats, err := b.d.store.Stats(ctx, now, statsAge)
	if err != nil {
		return "", err
	}
	all := 0
	for _, n := range stats.Phases {
		all += n
	}
	p, _, err := planOf(ctx, b.d.store, actor, m, now, func(done int) { told(done, max(done, all)) })
	if err != nil {
		return "", err
	}
	return p.ID, nil
}

// Plan implements console.Bridge.
func (b *consoleBridge) Plan(ctx context.Context, id string, skip, people int) (*console.Plan, error) {
	p, err := b.d.store.Plan(ctx, id)
	if err != nil {
		return nil, err
	}
	t := newTally()
	if err := json.Unmarshal(p.Summary, t); err != nil {
		return nil, err
	}
	out := &console.Plan{
		ID: p.ID, Made: p.Made, MadeBy: p.MadeBy, Before: p.Before, After: p.After, Applied: p.Applied,
		Looked: t.People, Changed: t.Changed, Kinds: t.Kinds, Losing: t.Losing, Rules: t.Rules, Exceeding: t.Exceeding,
	}
	n := 0
	for x, err := range b.d.store.PlanPeople(ctx, p) {
		if err != nil {
			return nil, err
		}
		if n++; n <= skip {
			continue
		}
		if len(out.People) == people {
			out.More = true
			break
		}
		y := console.PlanPerson{Person: x.Person}
		if err := json.Unmarshal(x.Changes, &y.Changes); err != nil {
			return nil, err
		}
		out.People = append(out.People, y)
	}
	return out, nil
}

// Explain implements console.Bridge.
func (b *consoleBridge) Explain(ctx context.Context, person string, w io.Writer) error {
	x, err := explain(ctx, b.d.store, person, "", time.Now(), false)
	if err != nil {
		return err
	}
	return x.print(w)
}

// Verify implements console.Bridge.
func (b *consoleBridge) Verify(ctx context.Context, told func(done, of int64)) (*audit.Report, error) {
	return b.d.store.VerifyTrail(ctx, nil, told)
}

// Orphans implements console.Bridge.
func (b *consoleBridge) Orphans(ctx context.Context, signIns bool, told func(what string, done, of int)) ([]contractor.Orphan, error) {
	list, err := lifecycle.Orphans(ctx, b.d.store, b.d.graph, true, signIns, told)
	return list, spoken(err)
}

// Adoptable implements console.Bridge.
func (b *consoleBridge) Adoptable(ctx context.Context, p *contractor.Person) (*contractor.Guest, error) {
	if p.GuestID != "" {
		return nil, contractor.Errorf(contractor.CodeConflict, "the person has a guest already; see scimbridge contractor show %s", p.ID)
	}
	g, err := b.d.graph.FindGuest(ctx, p.Email)
	if err != nil {
		return nil, spoken(err)
	}
	if err := adoptable(g); err != nil {
		return nil, contractor.Errorf(contractor.CodeConflict, "%s", err)
	}
	return g, nil
}

// Adopt implements console.Bridge.
func (b *consoleBridge) Adopt(ctx context.Context, actor audit.Actor, p *contractor.Person, guest, reason string) error {
	g, err := b.Adoptable(ctx, p)
	if err != nil {
		return err
	}
	if g.ID != guest {
		return contractor.Errorf(contractor.CodeConflict, "the tenant has another guest with this address now; look at it again")
	}
	evidence, err := evidenceOf(g)
	if err != nil {
		return err
	}
	return b.d.store.AdoptGuest(ctx, actor, p.ID, g.ID, reason+"; found "+evidence)
}

// spoken makes of a failure of Graph what a page can tell.
func spoken(err error) error {
	if f, ok := errors.AsType[*contractor.Failure](err); ok {
		return contractor.Errorf(contractor.CodeUnavailable, "Entra: %s; scimbridge doctor says what is missing", f.Message)
	}
	return err
}

// Checkpoint implements console.Bridge.
func (b *consoleBridge) Checkpoint(ctx context.Context) (console.Checkpoint, error) {
	list, err := b.d.store.Checkpoints(ctx)
	if err != nil || len(list) == 0 {
		return console.Checkpoint{}, err
	}
	last := list[len(list)-1]
	return console.Checkpoint{Size: last.Size, Made: last.Made, Origin: last.Origin}, nil
}

// Policies implements console.Bridge: what is declared, beside what was last written. The tenant itself is not asked, which
// takes seconds and a permission that the daemon need not have.
func (b *consoleBridge) Policies(ctx context.Context) ([]console.Policy, error) {
	want := b.d.mapping.get().ConditionalAccess()
	managed, err := b.d.store.ManagedPolicies(ctx)
	if err != nil {
		return nil, err
	}
	declared, _ := policy.Declared(want)
	names := policy.NamesOf(want, policy.Tenant{})
	var list []console.Policy
	for i := range declared {
		p := &declared[i]
		list = append(list, console.Policy{Name: p.Name, Declared: p.State, Words: policy.Describe(*p, names), Line: p.Line})
	}
	for i := range managed {
		m := &managed[i]
		if m.Kind != "policy" {
			continue
		}
		var written contractor.CAPolicy
		if m.Written != nil {
			if err := json.Unmarshal(m.Written, &written); err != nil {
				return nil, err
			}
		}
		at := slices.IndexFunc(list, func(p console.Policy) bool { return p.Name == m.Name })
		if at < 0 {
			list = append(list, console.Policy{Name: m.Name, Words: policy.Describe(written, names)})
			at = len(list) - 1
		}
		x := &list[at]
		x.ID, x.Written, x.Changed = m.ID, written.State, m.Changed
		x.Differs = x.Declared != x.Written
	}
	return list, nil
}
