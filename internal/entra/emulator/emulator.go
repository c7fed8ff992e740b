package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Emulator is one tenant with its Graph and login endpoints. All methods are safe for
// concurrent use. It starts no goroutine unless [Emulator.Start] is called.
type Emulator struct {
	cfg    Config
	router *router

	// mu is held while a request is worked on: requests happen one after another, as
	// rows of one story. It is never held while a body is read, written or held back.
	mu     sync.Mutex
	offset time.Duration // of the emulated clock from Config.Now
	skew   time.Duration // of the Date header from the emulated clock
	dice   *dice
	tenant *tenant
	quota  *quota
	faults faults
	ledger ledger
	tokens tokenOffice
}

// New returns an empty tenant: the application's service principal is there, users
// and groups are added with AddUser and its sisters.
func New(cfg Config) (*Emulator, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	s, err := loadSchema()
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	d := newDice(cfg.Seed)
	cfg.Unknowns = cfg.Unknowns.settled(d)
	e := &Emulator{
		cfg:    cfg,
		dice:   d,
		tenant: newTenant(cfg, s, d),
		quota:  newQuota(cfg.Quota),
		ledger: newLedger(cfg.MaxCalls),
		tokens: newTokenOffice(cfg, d),
	}
	e.tenant.principal = e.tokens.spOID
	e.router = newRouter(operations())
	return e, nil
}

// Config returns the configuration in force, defaults and settled unknowns included.
// The secret is left out.
func (e *Emulator) Config() Config {
	c := e.cfg
	c.ClientSecret = ""
	return c
}

// now is the emulated time. The caller holds mu.
func (e *Emulator) now() time.Time { return e.cfg.Now().Add(e.offset).UTC() }

// Now returns the emulated time.
func (e *Emulator) Now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now()
}

// AdvanceClock moves the emulated clock forward by d. What becomes due happens in
// order before the next call is served. Tokens live by the unmoved clock, because a
// client cannot know that the emulator's was moved.
func (e *Emulator) AdvanceClock(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("emulator: the clock cannot go back by %s", -d)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.offset += d
	e.tenant.settle(e.now())
	return nil
}

// SkewClock sets the Date header of every answer off by d, backward too, without moving
// the emulated clock: client and server disagree about the time.
func (e *Emulator) SkewClock(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.skew = d
}

// Graph serves /v1.0/... and, for people and tests, /_emulator/... .
func (e *Emulator) Graph() http.Handler {
	control := e.control()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/_emulator/") || r.URL.Path == "/_emulator" {
			control.ServeHTTP(w, r)
			return
		}
		e.serveGraph(w, r)
	})
}

func itoa(n int) string { return strconv.Itoa(n) }
