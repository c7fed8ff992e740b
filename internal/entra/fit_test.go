package entra_test

import (
	"context"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
)

// directory is lifecycle.Directory, which must not be imported from here (internal/arrows_test.go); cmd/scimbridge is where
// the compiler joins the two.
type directory interface {
	FindGuest(ctx context.Context, email string) (*contractor.Guest, error)
	Guest(ctx context.Context, id string) (*contractor.Guest, error)
	Invite(ctx context.Context, in contractor.Invitation) (contractor.Receipt, error)
	UpdateGuest(ctx context.Context, id string, attributes map[string]string) (contractor.Receipt, error)
	SetSponsors(ctx context.Context, id string, sponsorIDs []string) (contractor.Receipt, error)
	SetManager(ctx context.Context, id, managerID string) (contractor.Receipt, error)
	Sponsors(ctx context.Context, id string) ([]string, error)
	Readdress(ctx context.Context, id, email string, reset bool) (contractor.Receipt, error)
	FindSponsor(ctx context.Context, ref string) (string, error)
	SetEnabled(ctx context.Context, id string, enabled bool) (contractor.Receipt, error)
	RevokeSessions(ctx context.Context, id string) (contractor.Receipt, error)
	DeleteGuest(ctx context.Context, id string) (contractor.Receipt, error)
	RestoreGuest(ctx context.Context, id string) (contractor.Receipt, error)
	Access(ctx context.Context, id string, schedules, packages bool) (contractor.Access, error)
	PackageGroups(ctx context.Context, packageID string) ([]string, error)
	GroupCap(ctx context.Context, groupID string) (time.Duration, error)
	AddMember(ctx context.Context, groupID, guestID string) (contractor.Receipt, error)
	RemoveMember(ctx context.Context, groupID, guestID string) (contractor.Receipt, error)
	AssignGroup(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error)
	MoveGroup(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error)
	UnassignGroup(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error)
	AssignPackage(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error)
	MovePackage(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error)
	UnassignPackage(ctx context.Context, a contractor.Assignment) (contractor.Receipt, error)
}

var _ directory = (*entra.Client)(nil)
