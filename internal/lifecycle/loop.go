package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/client-go/util/workqueue"

	"scimbridge/internal/contractor"
)

// Rules is the mapping in force. *mapper.Mapping fits.
type Rules interface {
	Desired(p *contractor.Person, now time.Time) contractor.Desired
	Catalog() []contractor.Entitlement
	Vendor(name string) (*contractor.Vendor, bool)
	Guard() contractor.Guard // over all vendors together
	Drift(k contractor.DriftKind) contractor.DriftMode
}

// Config of the loop. Store, Directory, Rules and Logger are required.
type Config struct {
	Store     Store
	Directory Directory
	Rules     func() Rules // the rules in force now, asked at every pass
	// Former finds rules that were in force by their revision. Optional: without it, every grant of another revision that is to
	// be taken away counts as taken by the mapping.
	Former func(revision string) (Rules, bool)
	Logger *slog.Logger

	// Workers is how many people are worked on at once. Default 16: Entra's quota of 20 writes a second is the limit, not we.
	Workers int
	// Settle is how long a write to Entra may stay unseen by reads before it is taken for lost and sent again. Default 60 s.
	Settle time.Duration
	// InviteWindow is how long an invitation whose answer was lost is looked for before it is sent again. Default 60 s
	// (graph.md 1.1): a second invitation is worse than a late one.
	InviteWindow time.Duration
	// NativeGrace is how long a closed person's grant may outlive its end while Entra's own expiry does the removal for free.
	// Default 2 min. An open person's grant is removed at its end.
	NativeGrace time.Duration
	// DriftEvery is how often a person with nothing due is compared with Entra all the same. Default 24 h.
	DriftEvery time.Duration
	// Poll bounds the sleep until the next due time: a suspended machine stretches timers, and a wake that was lost, or a write
	// by another process that gave none, costs no more than this. Default 1 min.
	Poll time.Duration
	// Undecided is how long a held end waits for a person before it takes effect. Default 7 days: access does not stay because
	// nobody looked.
	Undecided time.Duration
	// Ready says why no pass may begin now, nil if one may: what is done in Entra must be recorded. Nil: always. The loop asks again
	// after a second.
	Ready func() error
	// Skew tells how far this machine's clock is ahead of Entra's, and whether that is known. Nil: never known.
	Skew func() (ahead time.Duration, known bool)
	// MaxSkew is the disagreement of clocks from which time-driven removals wait. Default 5 min.
	MaxSkew time.Duration
	// Tracer makes a span of each pass. Nil: none.
	Tracer trace.Tracer
}

// Loop keeps the tenant in agreement with the records. Build it with New, start it with Run.
type Loop struct {
	Config
	kick    chan struct{}
	queue   *workqueue.Typed[string]
	order   *order
	express chan struct{} // a token for each urgent person that was read as due
	passes  atomic.Int64
	running running
	jump    jumpWatch

	removals removals
}

// dueBatch is how many due people are read at once; the rest is still due when these are done.
const dueBatch = 1000

// New checks the configuration and fills the defaults.
func New(c Config) (*Loop, error) {
	switch {
	case c.Store == nil, c.Directory == nil, c.Rules == nil, c.Logger == nil:
		return nil, errors.New("lifecycle: Store, Directory, Rules and Logger are required")
	case c.Workers < 0, c.Settle < 0, c.InviteWindow < 0, c.NativeGrace < 0, c.DriftEvery < 0, c.Poll < 0, c.Undecided < 0, c.MaxSkew < 0:
		return nil, errors.New("lifecycle: Workers and durations cannot be negative")
	}
	c.Workers = orDefault(c.Workers, 16)
	c.Settle = orDefault(c.Settle, time.Minute)
	c.InviteWindow = orDefault(c.InviteWindow, time.Minute)
	c.NativeGrace = orDefault(c.NativeGrace, 2*time.Minute)
	c.DriftEvery = orDefault(c.DriftEvery, 24*time.Hour)
	c.Poll = orDefault(c.Poll, time.Minute)
	c.Undecided = orDefault(c.Undecided, contractor.DefaultUndecided)
	c.MaxSkew = orDefault(c.MaxSkew, 5*time.Minute)
	return &Loop{Config: c, kick: make(chan struct{}, 1)}, nil
}

func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Wake makes the loop look for due people now. It never blocks; a lost wake costs at most a minute.
func (l *Loop) Wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Passes counts the passes made since the start, for the watchdog and the metrics.
func (l *Loop) Passes() int64 { return l.passes.Load() }

// Run works until ctx ends, then lets running passes finish their current call and returns. Only one loop may run on a store.
func (l *Loop) Run(ctx context.Context) error {
	l.order = newOrder()
	l.queue = workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[string]{Name: "people", Queue: l.order})
	var workers sync.WaitGroup
	l.express = make(chan struct{}, expressWorkers)
	for range l.Workers {
		workers.Go(func() { l.work(ctx) })
	}
	for range expressWorkers {
		workers.Go(func() { l.workUrgent(ctx) })
	}
	err := l.feed(ctx)
	l.queue.ShutDown()
	workers.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// feed reads due people into the queue and sleeps until the next is due.
