package lifecycle_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

// pushWith pushes a contractor with further fields of the contractor extension, and further addresses.
func (w *world) pushWith(vendor string, p who, fields map[string]any, others ...string) string {
	w.t.Helper()
	var doc map[string]any
	must(w.t, json.Unmarshal([]byte(p.json()), &doc))
	ext, _ := doc[contractor.ExtensionURN].(map[string]any)
	maps.Copy(ext, fields)
	emails, _ := doc["emails"].([]any)
	for _, o := range others {
		emails = append(emails, map[string]any{"value": o, "type": "home"})
	}
	doc["emails"] = emails
	body, err := json.Marshal(doc)
	must(w.t, err)
	id, _ := w.send(vendor, http.MethodPost, "/Users", string(body), http.StatusCreated)["id"].(string)
	w.vendors[id] = vendor
	return id
}

func (w *world) personOf(engagement string) *contractor.Person {
	w.t.Helper()
	p, err := w.store.FindPerson(w.t.Context(), engagement)
	must(w.t, err)
	return p
}

func (w *world) guests() (n int) {
	for _, u := range w.tenant.State().Users {
		if u.Guest {
			n++
		}
	}
	return n
}

func eve() audit.Actor { return audit.Actor{Kind: audit.ActorAdmin, Name: "eve"} }

// TestOneHumanTwoRecords: beyond doubt one guest, in doubt the newer waits until an admin has decided.
func TestOneHumanTwoRecords(t *testing.T) {
	live := func(t *testing.T, story func(w *world, end time.Time)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, emulator.Config{Seed: 37})
			defer func() { w.stopRun() }()
			story(w, time.Now().AddDate(0, 0, 60))
			w.checkTenant()
		})
	}
	t.Run("two hints are one human", func(t *testing.T) {
		live(t, func(w *world, end time.Time) {
			a := w.pushWith("acme", who{mail: "ada@acme.example", end: end}, map[string]any{"securityId": "4711"}, "ada@home.example")
			w.pass(5 * time.Minute)
			b := w.pushWith("kforce", who{mail: "a.byron@kforce.example", department: "Finance", end: end}, map[string]any{"securityId": "4711"}, "ada@home.example")
			w.pass(5 * time.Minute)
			if w.personOf(a).ID != w.personOf(b).ID || w.guests() != 1 || w.status(b) != "active" {
				w.t.Fatalf("%d guests, %s\n%s", w.guests(), w.status(b), w.tell())
			}
			if d := cmp.Diff([]string{"ext-base", "ext-finance"}, w.holds("ada@acme.example")); d != "" {
				w.t.Errorf("(-want +got):\n%s\n%s", d, w.tell())
			}
			w.patch(b, "title", "Accountant") // an update must not take it apart
			w.pass(5 * time.Minute)
			if w.personOf(a).ID != w.personOf(b).ID || w.guests() != 1 {
				w.t.Errorf("%d guests\n%s", w.guests(), w.tell())
			}
		})
	})
	t.Run("one hint is a doubt, and a merge settles it", func(t *testing.T) {
		live(t, func(w *world, end time.Time) {
			a := w.pushWith("acme", who{mail: "ada@acme.example", end: end}, map[string]any{"personId": "7"})
			w.pass(5 * time.Minute)
			b := w.pushWith("acme", who{mail: "lovelace@acme.example", department: "Finance", end: end}, map[string]any{"personId": "7"})
			w.pass(5 * time.Minute)
			older, newer := w.personOf(a), w.personOf(b)
			if w.guests() != 1 || w.status(b) != "held" || w.status(a) != "active" {
				w.t.Fatalf("%d guests, the newer is %s, the older %s\n%s", w.guests(), w.status(b), w.status(a), w.tell())
			}
			if !strings.Contains(newer.Held, older.ID) || !strings.Contains(newer.Held, newer.ID) {
				w.t.Errorf("the hold does not name both: %q", newer.Held)
			}
			if why := newer.Engagements[0].Standing.Reason; strings.Contains(why, older.ID) {
				w.t.Errorf("the vendor reads %q", why)
			}
			left, err := w.store.MergePersons(w.t.Context(), eve(), older.ID, newer.ID, "she married")
			must(w.t, err)
			w.loop.Wake()
			w.pass(5 * time.Minute)
			if left != older.ID || w.guests() != 1 || w.status(b) != "active" {
				w.t.Errorf("merged: %d guests, %s\n%s", w.guests(), w.status(b), w.tell())
			}
			if d := cmp.Diff([]string{"ext-base", "ext-finance"}, w.holds("ada@acme.example")); d != "" {
				w.t.Errorf("(-want +got):\n%s", d)
			}
		})
	})
	t.Run("a split lets it through", func(t *testing.T) {
		live(t, func(w *world, end time.Time) {
			w.pushWith("acme", who{mail: "ada@acme.example", end: end}, nil, "office@acme.example")
			b := w.pushWith("acme", who{mail: "bob@acme.example", end: end}, nil, "office@acme.example")
			w.pass(5 * time.Minute)
			if w.guests() != 1 || w.status(b) != "held" {
				w.t.Fatalf("%d guests, %s\n%s", w.guests(), w.status(b), w.tell())
			}
			_, err := w.store.SplitEngagement(w.t.Context(), eve(), b, "a shared mailbox")
			must(w.t, err)
			w.loop.Wake()
			w.pass(5 * time.Minute)
			if w.guests() != 2 || w.status(b) != "active" {
				w.t.Errorf("split: %d guests, %s\n%s", w.guests(), w.status(b), w.tell())
			}
		})
	})
	t.Run("merging two guests leaves one", func(t *testing.T) {
		live(t, func(w *world, end time.Time) {
			a := w.push("acme", who{mail: "ada@acme.example", end: end})
			b := w.push("kforce", who{mail: "ada@kforce.example", department: "Finance", end: end})
			w.pass(5 * time.Minute)
			_, err := w.store.MergePersons(w.t.Context(), eve(), w.personOf(a).ID, w.personOf(b).ID, "one human")
			must(w.t, err)
			w.loop.Wake()
			w.pass(10 * time.Minute)
			second := w.guest("ada@kforce.example")
			if second.Enabled || len(w.holds("ada@kforce.example")) > 0 || w.status(b) != "active" {
				w.t.Errorf("the second guest: enabled=%v with %v, %s\n%s", second.Enabled, w.holds("ada@kforce.example"), w.status(b), w.tell())
			}
			if d := cmp.Diff([]string{"ext-base", "ext-finance"}, w.holds("ada@acme.example")); d != "" {
				w.t.Errorf("(-want +got):\n%s", d)
			}
			w.pass(31 * 24 * time.Hour)
			if g := w.guest("ada@kforce.example"); g.Deleted == nil {
				w.t.Errorf("the second guest stays for ever\n%s", w.tell())
			}
		})
	})
}

