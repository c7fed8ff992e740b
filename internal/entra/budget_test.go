package entra

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

// writeCost is what an identity write takes.
func writeCost() cost { return cost{lane: laneWrite, units: 1} }

// rest lets time go by in a bubble, where that takes none.
func rest(d time.Duration) { <-time.After(d) }

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// answered is an exchange that came back with a status.
func answered(status int, headers ...string) *exchange {
	ex := &exchange{status: status, header: http.Header{}, began: time.Now(), ended: time.Now()}
	for i := 0; i+1 < len(headers); i += 2 {
		ex.header.Set(headers[i], headers[i+1])
	}
	return ex
}

func TestWindow(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	t.Run("bears its limit in any span, counting from the answer", func(t *testing.T) {
		w := newWindow(Rate{10, 100 * time.Second})
		for range 10 {
			w.start(1)
		}
		if got := w.roomAt(at(0), 1); !got.After(at(0)) {
			t.Error("room for an eleventh")
		}
		for i := range 10 {
			w.end(at(5+float64(i)), 1, 1)
		}
		w.expire(at(106.9))
		if w.used() != 10 {
			t.Errorf("%d used; an answer of second 5 counts until 107", w.used())
		}
		if got := w.roomAt(at(106), 1); !got.Equal(at(107)) {
			t.Errorf("room at %s", got.Sub(start))
		}
		w.expire(at(107))
		if w.used() != 9 {
			t.Errorf("%d used after second 107", w.used())
		}
	})
	t.Run("what never left costs nothing", func(t *testing.T) {
		w := newWindow(Rate{10, time.Second})
		w.start(1)
		w.end(at(0), 1, 0)
		if w.used() != 0 {
			t.Errorf("%d used", w.used())
		}
	})
	t.Run("an even stream keeps its pace", func(t *testing.T) {
		w := newWindow(Rate{300, 150 * time.Second})
		rate := 300.0 / 153
		for i := range 300 {
			w.end(at(float64(i)/rate), 0, 1)
		}
		now := at(300 / rate)
		w.expire(now)
		if got := w.pace(now); got < rate*0.98 || got > rate*1.001 {
			t.Errorf("pace %.3f, want about %.3f", got, rate)
		}
	})
	t.Run("after a burst, what is left is spread over the span", func(t *testing.T) {
		w := newWindow(Rate{300, 150 * time.Second})
		for range 270 {
			w.end(at(0), 0, 1)
		}
		if got, want := w.pace(at(0)), 30.0/153; got < want*0.99 || got > want*1.01 {
			t.Errorf("pace %.3f, want %.3f", got, want)
		}
	})
	t.Run("is lowered in steps, and recovers", func(t *testing.T) {
		w := newWindow(Rate{1000, 10 * time.Second})
		w.lower(at(100))
		w.lower(at(105)) // too soon after the first
		if w.allowed() != 950 {
			t.Errorf("allowed %d", w.allowed())
		}
		w.expire(at(110))
		if w.allowed() != 970 {
			t.Errorf("allowed %d after 10 s", w.allowed())
		}
		for i := range 1000 {
			w.lower(at(float64(200 + i*10)))
		}
		if w.allowed() != 100 {
			t.Errorf("allowed %d at the least", w.allowed())
		}
	})
	t.Run("follows the service's own count where that is higher", func(t *testing.T) {
		w := newWindow(Rate{1000, 10 * time.Second})
		w.end(at(0), 0, 450)
		w.calibrate(at(0), 0.5) // within what measuring at two ends can differ
		if w.allowed() != 1000 {
			t.Errorf("allowed %d", w.allowed())
		}
		w.calibrate(at(0), 0.9) // half of it is somebody else's
		if w.allowed() != 500 {
			t.Errorf("allowed %d", w.allowed())
		}
	})
}

