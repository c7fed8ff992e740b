package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/lifecycle"
)

const bridgeApp = "5c1b1d9e-0000-4000-8000-00000000c1e7"

func itself(context.Context) (string, error) { return bridgeApp, nil }

// logged is an entry of a tenant's log, and when it can first be read.
type logged struct {
	contractor.Activity
	visible time.Time
}

// tenantLog is a tenant's logs in memory: pages of three, newest arrival first, some entries twice, and calls that fail when
// they are told to.
type tenantLog struct {
	entries []logged
	last    map[string]time.Time // lastSuccessfulSignInDateTime by guest
	fail    func() error         // nil: never
	calls   int
	order   []string // from-to of the slices that were asked for
}

func (l *tenantLog) Activity(_ context.Context, log contractor.ActivityLog, from, to time.Time, _, more string) ([]contractor.Activity, string, error) {
	l.calls++
	if l.fail != nil {
		if err := l.fail(); err != nil {
			return nil, "", err
		}
	}
	now, page := time.Now(), 0
	if more != "" {
		if _, err := fmt.Sscanf(more, "page %d", &page); err != nil {
			return nil, "", err
		}
	} else {
		l.order = append(l.order, string(log)+" "+from.Format("02T15:04:05")+"-"+to.Format("02T15:04:05"))
	}
	var all []contractor.Activity
	for _, e := range slices.Backward(l.entries) {
		// The service's filter is to the second.
		if e.Log != log || e.visible.After(now) || e.At.Before(from.Truncate(time.Second)) || e.At.After(to.Truncate(time.Second).Add(time.Second)) {
			continue
		}
		all = append(all, e.Activity)
		if len(e.ID)%2 == 0 {
			all = append(all, e.Activity) // twice
		}
	}
	const size = 3
	begin := min(page*size, len(all))
	end := min(begin+size, len(all))
	next := ""
	if end < len(all) {
		next = fmt.Sprintf("page %d", page+1)
	}
	return all[begin:end], next, nil
}

func (l *tenantLog) LastSuccess(_ context.Context, guest string) (time.Time, error) {
	if l.fail != nil {
		if err := l.fail(); err != nil {
			return time.Time{}, err
		}
	}
	return l.last[guest], nil
}

func (l *tenantLog) add(a contractor.Activity, late time.Duration) {
	l.entries = append(l.entries, logged{a, a.At.Add(late)})
}

// watched is a store with people, a log, and a watch that can be started anew.
type watched struct {
	t     *testing.T
	path  string
	store *db.Store
	log   *tenantLog
	edit  func(*lifecycle.WatchConfig)
	watch *lifecycle.Watch
	told  []contractor.Alarm
}

func newWatched(t *testing.T, edit func(*lifecycle.WatchConfig)) *watched {
	x := &watched{t: t, path: filepath.Join(t.TempDir(), "scimbridge.db"), log: &tenantLog{last: map[string]time.Time{}}, edit: edit}
	x.restart()
	t.Cleanup(x.close)
	return x
}

func (x *watched) close() {
	if x.store != nil {
		if err := x.store.Close(); err != nil {
			x.t.Error(err)
		}
		x.store = nil
	}
}

// restart is a new process on the same database.
func (x *watched) restart() {
	x.t.Helper()
	x.close()
	var err error
	if x.store, err = db.Open(context.Background(), db.Config{Path: x.path}); err != nil {
		x.t.Fatal(err)
	}
	c := lifecycle.WatchConfig{
		Store: x.store, Reader: x.log, Logger: slog.New(slog.NewTextHandler(x.t.Output(), nil)), AppID: itself,
		OnAlarm: func(a contractor.Alarm) { x.told = append(x.told, a) },
	}
	if x.edit != nil {
		x.edit(&c)
	}
	if x.watch, err = lifecycle.NewWatch(c); err != nil {
		x.t.Fatal(err)
	}
}

