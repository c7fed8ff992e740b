package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

// SponsorStore is what the check of sponsors needs of a database. *db.Store fits.
type SponsorStore interface {
	// SponsoredGuests lists open guests that have a sponsor, and those that wait for one, last checked before an instant.
	SponsoredGuests(ctx context.Context, before time.Time, limit int) ([]contractor.SponsoredGuest, error)
	SponsorChecked(ctx context.Context, person, manager string) error
	SponsorMoved(ctx context.Context, g contractor.SponsoredGuest, sponsor, reason, requestID string) error
	StopUnsponsored(ctx context.Context, person, reason string) (stopped bool, err error)
	Person(ctx context.Context, id string) (*contractor.Person, error)
}

// SponsorDirectory finds and sets sponsors. *entra.Client fits.
type SponsorDirectory interface {
	Sponsor(ctx context.Context, id string) (contractor.Sponsor, error)
	FindSponsor(ctx context.Context, ref string) (string, error)
	SetSponsors(ctx context.Context, guestID string, sponsorIDs []string) (contractor.Receipt, error)
}

// SponsorRules is the mapping in force. *mapper.Mapping fits.
type SponsorRules interface {
	Desired(p *contractor.Person, now time.Time) contractor.Desired
	OnLeave() mapper.OnLeave
	SponsorFallback() string
}

// SponsorConfig of a check. Store, Directory, Rules and Logger are required.
type SponsorConfig struct {
	Store     SponsorStore
	Directory SponsorDirectory
	Rules     func() SponsorRules
	Logger    *slog.Logger
	Wake      func()        // makes the loop look at once; nil: it sees what changed within its poll
	Every     time.Duration // between two checks of one guest. Default 7 days
	Pause     time.Duration // between looks for guests to check. Default 1 h
}

// SponsorCheck sees to it that somebody answers for every guest: a sponsor who left is followed by another whom the records
// name, by the sponsor's manager, by the fallback group; if there is nobody, the person is stopped until there is.
type SponsorCheck struct{ SponsorConfig }

// NewSponsorCheck checks the configuration and fills the defaults.
func NewSponsorCheck(c SponsorConfig) (*SponsorCheck, error) {
	switch {
	case c.Store == nil, c.Directory == nil, c.Rules == nil, c.Logger == nil:
		return nil, errors.New("lifecycle: Store, Directory, Rules and Logger of a sponsor check are required")
	case c.Every < 0, c.Pause < 0:
		return nil, errors.New("lifecycle: Every and Pause of a sponsor check cannot be negative")
	}
	c.Every = orDefault(c.Every, 7*24*time.Hour)
	c.Pause = orDefault(c.Pause, time.Hour)
	return &SponsorCheck{c}, nil
}