// TestAddressChanged: the vendor corrects the address, and the guest keeps what it has.
func TestAddressChanged(t *testing.T) {
	for _, accepted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, emulator.Config{Seed: 41})
			defer func() { w.stopRun() }()
			id := w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 60)})
			w.pass(5 * time.Minute)
			g := w.guest("ada@acme.example")
			if accepted {
				must(t, w.tenant.DoRedeem(g.ID))
			}
			w.patch(id, `emails[primary eq true].value`, "lovelace@acme.example")
			w.pass(5 * time.Minute)
			now := w.guest("lovelace@acme.example")
			if now == nil || now.ID != g.ID || w.guests() != 1 || w.status(id) != "active" {
				t.Fatalf("accepted %v: %+v, %d guests, %s\n%s", accepted, now, w.guests(), w.status(id), w.tell())
			}
			if d := cmp.Diff([]string{"ext-base"}, w.holds("lovelace@acme.example")); d != "" || now.State != "PendingAcceptance" {
				t.Errorf("accepted %v: %s, (-want +got):\n%s", accepted, now.State, d)
			}
			if n := len(w.tenant.State().Invitations); accepted != (n == 2) {
				t.Errorf("accepted %v: %d invitations", accepted, n)
			}
			w.restart()
			w.pass(48 * time.Hour)
			if n := len(w.tenant.State().Invitations); n > 2 || w.guests() != 1 {
				t.Errorf("%d invitations, %d guests", n, w.guests())
			}
		})
	}
}
