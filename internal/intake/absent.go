package intake

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"scimbridge/internal/contractor"
)

// seen is whom a whole reading delivered, by engagement: 16 bytes each.
type seen map[[16]byte]struct{}

func seenKey(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

func (s seen) add(id string) {
	if id != "" {
		s[seenKey(id)] = struct{}{}
	}
}

func (s seen) has(id string) bool {
	_, ok := s[seenKey(id)]
	return ok
}

// absence is what is asked about those whom a whole reading does not have.
type absence struct {
	feed    Feed
	guards  Guards
	vendor  *contractor.Vendor
	overall contractor.Guard
	reason  string
	origin  json.RawMessage
	prolong func(context.Context) error
	now     time.Time
}

// end ends whom a whole reading did not have. Where they are more than the guard allows, each end is held. why is the guard's
// word then.
func (a *absence) end(ctx context.Context, had seen, counts *contractor.FeedCounts) (why string, err error) {
	var gone []string
	err = a.feed.Known(ctx, func(id string) error {
		if !had.has(id) {
			gone = append(gone, id)
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return "", err
	}
	if why, err = a.guards.GuardWhy(ctx, a.vendor.Name, len(gone), a.now, a.vendor.Guard, a.overall); err != nil {
		return "", err
	}
	for i, id := range gone {
		if i%500 == 499 {
			if err := a.prolong(ctx); err != nil {
				return why, err
			}
		}
		r, err := a.feed.End(ctx, contractor.FeedEnd{Engagement: id, Reason: a.reason, Origin: a.origin, Hold: why})
		switch {
		case refusal(err) != nil: // gone meanwhile, or no record of the vendor's of today: the next reading asks again
			counts.Refused++
		case err != nil:
			return why, err
		default:
			counts.Add(r.Outcome)
		}
	}
	return why, nil
}

// refusedTooMany is the share, one in so many, of refused records above which a reading counts as faulty.
const refusedTooMany = 10

// doubtful says why a reading is no ground for ending anybody; "" if it is one.
func doubtful(read, refused int) string {
	switch {
	case read == 0:
		return "it has no records at all"
	case refused*refusedTooMany > read:
		return "more than one in ten of its records were refused"
	}
	return ""
}
