package lifecycle_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/entra/emulator"
)

// TestAYear lives a contractor's year: invited early, granted at the start, extended twice, finance added and taken, ended,
// deleted after the retention, hired again.
func TestAYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 7})
		defer func() { w.stopRun() }()
		begin := time.Now()
		day := func(n int) time.Time { return begin.AddDate(0, 0, n) }
		ada := who{mail: "ada@acme.example", title: "Developer", start: day(10), end: day(100)}

		id := w.push("acme", ada)
		w.pass(time.Minute)
		if g := w.guest(ada.mail); g != nil || w.status(id) != "scheduled" {
			t.Fatalf("ten days early: guest %v, %s", g, w.status(id))
		}
		w.until(day(8).Add(time.Minute))
		if g := w.guest(ada.mail); g == nil || !g.Enabled || len(w.holds(ada.mail)) > 0 || len(g.Sponsors) != 1 {
			t.Fatalf("two days early she should be invited, sponsored and hold nothing: %+v %v", g, w.holds(ada.mail))
		}
		w.until(day(10).Add(time.Minute))
		if d := cmp.Diff([]string{"ext-base", "package delivered"}, w.holds(ada.mail)); d != "" {
			t.Fatalf("at the start (-want +got):\n%s\n%s", d, w.tell())
		}
		if w.status(id) != "active" {
			t.Errorf("status %s", w.status(id))
		}
		for _, a := range w.tenant.State().Assignments {
			if a.End == nil || !a.End.Equal(day(100)) {
				t.Errorf("Entra would keep the package until %v, the contract ends %s", a.End, day(100))
			}
		}
		calls := len(w.tenant.Calls())
		w.until(day(40))
		if n := len(w.tenant.Calls()) - calls; n > 30*8 {
			t.Errorf("%d calls to Graph in thirty quiet days", n)
		}
		w.end(id, day(200))
		w.patch(id, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "Finance")
		w.pass(2 * time.Minute)
		if d := cmp.Diff([]string{"ext-base", "ext-finance", "package delivered"}, w.holds(ada.mail)); d != "" {
			t.Fatalf("extended and in finance (-want +got):\n%s\n%s", d, w.tell())
		}
		w.until(day(150))
		w.patch(id, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "Sales")
		w.end(id, day(400))
		w.pass(2 * time.Minute)
		w.until(day(399)) // more than the 180 days of PIM's cap: renewed on the way
		if d := cmp.Diff([]string{"ext-base", "package delivered"}, w.holds(ada.mail)); d != "" {
			t.Fatalf("a day before the end (-want +got):\n%s\n%s", d, w.tell())
		}
		if w.status(id) != "expiring" {
			t.Errorf("status %s a day before the end", w.status(id))
		}
		w.until(day(400).Add(3 * time.Second))
		if g := w.guest(ada.mail); g.Enabled {
			t.Fatalf("three seconds after the end sign-in is enabled\n%s", w.tell())
		}
		w.pass(5 * time.Minute)
		if held := w.holds(ada.mail); len(held) > 0 || w.status(id) != "offboarding" {
			t.Fatalf("five minutes after the end: %v, %s\n%s", held, w.status(id), w.tell())
		}
		w.until(day(429))
		if w.guest(ada.mail).Deleted != nil {
			t.Fatal("deleted before the retention was over")
		}
		w.until(day(430).Add(5 * time.Minute))
		if w.guest(ada.mail).Deleted == nil || w.status(id) != "removed" {
			t.Fatalf("after the retention: %+v, %s\n%s", w.guest(ada.mail), w.status(id), w.tell())
		}
		first := w.guest(ada.mail).ID

		// Hired again within Entra's thirty days: the same guest comes back, with nothing but what the rules give.
		w.send("acme", http.MethodDelete, "/Users/"+id, "", http.StatusNoContent)
		ada.start, ada.end, ada.title = time.Time{}, day(500), "Accountant"
		again := w.push("acme", ada)
		if again != id {
			t.Errorf("posted again after DELETE she got the id %s, not %s", again, id)
		}
		w.pass(2 * time.Minute)
		g := w.guest(ada.mail)
		if g == nil || g.ID != first || g.Deleted != nil || !g.Enabled {
			t.Fatalf("hired again: %+v\n%s", g, w.tell())
		}
		if d := cmp.Diff([]string{"ext-base"}, w.holds(ada.mail)); d != "" {
			t.Fatalf("hired again (-want +got):\n%s\n%s", d, w.tell())
		}
		if n := len(w.tenant.State().Invitations); n != 1 {
			t.Errorf("%d invitations in all", n)
		}
		w.checkTenant()
	})
}

// TestTwoVendorsOnePerson: one ends, the other's grants stay; the last one's end takes everything.
func TestTwoVendorsOnePerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 11})
		defer func() { w.stopRun() }()
		begin := time.Now()
		a := w.push("acme", who{mail: "ada@acme.example", department: "Finance", end: begin.AddDate(0, 0, 30)})
		b := w.push("kforce", who{mail: "ada@acme.example", title: "Developer", end: begin.AddDate(0, 0, 60)})
		w.pass(time.Minute)
		if d := cmp.Diff([]string{"ext-base", "ext-finance", "package delivered"}, w.holds("ada@acme.example")); d != "" {
			t.Fatalf("both (-want +got):\n%s\n%s", d, w.tell())
		}
		w.send("kforce", http.MethodGet, "/Users/"+a, "", http.StatusNotFound) // rule 9
		w.until(begin.AddDate(0, 0, 30).Add(3 * time.Minute))
		if d := cmp.Diff([]string{"ext-base", "package delivered"}, w.holds("ada@acme.example")); d != "" {
			t.Fatalf("after the first end (-want +got):\n%s\n%s", d, w.tell())
		}
		if !w.guest("ada@acme.example").Enabled {
			t.Error("the first vendor's end closed the door of the second's contractor")
		}
		w.patch(b, "active", false)
		w.pass(5 * time.Minute)
		if held := w.holds("ada@acme.example"); len(held) > 0 || w.guest("ada@acme.example").Enabled {
			t.Fatalf("after the last end: %v\n%s", held, w.tell())
		}
		w.checkTenant()
	})
}

// TestUnsure: no end, no sponsor, an account that is somebody else's: no access, and the reason where the vendor can read it.
func TestUnsure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 13})
		defer func() { w.stopRun() }()
		_, err := w.tenant.AddUser(emulator.UserSeed{Guest: true, Mail: "old@acme.example", Name: "Old Guest"})
		must(t, err)
		end := time.Now().AddDate(0, 0, 30)
		noEnd := w.push("acme", who{mail: "noend@acme.example"})
		foreign := w.push("acme", who{mail: "old@acme.example", end: end})
		fine := w.push("acme", who{mail: "fine@acme.example", end: end})
		w.pass(2 * time.Minute)
		for name, id := range map[string]string{"no end": noEnd, "somebody else's guest": foreign} {
			if w.status(id) != "held" {
				t.Errorf("%s: %s", name, w.status(id))
			}
		}
		if w.guest("noend@acme.example") != nil || len(w.holds("old@acme.example")) > 0 {
			t.Errorf("access without being sure\n%s", w.tell())
		}
		if w.status(fine) != "active" {
			t.Errorf("somebody else suffers from it: %s", w.status(fine))
		}
		w.end(noEnd, end) // the vendor mends it
		w.pass(2 * time.Minute)
		if w.status(noEnd) != "active" || len(w.holds("noend@acme.example")) != 1 {
			t.Errorf("mended, and still %s\n%s", w.status(noEnd), w.tell())
		}
		w.checkTenant()
	})
}
