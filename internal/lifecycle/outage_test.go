package lifecycle_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/entra/emulator"
)

// weathers are the ways in which Graph is away for hours.
func weathers() map[string]func(t *testing.T, e *emulator.Emulator, d time.Duration) (over func()) {
	always := func(f emulator.Fault) func(*testing.T, *emulator.Emulator, time.Duration) func() {
		return func(t *testing.T, e *emulator.Emulator, _ time.Duration) func() {
			f.Match, f.Times = "* *", -1
			must(t, e.Fail(f))
			return e.ClearFaults
		}
	}
	return map[string]func(*testing.T, *emulator.Emulator, time.Duration) func(){
		"no connection": func(_ *testing.T, e *emulator.Emulator, d time.Duration) func() {
			e.Outage(d, 0)
			return func() {}
		},
		"503":                func(_ *testing.T, e *emulator.Emulator, d time.Duration) func() { e.Outage(d, 503); return func() {} },
		"a proxy's page":     always(emulator.Fault{Status: 502, Body: "html"}),
		"errors without one": always(emulator.Fault{Status: 500, Body: "no-error"}),
		"a storm of 429":     always(emulator.Fault{Status: 429, RetryAfter: 5 * time.Minute}),
		"429 without a time": always(emulator.Fault{Status: 429}),
		"bodies that dribble for minutes, and then break": always(emulator.Fault{Status: 0, Delay: 3 * time.Minute}),
		"done, and answered by a page":                    always(emulator.Fault{Mode: emulator.DoneThoughFailed, Status: 504, Body: "html"}),
		"a brown-out": func(t *testing.T, e *emulator.Emulator, _ time.Duration) func() {
			for i := range 400 { // two of three calls, for as long as it lasts
				if i%3 != 0 {
					must(t, e.Fail(emulator.Fault{Match: "* *", Status: 503, Times: 1, After: i / 3}))
				}
			}
			return e.ClearFaults
		},
		"tokens revoked and none issued": func(_ *testing.T, e *emulator.Emulator, _ time.Duration) func() {
			e.RevokeTokens(false)
			e.RefuseTokenRequests(1 << 30)
			return func() { e.RefuseTokenRequests(0) }
		},
		"consent withdrawn": func(_ *testing.T, e *emulator.Emulator, _ time.Duration) func() {
			e.SetPermissions()
			e.RevokeTokens(true)
			return func() {
				e.SetPermissions(emulator.DefaultPermissions()...)
				e.RevokeTokens(true)
			}
		},
	}
}

// TestOutage lets contracts end and others begin while Graph is away for hours. When it is back, every door that should have been closed is closed within
// the time that a waiting door may sleep and a pass may take (a minute and a half), and what should have begun begins after; nobody is invited twice. With SCIMBRIDGE_ROUNDS set, in every weather
// and for longer.
func TestOutage(t *testing.T) {
	long := os.Getenv("SCIMBRIDGE_ROUNDS") != ""
	for name, begin := range weathers() {
		if !long && !slices.Contains([]string{"no connection", "a storm of 429", "consent withdrawn"}, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, emulator.Config{Seed: 17, Throttle: -1, ServerError: -1})
				defer func() { w.stopRun() }()
				each, hours := 5, 3*time.Hour
				if long {
					each, hours = 12, 6*time.Hour
				}
				for i := range each {
					w.push("acme", who{mail: fmt.Sprintf("leaver%d@acme.example", i), department: "Finance", end: time.Now().Add(24*time.Hour + time.Duration(i)*20*time.Minute)})
				}
				w.pass(24 * time.Hour)
				over := begin(t, w.tenant, hours)
				for i := range each {
					w.pass(20 * time.Minute)
					w.push("acme", who{mail: fmt.Sprintf("joiner%d@acme.example", i), department: "Finance", end: time.Now().Add(90 * 24 * time.Hour)})
				}
				w.pass(hours - time.Duration(each)*20*time.Minute)
				over()
				back := time.Now()
				w.pass(time.Hour)
				closed, opened := time.Time{}, time.Time{}
				for _, c := range w.tenant.Calls() {
					switch {
					case c.Time.Before(back) || !c.Done:
					case c.Operation == "user.update" && strings.Contains(c.Body, `"accountEnabled":false`):
						closed = c.Time
					case c.Operation == "invitation.create" && opened.IsZero():
						opened = c.Time
					}
				}
				for i := range each {
					if g := w.guest(fmt.Sprintf("leaver%d@acme.example", i)); g == nil || g.Enabled {
						t.Errorf("leaver %d can sign in an hour after the end of the outage", i)
					}
					if g := w.guest(fmt.Sprintf("joiner%d@acme.example", i)); g == nil || !g.Enabled || len(g.MemberOf) != 2 {
						t.Errorf("joiner %d has not begun: %+v", i, g)
					}
				}
				if n := len(w.tenant.State().Invitations); n != 2*each {
					t.Errorf("%d invitations for %d people", n, 2*each)
				}
				if !closed.IsZero() && !opened.IsZero() { // both have waited
					t.Logf("the last door closed %s after the outage, the first invitation %s", closed.Sub(back).Round(time.Second), opened.Sub(back).Round(time.Second))
				}
				if late := closed.Sub(back); late > 90*time.Second {
					t.Errorf("the last door was closed %s after the outage", late)
				}
				if t.Failed() {
					t.Log(w.tell())
				}
			})
		})
	}
}