// pass makes one pass that must work.
func (x *watched) pass() lifecycle.WatchPass {
	x.t.Helper()
	p := x.watch.Pass(x.t.Context())
	if p.Err != nil {
		x.t.Fatal(p.Err)
	}
	return p
}

func (x *watched) person(name, guest string, change func(*contractor.Person)) *contractor.Person {
	x.t.Helper()
	now := time.Now().UTC()
	e := contractor.Engagement{ID: uuid.NewString(), Vendor: "acme", Version: 1, Created: now, Modified: now, Resource: []byte(`{"userName":"` + name + `"}`),
		Record: contractor.Record{UserName: name, Email: name + "@acme.example", Active: true}}
	e, err := x.store.Create(x.t.Context(), e, 0, audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done})
	if err != nil {
		x.t.Fatal(err)
	}
	p, err := x.store.Person(x.t.Context(), e.Person)
	if err != nil {
		x.t.Fatal(err)
	}
	p.GuestID, p.Origin, p.Phase, p.InvitedAt, p.GuestState = guest, contractor.OriginInvited, contractor.PhaseOpen, now, "Accepted"
	if change != nil {
		change(p)
	}
	if err := x.store.Record(x.t.Context(), &contractor.Change{Person: p}); err != nil {
		x.t.Fatal(err)
	}
	return p
}

func (x *watched) alarms() []contractor.Alarm {
	x.t.Helper()
	list, err := x.store.Alarms(x.t.Context(), contractor.AlarmQuery{All: true, Limit: 1000})
	if err != nil {
		x.t.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

func kinds(list []contractor.Alarm) []contractor.AlarmKind {
	out := []contractor.AlarmKind{}
	for _, a := range list {
		out = append(out, a.Kind)
	}
	return out
}

func guestID(n int) string { return fmt.Sprintf("11111111-0000-4000-8000-%012d", n) }

func worked(id string, at time.Time, guest string) contractor.Activity {
	return contractor.Activity{Log: contractor.LogSignIns, ID: id, At: at.UTC(), Guest: guest, What: "Portal", OK: true, Country: "DE", ClientApp: "Browser", IP: "203.0.113.7", Risk: "none"}
}

func closedAgo(d time.Duration) func(*contractor.Person) {
	return func(p *contractor.Person) { p.Phase, p.ClosedAt = contractor.PhaseClosed, time.Now().UTC().Add(-d) }
}

// No entry is lost and none counts twice: random entries of several guests and strangers, most of them late, some very late,
// some twice, pages that fail, processes that are killed between pages and passes.
func TestWatchLosesAndDoublesNothing(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { watchStory(t, seed) })
		})
	}
}

