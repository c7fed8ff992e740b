package lifecycle_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/entra/emulator"
)

// TestSponsorAsManager: where the mapping says so, the sponsor is the guest's manager, too, and the next one after it.
func TestSponsorAsManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, kind(), strings.Replace(lifeMapping, "{required: true, ", "{required: true, as_manager: true, ", 1))
		defer func() { w.stopRun() }()
		second, err := w.tenant.AddUser(emulator.UserSeed{UPN: "second@contoso.example"})
		must(t, err)
		id := w.push("acme", who{mail: "ada@acme.example", end: time.Now().AddDate(0, 0, 30)})
		w.pass(time.Minute)
		g := w.guest("ada@acme.example")
		if len(g.Sponsors) != 1 || g.Manager != g.Sponsors[0] {
			t.Fatalf("sponsors %v, manager %q\n%s", g.Sponsors, g.Manager, w.tell())
		}
		w.patch(id, "urn:ietf:params:scim:schemas:extension:contractor:2.0:User:sponsorEmail", "second@contoso.example")
		w.pass(time.Minute)
		if g = w.guest("ada@acme.example"); g.Manager != second {
			t.Errorf("manager %q, want %q\n%s", g.Manager, second, w.tell())
		}
	})
}
