package lifecycle

import (
	"context"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Store is what the loop needs of a database. *db.Store fits.
type Store interface {
	identityStore
	driftStore
	// Due lists people whose NextAt is not after now, urgent first, then longest due, at most limit.
	Due(ctx context.Context, now time.Time, limit int) ([]contractor.Due, error)
	// NextDue is the earliest NextAt of all, zero if nobody is waiting.
	NextDue(ctx context.Context) (time.Time, error)
	// Person reads one person with engagements (tombstones too, test users not) and holdings that have not ended.
	Person(ctx context.Context, id string) (*contractor.Person, error)
	// AdmitEnd asks the guard whether an end that a feed suddenly set, or moved, may take effect (product rule 7). The answer for one
	// change stays the same until somebody decides, or the hold expires into approval.
	AdmitEnd(ctx context.Context, r contractor.EndRequest) (contractor.Hold, error)
	// AdmitRemoval asks the guard whether an edit of the mapping may take access away. What was approved passes, and the answer
	// stays the same until somebody decides, or the hold expires into approval.
	AdmitRemoval(ctx context.Context, r contractor.RemovalRequest) (contractor.Hold, error)
	// AdmitMove asks whether an end that a vendor put much later may take effect. The answer for one change stays the same until
	// somebody decides, or the hold expires into the former end.
	AdmitMove(ctx context.Context, r contractor.MoveRequest) (contractor.Hold, error)
	// SettleMoves ends open holds of moved ends of an engagement that a newer change (at setAt) has overtaken.
	SettleMoves(ctx context.Context, engagement string, setAt time.Time) error
	// Record writes a change with its journal events in one transaction. It refuses with contractor.ErrStale if the person's
	// Rev is not the one that was read; else it raises c.Person.Rev and fills the IDs of new holdings.
	Record(ctx context.Context, c *contractor.Change, events ...audit.Event) error
}

// Directory is the Entra tenant in the loop's words. *entra.Client fits. Every error is a *contractor.Failure or ctx.Err().
// Changes are idempotent: what is already so is a Receipt with AlreadySo, not an error. The priority of a call under the write
// quota travels in the context (contractor.WithPriority).
type Directory interface {
	// FindGuest looks for a user by address: mail, otherMails, proxyAddresses, guest UPN, then deleted items. nil if none.
	// More than one is VerdictRefused.
	FindGuest(ctx context.Context, email string) (*contractor.Guest, error)
	// Guest reads a user by object id, from deleted items if it is not among the living. nil if it is nowhere.
	Guest(ctx context.Context, id string) (*contractor.Guest, error)
	// Invite makes a guest; Receipt.Handle is its object id, AlreadySo that it may be older. VerdictUnknown: look before inviting again.
	Invite(ctx context.Context, in contractor.Invitation) (contractor.Receipt, error)
	// UpdateGuest writes user properties; an empty value clears one.
	UpdateGuest(ctx context.Context, id string, attributes map[string]string) (contractor.Receipt, error)
	// SetSponsors makes exactly these object ids (users or groups, at most five) the guest's sponsors.
	SetSponsors(ctx context.Context, id string, sponsorIDs []string) (contractor.Receipt, error)
	// SetManager makes a user the guest's manager; "" takes the manager away.
	SetManager(ctx context.Context, id, managerID string) (contractor.Receipt, error)
	// Sponsors reads the object ids of a guest's sponsors.
	Sponsors(ctx context.Context, id string) ([]string, error)
	// Sponsor reads a user or group that answers for guests; Exists is false if there is neither.
	Sponsor(ctx context.Context, id string) (contractor.Sponsor, error)
	// FindSponsor resolves a mail address, UPN, object id or "group:<object id>" to the object id of an enabled internal user,
	// or a group. "" if there is none.
	FindSponsor(ctx context.Context, ref string) (string, error)
	// Readdress gives a guest another address; with reset it redeems its invitation anew with it, and keeps everything it has.
	Readdress(ctx context.Context, id, email string, reset bool) (contractor.Receipt, error)
	SetEnabled(ctx context.Context, id string, enabled bool) (contractor.Receipt, error)
	RevokeSessions(ctx context.Context, id string) (contractor.Receipt, error)
	// DeleteGuest soft-deletes; RestoreGuest brings back, with all memberships of old.
	DeleteGuest(ctx context.Context, id string) (contractor.Receipt, error)
	RestoreGuest(ctx context.Context, id string) (contractor.Receipt, error)

	// Access reads what the guest holds. With schedules or packages false, those reads (which need permissions and licences
	// of their own) are left out.
	Access(ctx context.Context, id string, schedules, packages bool) (contractor.Access, error)
	// PackageGroups lists the object ids of the groups that an access package holds, as read less than a minute ago.
	PackageGroups(ctx context.Context, packageID string) ([]string, error)
	// GroupCap is the longest PIM assignment that the group's policy allows; 0: no bound, or not readable.
	GroupCap(ctx context.Context, groupID string) (time.Duration, error)

	AddMember(ctx context.Context, groupID, guestID string) (contractor.Receipt, error)
	RemoveMember(ctx context.Context, groupID, guestID string) (contractor.Receipt, error)
	// AssignGroup makes a PIM for Groups schedule from now to end; MoveGroup changes the end of the one there is;
	// UnassignGroup ends it now (through the members list where PIM refuses in its first five minutes).
	AssignGroup(ctx context.Context, a Assignment) (contractor.Receipt, error)
	MoveGroup(ctx context.Context, a Assignment) (contractor.Receipt, error)
	UnassignGroup(ctx context.Context, a Assignment) (contractor.Receipt, error)

	// AssignPackage asks for an access package from now to end (Handle: the request id; delivery follows);
	// MovePackage changes its end; UnassignPackage ends it. Both need AssignmentID.
	AssignPackage(ctx context.Context, a Assignment) (contractor.Receipt, error)
	MovePackage(ctx context.Context, a Assignment) (contractor.Receipt, error)
	UnassignPackage(ctx context.Context, a Assignment) (contractor.Receipt, error)
}

// Assignment names one grant in Entra.
type Assignment = contractor.Assignment
