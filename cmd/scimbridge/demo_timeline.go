package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/audit"
)

// timeline prints what happens as it happens: what the vendors do, as they do it, and what the journal says of the bridge.
type timeline struct {
	out   io.Writer
	began time.Time
	names map[string]string // engagement and person id -> who

	mu      sync.Mutex
	pending []audit.Event // of people whose name is not known yet: the vendor's answer is still on its way
}

func newTimeline(out io.Writer) *timeline {
	return &timeline{out: out, began: time.Now(), names: map[string]string{}}
}

func (t *timeline) say(who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line(time.Now(), who, fmt.Sprintf(format, args...))
}

func (t *timeline) line(at time.Time, who, text string) {
	fmt.Fprintf(t.out, "%6.1fs  %-10s  %s\n", max(at.Sub(t.began).Seconds(), 0), who, text)
}

// name tells whose an engagement is, and prints what waited for it.
func (t *timeline) name(engagement, who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.names[engagement] = who
}

// follow prints the journal's events until ctx ends.
func (t *timeline) follow(ctx context.Context, read func(ctx context.Context, after int64) ([]audit.Event, error)) error {
	var after int64
	for last := false; ; {
		events, err := read(ctx, after)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("the journal cannot be followed: %w", err)
		}
		t.mu.Lock()
		for _, e := range events {
			after = e.Seq
			t.pending = append(t.pending, e)
		}
		t.flush()
		t.mu.Unlock()
		if last {
			return nil
		}
		select {
		case <-ctx.Done(): // one more look: the story's last events
			last, ctx = true, context.WithoutCancel(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// flush prints the events whose person is known; t.mu is held.
func (t *timeline) flush() {
	kept := t.pending[:0]
	for _, e := range t.pending {
		if who, ok := t.names[e.Engagement]; ok && e.Person != "" {
			if old, ok := t.names[e.Person]; !ok || !strings.Contains(old, who) {
				t.names[e.Person] = who
			}
		}
		who := t.names[e.Person]
		if who == "" && e.Person != "" && time.Since(e.Time) < 2*time.Second {
			kept = append(kept, e)
			continue
		}
		if text := sentence(e); text != "" {
			t.line(e.Time, "  bridge", who+": "+text)
		}
	}
	t.pending = kept
}

// sentence is one event in the words of the story; "" for what the story has no place for.
func sentence(e audit.Event) string {
	until := ""
	if !e.Until.IsZero() {
		until = " until " + e.Until.UTC().Format("2006-01-02 15:04:05Z")
	}
	what := strings.TrimPrefix(strings.TrimPrefix(e.Entitlement, "access_package "), "group ")
	if i := strings.Index(what, " ("); i > 0 {
		what = what[:i]
	}
	proof := ""
	if e.RequestID != "" {
		proof = "  [Graph " + e.RequestID[:min(8, len(e.RequestID))] + "]"
	}
	switch e.Kind {
	case "guest.invited":
		return "guest invited" + proof
	case "guest.updated":
		return "guest's properties written" + proof
	case "grant.added":
		return fmt.Sprintf("granted %s%s by rule %s (mapping line %d)%s", what, until, e.Rule, e.Line, proof)
	case "grant.extended":
		return fmt.Sprintf("%s extended%s, without taking it away%s", what, until, proof)
	case "grant.shortened":
		return fmt.Sprintf("%s shortened%s%s", what, until, proof)
	case "grant.rerouted":
		return fmt.Sprintf("%s stays%s, now by rule %s", what, until, e.Rule)
	case "grant.remove_sent":
		return fmt.Sprintf("%s taken away: %s%s", what, e.Reason, proof)
	case "grant.gone":
		return what + " seen gone"
	case "guest.disable_sent":
		return "sign-in disabled: " + e.Reason + proof
	case "guest.disabled":
		return "sign-in seen disabled"
	case "guest.sessions_revoked":
		return "sessions revoked" + proof
	case "guest.empty":
		return "seen to hold nothing"
	case "guest.delete_sent":
		return "retention over, guest deleted" + proof
	case "guest.gone":
		return "guest seen deleted"
	case "person.held", "pass.failed":
		return e.Reason
	}
	return ""
}
