package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/entra/emulator"
)

// life is a short life with every kind of call in it. After each turn the bridge is left alone for half an hour and the tenant
// is checked; some turns restart the bridge at once, from its file.
func life(w *world, restarts *rand.Rand) {
	w.t.Helper()
	begin := time.Now()
	day := func(n int) time.Time { return begin.AddDate(0, 0, n) }
	const mail = "ada@acme.example"
	settle := func() {
		for range 3 {
			if restarts != nil && restarts.IntN(3) == 0 {
				w.pass(time.Duration(restarts.IntN(3000)) * time.Millisecond)
				w.restart()
			}
		}
		w.pass(30 * time.Minute)
		w.checkTenant()
	}
	want := func(held ...string) {
		w.t.Helper()
		if got := w.holds(mail); fmt.Sprint(got) != fmt.Sprint(held) {
			w.t.Errorf("holds %v, want %v\n%s", got, held, w.tell())
		}
	}
	ada := who{mail: mail, title: "Developer", department: "Finance", end: day(30)}
	id := w.push("acme", ada)
	settle()
	want("ext-base", "ext-finance", "package delivered")
	w.end(id, day(60))
	settle()
	w.patch(id, "title", "Accountant")
	settle()
	want("ext-base", "ext-finance")
	other := w.push("kforce", who{mail: mail, title: "Developer", end: day(50)})
	settle()
	w.until(day(50).Add(-time.Minute))
	w.end(other, day(50).Add(10*time.Minute)) // too near for PIM to be told
	settle()
	want("ext-base", "ext-finance")
	w.patch(id, "active", false)
	settle()
	want()
	if g := w.guest(mail); g.Enabled || g.Deleted != nil {
		w.t.Errorf("ended: enabled=%v deleted=%v\n%s", g.Enabled, g.Deleted, w.tell())
	}
	w.patch(id, "active", true) // a mistake, taken back
	settle()
	want("ext-base", "ext-finance")
	if !w.guest(mail).Enabled {
		w.t.Errorf("taken back, and still disabled\n%s", w.tell())
	}
	w.until(day(60))
	settle()
	want()
	w.until(day(90))
	settle()
	if g := w.guest(mail); g.Deleted == nil {
		w.t.Errorf("the retention is over, and the guest is there\n%s", w.tell())
	}
	ada.end, ada.title = day(120), "Developer"
	w.send("acme", http.MethodDelete, "/Users/"+id, "", http.StatusNoContent)
	id = w.push("acme", ada)
	settle()
	want("ext-base", "ext-finance", "package delivered")
	w.send("acme", http.MethodDelete, "/Users/"+id, "", http.StatusNoContent)
	settle()
	want()
}

// TestPairedFaults makes each call of the story fail in both ways, refused and not done, done though it failed, at its first
// use; with SCIMBRIDGE_ROUNDS set, at its second and third, too, and with one more status.
func TestPairedFaults(t *testing.T) {
	statuses, uses := []int{0, 503}, 1
	if os.Getenv("SCIMBRIDGE_ROUNDS") != "" {
		statuses, uses = []int{0, 500, 503}, 3
	}
	operations := []string{
		"invitation.create", "user.list", "user.get", "user.update", "user.revoke", "user.delete", "user.memberOf",
		"deleted.get", "deleted.restore", "group.get", "group.members.add", "group.members.remove",
		"pim.policyAssignment.list", "pim.request.create", "pim.schedule.list", "em.request.create", "em.request.list", "em.assignment.list",
	}
	for _, op := range operations {
		for _, mode := range []emulator.FaultMode{emulator.NotDone, emulator.DoneThoughFailed} {
			for _, status := range statuses {
				for after := range uses {
					t.Run(fmt.Sprintf("%s/%s/%d/%d", op, mode, status, after), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							w := newWorld(t, emulator.Config{Seed: 3, Throttle: -1, ServerError: -1})
							defer func() { w.stopRun() }()
							must(t, w.tenant.Fail(emulator.Fault{Match: op, Mode: mode, Status: status, After: after}))
							life(w, nil)
						})
					})
				}
			}
		}
	}
}

// rounds is how many seeds the random tests try: SCIMBRIDGE_ROUNDS, or few.
func rounds(t *testing.T, few int) (n int, base uint64) {
	t.Helper()
	n = few
	if s := os.Getenv("SCIMBRIDGE_ROUNDS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		must(t, err)
	}
	if s := os.Getenv("SCIMBRIDGE_SEED"); s != "" {
		var err error
		base, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	return n, base
}

// TestUnkindest lives the story on a tenant that throttles one call in seven, fails one in ten, half of those done all the
// same, and shows writes up to ten seconds late, while the bridge is restarted in the middle of things.
func TestUnkindest(t *testing.T) {
	n, base := rounds(t, 12)
	for i := range n {
		seed := base + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, emulator.Config{Seed: seed, Throttle: 0.15, ServerError: 0.1, Lag: 10 * time.Second})
				defer func() { w.stopRun() }()
				life(w, rand.New(rand.NewPCG(seed, 1)))
			})
		})
	}
}
