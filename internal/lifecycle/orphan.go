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

// What Orphans tells its progress in.
const (
	GuestsRead  = "guests read"
	SignInsRead = "last sign-ins read"
)

// orphanChunk is how many guests are looked up in the store at once.
const orphanChunk = 500

// Orphans finds guests of the tenant that no record explains, oldest first. With ignored, those that somebody leaves alone come,
// too. Last sign-ins cost a read each, and a licence; signIns false leaves them out. Where one may not be read, none is tried
// after it. told hears how far it is: guests read, of an unknown number (0), then last sign-ins read.
func Orphans(ctx context.Context, store OrphanStore, tenant GuestReader, ignored, signIns bool, told func(what string, done, of int)) ([]contractor.Orphan, error) {
	ctx = contractor.WithPriority(ctx, contractor.PrioritySweep)
	var guests []*contractor.Guest
	err := tenant.Guests(ctx, func(g *contractor.Guest) error {
		if guests = append(guests, g); len(guests)%100 == 0 {
			told(GuestsRead, len(guests), 0)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	told(GuestsRead, len(guests), len(guests))
	var list []contractor.Orphan
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
	}
	slices.SortStableFunc(list, func(a, b contractor.Orphan) int { return a.Created.Compare(b.Created) })
	if !signIns {
		return list, nil
	}
	return list, lastSeen(ctx, tenant, list, told)
}

func lastSeen(ctx context.Context, tenant GuestReader, list []contractor.Orphan, told func(what string, done, of int)) error {
	for i := range list {
		told(SignInsRead, i, len(list))
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