func (l *Loop) feed(ctx context.Context) error {
	for {
		now := time.Now()
		l.jump.note(now)
		due, err := l.due(ctx, now)
		if err != nil && ctx.Err() == nil {
			l.Logger.Error("due people cannot be read; trying again", "error", err)
		}
		for _, d := range due {
			l.order.mark(d)
			if d.Urgent {
				l.running.preempt(d.Person)
			}
			l.queue.Add(d.Person)
			if d.Urgent {
				select {
				case l.express <- struct{}{}:
				default: // all of them are told
				}
			}
		}
		wait := l.Poll
		switch {
		case err != nil:
			wait = time.Second
		case len(due) == 0:
			if next, err := l.Store.NextDue(ctx); err == nil && !next.IsZero() {
				wait = min(max(time.Until(next), 0), l.Poll)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-l.kick:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// due reads who is due, unless no pass may begin.
func (l *Loop) due(ctx context.Context, now time.Time) ([]contractor.Due, error) {
	if err := l.notReady(); err != nil {
		return nil, err
	}
	return l.Store.Due(ctx, now, dueBatch)
}

func (l *Loop) notReady() error {
	if l.Ready == nil {
		return nil
	}
	return l.Ready()
}

func (l *Loop) work(ctx context.Context) {
	for {
		id, quit := l.queue.Get()
		if quit {
			return
		}
		if ctx.Err() == nil && l.notReady() == nil { // who is left out is still due
			l.one(ctx, id)
		}
		l.queue.Done(id)
		if l.queue.Len() < l.Workers { // else the feeder would read the whole backlog again for each person done
			l.Wake()
		}
	}
}

// urgentWaits reports whether closing work waits for a worker.
func (l *Loop) urgentWaits() bool { return l.order != nil && l.order.urgentWaiting() }

// expressWorkers work for urgent people alone, so that none waits behind workers that all wait for Entra's quota.
const expressWorkers = 4

func (l *Loop) workUrgent(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.express:
		}
		for l.urgentWaits() {
			id, quit := l.queue.Get()
			if quit {
				return
			}
			if ctx.Err() == nil {
				l.one(ctx, id)
			}
			l.queue.Done(id)
			if !l.urgentWaits() { // else the feeder would read the whole backlog again for each person done
				l.Wake()
			}
		}
	}
}

// one runs a pass and deals with what is not the person's fault.
func (l *Loop) one(ctx context.Context, id string) {
	ctx, end := l.traced(ctx, id)
	_, err := l.Reconcile(ctx, id)
	l.passes.Add(1)
	defer end(err)
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.Is(err, contractor.ErrStale):
		l.Logger.WarnContext(ctx, "another pass recorded an outcome first; is a second daemon running on this database?", "person", id)
	default:
		l.Logger.ErrorContext(ctx, "a pass could not be recorded; trying again in a second", "person", id, "error", err)
		// The person is still due: without this pause the worker would spin on a broken store.
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// running are the people whose pass is under way. One that opens something, and may be waiting for Entra's quota, is
// interrupted when closing work has come for the same person: the pass begins again, and closes.
type running struct {
	mu     sync.Mutex
	people map[string]*passing
}

type passing struct {
	cancel  context.CancelFunc
	closing bool
}

// enter gives a pass its context. leave must be called at its end.
func (r *running) enter(ctx context.Context, person string, closing bool, deadline time.Time) (_ context.Context, leave func()) {
	var cancel context.CancelFunc
	if deadline.IsZero() {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithDeadline(ctx, deadline)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.people == nil {
		r.people = map[string]*passing{}
	}
	me := &passing{cancel, closing}
	r.people[person] = me
	return ctx, func() {
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.people[person] == me {
			delete(r.people, person)
		}
	}
}

func (r *running) preempt(person string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.people[person]; p != nil && !p.closing {
		p.cancel()
	}
}

// order is the queue's own order: urgent people first, then as they came. It implements workqueue.Queue; the workqueue calls
// it under its lock, mark is called by the feeder, hence the lock of its own.
type order struct {
	mu     sync.Mutex
	marks  map[string]bool
	urgent []string
	normal []string
}

func newOrder() *order { return &order{marks: map[string]bool{}} }

func (o *order) mark(d contractor.Due) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.marks[d.Person] = d.Urgent
}

// Touch is called when a waiting person is added again: one that has become urgent moves ahead.
func (o *order) Touch(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.marks[id] {
		return
	}
	for i, n := range o.normal {
		if n == id {
			o.normal = append(o.normal[:i], o.normal[i+1:]...)
			o.urgent = append(o.urgent, id)
			return
		}
	}
}

func (o *order) Push(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.marks[id] {
		o.urgent = append(o.urgent, id)
	} else {
		o.normal = append(o.normal, id)
	}
}

func (o *order) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.urgent) + len(o.normal)
}

func (o *order) urgentWaiting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.urgent) > 0
}

func (o *order) Pop() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	from := &o.urgent
	if len(o.urgent) == 0 {
		from = &o.normal
	}
	id := (*from)[0]
	(*from)[0] = ""
	*from = (*from)[1:]
	delete(o.marks, id)
	return id
}
