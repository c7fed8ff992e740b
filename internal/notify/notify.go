// Package notify tells sponsors what happens to their contractors, in one mail a day, and lets them answer by one-time links.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// Config of a notifier. Store, Directory, Sender, Rules, Templates, Logger, Key and LinkBase are required.
type Config struct {
	Store     Store
	Directory Directory
	Sender    Sender
	Rules     func() Rules // the rules in force now
	Templates *Templates
	Logger    *slog.Logger

	// Key signs links: MinKey bytes at least. With another key every link sent before stops working.
	Key []byte
	// LinkBase is how sponsors reach the page, up to and without /s/: an absolute URL.
	LinkBase string
	// LinkLife is how long a link works. Default 14 days.
	LinkLife time.Duration

	// Wake, if not nil, makes the loop look at once at what a sponsor decided.
	Wake func()

	// ClockDoubt, if not nil, says why this machine's clock may be wrong, "" if it may not: while it says so, nobody's access ends for
	// want of a confirmation, and no extension is refused for want of a decision.
	ClockDoubt func() string

	// At is when digests are made, in Zone, as a time since midnight. Default 8 h, UTC.
	At   time.Duration
	Zone *time.Location
	// Language of mails to sponsors whose account names none that the templates have. Default en.
	Language string

	// Every is the pause between looks at the outbox. Default 1 min.
	Every time.Duration
	// Window is how long a mail whose sending was announced and not answered is left alone, before it is given up and what it told
	// waits for the next digest. Default 15 min.
	Window time.Duration
	// SendTimeout bounds one try. Default 1 min; below Window always.
	SendTimeout time.Duration
	// GiveUp is how long a mail is tried. Default 3 days: a newer digest says it better.
	GiveUp time.Duration
}

// Notifier makes digests, sends them, and serves the links. Build it with New, start it with Run.
type Notifier struct {
	Config
	keys   keys
	limits *limiter
}

// New checks the configuration and fills the defaults.
func New(c Config) (*Notifier, error) {
	switch {
	case c.Store == nil, c.Directory == nil, c.Sender == nil, c.Rules == nil, c.Templates == nil, c.Logger == nil:
		return nil, errors.New("notify: Store, Directory, Sender, Rules, Templates and Logger are required")
	case len(c.Key) < MinKey:
		return nil, fmt.Errorf("notify: the key has %d bytes, and %d are needed; make one with: openssl rand -hex 32", len(c.Key), MinKey)
	case c.LinkLife < 0, c.Every < 0, c.Window < 0, c.SendTimeout < 0, c.GiveUp < 0, c.At < 0, c.At >= 24*time.Hour:
		return nil, errors.New("notify: a duration is out of range")
	}
	u, err := url.Parse(c.LinkBase)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("notify: LinkBase must be an absolute URL")
	}
	c.LinkBase = strings.TrimRight(c.LinkBase, "/")
	c.LinkLife = orDefault(c.LinkLife, 14*24*time.Hour)
	c.Every = orDefault(c.Every, time.Minute)
	c.Window = orDefault(c.Window, 15*time.Minute)
	c.SendTimeout = min(orDefault(c.SendTimeout, time.Minute), c.Window)
	c.GiveUp = orDefault(c.GiveUp, 3*24*time.Hour)
	c.Language = orDefault(c.Language, "en")
	if c.At == 0 {
		c.At = 8 * time.Hour
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if !c.Templates.has(c.Language) {
		return nil, fmt.Errorf("notify: there are no templates in the language %q; the languages are %s", c.Language, strings.Join(c.Templates.languages(), ", "))
	}
	return &Notifier{Config: c, keys: keys{c.Key}, limits: newLimiter()}, nil
}

func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Run makes and sends mails until ctx ends. A mail that is being sent is answered for first, within SendTimeout.
func (n *Notifier) Run(ctx context.Context) error {
	tick := time.NewTicker(n.Every)
	defer tick.Stop()
	for {
		if err := n.Pass(ctx, time.Now()); err != nil && ctx.Err() == nil {
			n.Logger.Error("sponsors could not be told; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Pass does what is due at now: after the day's hour it looks for what to tell and makes the digests; then it sends what waits.
func (n *Notifier) Pass(ctx context.Context, now time.Time) error {
	var errs []error
	if n.clockDoubt() == "" {
		_, err := n.Store.ExpireAsks(ctx, now)
		errs = append(errs, err)
	}
	if today := n.digestAt(now, 0); !now.Before(today) {
		errs = append(errs, n.plan(ctx, now), n.digests(ctx, now.In(n.Zone).Format(time.DateOnly)))
	}
	return errors.Join(append(errs, n.send(ctx, time.Now()))...) // what was just put into the outbox, too
}

// digestAt is when the digests of now's day, or of one days later, are made.
func (n *Notifier) digestAt(now time.Time, days int) time.Time {
	y, m, d := now.In(n.Zone).Date()
	return time.Date(y, m, d+days, 0, 0, int(n.At/time.Second), 0, n.Zone)
}

func (n *Notifier) clockDoubt() string {
	if n.ClockDoubt == nil {
		return ""
	}
	return n.ClockDoubt()
}

// batch is how many rows are read at once.
const batch = 500

func (n *Notifier) digests(ctx context.Context, day string) error {
	for {
		sponsors, err := n.Store.NoticesWaiting(ctx, day, batch)
		if err != nil || len(sponsors) == 0 {
			return err
		}
		for _, s := range sponsors {
			made, err := n.Store.Digest(ctx, s, day, func() (contractor.Link, [32]byte) { return n.keys.newLink(time.Now().Add(n.LinkLife)) })
			if err != nil {
				return err
			}
			if !made {
				return nil // another process was faster; the next pass looks again
			}
		}
	}
}