func watchStory(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 11))
	x := newWatched(t, nil)
	begin := time.Now()
	var people []*contractor.Person
	for i := range 3 {
		people = append(people, x.person(fmt.Sprintf("p%d", i), guestID(i), nil))
	}
	over := x.person("over", guestID(9), closedAgo(2*time.Hour))
	want := map[string]int{} // id -> person
	late := 0
	for i := range 150 {
		at := begin.Add(time.Duration(dice.Int64N(int64(60 * time.Hour)))).Truncate(time.Second)
		id := fmt.Sprintf("e%0*d", 3+i%2, i)
		a := worked(id, at, guestID(100+i)) // a stranger
		switch n := dice.IntN(6); {
		case n < 3:
			a.Guest = guestID(n)
			want[id+"/"+people[n].ID] = 1
		case n == 3:
			a.Guest = guestID(9)
			want[id+"/"+over.ID] = 1
			late++
		}
		if i%3 == 0 && a.Guest != guestID(9) {
			a.Log = contractor.LogAudits
			a.By = contractor.Doer{Kind: "app", ID: bridgeApp}
			a.Targets = []string{a.Guest, guestID(500)}
		}
		delay := time.Duration(dice.Int64N(int64(10 * time.Minute)))
		switch dice.IntN(20) {
		case 0:
			delay = time.Duration(dice.Int64N(int64(20 * time.Hour))) // only a sweep finds it
		case 1, 2, 3:
			delay = time.Duration(dice.Int64N(int64(40 * time.Minute)))
		}
		x.log.add(a, delay)
	}
	// Calls fail in one of eight, once the first pass has begun.
	x.log.fail = func() error {
		if dice.IntN(8) == 0 {
			return &contractor.Failure{Op: "read log", Verdict: contractor.VerdictRetry, Message: "Graph failed"}
		}
		return nil
	}
	for time.Since(begin) < 90*time.Hour {
		time.Sleep(time.Duration(1+dice.IntN(180)) * time.Minute) // fake time
		if p := x.watch.Pass(t.Context()); p.Err != nil {
			if _, ok := errors.AsType[*contractor.Failure](p.Err); !ok {
				t.Fatal(p.Err)
			}
		}
		if dice.IntN(4) == 0 {
			x.restart()
		}
	}
	x.log.fail = nil
	time.Sleep(25 * time.Hour) // fake time; a sweep is due
	x.pass()

	got := map[string]int{}
	for _, p := range append(people, over) {
		list, err := x.store.Activity(t.Context(), p.ID, time.Time{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			got[a.ID+"/"+p.ID]++
		}
	}
	for k := range want {
		if got[k] != 1 {
			t.Errorf("seed %d: entry %s is stored %d times", seed, k, got[k])
		}
	}
	if len(got) != len(want) {
		t.Errorf("seed %d: %d entries are stored, %d were about our guests", seed, len(got), len(want))
	}
	alarms := x.alarms()
	if len(alarms) != 1 || alarms[0].Kind != contractor.AlarmSignInAfterEnd || alarms[0].Count != late || alarms[0].Person != over.ID {
		t.Errorf("seed %d: alarms %v, want one that counts %d", seed, alarms, late)
	}
	if len(x.told) != 1 {
		t.Errorf("seed %d: %d alarms were told", seed, len(x.told))
	}
}

// A crash between two pages leaves the mark where it was: the slice is read again, and its first page is not new any more.
func TestWatchReadsAHalfReadSliceAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newWatched(t, nil)
		p := x.person("ann", guestID(1), closedAgo(time.Hour))
		x.pass()
		for i := range 7 {
			x.log.add(worked(fmt.Sprintf("e%04d", i), time.Now(), guestID(1)), 0)
		}
		time.Sleep(time.Minute) // fake time
		calls := 0
		x.log.fail = func() error {
			if calls++; calls == 2 {
				return errors.New("the second page")
			}
			return nil
		}
		before, _ := x.store.ActivityMark(t.Context(), contractor.LogSignIns)
		if p := x.watch.Pass(t.Context()); p.Err == nil || p.Stored != 3 {
			t.Fatalf("%+v", p)
		}
		after, _ := x.store.ActivityMark(t.Context(), contractor.LogSignIns)
		if !after.Through.Equal(before.Through) {
			t.Errorf("the mark moved from %s to %s", before.Through, after.Through)
		}
		x.log.fail = nil
		x.restart()
		if got := x.pass(); got.Stored != 4 {
			t.Errorf("%d new entries after the restart, want the other 4", got.Stored)
		}
		if a := x.alarms(); len(a) != 1 || a[0].Count != 7 || a[0].Person != p.ID {
			t.Errorf("%+v", a)
		}
	})
}

func TestWatchCatchesUpInSlicesAndTellsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newWatched(t, func(c *lifecycle.WatchConfig) { c.SweepEvery = -1 })
		x.pass()
		if got := x.log.order[0]; got != "signin 31T00:00:00-31T01:00:00" {
			t.Errorf("the first look begins %s; the bubble's clock begins at 2000-01-01", got)
		}
		time.Sleep(6 * time.Hour) // fake time
		x.log.order = nil
		x.pass()
		if n := len(x.log.order); n != 14 { // 6 h and the overlap of 45 min, in hours, for each log
			t.Errorf("%d slices: %v", n, x.log.order)
		}
		time.Sleep(40 * 24 * time.Hour) // fake time: longer than the tenant keeps its logs
		x.pass()
		x.pass()
		if got := kinds(x.alarms()); !slices.Equal(got, []contractor.AlarmKind{contractor.AlarmActivityGap, contractor.AlarmActivityGap}) {
			t.Errorf("alarms %v, want one gap for each log", got)
		}
	})
}

