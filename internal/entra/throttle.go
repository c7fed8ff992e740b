package entra

import (
	"strings"
	"time"
)

const (
	// steadyFor is how long bursts stop after a 429.
	steadyFor = 2 * time.Minute
	// lowerFrom and maxStrikes say when a 429 is taken for a limit lower than the model's: the window was at least a quarter
	// full, or it is not the first in a row. Others are hiccups of the service.
	lowerFrom  = 4
	maxStrikes = 3
	// firstPause is the pause after a 429 without Retry-After; it doubles with each in a row, up to maxPause.
	firstPause = 2 * time.Second
	maxPause   = time.Minute
)

// throttle makes everybody who shares the refused quota wait, and learns from it.
func (b *budget) throttle(l lane, ex *exchange, now time.Time) {
	b.throttled++
	b.strikes[l]++
	pause := retryAfter(ex.header, ex.ended)
	if pause == 0 {
		pause = min(firstPause<<min(b.strikes[l]-1, 6), maxPause)
	}
	until := now.Add(pause)
	info := strings.ToLower(header(ex, "x-ms-throttle-information") + " " + header(ex, "x-ms-throttle-scope"))
	shared := []lane{l}
	if (l == laneRead || l == laneWrite) && !strings.Contains(info, "write") {
		shared = []lane{laneRead, laneWrite} // resource units, CPU, or nothing said
	}
	for _, s := range shared {
		b.paused[s] = latest(b.paused[s], until)
		b.steady[s] = latest(b.steady[s], until.Add(steadyFor))
	}
	w := b.windows[l]
	if w == nil || strings.Contains(info, "resourceunit") {
		w = b.units
	}
	if w.used()*lowerFrom >= w.allowed() || b.strikes[l] >= maxStrikes {
		w.lower(now)
	}
}

// calibrate follows the service's own account of the quota, which it tells from four fifths of it on.
func (b *budget) calibrate(l lane, now time.Time, percentage float64) {
	if w := b.windows[l]; w != nil {
		w.calibrate(now, percentage)
		return
	}
	b.units.calibrate(now, percentage)
}