// Run checks until ctx ends.
func (c *SponsorCheck) Run(ctx context.Context) error {
	tick := time.NewTicker(c.Pause)
	defer tick.Stop()
	for {
		if err := c.Pass(ctx, time.Now()); err != nil && ctx.Err() == nil {
			c.Logger.Error("sponsors could not be checked; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sponsorBatch is how many guests are read at once.
const sponsorBatch = 200

// Pass checks every guest whose check is due. One sponsor is read once, however many guests it has. A failed read decides
// nothing about anybody.
func (c *SponsorCheck) Pass(ctx context.Context, now time.Time) error {
	ctx = contractor.WithPriority(ctx, contractor.PrioritySweep)
	seen := map[string]contractor.Sponsor{}
	for {
		list, err := c.Store.SponsoredGuests(ctx, now.Add(-c.Every), sponsorBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, g := range list {
			if err := c.one(ctx, g, now, seen); err != nil {
				return err // not noted as checked: the next pass begins with it
			}
		}
	}
}

func (c *SponsorCheck) one(ctx context.Context, g contractor.SponsoredGuest, now time.Time, seen map[string]contractor.Sponsor) error {
	s, err := c.read(ctx, g.Sponsor, seen)
	if err != nil {
		return err
	}
	if s.Exists && s.Enabled {
		if g.Waiting { // it came back
			return c.moved(ctx, g, g.Sponsor, "the sponsor is back", "")
		}
		return c.Store.SponsorChecked(ctx, g.Person, s.Manager)
	}
	if s.Manager != "" {
		g.Manager = s.Manager // of a disabled account it can still be read; of a deleted one the last known counts
	}
	next, reason, err := c.successor(ctx, g, now, seen)
	if err != nil {
		return err
	}
	if next == "" {
		stopped, err := c.Store.StopUnsponsored(ctx, g.Person, "its sponsor left, and the mapping names nobody else who answers for it; name a sponsor in the record, or set defaults.sponsor.fallback")
		if err != nil {
			return err
		}
		if stopped {
			c.wake()
		}
		return c.Store.SponsorChecked(ctx, g.Person, g.Manager)
	}
	r, err := c.Directory.SetSponsors(ctx, g.Guest, []string{next})
	var f *contractor.Failure
	if errors.As(err, &f) && (f.Verdict == contractor.VerdictRefused || f.Verdict == contractor.VerdictPermanent || f.Verdict == contractor.VerdictGone) {
		c.Logger.Warn("a guest's new sponsor could not be written; the next check tries again", "person", g.Person, "problem", f.Message)
		return c.Store.SponsorChecked(ctx, g.Person, g.Manager)
	}
	if err != nil {
		return err
	}
	return c.moved(ctx, g, next, reason, r.RequestID)
}

func (c *SponsorCheck) moved(ctx context.Context, g contractor.SponsoredGuest, sponsor, reason, requestID string) error {
	if err := c.Store.SponsorMoved(ctx, g, sponsor, reason, requestID); err != nil {
		return err
	}
	c.wake()
	return nil
}

func (c *SponsorCheck) wake() {
	if c.Wake != nil {
		c.Wake()
	}
}

func (c *SponsorCheck) read(ctx context.Context, id string, seen map[string]contractor.Sponsor) (contractor.Sponsor, error) {
	if s, ok := seen[id]; ok {
		return s, nil
	}
	s, err := c.Directory.Sponsor(ctx, id)
	if err == nil {
		seen[id] = s
	}
	return s, err
}

// successor finds who answers from now on, and why; "" if nobody does.
func (c *SponsorCheck) successor(ctx context.Context, g contractor.SponsoredGuest, now time.Time, seen map[string]contractor.Sponsor) (id, reason string, err error) {
	p, err := c.Store.Person(ctx, g.Person)
	if err != nil {
		return "", "", err
	}
	rules := c.Rules()
	fallback := rules.SponsorFallback()
	named := slices.DeleteFunc(slices.Clone(rules.Desired(p, now).Sponsors), func(ref string) bool { return ref == fallback })
	for _, ref := range named {
		if id, err := c.Directory.FindSponsor(ctx, ref); err != nil || id != "" && id != g.Sponsor {
			return id, "the sponsor left; the record names another", err
		}
	}
	if rules.OnLeave() == mapper.OnLeaveManager && g.Manager != "" {
		m, err := c.read(ctx, g.Manager, seen)
		if err != nil {
			return "", "", err
		}
		if m.Exists && m.Enabled {
			return m.ID, "the sponsor left; its manager follows", nil
		}
	}
	if rules.OnLeave() != mapper.OnLeaveHold && fallback != "" {
		id, err := c.Directory.FindSponsor(ctx, fallback)
		return id, "the sponsor left; the fallback group follows", err
	}
	return "", "", nil
}

// unsponsor takes the sponsors off a closed guest that holds nothing, when the mapping says so. That none is left is read back before
// it is believed; what does not take is sent again at growing distances.
func (ps *pass) unsponsor(ctx context.Context) error {
	p := ps.p
	switch at := ps.want.UnsponsorAt; {
	case at.IsZero() || p.SponsorID == "":
		return nil
	case ps.now.Before(at):
		ps.looks = append(ps.looks, at)
		return nil
	case ps.doubt != "":
		ps.lookIn(time.Minute)
		return nil
	}
	key := contractor.EntitlementKey{Kind: "sponsor"}
	sent := ps.removals.of(p.GuestID, key)
	if left, err := ps.Directory.Sponsors(ctx, p.GuestID); err != nil {
		return ps.tolerate(err)
	} else if len(left) == 0 {
		ps.removals.done(p.GuestID, key)
		p.SponsorID, p.SponsorRefs, p.AttributesHash = "", "", ""
		return ps.record(ctx, nil, ps.event("guest.unsponsored", audit.Done, "read back: the guest has no sponsor any more"))
	}
	if again := sent.again(ps.now, ps.Settle); again.After(ps.now) {
		ps.looks = append(ps.looks, again)
		ps.lookIn(min(ps.readBack(sent.last), again.Sub(ps.now)))
		return nil
	}
	r, err := ps.Directory.SetSponsors(ctx, p.GuestID, nil)
	if err != nil {
		return ps.tolerate(err)
	}
	ps.removals.note(p.GuestID, key, ps.now)
	ps.lookIn(lookSoon)
	return ps.record(ctx, nil, proven(ps.event("guest.unsponsor_sent", audit.Done, "the mapping's offboarding.remove_sponsor_after is over"), r))
}