func TestWatchDoesNotBringBackWhatWasPruned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newWatched(t, func(c *lifecycle.WatchConfig) { c.Bounds.Rows = 3 })
		p := x.person("ann", guestID(1), nil)
		for i := range 10 {
			x.log.add(worked(fmt.Sprintf("e%03d", i), time.Now().Add(time.Duration(i)*time.Minute), guestID(1)), 0)
		}
		time.Sleep(30 * time.Minute) // fake time
		x.pass()                     // stores ten and prunes to three
		stored := 0
		for range 5 {
			time.Sleep(30 * time.Minute) // fake time; still within the overlap or a sweep
			stored += x.pass().Stored
		}
		if stored != 0 {
			t.Errorf("%d entries came back as new", stored)
		}
		list, err := x.store.Activity(t.Context(), p.ID, time.Time{}, 100)
		if err != nil || len(list) != 3 {
			t.Errorf("%d entries, %v", len(list), err)
		}
		if got := kinds(x.alarms()); !slices.Equal(got, []contractor.AlarmKind{contractor.AlarmActivityOverflow}) {
			t.Errorf("alarms %v", got)
		}
	})
}

func TestWatchAlarms(t *testing.T) {
	const admin = "aaaaaaaa-0000-4000-8000-000000000001"
	change := func(id, what string, by contractor.Doer) contractor.Activity {
		return contractor.Activity{Log: contractor.LogAudits, ID: id, At: time.Now().UTC(), Guest: guestID(1), Targets: []string{guestID(1)}, What: what, OK: true, By: by, Changed: []string{"AccountEnabled"}}
	}
	user := contractor.Doer{Kind: "user", ID: admin, Name: "admin@contoso.example"}
	for _, tc := range []struct {
		name   string
		person func(*contractor.Person)
		config func(*lifecycle.WatchConfig)
		log    func(*tenantLog)
		want   []contractor.AlarmKind
		sev    contractor.Severity
		count  int
		says   []string // of words, evidence and next
		hides  []string
	}{
		{name: "SignInOfSomebodyWhoMayIsNone", log: func(l *tenantLog) { l.add(worked("s1", time.Now(), guestID(1)), 0) }, want: nil},
		{
			name: "SignInAfterTheEnd", person: closedAgo(time.Hour),
			log:  func(l *tenantLog) { l.add(worked("s1", time.Now(), guestID(1)), 0) },
			want: []contractor.AlarmKind{contractor.AlarmSignInAfterEnd}, sev: contractor.SeverityCritical, count: 1,
			says: []string{"after access had ended at", `to "Portal"`, "from DE with Browser", "scimbridge drift --repair"}, hides: []string{"203.0.113.7"},
		},
		{
			name: "SignInAtTheEndIsNone", person: closedAgo(0),
			log: func(l *tenantLog) { l.add(worked("s1", time.Now().Add(time.Minute), guestID(1)), 0) },
		},
		{
			name: "SignInBeforeTheEndToldAfterItIsNone", person: closedAgo(10 * time.Minute),
			log: func(l *tenantLog) { l.add(worked("s1", time.Now().Add(-20*time.Minute), guestID(1)), 0) },
		},
		{
			name: "RefusedAttemptAfterTheEndIsNone", person: closedAgo(time.Hour),
			log: func(l *tenantLog) {
				a := worked("s1", time.Now(), guestID(1))
				a.OK, a.Code = false, 50057
				l.add(a, 0)
			},
		},
		{
			name: "TokenAfterTheEnd", person: closedAgo(time.Hour),
			log:  func(l *tenantLog) { l.last[guestID(1)] = time.Now().Add(-10 * time.Minute) },
			want: []contractor.AlarmKind{contractor.AlarmTokenAfterEnd}, sev: contractor.SeverityCritical, count: 1, says: []string{"renewed a token", "lastSuccessfulSignInDateTime"},
		},
		{
			name: "TokenBeforeTheEndIsNone", person: closedAgo(time.Hour),
			log: func(l *tenantLog) { l.last[guestID(1)] = time.Now().Add(-2 * time.Hour) },
		},
		{
			name: "ChangedByAnAdministrator", log: func(l *tenantLog) { l.add(change("a1", "Update user", user), 0) },
			want: []contractor.AlarmKind{contractor.AlarmChangedByOther}, sev: contractor.SeverityWarning, count: 1,
			says: []string{"user " + admin + ` did "Update user"`, "changed AccountEnabled", "scimbridge drift"}, hides: []string{"admin@contoso.example"},
		},
		{
			name: "GivenARoleByAnAdministrator", log: func(l *tenantLog) { l.add(change("a1", "Add member to role", user), 0) },
			want: []contractor.AlarmKind{contractor.AlarmChangedByOther}, sev: contractor.SeverityCritical, count: 1,
		},
		{
			name: "ChangedByAnotherApplication",
			log: func(l *tenantLog) {
				l.add(change("a1", "Update user", contractor.Doer{Kind: "app", ID: admin, Name: "HR sync"}), 0)
			},
			want: []contractor.AlarmKind{contractor.AlarmChangedByOther}, sev: contractor.SeverityWarning, count: 1, says: []string{"application HR sync"},
		},
		{
			name: "ChangedByATrustedApplicationIsNone", config: func(c *lifecycle.WatchConfig) { c.TrustedApps = []string{strings.ToUpper(admin)} },
			log: func(l *tenantLog) {
				l.add(change("a1", "Update user", contractor.Doer{Kind: "app", ID: admin, Name: "HR sync"}), 0)
			},
		},
		{name: "ChangedByUsIsNone", log: func(l *tenantLog) { l.add(change("a1", "Update user", contractor.Doer{Kind: "app", ID: bridgeApp}), 0) }},
		{name: "ChangedByEntraItselfIsNone", log: func(l *tenantLog) {
			l.add(change("a1", "Remove member from group", contractor.Doer{Kind: "service", Name: "MS-PIM"}), 0)
		}},
		{name: "ChangedByTheGuestIsNone", log: func(l *tenantLog) {
			l.add(change("a1", "User registered security info", contractor.Doer{Kind: "user", ID: guestID(1)}), 0)
		}},
		{name: "FailedChangeIsNone", log: func(l *tenantLog) {
			a := change("a1", "Update user", user)
			a.OK = false
			l.add(a, 0)
		}},
		{
			name: "SameChangeAgainIsCounted",
			log: func(l *tenantLog) {
				l.add(change("a1", "Update user", user), 0)
				l.add(change("a2", "Update user", user), 0)
			},
			want: []contractor.AlarmKind{contractor.AlarmChangedByOther}, sev: contractor.SeverityWarning, count: 2,
		},
		{
			name: "ForbiddenCountryInReportOnly", config: forbids(false),
			log: func(l *tenantLog) {
				a := worked("s1", time.Now(), guestID(1))
				a.Country = "RU"
				l.add(a, 0)
			},
			want: []contractor.AlarmKind{contractor.AlarmForbiddenSignIn}, sev: contractor.SeverityWarning, count: 1, says: []string{"from RU", "policy work-countries forbids", "report-only"},
		},
		{
			name: "ForbiddenCountryAlthoughEnforced", config: forbids(true),
			log: func(l *tenantLog) {
				a := worked("s1", time.Now(), guestID(1))
				a.Country = "RU"
				l.add(a, 0)
			},
			want: []contractor.AlarmKind{contractor.AlarmForbiddenSignIn}, sev: contractor.SeverityCritical, count: 1, says: []string{"does not enforce"},
		},
		{
			name: "FailedMFAInShortOrder", log: mfaFailures(5, time.Minute),
			want: []contractor.AlarmKind{contractor.AlarmMFAFailures}, sev: contractor.SeverityWarning, count: 5, says: []string{"failed 5 times", "AADSTS500121", "scimbridge contractor hold"},
		},
		{name: "FourAreTooFew", log: mfaFailures(4, time.Minute)},
		{name: "FiveInALongTimeAreNone", log: mfaFailures(5, 5*time.Minute)},
		{
			name: "RiskySignInsInShortOrder",
			log: func(l *tenantLog) {
				for i := range 3 {
					a := worked(fmt.Sprintf("s%d", i), time.Now().Add(time.Duration(i)*time.Minute-20*time.Minute), guestID(1))
					a.Risk = "medium"
					l.add(a, 0)
				}
			},
			want: []contractor.AlarmKind{contractor.AlarmRiskySignIns}, sev: contractor.SeverityWarning, count: 3, says: []string{"3 risky sign-ins", "risk medium"},
		},
		{
			name: "OneAtHighRiskThatWorked",
			log: func(l *tenantLog) {
				a := worked("s1", time.Now(), guestID(1))
				a.Risk = "high"
				l.add(a, 0)
			},
			want: []contractor.AlarmKind{contractor.AlarmRiskySignIns}, sev: contractor.SeverityCritical, count: 1, says: []string{"at high risk worked"},
		},
		{
			name: "NeverAccepted",
			person: func(p *contractor.Person) {
				p.GuestState, p.InvitedAt = "PendingAcceptance", time.Now().UTC().AddDate(0, 0, -15)
			},
			log: func(*tenantLog) {}, want: []contractor.AlarmKind{contractor.AlarmNeverAccepted}, sev: contractor.SeverityNotice, count: 1, says: []string{"not accepted within 14 days", "scimbridge contractor end"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newWatched(t, tc.config)
				p := x.person("ann", guestID(1), tc.person)
				tc.log(x.log)
				time.Sleep(2 * time.Minute) // fake time
				x.pass()
				x.pass() // what is read again raises nothing
				alarms := x.alarms()
				if got := kinds(alarms); !slices.Equal(got, append([]contractor.AlarmKind{}, tc.want...)) {
					t.Fatalf("alarms %v, want %v", got, tc.want)
				}
				if len(tc.want) == 0 {
					return
				}
				a := alarms[0]
				if a.Severity != tc.sev || a.Count != tc.count || a.Person != p.ID || len(a.Evidence) == 0 || a.Next == "" || len(x.told) != 1 {
					t.Errorf("%+v, told %d times", a, len(x.told))
				}
				all := a.Words + "\n" + a.Next
				for _, e := range a.Evidence {
					all += "\n" + e.Words
				}
				for _, s := range tc.says {
					if !strings.Contains(all, s) {
						t.Errorf("it does not say %q:\n%s", s, all)
					}
				}
				for _, s := range tc.hides {
					if strings.Contains(all, s) {
						t.Errorf("it says %q:\n%s", s, all)
					}
				}
			})
		})
	}
}

