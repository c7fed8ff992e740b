package console

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

const (
	// liveHeader marks the requests with which a page refreshes itself.
	liveHeader = "Scimbridge-Live"
	// liveEvery is how often the journal's head is looked at while somebody watches.
	liveEvery = time.Second
	// streamLife is after how long a browser has to ask anew: sessions and rights are looked at again.
	streamLife = 10 * time.Minute
	// maxStreams bounds open pages.
	maxStreams = 200
	// keepAlive is how often a silent stream sends something, so that proxies keep it and a dead reader is noticed.
	keepAlive = 20 * time.Second
)

// hub tells the open pages that the journal grew. Nothing is read while nobody watches.
type hub struct {
	mu      sync.Mutex
	readers map[chan int64]bool
	wake    chan struct{}
	quit    chan struct{} // closed when run ends, so that streams end before the server waits for them
}

func newHub() *hub {
	return &hub{readers: map[chan int64]bool{}, wake: make(chan struct{}, 1), quit: make(chan struct{})}
}

func (h *hub) join() (chan int64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.readers) >= maxStreams {
		return nil, false
	}
	ch := make(chan int64, 1)
	h.readers[ch] = true
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return ch, true
}

func (h *hub) leave(ch chan int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, ch)
}

func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.readers) > 0
}

func (h *hub) tell(head int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.readers {
		select {
		case <-ch: // a reader that is behind wants the newest alone
		default:
		}
		ch <- head
	}
}

func (h *hub) run(ctx context.Context, store Store, log *slog.Logger) error {
	defer close(h.quit)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	last := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
			continue
		case <-tick.C:
		}
		if !h.watched() {
			last = -1
			continue
		}
		readCtx, cancel := context.WithTimeout(ctx, timeout)
		head, err := store.JournalHead(readCtx)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				log.Warn("live updates wait: the journal cannot be read", "error", err)
			}
			continue
		}
		if head != last {
			h.tell(head)
			last = head
		}
	}
}

// stream sends the number of the journal's last event whenever it grew (server-sent events).
func (c *Console) stream(w http.ResponseWriter, r *http.Request, s *session) error {
	ch, ok := c.live.join()
	if !ok {
		return contractor.Errorf(contractor.CodeTooMany, "Too many pages are open. This one updates when it is loaded again.")
	}
	defer c.live.leave(ch)
	rc := http.NewResponseController(w)
	// The server's deadline for reading the request is over before the stream is, and would end it.
	_ = rc.SetReadDeadline(time.Time{})
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	end, beat := time.NewTimer(streamLife), time.NewTicker(keepAlive)
	defer end.Stop()
	defer beat.Stop()
	send := func(text string) bool {
		if rc.SetWriteDeadline(time.Now().Add(2*keepAlive)) != nil {
			return false
		}
		_, err := fmt.Fprint(w, text)
		return err == nil && rc.Flush() == nil
	}
	if !send("retry: 3000\n\n") {
		return nil
	}
	for {
		select {
		case <-whole(r).Done():
			return nil
		case <-c.live.quit:
			return nil
		case <-end.C:
			return nil
		case <-beat.C:
			if !c.sessions.holds(s, time.Now()) || !send(": still here\n\n") {
				return nil
			}
		case head := <-ch:
			if !send(fmt.Sprintf("event: journal\ndata: %d\n\n", head)) {
				return nil
			}
		}
	}
}
