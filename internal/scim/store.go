package scim

import (
	"context"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Store is what the door needs of a database. *db.Store fits. Every error that a vendor may see is a *contractor.Error.
//
// Each write is one committed transaction (durable before it returns) that also appends the event to the journal, finds or
// makes the person behind the address, bumps its generation and makes it due now.
type Store interface {
	// Authenticate finds the live token with this SHA-256 hash and notes its use. CodeUnauthorized if there is none.
	Authenticate(ctx context.Context, tokenHash [32]byte, now time.Time) (Client, error)

	// Paused reports whether an operator has paused the vendor; false for one that the database does not know yet.
	Paused(ctx context.Context, vendor string) (bool, error)

	// Create stores a new engagement. ID, Version, Created, Modified are the caller's to fill. A userName (folded) or a
	// non-empty externalId that a live engagement of the vendor has is CodeConflict. A tombstone of the vendor with the same
	// externalId, else the same userName, is revived under its old ID instead: the returned engagement has it, and the
	// resource is rendered by it. More live engagements than quota is CodeQuota (quota 0: unlimited).
	Create(ctx context.Context, e contractor.Engagement, quota int, event audit.Event) (contractor.Engagement, error)

	// Get reads one live engagement of the vendor; CodeNotFound for any other, also another vendor's.
	Get(ctx context.Context, vendor, id string) (contractor.Engagement, error)

	// Show is Get without the Record: for an engagement that is only rendered.
	Show(ctx context.Context, vendor, id string) (contractor.Engagement, error)

	// List answers a query over the vendor's live engagements.
	List(ctx context.Context, q contractor.Query) (contractor.Page, error)

	// Update replaces the engagement if it still has e.Version, and stores it with Version+1; CodeVersion if it moved on,
	// CodeNotFound if it is gone, CodeConflict as Create.
	Update(ctx context.Context, e contractor.Engagement, event audit.Event) (contractor.Engagement, error)

	// Delete turns the engagement into a tombstone that ended at now. version 0: whatever it has.
	Delete(ctx context.Context, vendor, id string, version int64, now time.Time, event audit.Event) error

	// Members lists the live engagements of the vendor that hold the entitlement now, for the read-only Groups.
	Members(ctx context.Context, vendor string, key contractor.EntitlementKey) ([]Member, error)

	// Refused journals a request that was turned away at the door (rate-limited by the caller).
	Refused(ctx context.Context, event audit.Event) error
}

// Client is an authenticated SCIM client.
type Client = contractor.Client

// Member is one member of a read-only Group.
type Member = contractor.Member