func TestOrder(t *testing.T) {
	bubble(t, "doors first, then by priority, then vendors in turn, then as they came", func(t *testing.T) {
		l := Limits{InFlight: 4}.withDefaults()
		b := newBudget(l)
		b.paused[laneWrite] = time.Now().Add(time.Minute)
		var mu sync.Mutex
		var got []string
		var all sync.WaitGroup
		wait := func(name string, p contractor.Priority, vendor string, shut bool) {
			ctx := contractor.WithVendor(contractor.WithPriority(t.Context(), p), vendor)
			all.Go(func() {
				c := writeCost()
				c.shut = shut
				ticket, err := b.acquire(ctx, c)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got = append(got, name)
				mu.Unlock()
				rest(time.Second) // under way
				b.settle(ticket, answered(204))
			})
			synctest.Wait()
		}
		wait("sweep", contractor.PrioritySweep, "a", false)
		for _, n := range []string{"a1", "a2", "a3"} {
			wait(n, contractor.PriorityOpen, "a", false)
		}
		wait("refresh", contractor.PriorityRefresh, "b", false)
		wait("b1", contractor.PriorityOpen, "b", false)
		wait("b2", contractor.PriorityOpen, "b", false)
		wait("c1", contractor.PriorityOpen, "c", false)
		wait("close", contractor.PriorityClose, "a", false)
		wait("door", contractor.PriorityClose, "z", true)
		all.Wait()
		want := []string{"close", "door", "a1", "b1", "a2", "c1", "a3", "b2", "refresh", "sweep"}
		for i := 0; i < len(got); i += 2 { // two are under way at once
			slices.Sort(got[i : i+2])
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("order (-want +got):\n%s", d)
		}
	})
	bubble(t, "who gives up leaves no hole", func(t *testing.T) {
		b := newBudget(Limits{}.withDefaults())
		b.paused[laneWrite] = time.Now().Add(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.acquire(ctx, writeCost()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		ticket, err := b.acquire(t.Context(), writeCost())
		if err != nil {
			t.Fatal(err)
		}
		if ticket.waited < 58*time.Second {
			t.Errorf("waited %s", ticket.waited)
		}
		b.settle(ticket, answered(204))
		if s := b.stats(time.Now()); s.InFlight != 0 || s.WritesUsed != 1 || len(s.Waiting) != 0 {
			t.Errorf("%+v", s)
		}
	})
	bubble(t, "reads do not wait behind writes", func(t *testing.T) {
		b := newBudget(Limits{}.withDefaults())
		b.paused[laneWrite] = time.Now().Add(time.Hour)
		go b.acquire(t.Context(), writeCost()) //nolint:errcheck // it ends with the test
		synctest.Wait()
		ticket, err := b.acquire(t.Context(), cost{lane: laneRead, units: 1})
		if err != nil || ticket.waited != 0 {
			t.Errorf("%v, waited %s", err, ticket.waited)
		}
	})
}

func TestThrottled(t *testing.T) {
	send := func(t *testing.T, b *budget, c cost, ex func() *exchange) ticket {
		t.Helper()
		k, err := b.acquire(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		b.settle(k, ex())
		return k
	}
	fine := func() *exchange { return answered(204) }
	bubble(t, "a 429 makes everybody wait as long as it says", func(t *testing.T) {
		b := newBudget(Limits{}.withDefaults())
		send(t, b, writeCost(), func() *exchange { return answered(429, "Retry-After", "17") })
		if k := send(t, b, cost{lane: laneRead, units: 1}, fine); k.waited != 17*time.Second {
			t.Errorf("a read waited %s", k.waited)
		}
	})
	bubble(t, "a 429 of writes leaves reads alone", func(t *testing.T) {
		b := newBudget(Limits{}.withDefaults())
		send(t, b, writeCost(), func() *exchange {
			return answered(429, "Retry-After", "17", "x-ms-throttle-information", "WriteLimitExceeded", "x-ms-throttle-scope", "Tenant_Application/Write/a/b")
		})
		if k := send(t, b, cost{lane: laneRead, units: 1}, fine); k.waited != 0 {
			t.Errorf("a read waited %s", k.waited)
		}
		if k := send(t, b, writeCost(), fine); k.waited != 17*time.Second {
			t.Errorf("a write waited %s", k.waited)
		}
	})
	bubble(t, "without Retry-After the pause doubles until something gets through", func(t *testing.T) {
		b := newBudget(Limits{}.withDefaults())
		c := cost{lane: lanePolicies}
		for i, want := range []string{"0s", "2s", "4s", "8s", "16s", "32s", "1m0s", "1m0s"} {
			if k := send(t, b, c, func() *exchange { return answered(429) }); k.waited.Round(time.Second).String() != want {
				t.Errorf("call %d waited %s, want %s", i, k.waited, want)
			}
		}
		send(t, b, c, fine)
		send(t, b, c, func() *exchange { return answered(429) })
		if k := send(t, b, c, fine); k.waited.Round(time.Second) != 2*time.Second {
			t.Errorf("waited %s after a success", k.waited)
		}
	})
	bubble(t, "a Retry-After of the far future is bounded", func(t *testing.T) {
		ex := answered(429, "Retry-After", time.Now().Add(1000*time.Hour).UTC().Format(http.TimeFormat))
		if d := retryAfter(ex.header, ex.ended); d != maxRetryAfter {
			t.Errorf("%s", d)
		}
		for v, want := range map[string]time.Duration{"": 0, "x": 0, "-5": 0, "2.5": 2500 * time.Millisecond, "1e99": 0} {
			if d := retryAfter(answered(429, "Retry-After", v).header, time.Now()); d != want {
				t.Errorf("%q: %s", v, d)
			}
		}
	})
	bubble(t, "conditional access goes slower than one a second", func(t *testing.T) {
		b := newBudget(Limits{}.withDefaults())
		began := time.Now()
		for range 10 {
			send(t, b, cost{lane: lanePolicies}, fine)
		}
		if took := time.Since(began); took < 9*1200*time.Millisecond {
			t.Errorf("ten calls in %s", took)
		}
	})
	bubble(t, "reports stay within five in ten seconds", func(t *testing.T) {
		b := newBudget(Limits{}.withDefaults())
		var times []time.Time
		for range 30 {
			send(t, b, cost{lane: laneReports}, fine)
			times = append(times, time.Now())
		}
		for i := range times[5:] {
			if d := times[i+5].Sub(times[i]); d < 10*time.Second {
				t.Fatalf("six calls in %s", d)
			}
		}
	})
	bubble(t, "a call's real cost is booked", func(t *testing.T) {
		b := newBudget(Limits{}.withDefaults())
		send(t, b, cost{lane: laneRead, units: 1}, func() *exchange { return answered(200, "x-ms-resource-unit", "5") })
		if s := b.stats(time.Now()); s.UnitsUsed != 5 || s.Units != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// service is a Graph with a limit of its own that the model does not know, and hiccups.
type service struct {
	limit   int
	span    time.Duration
	hiccup  int // every so many calls answer 429 for no reason
	tells   bool
	mu      sync.Mutex
	times   []time.Time
	calls   int
	refused int
	good    int
}

func (s *service) serve() *exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.times) > 0 && now.Sub(s.times[0]) >= s.span {
		s.times = s.times[1:]
	}
	s.calls++
	if s.hiccup > 0 && s.calls%s.hiccup == 0 {
		s.refused++
		return answered(429, "Retry-After", "1")
	}
	if len(s.times) >= s.limit {
		s.refused++
		s.times = append(s.times, now)
		wait := s.times[len(s.times)-s.limit].Add(s.span).Sub(now)
		return answered(429, "Retry-After", strconv.Itoa(int(wait.Seconds())+1), "x-ms-throttle-information", "WriteLimitExceeded")
	}
	s.times = append(s.times, now)
	s.good++
	if share := float64(len(s.times)) / float64(s.limit); s.tells && share >= 0.8 {
		return answered(204, "x-ms-throttle-limit-percentage", strconv.FormatFloat(share, 'f', 2, 64))
	}
	return answered(204)
}

// hammer keeps 60 callers at the service for a time.
func hammer(t *testing.T, s *service, d time.Duration) {
	t.Helper()
	b := newBudget(Limits{}.withDefaults())
	ctx, cancel := context.WithTimeout(contractor.WithPriority(t.Context(), contractor.PriorityOpen), d)
	defer cancel()
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			for {
				k, err := b.acquire(ctx, writeCost())
				if err != nil {
					return
				}
				rest(100 * time.Millisecond)
				b.settle(k, s.serve())
			}
		})
	}
	all.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%d good, %d refused (%.2f %%); %.1f %% of the real limit", s.good, s.refused, 100*float64(s.refused)/float64(s.calls), 100*float64(s.good)/(float64(s.limit)*d.Seconds()/s.span.Seconds()))
}

func TestAdapts(t *testing.T) {
	const span = 30 * time.Minute
	share := func(s *service, d time.Duration) float64 {
		return float64(s.good) / (float64(s.limit) * d.Seconds() / s.span.Seconds())
	}
	bubble(t, "to a limit of half that tells how full it is", func(t *testing.T) {
		s := &service{limit: 1500, span: 150 * time.Second, tells: true}
		hammer(t, s, span)
		if share(s, span) < 0.9 || float64(s.refused) > 0.01*float64(s.calls) {
			t.Error("badly")
		}
	})
	bubble(t, "to a limit of half that tells nothing", func(t *testing.T) {
		s := &service{limit: 1500, span: 150 * time.Second}
		hammer(t, s, span)
		if share(s, span) < 0.8 || float64(s.refused) > 0.03*float64(s.calls) {
			t.Error("badly")
		}
	})
	bubble(t, "to a tenth of the limit", func(t *testing.T) {
		s := &service{limit: 300, span: 150 * time.Second}
		hammer(t, s, span)
		if share(s, span) < 0.6 {
			t.Error("badly")
		}
	})
	bubble(t, "to hiccups without falling to nothing", func(t *testing.T) {
		s := &service{limit: 3000, span: 150 * time.Second, hiccup: 50}
		hammer(t, s, span)
		if share(s, span) < 0.2 {
			t.Error("badly")
		}
	})
}