func forbids(enforced bool) func(*lifecycle.WatchConfig) {
	return func(c *lifecycle.WatchConfig) {
		c.Forbids = func(a contractor.Activity, _ []string) ([]string, bool) {
			if a.Country == "DE" {
				return nil, false
			}
			return []string{"work-countries"}, enforced
		}
	}
}

func mfaFailures(n int, apart time.Duration) func(*tenantLog) {
	return func(l *tenantLog) {
		for i := range n {
			a := worked(fmt.Sprintf("s%d", i), time.Now().Add(-time.Duration(n-i)*apart), guestID(1))
			a.OK, a.Code = false, 500121
			l.add(a, 0)
		}
	}
}

func TestWatchBurstsOverSeveralPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newWatched(t, nil)
		x.person("ann", guestID(1), nil)
		for i := range 6 {
			a := worked(fmt.Sprintf("s%d", i), time.Now(), guestID(1))
			a.OK, a.Code = false, 500121
			x.log.add(a, 0)
			x.pass()
			time.Sleep(2 * time.Minute) // fake time
		}
		alarms := x.alarms()
		if len(alarms) != 1 || alarms[0].Kind != contractor.AlarmMFAFailures || alarms[0].Count != 6 || len(x.told) != 1 {
			t.Errorf("%+v, told %d times", alarms, len(x.told))
		}
	})
}

func TestWatchTellsOfOurPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newWatched(t, nil)
		const id = "90110000-0000-4000-8000-000000000001"
		if err := x.store.RecordPolicy(t.Context(), &contractor.CAManaged{Kind: "policy", Name: "mfa", ID: id, Mine: true}); err != nil {
			t.Fatal(err)
		}
		entry := func(n, target string, by contractor.Doer) {
			x.log.add(contractor.Activity{Log: contractor.LogAudits, ID: n, At: time.Now().UTC(), What: "Update conditional access policy", Service: "Conditional Access", OK: true, Targets: []string{target}, By: by}, 0)
		}
		admin := contractor.Doer{Kind: "user", ID: guestID(50), Name: "admin@contoso.example"}
		entry("a1", id, admin)
		entry("a2", id, contractor.Doer{Kind: "app", ID: bridgeApp})
		entry("a3", guestID(77), admin) // somebody else's policy
		time.Sleep(time.Minute)         // fake time
		x.pass()
		alarms := x.alarms()
		if len(alarms) != 1 || alarms[0].Kind != contractor.AlarmPolicyChanged || alarms[0].Severity != contractor.SeverityCritical || !strings.Contains(alarms[0].Next, "policy apply puts it back") {
			t.Fatalf("%+v", alarms)
		}
		if _, err := x.store.AcknowledgeAlarm(t.Context(), audit.Actor{Kind: audit.ActorAdmin, Name: "ops"}, alarms[0].ID, "it was me"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute) // fake time; within the overlap
		x.pass()
		if n := len(x.alarms()); n != 1 {
			t.Errorf("%d alarms: an entry that was read again was raised after it was acknowledged", n)
		}
	})
}

