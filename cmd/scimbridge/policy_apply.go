package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/policy"
)

// policyRun carries out plans. Everything is journaled, what cannot be repeated is announced before it is sent, and a run that
// was broken off is finished by the next: it plans anew from what the tenant has.
type policyRun struct {
	tenant   policyTenant
	store    policyStore
	want     *contractor.ConditionalAccess
	actor    audit.Actor
	revision string // of the mapping
	enforce  string // the admin's reason for enforcing at once; ""
	say      func(format string, args ...any)
}

const (
	// lookFor is how long something is looked for that may have been made: lists miss it for a while. Longer than any
	// replication that was seen; a second policy of the same name would be worse than waiting.
	lookFor = 30 * time.Second
	// lookEvery spaces the looks, on top of the one request a second.
	lookEvery = 3 * time.Second
)

// plan reads the tenant and the memory, and plans.
func (r *policyRun) plan(ctx context.Context) (policy.Result, policy.Tenant, error) {
	if err := r.awaitIntents(ctx); err != nil {
		return policy.Result{}, policy.Tenant{}, err
	}
	managed, err := r.store.ManagedPolicies(ctx)
	if err != nil {
		return policy.Result{}, policy.Tenant{}, err
	}
	have, err := readTenant(ctx, r.tenant, r.want)
	if err != nil {
		return policy.Result{}, policy.Tenant{}, err
	}
	return policy.Plan(r.want, have, policy.Options{Managed: managed, Now: time.Now().UTC(), EnforceNow: r.enforce}), have, nil
}

// awaitIntents gives what was announced a moment ago, by a run that was broken off, the time to show in the lists.
func (r *policyRun) awaitIntents(ctx context.Context) error {
	managed, err := r.store.ManagedPolicies(ctx)
	if err != nil {
		return err
	}
	for _, m := range managed {
		left := lookFor - time.Since(m.Changed)
		if m.ID != "" || left <= 0 {
			continue
		}
		r.say("waiting %s for %s %s, which an earlier run may have made", contractor.Lasting(left.Round(time.Second)), m.Kind, m.Name)
		if _, err := r.lookup(ctx, policy.Kind(m.Kind), policy.DisplayName(m.Name), left); err != nil {
			return err
		}
	}
	return nil
}

// lookup looks for an object by its name in the tenant, for as long as it may take to show; "" if it is not there.
func (r *policyRun) lookup(ctx context.Context, kind policy.Kind, display string, long time.Duration) (id string, err error) {
	for deadline := time.Now().Add(long); ; {
		err := patiently(ctx, func() error {
			if kind == policy.KindLocation {
				list, err := r.tenant.NamedLocations(ctx)
				for _, l := range list {
					if l.Name == display {
						id = l.ID
					}
				}
				return err
			}
			list, err := r.tenant.CAPolicies(ctx)
			for _, p := range list {
				if p.Name == display {
					id = p.ID
				}
			}
			return err
		})
		if err != nil || id != "" || !time.Now().Before(deadline) {
			return id, err
		}
		if err := pauseFor(ctx, lookEvery); err != nil {
			return "", err
		}
	}
}

// apply makes the changes of a plan, one after the other, and stops at the first that fails.
func (r *policyRun) apply(ctx context.Context, plan policy.Result) error {
	if len(plan.Refusals) > 0 {
		return errors.New("nothing was done: the plan is refused")
	}
	made := map[string]string{} // ids of locations by declared name
	for _, c := range plan.Changes {
		r.say("%s", changeLine(c))
		if err := r.one(ctx, c, made); err != nil {
			return fmt.Errorf("%s %s %s: %w; run scimbridge policy apply again to go on from here", c.Action, c.Kind, c.Name, err)
		}
	}
	for _, m := range plan.Forget {
		if err := r.store.ForgetPolicy(ctx, m.Kind, m.Name); err != nil {
			return err
		}
	}
	return nil
}

func (r *policyRun) one(ctx context.Context, c policy.Change, made map[string]string) error {
	switch {
	case c.Action == policy.Delete:
		return r.remove(ctx, c)
	case c.Kind == policy.KindTrust:
		return r.trust(ctx, c)
	case c.Kind == policy.KindLocation:
		return r.location(ctx, c, made)
	}
	return r.policy(ctx, c, made)
}

