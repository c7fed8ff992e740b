package siem

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/audit"
)

// Store is what the runner needs of a database. *db.Store fits.
type Store interface {
	// EventsAfter reads at most limit events behind a number, in order; none at the journal's end.
	EventsAfter(ctx context.Context, after int64, limit int) ([]audit.Event, error)
	// JournalHead is the number of the last event, 0 if there is none.
	JournalHead(ctx context.Context) (int64, error)
	// ExportCursor is up to which event a sink was given the journal; known is false for one that never was.
	ExportCursor(ctx context.Context, sink string) (seq int64, known bool, err error)
	SetExportCursor(ctx context.Context, sink string, seq int64) error
	// Seal signs a checkpoint over the journal, or answers the last one again.
	Seal(ctx context.Context, sealer *audit.Sealer) (audit.SignedCheckpoint, error)
	// ProveConsistency fails with *audit.BrokenHistory if now does not continue before.
	ProveConsistency(ctx context.Context, before, now audit.SignedCheckpoint) ([]byte, error)
}

// Config of a runner.
type Config struct {
	Settings Settings      // required; Check must find nothing wrong with it
	Store    Store         // required
	Sealer   *audit.Sealer // required
	Logger   *slog.Logger  // required
	Version  string        // of the program, for those who receive
	Hostname string        // for syslog; "" is written as unknown

	Poll       time.Duration // how often the journal is looked at; default 1s
	MinBackoff time.Duration // first pause after a failure, doubled with each further one; default 1s
	MaxBackoff time.Duration // default 5m
}

// Runner gives the journal to the sinks and signs checkpoints.
type Runner struct {
	cfg   Config
	sinks []*sink
}

// New checks the settings and makes ready; it opens no connection.
func New(cfg Config) (*Runner, error) {
	if cfg.Store == nil || cfg.Sealer == nil || cfg.Logger == nil {
		return nil, errors.New("siem: Store, Sealer and Logger are required")
	}
	var wrong []error
	for _, p := range cfg.Settings.Check() {
		wrong = append(wrong, p)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&cfg.Poll, time.Second}, {&cfg.MinBackoff, time.Second}, {&cfg.MaxBackoff, 5 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	r := &Runner{cfg: cfg}
	for i := range cfg.Settings.Export {
		s := &cfg.Settings.Export[i]
		sender, err := newSender(s, &cfg)
		if err != nil {
			return nil, fmt.Errorf("audit.export %s: %w", s.Name, err)
		}
		r.sinks = append(r.sinks, &sink{
			settings: s, cfg: &r.cfg, sender: sender, log: cfg.Logger.With("sink", s.Name), checkpoints: make(chan audit.SignedCheckpoint, 1),
		})
	}
	return r, nil
}

func newSender(s *Sink, cfg *Config) (sender, error) {
	switch {
	case s.Syslog != nil:
		return newSyslog(s, cfg)
	case s.Webhook != nil:
		return newWebhook(s, cfg)
	}
	return &fileSender{settings: s.File, personal: s.Personal, version: cfg.Version}, nil
}

// Run works until ctx ends, and then signs once more. A sink that is down, or a checkpoint that cannot be signed, is told and
// tried again; it is no reason to stop.
func (r *Runner) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	for _, s := range r.sinks {
		parts.Go(func() { s.run(ctx) })
	}
	r.sign(ctx)
	parts.Wait()
	return nil
}

// Status is how a sink does.
type Status struct {
	Name     string    `json:"name"`
	Position int64     `json:"position"` // the last event that it was given and took
	Sent     int64     `json:"sent"`     // events since the start, those sent again included
	Failures int       `json:"failures"` // consecutive
	Error    string    `json:"error,omitempty"`
	Since    time.Time `json:"failingSince,omitzero"`
}

// Status is how the sinks do, in the order of the settings. A sink's lag is the journal's last event less its position.
func (r *Runner) Status() []Status {
	list := make([]Status, len(r.sinks))
	for i, s := range r.sinks {
		s.mu.Lock()
		list[i] = s.status
		s.mu.Unlock()
		list[i].Name = s.settings.Name
	}
	return list
}

// sender delivers to one place.
type sender interface {
	// batch is how many events it takes at once.
	batch() int
	// send delivers events, in order and all or none as far as it can know. A *pause in the error says when to try again.
	send(ctx context.Context, events []audit.Event) error
	// settled reports whether what was sent is known to have arrived, as far as it ever will be; an error says that it may not
	// have, and must be sent again.
	settled(now time.Time) (bool, error)
	// checkpoint delivers a signed checkpoint.
	checkpoint(ctx context.Context, c audit.SignedCheckpoint) error
	close()
}

// pause is a receiver's wish not to be asked before.
type pause struct {
	after time.Duration
	err   error
}

func (p *pause) Error() string { return p.err.Error() }
func (p *pause) Unwrap() error { return p.err }

