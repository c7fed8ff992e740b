package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FaultMode says whether a failing call takes effect. Faults come in pairs, because
// a client that sees an error cannot know which of the two it was.
type FaultMode string

// The modes of a fault.
const (
	NotDone          FaultMode = "not-done"           // refused, and nothing happened
	DoneThoughFailed FaultMode = "done-though-failed" // it happened, the answer says otherwise
	HeldBack         FaultMode = "held-back"          // it happened and says so, after Delay
)

// Fault is a failure that is asked for.
type Fault struct {
	// Match names the calls: an operation id ("invitation.create"), or a method and a
	// path below /v1.0 in which * stands for anything ("POST /groups/*/members/$ref",
	// "* *").
	Match string    `json:"match"`
	Mode  FaultMode `json:"mode"` // default NotDone
	// Status of the answer; 0 closes the connection without one.
	Status int      `json:"status"`
	Body   BodyKind `json:"body,omitempty"`
	// Code and Message of an OData body; defaults go with the status.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// RetryAfter is sent in whole seconds; zero means no such header.
	RetryAfter time.Duration `json:"retryAfter,omitempty"`
	// Delay holds the answer back, or ends with the caller's patience.
	Delay time.Duration `json:"delay,omitempty"`
	// Times is how often the fault strikes, default 1; negative means always.
	Times int `json:"times,omitempty"`
	// After lets so many matching calls pass first.
	After int `json:"after,omitempty"`
}

type faults struct {
	list        []*Fault
	outageUntil time.Time
	outageCode  int
}

// Fail asks for a fault. Faults are tried in the order in which they were added; one
// fault at most strikes a call, and the dice leave such a call alone.
func (e *Emulator) Fail(f Fault) error {
	f.Mode = or(f.Mode, NotDone)
	f.Times = or(f.Times, 1)
	switch {
	case f.Mode != NotDone && f.Mode != DoneThoughFailed && f.Mode != HeldBack:
		return fmt.Errorf("emulator: fault mode %q is unknown", f.Mode)
	case f.Match == "":
		return fmt.Errorf("emulator: a fault without Match would never strike; write \"* *\" for every call")
	case f.Status != 0 && (f.Status < 300 || f.Status > 599):
		return fmt.Errorf("emulator: fault status %d is not an error", f.Status)
	case f.Mode == HeldBack && f.Delay <= 0:
		return fmt.Errorf("emulator: a fault of mode %q wants a delay", f.Mode)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults.list = append(e.faults.list, &f)
	return nil
}

// ClearFaults forgets all faults and ends an outage.
func (e *Emulator) ClearFaults() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = faults{}
}

// Outage lets every Graph call fail with status until d from now, by the emulated clock.
// Status 0 closes connections.
func (e *Emulator) Outage(d time.Duration, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults.outageUntil, e.faults.outageCode = e.now().Add(d), status
}

func (f *faults) outage(c *call) (answer, bool) {
	if !c.now.Before(f.outageUntil) {
		return answer{}, false
	}
	c.fault = "outage"
	if f.outageCode == 0 {
		return answer{drop: true}, true
	}
	return c.errorAnswer(failure(f.outageCode), BodyHTML), true
}

// match returns the fault that strikes this call, and uses it up.
func (f *faults) match(c *call) *Fault {
	for i, cand := range f.list {
		if !cand.matches(c) {
			continue
		}
		if cand.After > 0 {
			cand.After--
			continue
		}
		if cand.Times > 0 {
			if cand.Times--; cand.Times == 0 {
				f.list = append(f.list[:i:i], f.list[i+1:]...)
			}
		}
		c.fault = "asked for: " + string(cand.Mode)
		c.delay = cand.Delay
		return cand
	}
	return nil
}

func (f *Fault) matches(c *call) bool {
	if f.Match == c.op.id {
		return true
	}
	method, path, ok := strings.Cut(f.Match, " ")
	if !ok || method != "*" && method != c.method {
		return false
	}
	return wild(path, c.path) || path == c.op.path
}

// wild matches text against a pattern in which * stands for any run of characters.
func wild(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	text, ok := strings.CutPrefix(text, first)
	if !ok || !star {
		return ok && text == ""
	}
	for i := 0; i <= len(text); i++ {
		if wild(rest, text[i:]) {
			return true
		}
	}
	return false
}

// answer is what the caller sees instead of, or before, the truth.
func (f *Fault) answer(c *call) answer {
	if f.Status == 0 {
		return answer{drop: true}
	}
	e := failure(f.Status)
	e.code, e.message = or(f.Code, e.code), or(f.Message, e.message)
	if f.RetryAfter > 0 {
		e.header = http.Header{"Retry-After": {strconv.Itoa(int(f.RetryAfter / time.Second))}}
	}
	return c.errorAnswer(e, f.Body)
}

func failure(status int) *graphError {
	switch status {
	case http.StatusTooManyRequests:
		return refuse(status, "TooManyRequests", "Too many requests.")
	case http.StatusInternalServerError:
		return refuse(status, "InternalServerError", "An unexpected error occurred.")
	case http.StatusBadGateway:
		return refuse(status, "BadGateway", "The upstream server gave no valid answer.")
	case http.StatusServiceUnavailable:
		return refuse(status, "ServiceUnavailable", "The service is temporarily unavailable.")
	case http.StatusGatewayTimeout:
		return refuse(status, "UnknownError", "The upstream server did not answer in time.")
	case http.StatusForbidden:
		return refuse(status, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	}
	return refuse(status, "UnknownError", "%s", http.StatusText(status))
}

// misfortune throws the dice: hit says that the call is answered with bad, done that it
// takes effect all the same.
func (e *Emulator) misfortune(c *call, key string) (bad answer, done, hit bool) {
	if c.isBatch() {
		return answer{}, true, false
	}
	if e.dice.chance(e.cfg.Throttle, "throttle", key) {
		c.fault = "dice: throttled"
		n := e.dice.pick(4, "throttle kind", key)
		err, kind := throttled(0, "Too many requests."), BodyOData
		if n < 2 && c.op.service != conditions {
			err = throttled(time.Duration(1+n)*time.Second, "Too many requests.")
		}
		if n == 3 {
			kind = BodyEmpty
		}
		return c.errorAnswer(err, kind), false, true
	}
	if !e.dice.chance(e.cfg.ServerError, "server error", key) {
		return answer{}, true, false
	}
	done = e.dice.chance(0.5, "server error done", key)
	c.fault = "dice: failed"
	if done {
		c.fault = "dice: failed though done"
	}
	type face struct {
		status int
		body   BodyKind
		retry  time.Duration
	}
	faces := []face{
		{500, BodyOData, 0}, {500, BodyNoError, 0}, {502, BodyHTML, 0}, {502, BodyEmpty, 0},
		{503, BodyOData, 2 * time.Second}, {503, BodyHTML, 0}, {504, BodyEmpty, 0}, {504, BodyOData, 0},
	}
	f := faces[e.dice.pick(len(faces), "server error kind", key)]
	err := failure(f.status)
	if f.retry > 0 {
		err.header = http.Header{"Retry-After": {strconv.Itoa(int(f.retry / time.Second))}}
	}
	return c.errorAnswer(err, f.body), done, true
}
