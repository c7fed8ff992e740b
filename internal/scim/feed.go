package scim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Feed takes one vendor's records inside the process, from a file or from a server of the vendor's: read, checked, limited and
// journalled as the door's POST, PUT and DELETE are. It may be used by any number of goroutines.
type Feed struct {
	door   *Door
	vendor string
	actor  audit.Actor
	dry    bool
}

// Feed opens the door for a feed. actor is who the journal says it was. A dry feed says what it would do and writes nothing.
func (d *Door) Feed(vendor string, actor audit.Actor, dry bool) (*Feed, error) {
	if _, ok := d.vendors(vendor); !ok {
		return nil, contractor.Errorf(contractor.CodeNotFound, "vendor %q is not in the mapping", vendor)
	}
	return &Feed{door: d, vendor: vendor, actor: actor, dry: dry}, nil
}

// call makes the request that a record would be.
func (f *Feed) call(origin json.RawMessage) (*call, error) {
	v, ok := f.door.vendors(f.vendor)
	if !ok {
		return nil, contractor.Errorf(contractor.CodeNotFound, "vendor %q is not in the mapping any more", f.vendor)
	}
	gate := f.door.gates.of(v, f.door.users)
	return &call{
		door: f.door, vendor: v, client: Client{Vendor: v.Name}, gate: gate, names: gate.names, profile: gate.profile,
		now: time.Now().UTC().Truncate(time.Microsecond), feed: &feedCall{actor: f.actor, origin: origin, dry: f.dry},
	}, nil
}

// feedCall is what makes a call one of a feed.
type feedCall struct {
	actor   audit.Actor
	origin  json.RawMessage
	reason  string
	hold    string
	dry     bool
	outcome contractor.FeedOutcome
}

// Put creates the record's engagement, or replaces the one that has the same externalId, else the same userName.
func (f *Feed) Put(ctx context.Context, r contractor.FeedRecord) (contractor.FeedResult, error) {
	k, err := f.call(r.Origin)
	if err != nil {
		return contractor.FeedResult{}, err
	}
	out, err := k.put(ctx, r)
	if !f.dry {
		k.noteIn(ctx, err)
	}
	return out, err
}

func (k *call) put(ctx context.Context, r contractor.FeedRecord) (contractor.FeedResult, error) {
	f := k.door
	if int64(len(r.Body)) > f.limits.Body {
		return contractor.FeedResult{}, contractor.Errorf(contractor.CodeTooLarge, "the record is larger than %d bytes", f.limits.Body)
	}
	sent, err := parseJSON(string(r.Body), f.limits.json())
	if err != nil {
		return contractor.FeedResult{}, err
	}
	d, wrong := read(k.names, &sent)
	externalID, userName := keysOf(&sent)
	if wrong == nil {
		record := d.record()
		externalID, userName = record.ExternalID, record.UserName
	}
	id, err := k.known(ctx, externalID, userName)
	out := contractor.FeedResult{Engagement: id}
	if err = errors.Join(wrong, err); err != nil {
		return out, err
	}
	if !d.active {
		place(&d.root, k.names.t.root.byName["active"], boolValue(true))
	}
	if id == "" {
		return k.feedNew(ctx, d)
	}
	e, err := k.update(ctx, id, conditions{}, kindReplaced, func(*draft) (*draft, error) { return d, nil })
	if err == nil {
		out.Engagement, out.Outcome = e.ID, k.feed.outcome
	}
	return out, err
}

// keysOf are the keys of a record that cannot be read whole.
func keysOf(sent *value) (externalID, userName string) {
	if sent.kind != object {
		return "", ""
	}
	if v := sent.fold("externalId"); v != nil {
		externalID = v.text
	}
	if v := sent.fold("userName"); v != nil {
		userName = v.text
	}
	return externalID, userName
}

// known finds the live engagement of the vendor that a record is about; "" for none.
func (k *call) known(ctx context.Context, externalID, userName string) (id string, err error) {
	for _, key := range [...]struct{ name, value string }{{"externalId", externalID}, {"userName", userName}} {
		if strings.TrimSpace(key.value) == "" {
			continue
		}
		page, err := k.door.store.List(ctx, contractor.Query{
			Vendor: k.vendor.Name, Count: 1, NoTotal: true,
			Where: contractor.Compare{Attr: k.names.t.root.byName[key.name].full, Op: contractor.OpEq, Value: key.value},
		})
		if err != nil {
			return "", err
		}
		if len(page.Items) == 0 {
			continue
		}
		switch found := page.Items[0].ID; {
		case id == "":
			id = found
		case id != found:
			return id, &contractor.Error{Code: contractor.CodeConflict, Path: key.name, Message: "another record has this " + key.name + " already"}
		}
	}
	return id, nil
}