// sink takes one sender through the journal.
type sink struct {
	settings    *Sink
	cfg         *Config
	sender      sender
	log         *slog.Logger
	checkpoints chan audit.SignedCheckpoint // the newest that is to be sent

	position int64 // sent up to
	saved    int64 // settled up to, and remembered by the store

	mu     sync.Mutex
	status Status
}

func (s *sink) run(ctx context.Context) {
	defer s.sender.close()
	begun := false
	failures := 0
	for ctx.Err() == nil {
		var err error
		more := false
		if !begun {
			err = s.begin(ctx)
			begun = err == nil
		}
		if begun {
			more, err = s.step(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		wait := s.cfg.Poll
		if err != nil {
			failures++
			s.position = s.saved // what may not have arrived is sent again
			wait = s.backoff(failures, err)
		} else {
			failures = 0
		}
		s.note(failures, err)
		if more && err == nil {
			continue
		}
		s.rest(ctx, wait, failures > 0)
	}
}

// begin finds out where to go on.
func (s *sink) begin(ctx context.Context) error {
	seq, known, err := s.cfg.Store.ExportCursor(ctx, s.settings.Name)
	if err != nil {
		return err
	}
	if !known {
		if s.settings.From == fromNow {
			if seq, err = s.cfg.Store.JournalHead(ctx); err != nil {
				return err
			}
		}
		if err := s.cfg.Store.SetExportCursor(ctx, s.settings.Name, seq); err != nil {
			return err
		}
	}
	s.position, s.saved = seq, seq
	return nil
}

// step sends what is next. more: there may be more at once.
func (s *sink) step(ctx context.Context) (more bool, err error) {
	select {
	case c := <-s.checkpoints:
		if err := s.sender.checkpoint(ctx, c); err != nil {
			s.offer(c)
			return false, err
		}
	default:
	}
	limit := s.sender.batch()
	events, err := s.cfg.Store.EventsAfter(ctx, s.position, limit)
	if err != nil {
		return false, err
	}
	if len(events) == 0 {
		ok, err := s.sender.settled(time.Now())
		if err == nil && ok {
			err = s.save(ctx, s.position)
		}
		return false, err
	}
	before, last, full := s.position, events[len(events)-1].Seq, len(events) >= limit
	events = slices.DeleteFunc(events, func(e audit.Event) bool { return !s.wants(e.Kind) })
	if len(events) > 0 {
		if err := s.sender.send(ctx, events); err != nil {
			return false, err
		}
	}
	s.position = last
	s.mu.Lock()
	s.status.Sent += int64(len(events))
	s.mu.Unlock()
	ok, err := s.sender.settled(time.Now())
	switch {
	case err != nil:
		return false, err
	case ok:
		return full, s.save(ctx, last)
	}
	// That this was written says that the connection stood when the ones before had been.
	return full, s.save(ctx, before)
}

func (s *sink) save(ctx context.Context, seq int64) error {
	if seq <= s.saved {
		return nil
	}
	if err := s.cfg.Store.SetExportCursor(ctx, s.settings.Name, seq); err != nil {
		return err
	}
	s.saved = seq
	return nil
}

func (s *sink) wants(kind string) bool {
	if len(s.settings.Kinds) == 0 {
		return true
	}
	for _, k := range s.settings.Kinds {
		if kind == k || strings.HasSuffix(k, ".") && strings.HasPrefix(kind, k) {
			return true
		}
	}
	return false
}

func (s *sink) backoff(failures int, err error) time.Duration {
	wait := min(s.cfg.MinBackoff<<min(failures-1, 20), s.cfg.MaxBackoff)
	if p, ok := errors.AsType[*pause](err); ok {
		wait = max(wait, min(p.after, s.cfg.MaxBackoff))
	}
	return wait
}

// note keeps how it goes, and tells when it changes for the worse or the better.
func (s *sink) note(failures int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.status
	s.status.Position, s.status.Failures = s.saved, failures
	switch {
	case err == nil && was.Failures > 0:
		s.status.Error, s.status.Since = "", time.Time{}
		s.log.Info("the sink takes the journal again", "after", time.Since(was.Since).Round(time.Second).String())
	case err != nil:
		s.status.Error = err.Error()
		if was.Failures == 0 {
			s.status.Since = time.Now()
		}
		if err.Error() != was.Error {
			s.log.Error("the sink does not take the journal; events wait for it and nothing is lost", "error", err, "position", s.saved)
		}
	}
}

// rest waits, for a new checkpoint too unless the sink is failing.
func (s *sink) rest(ctx context.Context, wait time.Duration, failing bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	checkpoints := s.checkpoints
	if failing {
		checkpoints = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case c := <-checkpoints:
		s.offer(c)
	}
}

// offer leaves a checkpoint to be sent, in place of an older one. The newest proves all that the older ones do.
func (s *sink) offer(c audit.SignedCheckpoint) {
	for {
		select {
		case s.checkpoints <- c:
			return
		default:
		}
		select {
		case old := <-s.checkpoints:
			if old.Origin == c.Origin && old.Size > c.Size {
				c = old
			}
		default:
		}
	}
}
