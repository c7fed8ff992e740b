package notify_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/notify"
)

const day = 24 * time.Hour

// morning lets time pass until ten past the hour of the digests, of the day after so many days.
func (w *world) morning(days int) {
	now := time.Now().UTC()
	next := time.Date(now.Year(), now.Month(), now.Day()+days, 8, 10, 0, 0, time.UTC)
	w.pass(time.Until(next))
}

func TestDigests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.morning(1)
		end := time.Now().Add(20 * day)
		w.push("ada@acme.example", end)
		w.push("bob@acme.example", end)
		w.work()
		if n := len(w.mails()); n != 0 {
			t.Fatalf("%d mails, twenty days before an end", n)
		}
		w.morning(6)
		for range 3 {
			w.work()
		}
		got := w.mails()
		if len(got) != 1 || got[0].To[0] != "sponsor@contoso.example" || !strings.Contains(got[0].Body, "ada Test") || !strings.Contains(got[0].Body, "bob@acme.example") {
			t.Fatalf("not one digest for both: %+v", got)
		}
		if !strings.Contains(got[0].Subject, "enden bald") {
			t.Errorf("the sponsor reads German, and got %q", got[0].Subject)
		}
		for range 6 {
			w.morning(1)
			w.work()
		}
		if n := len(w.mails()); n != 1 {
			t.Errorf("%d mails between two notices", n)
		}
		w.morning(7)
		w.work()
		if n := len(w.mails()); n != 2 {
			t.Errorf("%d mails on the last day, want one more", n)
		}
	})
}

func TestASponsorExtends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.morning(1)
		end := time.Now().Add(10 * day)
		id := w.push("ada@acme.example", end)
		w.work()
		link := links(w.mails()[0])[0]
		page := w.browse(http.MethodGet, link, nil, nil)
		if csp := page.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || page.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", page.Header())
		}
		if rec := w.browse(http.MethodPost, link, url.Values{"action": {"end"}}, nil); rec.Code != http.StatusForbidden {
			t.Errorf("without the form's token: %d", rec.Code)
		}
		token := tokenPattern.FindStringSubmatch(page.Body.String())[1]
		if rec := w.browse(http.MethodPost, link, url.Values{"action": {"end"}, "token": {token}}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); rec.Code != http.StatusForbidden {
			t.Errorf("from another site: %d", rec.Code)
		}
		if rec := w.browse(http.MethodPost, link, url.Values{"action": {"end"}, "token": {token}}, func(r *http.Request) { r.Header.Del("Cookie") }); rec.Code != http.StatusForbidden {
			t.Errorf("without the cookie: %d", rec.Code)
		}
		w.decide(link, "extend", end.Add(200*day).Format(time.DateOnly), http.StatusUnprocessableEntity)
		w.decide(link, "extend", end.Add(-5*day).Format(time.DateOnly), http.StatusUnprocessableEntity)
		if g := w.guest("ada@acme.example"); !g.Enabled {
			t.Fatal("what was refused was done")
		}
		until := end.Add(20 * day)
		w.decide(link, "extend", until.Format(time.DateOnly), http.StatusOK)
		if x := w.person(id).Engagements[0].Extended; x.Until.Sub(until).Abs() > day || x.By != sponsorID {
			t.Errorf("extended %+v", x)
		}
		if rec := w.browse(http.MethodGet, link, nil, nil); rec.Code != http.StatusGone {
			t.Errorf("a used link answers %d", rec.Code)
		}
		w.pass(time.Until(end.Add(day)))
		if g := w.guest("ada@acme.example"); !g.Enabled {
			t.Error("the extension is not in force")
		}
	})
}

func TestALongExtensionWaitsForAnAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.morning(1)
		end := time.Now().Add(10 * day)
		ada, bob := w.push("ada@acme.example", end), w.push("bob@acme.example", end.Add(time.Hour))
		w.work()
		until := end.Add(60 * day)
		for _, link := range links(w.mails()[0]) {
			if body := w.decide(link, "extend", until.Format(time.DateOnly), http.StatusOK); !strings.Contains(body, "Waiting for an administrator") {
				t.Error(body)
			}
		}
		holds, err := w.store.Holds(t.Context(), contractor.HoldQuery{Person: w.person(ada).ID})
		must(t, err)
		if len(holds) != 1 {
			t.Fatalf("holds %+v", holds)
		}
		_, err = w.store.DecideHold(t.Context(), admin(), holds[0].ID, true, "fine")
		must(t, err)
		w.loop.Wake()
		w.pass(time.Until(end.Add(2 * time.Hour)))
		w.work()
		if x := w.person(ada).Engagements[0].Extended; x.Until.Sub(until).Abs() > day {
			t.Errorf("approved, and %+v", x)
		}
		if g := w.guest("ada@acme.example"); !g.Enabled {
			t.Error("approved, and closed")
		}
		if g := w.guest("bob@acme.example"); g.Enabled {
			t.Error("undecided, and open behind its end")
		}
		holds, err = w.store.Holds(t.Context(), contractor.HoldQuery{All: true, Person: w.person(bob).ID})
		must(t, err)
		if len(holds) != 1 || holds[0].State != contractor.HoldCancelled {
			t.Errorf("an undecided extension: %+v", holds)
		}
	})
}

func TestASponsorEndsAccessNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.morning(1)
		id := w.push("ada@acme.example", time.Now().Add(10*day))
		w.work()
		w.decide(links(w.mails()[0])[0], "end", "", http.StatusOK)
		if w.guest("ada@acme.example").Enabled {
			t.Error("still open")
		}
		must(t, w.store.RestartEngagement(t.Context(), admin(), id, "a mistake"))
		w.loop.Wake()
		w.pass(time.Minute)
		if !w.guest("ada@acme.example").Enabled {
			t.Error("not open again")
		}
	})
}

func TestAttestation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.morning(1)
		w.push("ada@acme.example", time.Now().Add(400*day))
		w.morning(91)
		w.work()
		if n := len(w.mails()); n != 1 {
			t.Fatalf("%d mails after ninety days", n)
		}
		w.morning(13)
		w.work()
		if !w.guest("ada@acme.example").Enabled {
			t.Fatal("closed within the grace")
		}
		w.morning(2)
		w.work()
		w.loop.Wake()
		w.pass(time.Minute)
		if w.guest("ada@acme.example").Enabled {
			t.Fatal("open, though nobody confirmed")
		}
		w.morning(1)
		w.work()
		told := w.mails()
		if len(told) != 2 || !strings.Contains(told[1].Body, "did not confirm") {
			t.Fatalf("the sponsor is not told: %d mails", len(told))
		}
		w.decide(links(told[1])[0], "confirm", "", http.StatusOK)
		if !w.guest("ada@acme.example").Enabled {
			t.Error("confirmed, and closed")
		}
		w.morning(91)
		w.work()
		all := w.mails()
		w.decide(links(all[len(all)-1])[0], "confirm", "", http.StatusOK)
		w.morning(30)
		w.work()
		w.pass(time.Hour)
		if !w.guest("ada@acme.example").Enabled || len(w.mails()) != len(all) {
			t.Errorf("confirmed by link, and closed or asked again: %d mails", len(w.mails()))
		}
	})
}

// faulty fails a few sends, before or after the mail left.
type faulty struct {
	notify.Sender
	before, after error
	calls         int
}

func (f *faulty) Send(ctx context.Context, m notify.Message) (string, error) {
	f.calls++
	if err := f.before; err != nil {
		f.before = nil
		return "", err
	}
	id, err := f.Sender.Send(ctx, m)
	if f.after != nil {
		err, f.after = f.after, nil
	}
	return id, err
}

func TestSendingFails(t *testing.T) {
	retry := &contractor.Failure{Op: "x", Verdict: contractor.VerdictRetry, Message: "later"}
	unknown := &contractor.Failure{Op: "x", Verdict: contractor.VerdictUnknown, Message: "no answer"}
	for name, tt := range map[string]struct {
		before, after error
		today, next   int // mails on that day, and with the next
	}{
		"it did not leave, and is sent again soon":             {retry, nil, 1, 1},
		"it may have left and did not: told by the next one":   {unknown, nil, 0, 1},
		"it left unseen: not again, and told by the next, too": {nil, unknown, 1, 2},
		"it cannot be sent": {&contractor.Failure{Op: "x", Verdict: contractor.VerdictPermanent, Message: "no"}, nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(s notify.Sender) notify.Sender { return &faulty{Sender: s, before: tt.before, after: tt.after} })
				w.morning(1)
				w.push("ada@acme.example", time.Now().Add(10*day))
				for range 20 {
					w.work()
					w.pass(time.Minute)
				}
				if n := len(w.mails()); n != tt.today {
					t.Errorf("%d mails on that day, want %d", n, tt.today)
				}
				w.morning(1)
				w.work()
				w.morning(1)
				w.work()
				got := w.mails()
				if len(got) != tt.next {
					t.Fatalf("%d mails in the end, want %d", len(got), tt.next)
				}
				for _, m := range got {
					if !strings.Contains(m.Body, "ada Test") {
						t.Errorf("the mail does not tell it:\n%s", m.Body)
					}
				}
			})
		})
	}
}

// hung hands mails to the server or loses them, and then says nothing for ever: its process is dead as far as the store knows.
type hung struct {
	notify.Sender
	loses bool
	over  <-chan struct{}
}

func (h hung) Send(ctx context.Context, m notify.Message) (string, error) {
	if !h.loses {
		if _, err := h.Sender.Send(ctx, m); err != nil {
			return "", err
		}
	}
	<-h.over
	return "", nil
}