// event is the journal's line about a change.
func (r *policyRun) event(c policy.Change, verb string, outcome audit.Outcome, receipt contractor.Receipt, cause error) audit.Event {
	e := audit.Event{
		Kind: string(c.Kind) + "." + verb, Actor: r.actor, Outcome: outcome, Reason: c.Words, Rule: c.Name, Line: c.Line, Revision: r.revision,
		RequestID: receipt.RequestID, ClientID: receipt.ClientRequestID,
	}
	detail := map[string]any{"action": c.Action, "name": c.Name}
	if c.ID != "" {
		detail["id"] = c.ID
	}
	if len(c.Fields) > 0 {
		detail["fields"] = c.Fields
	}
	if c.Drift != "" {
		detail["drift"] = c.Drift
	}
	if c.Policy != nil {
		detail["state"] = c.Policy.State
	}
	if r.enforce != "" && c.Stricter {
		e.Reason += "; enforced at once: " + r.enforce
		detail["enforceNow"] = r.enforce
	}
	if f, ok := errors.AsType[*contractor.Failure](cause); ok {
		detail["failure"] = f.Message
		if e.RequestID == "" {
			e.RequestID, e.ClientID = f.RequestID, f.ClientRequestID
		}
	}
	if b, err := json.Marshal(detail); err == nil { // texts and lists cannot fail
		e.Detail = b
	}
	return e
}

// pastTense are the verbs of the journal.
func pastTense(a policy.Action) string {
	return map[policy.Action]string{policy.Create: "created", policy.Update: "changed", policy.Delete: "deleted"}[a]
}

// failed journals that a change did not happen, or may not have. What was announced and certainly not made is forgotten, so that
// nobody else's object of that name is ever taken for ours.
func (r *policyRun) failed(ctx context.Context, c policy.Change, cause error) error {
	ctx = context.WithoutCancel(ctx)
	event := r.event(c, pastTense(c.Action), audit.Failed, contractor.Receipt{}, cause)
	var f *contractor.Failure
	if c.Action == policy.Create && errors.As(cause, &f) && f.Verdict != contractor.VerdictUnknown {
		return errors.Join(cause, r.store.ForgetPolicy(ctx, string(c.Kind), c.Name, event))
	}
	return errors.Join(cause, r.store.RecordPolicy(ctx, nil, event))
}

// row is what the store remembers of the change's object so far, or a new row.
func (r *policyRun) row(ctx context.Context, c policy.Change) (contractor.CAManaged, error) {
	managed, err := r.store.ManagedPolicies(ctx)
	for _, m := range managed {
		if m.Kind == string(c.Kind) && m.Name == c.Name {
			return m, err
		}
	}
	return contractor.CAManaged{Kind: string(c.Kind), Name: c.Name}, err
}

// create makes what cannot be made twice without harm: it announces it, sends it, and after a doubt looks before it sends it
// again. It returns the id, also beside an error where the object was made and only not read back yet.
func (r *policyRun) create(ctx context.Context, c policy.Change, m *contractor.CAManaged, send func() (contractor.Receipt, error)) (contractor.Receipt, error) {
	m.ID, m.Mine, m.Written, m.Watched = "", true, nil, time.Time{}
	if err := r.store.RecordPolicy(ctx, m, r.event(c, "creating", audit.Intended, contractor.Receipt{}, nil)); err != nil {
		return contractor.Receipt{}, err
	}
	for try := 1; ; try++ {
		var receipt contractor.Receipt
		var err error
		_ = patiently(ctx, func() error {
			receipt, err = send()
			if receipt.Handle != "" {
				return nil // made: whatever the reading back said, it must not be sent again
			}
			return err
		})
		var f *contractor.Failure
		if receipt.Handle != "" || !errors.As(err, &f) || f.Verdict != contractor.VerdictUnknown {
			return receipt, err
		}
		r.say("  the answer was lost; looking whether it was made")
		id, lookErr := r.lookup(ctx, c.Kind, policy.DisplayName(c.Name), lookFor)
		if lookErr != nil {
			return receipt, errors.Join(err, lookErr)
		}
		if id != "" {
			return contractor.Receipt{RequestID: f.RequestID, ClientRequestID: f.ClientRequestID, Handle: id}, nil
		}
		if try == policyTries/2 {
			return receipt, err
		}
	}
}

func (r *policyRun) policy(ctx context.Context, c policy.Change, made map[string]string) error {
	p, whole := policy.Resolve(*c.Policy, made)
	if !whole {
		return errors.New("a location that it names was not made")
	}
	m, err := r.row(ctx, c)
	if err != nil {
		return err
	}
	var receipt contractor.Receipt
	switch {
	case c.Action == policy.Create:
		receipt, err = r.create(ctx, c, &m, func() (contractor.Receipt, error) { return r.tenant.CreatePolicy(ctx, p) })
		p.ID = receipt.Handle
	case len(c.Fields) > 0:
		err = patiently(ctx, func() (err error) { receipt, err = r.tenant.UpdatePolicy(ctx, p, c.Clear); return err })
	}
	if p.ID == "" || c.Action == policy.Update && err != nil {
		return r.failed(ctx, c, err)
	}
	m.Mine = m.Mine && (c.Action == policy.Create || !c.Adopt || m.ID == "")
	m.Watched = c.Watched
	if m.Watched.IsZero() {
		m.Watched = time.Now().UTC()
	}
	c.ID = p.ID
	return errors.Join(err, r.remember(ctx, c, m, p.ID, p, receipt))
}

