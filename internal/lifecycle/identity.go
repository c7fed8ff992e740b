package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// identityStore is what the loop asks about who a person is. *db.Store fits.
type identityStore interface {
	// Identity says who else may be the same human, and whether the person is on the do-not-rehire list.
	Identity(ctx context.Context, p *contractor.Person) (contractor.Identity, error)
	// MergePersons makes one person of two, and answers which is left.
	MergePersons(ctx context.Context, actor audit.Actor, keep, other, reason string) (left string, err error)
	// Readdressed notes that the guest has the person's address.
	Readdressed(ctx context.Context, person string, event audit.Event) error
}

// lookAgain is how often a person that waits for somebody is looked at all the same.
const lookAgain = 24 * time.Hour

// identity asks, for somebody who is to have access, whether it is somebody else's second record, and whether it may come back.
// merged: it was a second record beyond doubt, and is one with the first now; the pass has nothing left to do.
func (ps *pass) identity(ctx context.Context) (merged bool, err error) {
	if !ps.want.Open {
		return false, nil
	}
	id, err := ps.Store.Identity(ctx, ps.p)
	if err != nil {
		return false, err
	}
	if id.NoRehire != "" {
		ps.refuse(id.NoRehire+"; decide with scimbridge dnr override or dnr remove", "an admin has to decide whether this person may come back")
		return false, nil
	}
	for i := range id.Matches {
		m := &id.Matches[i]
		if !m.Older {
			continue // the newer one waits
		}
		newcomer := ps.p.GuestID == "" && ps.p.InvitingAt.IsZero()
		if newcomer && len(id.Matches) == 1 && (m.Sure() || m.HasLeft && ps.comesBack(m)) {
			_, err := ps.Store.MergePersons(ctx, audit.Actor{Kind: audit.ActorBridge}, m.Person, ps.p.ID, "the same "+hints(m)+": one human")
			return err == nil, err
		}
		ps.refuse(fmt.Sprintf("perhaps the same human as person %s (the same %s); decide with scimbridge contractor merge %s %s, or contractor split %s",
			m.Person, hints(m), m.Person, ps.p.ID, ps.anEngagement()), "an admin has to decide whether this is a person who is known already")
		return false, nil
	}
	return false, nil
}

// comesBack reports whether a vendor says that it takes on again somebody whom it gives the same personId.
func (ps *pass) comesBack(m *contractor.Match) bool {
	same := false
	for _, h := range m.Hints {
		same = same || h == contractor.HintPersonID
	}
	for i := range ps.p.Engagements {
		if strings.EqualFold(ps.p.Engagements[i].Record.TransactionType, transactionRehire) {
			return same
		}
	}
	return false
}

func hints(m *contractor.Match) string {
	words := make([]string, 0, len(m.Hints))
	for _, h := range m.Hints {
		words = append(words, string(h))
	}
	return strings.Join(words, ", ")
}

// anEngagement is one by which the person can be named.
func (ps *pass) anEngagement() string {
	for i := range ps.p.Engagements {
		if !ps.p.Engagements[i].Deleted {
			return ps.p.Engagements[i].ID
		}
	}
	return "ENGAGEMENT"
}

// refuse holds a person whom nobody has let in yet. Who is in keeps what stands until its end, and gets nothing new: a doubt
// that comes up about somebody at work is for a person to settle (contractor end closes the door at once). told is what the
// vendor reads: nothing of other vendors' records.
func (ps *pass) refuse(reason, told string) {
	if ps.held == "" {
		ps.told = told
	}
	ps.hold(reason)
	ps.lookIn(lookAgain)
	if ps.p.Phase == contractor.PhaseOpen {
		return
	}
	ps.want.Open, ps.want.Guest, ps.want.Grants = false, false, nil
	ps.want.CloseAt, ps.want.DeleteAt = time.Time{}, time.Time{}
}

// readdress gives the guest the address that the person's vendor has changed. One that has accepted the invitation has to redeem
// again with the new address; id, groups and packages stay.
func (ps *pass) readdress(ctx context.Context) error {
	p := ps.p
	if p.FormerEmail == "" || !ps.want.Open {
		return nil
	}
	r, err := ps.Directory.Readdress(ctx, p.GuestID, p.Email, ps.guest.State == "Accepted")
	if err != nil {
		return ps.tolerate(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := ps.Store.Readdressed(ctx, p.ID, proven(ps.event("guest.readdressed", audit.Done, "the person's address was changed"), r)); err != nil {
		return err
	}
	p.FormerEmail = ""
	return nil
}
