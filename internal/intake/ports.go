package intake

import (
	"context"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Feed takes a vendor's records. *scim.Feed fits.
type Feed interface {
	// Put creates the record's engagement, or replaces the one with its externalId, else its userName. An error is a
	// *contractor.Error that says what is wrong with the record, unless it is the store's own.
	Put(ctx context.Context, r contractor.FeedRecord) (contractor.FeedResult, error)

	// End ends an engagement, as "active": false would.
	End(ctx context.Context, r contractor.FeedEnd) (contractor.FeedResult, error)

	// Known walks the engagements of the vendor that have not ended.
	Known(ctx context.Context, visit func(id string) error) error
}

// Guards keeps two readers of one feed apart, and knows how many sudden ends are too many. *db.Store fits.
type Guards interface {
	// ClaimFeed reserves the reading of a vendor's feed for by, or prolongs it. CodeConflict if another has it.
	ClaimFeed(ctx context.Context, vendor, by string, now time.Time, hold time.Duration) error

	// ReleaseFeed gives it back.
	ReleaseFeed(ctx context.Context, vendor, by string) error

	// GuardWhy says which bound so many more sudden ends would break; "" for none.
	GuardWhy(ctx context.Context, vendor string, ends int, now time.Time, own, overall contractor.Guard) (string, error)
}

// ImportStore keeps how far a file was imported. *db.Store fits.
type ImportStore interface {
	Guards

	// ImportState reads how far the file was imported; the zero state if never.
	ImportState(ctx context.Context, vendor, file string) (contractor.ImportState, error)

	// SaveImport stores it, with the events that tell it.
	SaveImport(ctx context.Context, i contractor.ImportState, events ...audit.Event) error
}

// PullStore keeps how far servers were read. *db.Store fits.
type PullStore interface {
	Guards

	// PullState reads how far the vendor's server was read; the zero state if never.
	PullState(ctx context.Context, vendor string) (contractor.PullState, error)

	// SavePull stores it, with the events and alarms of the round.
	SavePull(ctx context.Context, p contractor.PullState, events []audit.Event, alarms []contractor.Alarm) error
}

// claimFor is how long a claim on a feed lasts without being prolonged: longer than a page of a slow server may take.
const claimFor = 10 * time.Minute
