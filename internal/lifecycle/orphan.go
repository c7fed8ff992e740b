package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// OrphanStore is what the search for orphans needs of a database. *db.Store fits.
type OrphanStore interface {
	// Explain says what is known of guests, by object id in small letters.
	Explain(ctx context.Context, guests []string) (map[string]contractor.GuestNote, error)
	// Candidate is the person without a guest whom one of the addresses belongs to; "" if none.
	Candidate(ctx context.Context, addresses []string) (person string, err error)
}

// GuestReader reads the tenant's guests. *entra.Client fits.
type GuestReader interface {
	Guests(ctx context.Context, yield func(*contractor.Guest) error) error
	// LastSuccess is the last sign-in that worked; zero: none.
	LastSuccess(ctx context.Context, guestID string) (time.Time, error)
}

// orphanChunk is how many guests are looked up in the store at once.
const orphanChunk = 500

// Orphans finds guests of the tenant that no record explains, oldest first. With ignored, those that somebody leaves alone come,
// too. Last sign-ins cost a read each, and a licence; signIns false leaves them out. Where one may not be read, none is tried
// after it. seen is told how many guests were looked at.
func Orphans(ctx context.Context, store OrphanStore, tenant GuestReader, ignored, signIns bool, seen func(n int)) ([]contractor.Orphan, error) {
	ctx = contractor.WithPriority(ctx, contractor.PrioritySweep)
	var guests []*contractor.Guest
	err := tenant.Guests(ctx, func(g *contractor.Guest) error {
		guests = append(guests, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var list []contractor.Orphan
	n := 0
	for part := range slices.Chunk(guests, orphanChunk) {
		ids := make([]string, len(part))
		for i, g := range part {
			ids[i] = strings.ToLower(g.ID)
		}
		known, err := store.Explain(ctx, ids)
		if err != nil {
			return nil, err
		}
		for i, g := range part {
			note := known[ids[i]]
			if note.Person != "" || note.Ignored != "" && !ignored {
				continue
			}
			o := contractor.Orphan{ID: g.ID, Mail: g.Mail, Created: g.Created, Enabled: g.Enabled, State: g.State, Ignored: note.Ignored}
			if o.Person, err = store.Candidate(ctx, append([]string{g.Mail}, g.OtherMails...)); err != nil {
				return nil, err
			}
			list = append(list, o)
		}
		n += len(part)
		seen(n)
	}
	slices.SortStableFunc(list, func(a, b contractor.Orphan) int { return a.Created.Compare(b.Created) })
	if !signIns {
		return list, nil
	}
	return list, lastSeen(ctx, tenant, list)
}

func lastSeen(ctx context.Context, tenant GuestReader, list []contractor.Orphan) error {
	for i := range list {
		at, err := tenant.LastSuccess(ctx, list[i].ID)
		var f *contractor.Failure
		switch {
		case err == nil:
			list[i].LastSeen = at
		case errors.As(err, &f) && (f.Verdict == contractor.VerdictRefused || f.Verdict == contractor.VerdictPermanent):
			for j := i; j < len(list); j++ {
				list[j].Unread = f.Message
			}
			return nil
		default:
			return err
		}
	}
	return nil
}
