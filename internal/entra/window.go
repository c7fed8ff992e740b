package entra

import "time"

// window models one documented limit: at most limit per span, whatever way the service slides its own window. What is in
// flight counts in full, and what was answered counts from its answer on, so that neither latency nor the phase of the
// service's window can make the model too generous.
type window struct {
	limit int
	span  time.Duration

	log      []entry // answered, oldest first, from head on
	head     int
	logged   int // sum of log
	inFlight int

	scale   float64   // share of limit in use: lowered by throttling, recovering by itself
	scaled  time.Time // when scale was last touched
	lowered time.Time // when scale was last lowered
}

type entry struct {
	at time.Time
	n  int
}

const (
	// spanMargin stretches the service's span a little: 2 percent, at least 200 ms, for clocks that are not quite the same.
	spanMarginShare = 0.02
	spanMarginLeast = 200 * time.Millisecond
	// minScale is the least share of the documented limit that throttling can press us to.
	minScale = 0.1
	// lowerBy is what is left of the share after a 429 that the model did not foresee; lowerPause spaces such steps.
	lowerBy    = 0.95
	lowerPause = 10 * time.Second
	// recoverPerSecond is the share that comes back: from a half to the whole in about four minutes.
	recoverPerSecond = 0.002
)

func newWindow(r Rate) *window {
	margin := max(time.Duration(float64(r.Per)*spanMarginShare), spanMarginLeast)
	return &window{limit: r.Count, span: r.Per + margin, scale: 1}
}

// expire forgets what has left the span.
func (w *window) expire(now time.Time) {
	for w.head < len(w.log) && now.Sub(w.log[w.head].at) >= w.span {
		w.logged -= w.log[w.head].n
		w.head++
	}
	if w.head > 1024 && w.head*2 > len(w.log) {
		w.log = append(w.log[:0], w.log[w.head:]...)
		w.head = 0
	}
	if w.scale < 1 {
		w.scale = min(1, w.scale+now.Sub(w.scaled).Seconds()*recoverPerSecond)
		w.scaled = now
	}
}

// allowed is the limit in force.
func (w *window) allowed() int { return max(1, int(float64(w.limit)*w.scale)) }

func (w *window) used() int { return w.logged + w.inFlight }

// start counts n as in flight; end moves it to the log with what it really cost.
func (w *window) start(n int) { w.inFlight += n }

func (w *window) end(now time.Time, n, real int) {
	w.inFlight -= n
	if real > 0 {
		w.log = append(w.log, entry{now, real})
		w.logged += real
	}
}

// roomAt is when n more fit if nothing else is added: now, or when enough of the log has left the span.
func (w *window) roomAt(now time.Time, n int) time.Time {
	over := w.used() + n - w.allowed()
	if over <= 0 {
		return now
	}
	for i := w.head; i < len(w.log); i++ {
		if over -= w.log[i].n; over <= 0 {
			return w.log[i].at.Add(w.span)
		}
	}
	return now.Add(w.span) // only what is in flight stands in the way: settling it will ask again
}

// pace is the highest even rate per second that can be kept up for a whole span without ever reaching the limit. After a
// burst it is what is left until the burst leaves the span; in a steady stream it is the limit's own rate.
func (w *window) pace(now time.Time) float64 {
	free := float64(w.allowed() - w.used())
	rate := float64(w.allowed()) / w.span.Seconds()
	for i := w.head; i < len(w.log); i++ {
		if until := w.log[i].at.Add(w.span).Sub(now).Seconds(); until > 0 {
			rate = min(rate, free/until)
		}
		free += float64(w.log[i].n)
	}
	return max(rate, 0)
}

// lower reacts to a 429 that came although the model had room.
func (w *window) lower(now time.Time) {
	if now.Sub(w.lowered) < lowerPause {
		return
	}
	w.scale = max(minScale, w.scale*lowerBy)
	w.scaled, w.lowered = now, now
}

// calibrate compares the service's own view (1 = limit reached) with ours: if it has counted more than we sent, somebody
// else uses the same quota or the limit is lower than documented.
func (w *window) calibrate(now time.Time, percentage float64) {
	share := float64(w.used()) / float64(w.limit)
	if share < calibrateFrom || percentage < share+calibrateGap {
		return
	}
	if s := max(minScale, share/percentage); s < w.scale {
		w.scale, w.scaled = s, now
	}
}

const (
	// calibrateFrom is the least share of our own use that can be compared at all.
	calibrateFrom = 0.05
	// calibrateGap is the difference that measuring at two ends can make.
	calibrateGap = 0.1
)
