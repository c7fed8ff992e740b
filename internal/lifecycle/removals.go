package lifecycle

import (
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// removals remembers which removals (and restorations of deleted guests) were sent lately, so that one that Entra takes and does not do
// is sent again at growing distances instead of at every look. Nothing hangs on it: after a restart the distances begin anew.
type removals struct {
	mu   sync.Mutex
	sent map[removalKey]removal
}

type removalKey struct {
	guest       string
	entitlement contractor.EntitlementKey
}

// removal is when one was first and last sent.
type removal struct{ first, last time.Time }

const (
	// longestRemoval is the longest distance between two tries of one removal; on the first day it is a quarter of that.
	longestRemoval = time.Hour
	// removalsKept bounds the memory: 100 bytes each.
	removalsKept = 50_000
)

func (r *removals) of(guest string, key contractor.EntitlementKey) removal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent[removalKey{guest, key}]
}

func (r *removals) note(guest string, key contractor.EntitlementKey, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := removalKey{guest, key}
	if len(r.sent) >= removalsKept {
		clear(r.sent)
	}
	if r.sent == nil {
		r.sent = map[removalKey]removal{}
	}
	was := r.sent[k]
	if now.Sub(was.last) > 2*longestRemoval { // another story
		was.first = now
	}
	was.last = now
	r.sent[k] = was
}

func (r *removals) done(guest string, key contractor.EntitlementKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sent, removalKey{guest, key})
}

// again is when it may be sent again; zero: at once.
func (r removal) again(now time.Time, settle time.Duration) time.Time {
	if r.last.IsZero() {
		return r.last
	}
	longest := longestRemoval
	if now.Sub(r.first) < 24*time.Hour {
		longest /= 4
	}
	return r.last.Add(min(max(settle, r.last.Sub(r.first)/4), max(longest, settle)))
}

// stubborn reports whether it was sent several times over ten minutes.
func (r removal) stubborn() bool { return r.last.Sub(r.first) > 10*time.Minute }

// restoration stands for the return of a deleted guest, which is no entitlement.
func restoration() contractor.EntitlementKey { return contractor.EntitlementKey{Kind: "guest"} }

// restoring reports whether a deleted guest's return was asked for a while ago, is not shown yet, and is not to be asked for again
// now; the pass then has noted when to look.
func (ps *pass) restoring() bool {
	sent := ps.removals.of(ps.p.GuestID, restoration())
	again := sent.again(ps.now, ps.Settle)
	if sent.stubborn() {
		ps.problems = append(ps.problems, "Entra was told several times to restore the deleted guest and has not done so; restore it in Entra, or delete it there for good to have it invited anew")
	}
	if !again.After(ps.now) {
		return false
	}
	ps.looks = append(ps.looks, again)
	if age := ps.now.Sub(sent.last); age < ps.Settle {
		ps.lookIn(max(min(ps.readBack(sent.last), again.Sub(ps.now)), lookSoon))
	}
	return true
}
