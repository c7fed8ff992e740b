package lifecycle_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/lifecycle"
)

// TestDoNotRehire: who is on the list does not come in, whatever address or vendor; who is in stays until the end.
func TestDoNotRehire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 43})
		defer func() { w.stopRun() }()
		end := time.Now().AddDate(0, 0, 30)
		a := w.pushWith("acme", who{mail: "ada@acme.example", department: "Finance", end: end}, map[string]any{"securityId": "4711"})
		w.pass(5 * time.Minute)
		_, err := w.store.AddNoRehire(t.Context(), eve(), contractor.NoRehireKeys(w.personOf(a)), "badge misused")
		must(t, err)
		w.loop.Wake()
		w.patch(a, "title", "Developer")
		w.pass(5 * time.Minute)
		if got := w.holds("ada@acme.example"); len(got) != 2 || !w.guest("ada@acme.example").Enabled || w.status(a) != "held" {
			t.Fatalf("at work: %v, %s\n%s", got, w.status(a), w.tell())
		}
		w.until(end.Add(5 * time.Minute))
		if got := w.holds("ada@acme.example"); len(got) != 0 || w.guest("ada@acme.example").Enabled {
			t.Fatalf("ended: %v\n%s", got, w.tell())
		}
		w.send("acme", http.MethodDelete, "/Users/"+a, "", http.StatusNoContent)
		again := w.push("acme", who{mail: "ada@acme.example", end: end.AddDate(0, 0, 60)})
		other := w.pushWith("kforce", who{mail: "a.l@kforce.example", end: end.AddDate(0, 0, 60)}, map[string]any{"securityId": "4711"})
		w.pass(5 * time.Minute)
		if w.guest("ada@acme.example").Enabled || w.guest("a.l@kforce.example") != nil || w.status(again) != "held" || w.status(other) != "held" {
			t.Fatalf("came back: %s, %s\n%s", w.status(again), w.status(other), w.tell())
		}
		must(t, w.store.OverrideNoRehire(t.Context(), eve(), w.personOf(again).ID, "cleared by security"))
		w.loop.Wake()
		w.pass(5 * time.Minute)
		if got := w.holds("ada@acme.example"); len(got) != 1 || w.status(again) != "active" || w.status(other) != "held" {
			t.Errorf("overridden: %v, %s, the other %s\n%s", got, w.status(again), w.status(other), w.tell())
		}
		w.checkTenant()
	})
}

// TestTransactionTypes: RHI brings the same human back under another address, TER ends now, or with its day.
func TestTransactionTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, emulator.Config{Seed: 47})
		defer func() { w.stopRun() }()
		begin := time.Now()
		a := w.pushWith("acme", who{mail: "ada@acme.example", end: begin.AddDate(0, 0, 60)}, map[string]any{"personId": "7"})
		w.pass(5 * time.Minute)
		first := w.guest("ada@acme.example").ID
		w.patch(a, contractor.ExtensionURN+":transactionType", "TER")
		w.pass(5 * time.Minute)
		if w.guest("ada@acme.example").Enabled {
			t.Fatalf("terminated, and enabled\n%s", w.tell())
		}
		w.patch(a, "title", "Developer")
		w.pass(5 * time.Minute)
		if w.guest("ada@acme.example").Enabled {
			t.Fatalf("an update of a title brought the terminated back\n%s", w.tell())
		}
		w.pass(24 * time.Hour)
		b := w.pushWith("acme", who{mail: "ada.lovelace@acme.example", end: begin.AddDate(0, 0, 90)}, map[string]any{"personId": "7", "transactionType": "RHI"})
		w.pass(5 * time.Minute)
		g := w.guest("ada.lovelace@acme.example")
		if g == nil || g.ID != first || !g.Enabled || w.guests() != 1 || w.status(b) != "active" {
			t.Fatalf("hired again: %+v, %d guests, %s\n%s", g, w.guests(), w.status(b), w.tell())
		}
		day := begin.AddDate(0, 0, 10)
		w.send("acme", http.MethodPatch, "/Users/"+b, `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "value": {
			"`+contractor.ExtensionURN+`:transactionType": "TER", "`+contractor.ExtensionURN+`:endDate": "`+day.UTC().Format(time.RFC3339)+`"}}]}`, http.StatusOK)
		w.pass(5 * time.Minute)
		w.patch(b, "title", "Developer")
		w.pass(5 * time.Minute)
		if !w.guest("ada.lovelace@acme.example").Enabled {
			t.Fatalf("terminated for a day to come, and ended now\n%s", w.tell())
		}
		w.until(day.Add(5 * time.Minute))
		if w.guest("ada.lovelace@acme.example").Enabled {
			t.Errorf("the day has come\n%s", w.tell())
		}
		w.checkTenant()
	})
}

// forgetful says that it restores, and does not.
type forgetful struct {
	lifecycle.Directory
	asked *atomic.Int64
}

func (f forgetful) RestoreGuest(context.Context, string) (contractor.Receipt, error) {
	f.asked.Add(1)
	return contractor.Receipt{}, nil
}

// TestARestoreThatDoesNotTake is asked for at growing distances, and told.
func TestARestoreThatDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		w := newWorldBetween(t, emulator.Config{Seed: 51}, worldMapping, func(d lifecycle.Directory) lifecycle.Directory { return forgetful{d, &asked} })
		defer func() { w.stopRun() }()
		id := w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 60)})
		w.pass(5 * time.Minute)
		must(t, w.tenant.DoDelete(w.guest("ada@acme.example").ID))
		w.pass(25 * time.Hour) // the daily look
		before := asked.Load()
		w.pass(24 * time.Hour)
		if n := asked.Load() - before; before == 0 || n < 12 || n > 110 {
			t.Errorf("restored %d times in the first day, %d in the second\n%s", before, n, w.tell())
		}
		if p := w.personOf(id); !strings.Contains(p.LastError, "restore") {
			t.Errorf("nobody is told: %q", p.LastError)
		}
	})
}