// sink takes alarms, or refuses them.
type sink struct {
	name   string
	refuse bool
	got    []string
}

func (s *sink) Name() string { return s.name }

func (s *sink) Alarm(ctx context.Context, a contractor.Alarm) error {
	if _, limited := ctx.Deadline(); !limited {
		return errors.New("a call without a deadline")
	}
	if s.refuse {
		return errors.New("503")
	}
	s.got = append(s.got, a.ID)
	return nil
}

func TestWatchHandsAlarmsOnAtLeastOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail, hook := &sink{name: "mail"}, &sink{name: "webhook", refuse: true}
		x := newWatched(t, func(c *lifecycle.WatchConfig) { c.Sinks = []lifecycle.AlarmSink{hook, mail} })
		x.person("ann", guestID(1), closedAgo(time.Hour))
		x.log.add(worked("s1", time.Now(), guestID(1)), 0)
		time.Sleep(time.Minute) // fake time
		if p := x.watch.Pass(t.Context()); p.Err == nil || !strings.Contains(p.Err.Error(), "could not be handed to webhook") {
			t.Errorf("%+v", p)
		}
		if len(mail.got) != 1 || len(hook.got) != 0 {
			t.Fatalf("mail got %d, the webhook %d", len(mail.got), len(hook.got))
		}
		hook.refuse = false
		x.restart()
		x.pass()
		x.pass()
		if len(mail.got) != 1 || len(hook.got) != 1 {
			t.Errorf("mail got %d, the webhook %d", len(mail.got), len(hook.got))
		}
	})
}

func TestWatchRunsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passes := 0
		x := newWatched(t, func(c *lifecycle.WatchConfig) { c.OnPass = func(lifecycle.WatchPass) { passes++ } })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- x.watch.Run(ctx) }()
		time.Sleep(21 * time.Minute) // fake time
		synctest.Wait()
		if passes != 3 {
			t.Errorf("%d passes in 21 minutes, want 3", passes)
		}
		x.watch.Wake()
		synctest.Wait()
		if passes != 4 {
			t.Errorf("%d passes after a wake", passes)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWatchAsksNotForWhatIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newWatched(t, nil)
		x.person("ann", guestID(1), closedAgo(time.Hour))
		asked := 0
		x.watch, _ = lifecycle.NewWatch(lifecycle.WatchConfig{
			Store: x.store, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), AppID: itself,
			Reader: refusing{x.log, &asked},
		})
		for range 3 {
			time.Sleep(2 * time.Hour) // fake time
			x.pass()
		}
		if asked != 1 {
			t.Errorf("asked %d times for what is refused", asked)
		}
	})
}

// refusing has no permission for signInActivity.
type refusing struct {
	*tenantLog
	asked *int
}

func (r refusing) LastSuccess(context.Context, string) (time.Time, error) {
	*r.asked++
	return time.Time{}, &contractor.Failure{Op: "read sign-in activity", Verdict: contractor.VerdictRefused, Status: 403, Message: "Graph forbids this"}
}

func TestNewWatchRefuses(t *testing.T) {
	good := lifecycle.WatchConfig{Store: (*db.Store)(nil), Reader: &tenantLog{}, Logger: slog.New(slog.DiscardHandler), AppID: itself}
	for name, change := range map[string]func(*lifecycle.WatchConfig){
		"NoStore":             func(c *lifecycle.WatchConfig) { c.Store = nil },
		"NoReader":            func(c *lifecycle.WatchConfig) { c.Reader = nil },
		"NoLogger":            func(c *lifecycle.WatchConfig) { c.Logger = nil },
		"NoAppID":             func(c *lifecycle.WatchConfig) { c.AppID = nil },
		"TwoSinksOfOneName":   func(c *lifecycle.WatchConfig) { c.Sinks = []lifecycle.AlarmSink{&sink{name: "a"}, &sink{name: "a"}} },
		"KeptShorterThanRead": func(c *lifecycle.WatchConfig) { c.Bounds.For = time.Hour },
		"NegativeOverlap":     func(c *lifecycle.WatchConfig) { c.Overlap = -1 },
		"NoRows":              func(c *lifecycle.WatchConfig) { c.Bounds.Rows = -1 },
	} {
		c := good
		change(&c)
		if _, err := lifecycle.NewWatch(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := lifecycle.NewWatch(good); err != nil {
		t.Error(err)
	}
}

func TestWatchReadsNothingBeforeItKnowsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := false
		x := newWatched(t, func(c *lifecycle.WatchConfig) {
			c.AppID = func(context.Context) (string, error) {
				if !known {
					return "", errors.New("no token")
				}
				return bridgeApp, nil
			}
		})
		if p := x.watch.Pass(t.Context()); p.Err == nil || x.log.calls != 0 {
			t.Errorf("%+v after %d calls", p, x.log.calls)
		}
		known = true
		if x.pass(); x.log.calls == 0 {
			t.Error("nothing was read")
		}
	})
}

// The page for operators names every alarm that there is.
func TestEveryAlarmIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "activity.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join("..", "contractor", "activity.go"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`AlarmKind = "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(kinds) < 10 {
		t.Fatalf("%d kinds were found", len(kinds))
	}
	for _, k := range kinds {
		if !strings.Contains(string(page), "| `"+k[1]+"` |") {
			t.Errorf("docs/activity.md does not explain %s", k[1])
		}
	}
}