// remember stores what now stands in the tenant, with the event.
func (r *policyRun) remember(ctx context.Context, c policy.Change, m contractor.CAManaged, id string, object any, receipt contractor.Receipt) error {
	written, err := json.Marshal(object)
	if err != nil {
		return err
	}
	m.ID, m.Written = id, written
	verb := pastTense(c.Action)
	if c.Adopt && len(c.Fields) == 0 {
		verb = "adopted"
	}
	return r.store.RecordPolicy(context.WithoutCancel(ctx), &m, r.event(c, verb, audit.Done, receipt, nil))
}

func (r *policyRun) location(ctx context.Context, c policy.Change, made map[string]string) error {
	l := *c.Location
	m, err := r.row(ctx, c)
	if err != nil {
		return err
	}
	var receipt contractor.Receipt
	switch {
	case c.Action == policy.Create:
		receipt, err = r.create(ctx, c, &m, func() (contractor.Receipt, error) { return r.tenant.CreateLocation(ctx, l) })
		l.ID = receipt.Handle
	case len(c.Fields) > 0:
		err = patiently(ctx, func() (err error) { receipt, err = r.tenant.UpdateLocation(ctx, l); return err })
	}
	if l.ID == "" || c.Action == policy.Update && err != nil {
		return r.failed(ctx, c, err)
	}
	m.Mine = m.Mine && (c.Action == policy.Create || !c.Adopt || m.ID == "")
	made[c.Name], c.ID = l.ID, l.ID
	if err := errors.Join(err, r.remember(ctx, c, m, l.ID, l, receipt)); err != nil {
		return err
	}
	return r.restart(ctx, c)
}

// restart begins the watch of policies anew that hit more because of a location.
func (r *policyRun) restart(ctx context.Context, c policy.Change) error {
	for _, name := range c.Restarts {
		m, err := r.row(ctx, policy.Change{Kind: policy.KindPolicy, Name: name})
		if err != nil {
			return err
		}
		m.Watched = time.Now().UTC()
		if err := r.store.RecordPolicy(ctx, &m); err != nil {
			return err
		}
	}
	return nil
}

func (r *policyRun) remove(ctx context.Context, c policy.Change) error {
	var receipt contractor.Receipt
	err := patiently(ctx, func() (err error) {
		if c.Kind == policy.KindLocation {
			receipt, err = r.tenant.DeleteLocation(ctx, c.ID)
		} else {
			receipt, err = r.tenant.DeletePolicy(ctx, c.ID)
		}
		return err
	})
	if err != nil {
		return r.failed(ctx, c, err)
	}
	return r.store.ForgetPolicy(context.WithoutCancel(ctx), string(c.Kind), c.Name, r.event(c, "deleted", audit.Done, receipt, nil))
}

func (r *policyRun) trust(ctx context.Context, c policy.Change) error {
	var receipt contractor.Receipt
	err := patiently(ctx, func() (err error) { receipt, err = r.tenant.SetTrust(ctx, *c.Trust); return err })
	var f *contractor.Failure
	if errors.As(err, &f) && f.Verdict == contractor.VerdictUnknown {
		// A lost answer to the first settings of a tenant: the second try changes what the first made.
		err = patiently(ctx, func() (err error) { receipt, err = r.tenant.SetTrust(ctx, *c.Trust); return err })
	}
	if err != nil {
		return r.failed(ctx, c, err)
	}
	return r.store.RecordPolicy(context.WithoutCancel(ctx), nil, r.event(c, "changed", audit.Done, receipt, nil))
}

// confirmed plans once more and says whether everything stands. Lists lag behind: what they do not show yet is asked for again
// for a while. What stands as declared, though somebody else made it so, is remembered as it is.
func (r *policyRun) confirmed(ctx context.Context) error {
	for deadline := time.Now().Add(lookFor); ; {
		again, have, err := r.plan(ctx)
		if err != nil {
			return err
		}
		if again.Empty() {
			return r.settle(ctx, again, have)
		}
		if !time.Now().Before(deadline) {
			var list []string
			for _, c := range again.Changes {
				list = append(list, string(c.Kind)+" "+c.Name)
			}
			for _, c := range again.Refusals {
				list = append(list, c.Words)
			}
			return fmt.Errorf("everything was sent, but the tenant does not show it whole: %s; run scimbridge policy plan in a minute", strings.Join(list, "; "))
		}
		if err := pauseFor(ctx, lookEvery); err != nil {
			return err
		}
	}
}

func (r *policyRun) settle(ctx context.Context, plan policy.Result, have policy.Tenant) error {
	for _, st := range plan.Policies {
		if st.Drift == "" {
			continue
		}
		c := policy.Change{Kind: policy.KindPolicy, Name: st.Name, ID: st.ID, Line: st.Line, Action: policy.Update, Adopt: true, Words: st.Words, Drift: st.Drift}
		m, err := r.row(ctx, c)
		if err != nil {
			return err
		}
		for _, p := range have.Policies {
			if p.ID == st.ID {
				if err := r.remember(ctx, c, m, p.ID, p, contractor.Receipt{}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