// TestKilledBesideTheCall: the process dies before the server has the mail, or after, and before that is noted. No mail leaves twice, and
// nothing stays untold.
func TestKilledBesideTheCall(t *testing.T) {
	for name, loses := range map[string]bool{"before the server has it": true, "after the server has it": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				var whole notify.Sender
				w := newWorld(t, func(s notify.Sender) notify.Sender {
					whole = s
					return hung{s, loses, over}
				})
				w.morning(1)
				w.push("ada@acme.example", time.Now().Add(2*day))
				dying := make(chan error, 1)
				go func() { dying <- w.notifier.Pass(t.Context(), time.Now()) }()
				synctest.Wait()
				sent := 1
				if loses {
					sent = 0
				}
				if n := len(w.mails()); n != sent {
					t.Fatalf("%d mails", n)
				}
				next := w.notifier.Config // of the process that follows
				next.Sender = whole
				var err error
				w.notifier, err = notify.New(next)
				must(t, err)
				for range 40 {
					w.work()
					w.pass(time.Minute)
				}
				if n := len(w.mails()); n != sent {
					t.Fatalf("%d mails on the day of the crash, want %d", n, sent)
				}
				w.morning(1)
				w.work()
				got := w.mails()
				if len(got) != sent+1 || !strings.Contains(got[sent].Body, "ada Test") {
					t.Fatalf("%d mails with the next day's, want %d: %+v", len(got), sent+1, got)
				}
				w.decide(links(got[sent])[0], "end", "", http.StatusOK)
				if w.guest("ada@acme.example").Enabled {
					t.Error("the link of the second mail does not work")
				}
				close(over)
				<-dying // what the dead process would have noted changes nothing
				w.morning(1)
				w.work()
				if n := len(w.mails()); n != sent+1 {
					t.Errorf("%d mails in the end", n)
				}
			})
		})
	}
}

// TestNobodyIsEndedByAWrongClock: the grace of a confirmation is not over while the clock is doubted.
func TestNobodyIsEndedByAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		doubt := ""
		w.notifier.ClockDoubt = func() string { return doubt }
		w.morning(1)
		w.push("ada@acme.example", time.Now().Add(400*day))
		w.morning(91)
		w.work()
		doubt = "this machine's clock is off"
		w.morning(20)
		w.work()
		w.loop.Wake()
		w.pass(time.Minute)
		if !w.guest("ada@acme.example").Enabled {
			t.Fatal("ended by a clock that is doubted")
		}
		doubt = ""
		w.work()
		w.loop.Wake()
		w.pass(time.Minute)
		if w.guest("ada@acme.example").Enabled {
			t.Error("the clock is right, the grace is over, and the door is open")
		}
	})
}

func TestASponsorLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.morning(1)
		id := w.push("ada@acme.example", time.Now().Add(80*day))
		w.work()
		check, err := lifecycle.NewSponsorCheck(lifecycle.SponsorConfig{Store: w.store, Directory: w.graph, Logger: w.notifier.Logger, Rules: func() lifecycle.SponsorRules { return w.mapping }, Wake: w.loop.Wake})
		must(t, err)
		must(t, check.Pass(t.Context(), time.Now()))
		if got := w.person(id).SponsorID; got != sponsorID {
			t.Fatalf("sponsor %s", got)
		}
		must(t, w.tenant.DoDelete(sponsorID))
		w.morning(8)
		must(t, check.Pass(t.Context(), time.Now()))
		w.work()
		if got := w.person(id).SponsorID; got != bossID {
			t.Fatalf("after the sponsor left: %s, want its manager", got)
		}
		if got := w.mails(); len(got) != 1 || got[0].To[0] != "boss@contoso.example" || !strings.Contains(got[0].Body, "become the sponsor") {
			t.Errorf("mails %+v", got)
		}
		must(t, w.tenant.DoDisable(bossID))
		w.morning(8)
		must(t, check.Pass(t.Context(), time.Now()))
		if got := w.person(id).SponsorID; got != groupFall {
			t.Errorf("after the manager left: %s, want the fallback group", got)
		}
	})
}

func admin() audit.Actor { return audit.Actor{Kind: audit.ActorAdmin, Name: "test"} }

func TestAMailThatNeverLeftEndsNobodysAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s notify.Sender) notify.Sender {
			return &faulty{Sender: s, before: &contractor.Failure{Op: "x", Verdict: contractor.VerdictPermanent, Message: "no"}}
		})
		w.morning(1)
		w.push("ada@acme.example", time.Now().Add(400*day))
		w.morning(91)
		w.work()
		w.morning(13)
		w.work()
		if n := len(w.mails()); n != 0 || !w.guest("ada@acme.example").Enabled {
			t.Fatalf("%d mails, or closed", n)
		}
		w.morning(2)
		w.work()
		w.pass(time.Minute)
		if n := len(w.mails()); n != 1 || !w.guest("ada@acme.example").Enabled {
			t.Fatalf("%d mails when asked again, or closed", n)
		}
		must(t, w.store.BlockPerson(t.Context(), admin(), w.anybody(), "a secret matter"))
		w.loop.Wake()
		w.pass(time.Minute)
		w.morning(1)
		w.work()
		got := w.mails()
		if len(got) != 2 || strings.Contains(got[1].Body, "secret matter") || !strings.Contains(got[1].Body, "an administrator stopped") {
			t.Errorf("an admin's stop as the sponsor reads it: %+v", got)
		}
		w.decide(links(got[1])[0], "confirm", "", http.StatusBadRequest)
		if w.guest("ada@acme.example").Enabled {
			t.Error("a sponsor lifted an admin's stop")
		}
	})
}