// feedNew creates an engagement, unless it is over already.
func (k *call) feedNew(ctx context.Context, d *draft) (contractor.FeedResult, error) {
	e, err := d.fresh(uuid.NewString(), k.now)
	if err != nil {
		return contractor.FeedResult{}, err
	}
	if end := e.Standing.EffectiveEnd; !e.Test && (!e.Record.Active || !end.IsZero() && !end.After(k.now)) {
		why := "its end has passed, and it was never known here"
		if !e.Record.Active {
			why = "it is not active, and it was never known here"
		}
		return contractor.FeedResult{Outcome: contractor.FeedSkipped, Why: why}, nil
	}
	if err := begins(&e, k.now); err != nil {
		return contractor.FeedResult{}, err
	}
	if !k.feed.dry {
		if e, err = k.door.store.Create(ctx, e, k.vendor.Quota, k.created(&e, d)); err != nil {
			return contractor.FeedResult{}, err
		}
		k.door.wake()
	}
	return contractor.FeedResult{Engagement: e.ID, Outcome: contractor.FeedCreated}, nil
}

// End ends an engagement that a feed has no more: as "active": false would, so that it goes on when the feed has it again. One
// that is over already stays as it is.
func (f *Feed) End(ctx context.Context, r contractor.FeedEnd) (contractor.FeedResult, error) {
	k, err := f.call(r.Origin)
	if err != nil {
		return contractor.FeedResult{}, err
	}
	k.feed.reason, k.feed.hold = r.Reason, r.Hold
	e, err := k.update(ctx, r.Engagement, conditions{}, kindEnded, func(old *draft) (*draft, error) {
		d := &draft{n: old.n, root: old.root.clone(), unused: old.unused, active: true}
		place(&d.root, k.names.t.root.byName["active"], boolValue(false))
		return d, nil
	})
	return contractor.FeedResult{Engagement: e.ID, Outcome: k.feed.outcome}, err
}

// Known walks the vendor's engagements that have not ended, by their ids.
func (f *Feed) Known(ctx context.Context, visit func(id string) error) error {
	k, err := f.call(nil)
	if err != nil {
		return err
	}
	for q := (contractor.Query{Vendor: f.vendor, Count: f.door.limits.MaxPage, UseCursor: true, NoTotal: true}); ; {
		page, err := f.door.store.List(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Items {
			e := &page.Items[i]
			if !e.EndedAt.IsZero() || e.Standing.Status == contractor.StatusOffboarding || e.Standing.Status == contractor.StatusRemoved {
				continue
			}
			if end := e.Standing.EffectiveEnd; !end.IsZero() && !end.After(k.now) {
				continue
			}
			if err := visit(e.ID); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Cursor = page.Next
	}
}

// settle says what a feed's write of an engagement comes to, and opens the hold that it asks for.
func (f *feedCall) settle(kind string, e *contractor.Engagement) {
	switch kind {
	case kindEnded:
		f.outcome = contractor.FeedEnded
	default:
		f.outcome = contractor.FeedChanged
	}
	if f.hold == "" || e.Test {
		return
	}
	switch e.Standing.Status {
	case contractor.StatusActive, contractor.StatusExpiring, contractor.StatusHeld: // the loop's guard asks about these alone
		e.HeldEnd = f.hold
		f.outcome = contractor.FeedHeld
	}
}

// decorate gives a journal event of a feed its actor, its reason and where the record came from.
func (f *feedCall) decorate(ev *audit.Event) {
	if f == nil { // a request
		return
	}
	ev.Actor = f.actor
	if f.reason != "" {
		ev.Reason = f.reason
	}
	if len(f.origin) > 0 && len(ev.Detail) > 1 && ev.Detail[0] == '{' {
		sep := ","
		if string(ev.Detail) == "{}" {
			sep = ""
		}
		ev.Detail = fmt.Appendf(nil, `{"from":%s%s%s`, f.origin, sep, ev.Detail[1:])
	}
}

// FieldPath is the SCIM path under which the door takes a record's field, by the name that the mapping file gives it; "" for a
// name that is none.
func FieldPath(name string) string {
	if name == "active" {
		return name
	}
	for _, f := range fields() {
		if f.name == name {
			switch name {
			case "email":
				return "emails"
			case "phone":
				return "phoneNumbers"
			case "city":
				return "addresses.locality"
			}
			return f.sources[0]
		}
	}
	return ""
}

// FieldNames are the fields of a record that a feed can fill, in the schema's order.
func FieldNames() []string {
	names := []string{"active"}
	for _, f := range fields() {
		names = append(names, f.name)
	}
	return names
}
