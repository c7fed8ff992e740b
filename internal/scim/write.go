package scim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/google/uuid"

	"scimbridge/internal/contractor"
)

// The journal's kinds of what a vendor does.
const (
	kindCreated     = "engagement.created"
	kindReplaced    = "engagement.replaced"
	kindPatched     = "engagement.patched"
	kindEnded       = "engagement.ended"
	kindReactivated = "engagement.reactivated"
	kindDeleted     = "engagement.deleted"
)

// create stores a new User. id "": a fresh one.
func (k *call) create(ctx context.Context, id string, sent *value) (contractor.Engagement, error) {
	d, err := read(k.names, sent)
	if err != nil {
		return contractor.Engagement{}, err
	}
	if id == "" {
		// Ids that grow with time stand side by side in the indexes of the store: a create touches fewer of its pages.
		fresh, err := uuid.NewV7()
		if err != nil {
			return contractor.Engagement{}, fmt.Errorf("make an id: %w", err)
		}
		id = fresh.String()
	}
	e, err := d.engagement(id, k.now)
	if err != nil {
		return e, err
	}
	e, err = k.door.store.Create(ctx, e, k.vendor.Quota, k.created(&e, d))
	if err != nil {
		return e, err
	}
	k.door.wake()
	return e, nil
}

// attempts is how often a write starts over because another came first. From the second on, this process's writers of one
// engagement queue up; what is left are writers on other nodes.
const attempts = 20

// change is what a request makes of a User.
type change func(old *draft) (*draft, error)

// update changes a User under its version: read, change, compare and swap; again if another write came between, unless the
// client named a version. What changes nothing is not written.
func (k *call) update(ctx context.Context, id string, cond conditions, kind string, apply change) (contractor.Engagement, error) {
	for n := range attempts {
		e, err := k.tryUpdate(ctx, id, cond, kind, apply, n > 0)
		if overtaken(err) && cond.match == nil && cond.noneMatch == nil {
			continue
		}
		return e, err
	}
	return contractor.Engagement{}, contractor.Errorf(contractor.CodeUnavailable, "too many writers change this resource at once; send the request again")
}

// overtaken reports whether another write came first.
func overtaken(err error) bool {
	e, ok := errors.AsType[*contractor.Error](err)
	return ok && e.Code == contractor.CodeVersion
}

func (k *call) tryUpdate(ctx context.Context, id string, cond conditions, kind string, apply change, queue bool) (contractor.Engagement, error) {
	if queue {
		h := fnv.New32a()
		_, _ = h.Write([]byte(id))
		mu := &k.door.locks[h.Sum32()%uint32(len(k.door.locks))]
		mu.Lock()
		defer mu.Unlock()
	}
	old, err := k.door.store.Get(ctx, k.vendor.Name, id)
	if err != nil {
		return old, err
	}
	if err := cond.allow(old.Version); err != nil {
		return old, err
	}
	was, err := recall(k.names, &old)
	if err != nil {
		return old, err
	}
	d, err := apply(was)
	if err != nil {
		return old, err
	}
	e := old
	if err := d.settle(&e, k.now); err != nil {
		return old, err
	}
	if is := k.vendor.IsTestUser(e.Record.UserName); is != e.Test {
		return old, contractor.Invalid("userName", "a test user cannot become a contractor, nor a contractor a test user; create another User")
	}
	if bytes.Equal(e.Resource, underID(old.Resource, old.ID)) && bytes.Equal(e.Unused, old.Unused) && e.EndedAt.Equal(old.EndedAt) {
		if k.feed != nil {
			k.feed.outcome = contractor.FeedUnchanged
		}
		return old, nil
	}
	before := period(k.vendor, &old)
	moved := !before.End.Equal(e.Standing.EffectiveEnd)
	if moved {
		e.PrevEnd, e.EndSetAt = before.End, k.now
	}
	if e.Modified.Before(k.now) { // the loop may have written meanwhile
		e.Modified = k.now
	}
	event := k.changed(kind, &old, &e, before.End, was, d)
	if k.feed != nil {
		if k.feed.settle(event.Kind, &e); k.feed.dry {
			return e, nil
		}
	}
	stored, err := k.door.store.Update(ctx, e, event)
	if err != nil {
		return stored, err
	}
	// The standing in the store is the loop's to write; the answer says already what dates that changed now mean.
	if moved {
		stored.Standing.EffectiveEnd = e.Standing.EffectiveEnd
	}
	if !before.Start.Equal(e.Standing.EffectiveStart) {
		stored.Standing.EffectiveStart = e.Standing.EffectiveStart
	}
	k.door.wake()
	return stored, nil
}

// remove ends a User and makes it a tombstone.
func (k *call) remove(ctx context.Context, id string, cond conditions) error {
	for range attempts {
		old, err := k.door.store.Get(ctx, k.vendor.Name, id)
		if err != nil {
			return err
		}
		if err := cond.allow(old.Version); err != nil {
			return err
		}
		version := int64(0)
		if cond.match != nil || cond.noneMatch != nil {
			version = old.Version
		}
		err = k.door.store.Delete(ctx, k.vendor.Name, id, version, k.now, k.deleted(&old))
		if overtaken(err) {
			continue
		}
		if err == nil {
			k.door.wake()
		}
		return err
	}
	return contractor.Errorf(contractor.CodeUnavailable, "too many writers change this resource at once; send the request again")
}
