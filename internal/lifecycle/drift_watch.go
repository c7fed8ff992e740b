package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// DriftWatchStore is what the watch for drift needs of a database. *db.Store fits.
type DriftWatchStore interface {
	Setting(ctx context.Context, key string) ([]byte, error)
	SetSetting(ctx context.Context, key string, value []byte, events ...audit.Event) error
	// TouchGuests makes due the people of guests, and answers how many are ours.
	TouchGuests(ctx context.Context, guests []string, now time.Time) (int64, error)
	// WakeAll makes everybody due within spread from now.
	WakeAll(ctx context.Context, now time.Time, spread time.Duration) (int64, error)
}

// ChangeReader reads what was changed in the tenant. *entra.Client fits. A token that is no longer good is VerdictGone.
type ChangeReader interface {
	ChangedUsers(ctx context.Context, token string) (ids []string, next string, err error)
	ChangedMembers(ctx context.Context, groupIDs []string, token string) (ids []string, next string, err error)
}

// DriftWatchConfig configures a DriftWatch. All but the durations are required.
type DriftWatchConfig struct {
	Store     DriftWatchStore
	Directory ChangeReader
	Catalog   func() []contractor.Entitlement // of the mapping in force
	Wake      func()
	Logger    *slog.Logger
	Every     time.Duration // between two questions. Default 5 min
	Spread    time.Duration // over how long everybody is looked at once the mark is lost. Default 6 h: sweeps go last in the quota
}

// DriftWatch asks Entra what was changed (delta queries) and makes the people behind it due: their next pass finds the drift.
// The mark up to which was read is kept; Entra forgets it after seven days.
type DriftWatch struct{ DriftWatchConfig }

const (
	driftMarkSetting = "drift.mark"
	deltaGroups      = 50 // ids in one delta query
	deltaDeadline    = 10 * time.Minute
)

// driftMark is the watermark: deltaLinks.
type driftMark struct {
	Users  string            `json:"users"`
	Groups map[string]string `json:"groups"` // by the hash of the groups' ids
}

// NewDriftWatch checks the configuration and fills the defaults.
func NewDriftWatch(c DriftWatchConfig) (*DriftWatch, error) {
	if c.Store == nil || c.Directory == nil || c.Catalog == nil || c.Wake == nil || c.Logger == nil || c.Every < 0 || c.Spread < 0 {
		return nil, errors.New("lifecycle: the watch for drift needs Store, Directory, Catalog, Wake and Logger, and no negative durations")
	}
	c.Every, c.Spread = orDefault(c.Every, 5*time.Minute), orDefault(c.Spread, 6*time.Hour)
	return &DriftWatch{c}, nil
}

// Run asks until ctx ends.
func (w *DriftWatch) Run(ctx context.Context) error {
	for {
		if err := w.Once(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("changes in Entra could not be read; trying again", "in", w.Every, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(w.Every):
		}
	}
}

// Once asks once. What was read is passed on before the mark moves: a crash in between asks again, and loses nothing.
func (w *DriftWatch) Once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(contractor.WithPriority(ctx, contractor.PrioritySweep), deltaDeadline)
	defer cancel()
	now := time.Now().UTC()
	var mark driftMark
	raw, err := w.Store.Setting(ctx, driftMarkSetting)
	if err != nil {
		return err
	}
	if len(raw) > 0 && json.Unmarshal(raw, &mark) != nil {
		mark = driftMark{} // not ours: begin anew
	}
	next := driftMark{Groups: map[string]string{}}
	lost := false
	guests, token, err := w.ask(mark.Users, &lost, func(token string) ([]string, string, error) { return w.Directory.ChangedUsers(ctx, token) })
	if err != nil {
		return err
	}
	next.Users = token
	for _, part := range w.groups() {
		sum := sha256.Sum256([]byte(strings.Join(part, " ")))
		key := hex.EncodeToString(sum[:8])
		ids, token, err := w.ask(mark.Groups[key], &lost, func(token string) ([]string, string, error) {
			return w.Directory.ChangedMembers(ctx, part, token)
		})
		if err != nil {
			return err
		}
		guests, next.Groups[key] = append(guests, ids...), token
	}
	slices.Sort(guests)
	ours, err := w.Store.TouchGuests(ctx, slices.Compact(guests), now)
	if err != nil {
		return err
	}
	var events []audit.Event
	if lost {
		if ours, err = w.Store.WakeAll(ctx, now, w.Spread); err != nil {
			return err
		}
		events = append(events, audit.Event{
			Kind: "drift.resync", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done,
			Reason: "Entra forgot up to where changes were read: everybody is compared once, over " + w.Spread.String(),
		})
	}
	if raw, err = json.Marshal(next); err != nil {
		return err
	}
	if err := w.Store.SetSetting(ctx, driftMarkSetting, raw, events...); err != nil {
		return err
	}
	if ours > 0 {
		w.Wake()
	}
	return nil
}

// ask reads changes from a mark, and begins anew where the mark is no longer good.
func (w *DriftWatch) ask(token string, lost *bool, read func(token string) ([]string, string, error)) (ids []string, next string, err error) {
	ids, next, err = read(token)
	var f *contractor.Failure
	if token != "" && errors.As(err, &f) && f.Verdict == contractor.VerdictGone {
		*lost = true
		return read("")
	}
	return ids, next, err
}

// groups are the catalog's groups in parts of what one query takes, always in the same order.
func (w *DriftWatch) groups() (parts [][]string) {
	var ids []string
	for _, e := range w.Catalog() {
		if e.Kind == contractor.KindGroup {
			ids = append(ids, strings.ToLower(e.ID))
		}
	}
	slices.Sort(ids)
	for part := range slices.Chunk(slices.Compact(ids), deltaGroups) {
		parts = append(parts, part)
	}
	return parts
}
