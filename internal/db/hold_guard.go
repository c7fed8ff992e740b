package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// AdmitEnd implements lifecycle.Store: it asks the guard, in one transaction with the window's count, whether an end that a feed suddenly
// set, or moved, may take effect. The answer for one change of a vendor stays the same until somebody decides, or the hold expires: into
// approval, where it is for less access, else into the former end.
func (s *Store) AdmitEnd(ctx context.Context, r contractor.EndRequest) (h contractor.Hold, err error) {
	e, kind := r.Engagement, contractor.HoldMassEnd
	if r.Wave == contractor.WaveLater {
		kind = contractor.HoldDateMove
	}
	err = s.write(ctx, "ask the guard", func(t *tx) error {
		h, err = t.hold(`engagement = ? AND kind = ? AND set_at = ?`, e.ID, string(kind), e.EndSetAt.UnixMicro())
		switch {
		case err == nil && h.State == contractor.HoldOpen && r.Clock.Over(h.Expires, r.Now):
			return t.undecided(&h)
		case err == nil && h.State == contractor.HoldAdmitted && h.Why == admittedMove && r.Wave == contractor.WaveEnds:
			// It was moved to a day that has come so soon that it is a sudden end, and counts as one.
			if _, err := t.exec(`DELETE FROM holds WHERE id = ?`, h.ID); err != nil {
				return err
			}
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		why, err := t.guardWhy(e.Vendor, r.Now, r.Vendor, r.Overall, wave{kind: kind, of: r.Wave, ends: 1, live: r.Wave != contractor.WaveEnds, clock: r.Clock})
		if err != nil {
			return err
		}
		h = contractor.Hold{
			Kind: kind, State: contractor.HoldAdmitted, Vendor: e.Vendor, Person: r.Person, Engagement: e.ID,
			SetAt: e.EndSetAt, Opened: r.Now, Why: why,
		}
		switch {
		case why != "" && r.Wave != contractor.WaveEnds:
			h.Why = fmt.Sprintf("its end was moved from %s to %s; %s", r.Former.UTC().Format(time.RFC3339), r.End.UTC().Format(time.RFC3339), why)
		case r.Wave != contractor.WaveEnds:
			h.Why = admittedMove
		}
		if why == "" {
			return t.insertHold(&h)
		}
		h.State, h.Expires = contractor.HoldOpen, r.Now.Add(r.Undecided)
		return t.openHold(&h)
	})
	return h, err
}

// admittedMove tells a moved end that was let through from a sudden one.
const admittedMove = "moved"

// undecided decides a hold that expired, for less access.
func (t *tx) undecided(h *contractor.Hold) error {
	actor := audit.Actor{Kind: audit.ActorClock}
	if h.Kind == contractor.HoldDateMove {
		return t.decide(h, contractor.HoldCancelled, actor, "nobody decided in time: the former end stays in force")
	}
	return t.decide(h, contractor.HoldApproved, actor, "nobody decided in time: access does not stay because nobody looked")
}

// wave is how many changes the guard is asked about at once. live: whom they concern counts as live still.
type wave struct {
	kind  contractor.HoldKind
	of    contractor.Wave
	ends  int
	live  bool
	clock contractor.ClockDoubt
}

// words name the changes.
func (w *wave) words() string {
	switch {
	case w.kind == contractor.HoldMapping:
		return "people whom the mapping takes access from"
	case w.of == contractor.WaveEarlier:
		return "ends moved to an earlier day"
	case w.of == contractor.WaveLater:
		return "ends moved to a later day"
	}
	return "sudden ends"
}

// bounds are the guard's about such changes, and how many a percentage never holds.
func (w *wave) bounds(g contractor.Guard) (most, percent, floor int) {
	if w.of != contractor.WaveEnds {
		return g.MaxMoves, g.MaxMovesPercent, contractor.WaveFloor
	}
	return g.MaxEnds, g.MaxEndsPercent, contractor.GuardFloor
}

// guardWhy says which bound more changes of the kind would break, "" for none.
func (t *tx) guardWhy(vendor string, now time.Time, own, overall contractor.Guard, more wave) (string, error) {
	for _, scope := range []struct {
		guard  contractor.Guard
		vendor string
		name   string
	}{{own, vendor, "vendor " + vendor}, {overall, "", "all vendors together"}} {
		most, percent, floor := more.bounds(scope.guard)
		if most == 0 && percent == 0 {
			continue
		}
		window := scope.guard.Window
		if window == 0 {
			window = contractor.DefaultGuardWindow
		}
		var ends, live int
		err := t.row(`SELECT count(*) FROM holds WHERE kind = ?3 AND state = 'admitted' AND opened > ?1 AND (?2 = '' OR vendor = ?2)
			AND (why = ?4) = (?5 <> 0)`,
			[]any{now.Add(-window - time.Duration(more.clock)).UnixMicro(), scope.vendor, string(more.kind), admittedMove, boolean(more.of != contractor.WaveEnds)}, &ends)
		if err != nil {
			return "", err
		}
		all := ends + more.ends
		if most > 0 && all > most {
			return fmt.Sprintf("%s: %d %s within %s, the guard allows %d", scope.name, all, more.words(), contractor.Lasting(window), most), nil
		}
		if err := t.row(`SELECT coalesce(sum(live), 0) FROM vendors WHERE ?1 = '' OR name = ?1`, []any{scope.vendor}, &live); err != nil {
			return "", err
		}
		// Those that have ended count no more as live: the share is of what was live before.
		if more.of == contractor.WaveEnds {
			live += ends
		}
		if !more.live {
			live += more.ends
		}
		if percent > 0 && all > floor && all*100 > percent*live {
			return fmt.Sprintf("%s: %d %s within %s are more than %d percent of its live engagements", scope.name, all, more.words(), contractor.Lasting(window), percent), nil
		}
	}
	return "", nil
}

const holdColumns = `id, kind, state, vendor, person, engagement, set_at, opened, expires, why, decided_by, decided, reason, revision, loses`

func scanHold(row scanner) (h contractor.Hold, err error) {
	var set, opened, expires, decided instant
	var loses string
	err = row.Scan(&h.ID, &h.Kind, &h.State, &h.Vendor, &h.Person, &h.Engagement, &set, &opened, &expires, &h.Why, &h.DecidedBy, &decided, &h.Reason, &h.Revision, &loses)
	if loses != "" {
		h.Loses = strings.Split(loses, "\n")
	}
	h.SetAt, h.Opened, h.Expires, h.Decided = set.Time, opened.Time, expires.Time, decided.Time
	return h, err
}

func (t *tx) hold(where string, args ...any) (contractor.Hold, error) {
	rows, err := t.query(`SELECT `+holdColumns+` FROM holds WHERE `+where, args...)
	if err != nil {
		return contractor.Hold{}, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	if !rows.Next() {
		return contractor.Hold{}, errors.Join(sql.ErrNoRows, rows.Err())
	}
	h, err := scanHold(rows)
	return h, errors.Join(err, rows.Err())
}

func (t *tx) insertHold(h *contractor.Hold) error {
	return t.row(`INSERT INTO holds (kind, state, vendor, person, engagement, set_at, opened, expires, why, decided_by, decided, reason, revision, loses)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		[]any{string(h.Kind), string(h.State), h.Vendor, h.Person, h.Engagement, h.SetAt.UnixMicro(), h.Opened.UnixMicro(), micros(h.Expires), h.Why,
			h.DecidedBy, micros(h.Decided), h.Reason, h.Revision, strings.Join(h.Loses, "\n")}, &h.ID)
}

// decide ends a hold, journals the decision and makes the person due.
func (t *tx) decide(h *contractor.Hold, state contractor.HoldState, actor audit.Actor, reason string) error {
	h.State, h.DecidedBy, h.Decided, h.Reason = state, string(actor.Kind)+" "+actor.Name, t.now, reason
	_, err := t.exec(`UPDATE holds SET state = ?, decided_by = ?, decided = ?, reason = ? WHERE id = ?`,
		string(state), h.DecidedBy, t.now.UnixMicro(), reason, h.ID)
	if err != nil {
		return err
	}
	if err := t.touch(h.Person, t.now, state == contractor.HoldApproved); err != nil {
		return err
	}
	if state == contractor.HoldApproved {
		if err := t.approveAsk(h, actor, reason); err != nil {
			return err
		}
	}
	return t.append(&audit.Event{
		Kind: "hold." + string(state), Actor: actor, Outcome: audit.Done, Person: h.Person, Engagement: h.Engagement, Vendor: h.Vendor, Reason: reason,
	})
}

// Holds lists what waits for a person, newest first; with All, what was decided, too.
func (s *Store) Holds(ctx context.Context, q contractor.HoldQuery) (list []contractor.Hold, err error) {
	limit := q.Limit
	if limit == 0 {
		limit = 1000
	}
	err = s.short.with(ctx, func(c *conn) error {
		rows, err := c.query(ctx, `SELECT `+holdColumns+` FROM holds WHERE state <> 'admitted' AND (?1 OR state = 'open')
			AND (?2 = '' OR vendor = ?2) AND (?3 = '' OR person = ?3) ORDER BY id DESC LIMIT ?4`, q.All, q.Vendor, q.Person, limit)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // Err tells
		for rows.Next() {
			h, err := scanHold(rows)
			if err != nil {
				return err
			}
			list = append(list, h)
		}
		return rows.Err()
	})
	return list, failure("list the holds", err)
}

// KeptEnds lists the holds by which a former end may be in force: about ends that a vendor set suddenly or far later, and that wait or
// were cancelled, where the vendor has sent no other end since.
func (s *Store) KeptEnds(ctx context.Context) (list []contractor.Hold, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT `+holdColumns+` FROM holds WHERE kind IN ('mass_end', 'date_move') AND state IN ('open', 'cancelled')
			AND set_at = (SELECT end_set_at FROM engagements e WHERE e.id = holds.engagement) ORDER BY id DESC`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			h, err := scanHold(rows)
			if err != nil {
				return err
			}
			list = append(list, h)
		}
		return rows.Err()
	})
	return list, failure("list the ends that are held", err)
}

// DecideHold approves a held change, which then takes effect, or cancels it, which then is ignored until the vendor sends
// another. CodeNotFound if no open hold has the id.
func (s *Store) DecideHold(ctx context.Context, actor audit.Actor, id int64, approve bool, reason string) (h contractor.Hold, err error) {
	if reason == "" {
		return h, contractor.Errorf(contractor.CodeInvalid, "a decision needs a reason; give it with --reason")
	}
	state := contractor.HoldCancelled
	if approve {
		state = contractor.HoldApproved
	}
	err = s.write(ctx, "decide a hold", func(t *tx) error {
		if h, err = t.hold(`id = ? AND state = 'open'`, id); errors.Is(err, sql.ErrNoRows) {
			return contractor.Errorf(contractor.CodeNotFound, "no open hold has the number %d; list them with: scimbridge hold list", id)
		} else if err != nil {
			return err
		}
		return t.decide(&h, state, actor, reason)
	})
	return h, err
}

// BlockPerson closes a person whatever records and rules say, ahead of everything else, until UnblockPerson.
func (s *Store) BlockPerson(ctx context.Context, actor audit.Actor, person, reason string) error {
	return s.write(ctx, "block a person", func(t *tx) error {
		n, err := t.changed(`INSERT INTO blocks (person, at, by, reason) SELECT id, ?2, ?3, ?4 FROM persons WHERE id = ?1
			ON CONFLICT (person) DO UPDATE SET at = ?2, by = ?3, reason = ?4 WHERE blocks.by IN (?5, ?6)`,
			person, t.now.UnixMicro(), actor.Name, reason, byAttestation, bySponsor) // the bridge's own stop would be lifted by itself
		if err != nil {
			return err
		}
		if n == 0 {
			return contractor.Errorf(contractor.CodeConflict, "person %s is unknown, or blocked already; see scimbridge contractor show", person)
		}
		if err := t.touch(person, t.now, true); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "person.blocked", Actor: actor, Outcome: audit.Done, Person: person, Reason: reason})
	})
}

// UnblockPerson lets records and rules decide again.
func (s *Store) UnblockPerson(ctx context.Context, actor audit.Actor, person, reason string) error {
	return s.write(ctx, "unblock a person", func(t *tx) error {
		n, err := t.changed(`DELETE FROM blocks WHERE person = ?`, person)
		if err != nil {
			return err
		}
		if n == 0 {
			return contractor.Errorf(contractor.CodeNotFound, "person %s is not blocked", person)
		}
		if err := t.touch(person, t.now, false); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "person.unblocked", Actor: actor, Outcome: audit.Done, Person: person, Reason: reason})
	})
}

// ExtendEngagement gives an engagement a later end than its vendor sent, until the vendor sends another.
func (s *Store) ExtendEngagement(ctx context.Context, actor audit.Actor, engagement string, until time.Time, reason string) error {
	return s.write(ctx, "extend an engagement", func(t *tx) error { return t.extend(actor, engagement, until, reason) })
}

func (t *tx) extend(actor audit.Actor, engagement string, until time.Time, reason string) error {
	var person, vendor string
	err := t.row(`SELECT person, vendor FROM engagements WHERE id = ? AND deleted = 0 AND person IS NOT NULL`, []any{engagement}, &person, &vendor)
	if errors.Is(err, sql.ErrNoRows) {
		return contractor.Errorf(contractor.CodeNotFound, "no engagement %s; scimbridge contractor show PERSON lists them", engagement)
	}
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO extensions (engagement, until, at, by, reason) VALUES (?1, ?2, ?3, ?4, ?5)
			ON CONFLICT (engagement) DO UPDATE SET until = ?2, at = ?3, by = ?4, reason = ?5`, engagement, until.UnixMicro(), t.now.UnixMicro(), actor.Name, reason)
	if err != nil {
		return err
	}
	if err := t.touch(person, t.now, false); err != nil {
		return err
	}
	return t.append(&audit.Event{Kind: "engagement.extended", Actor: actor, Outcome: audit.Done, Person: person, Engagement: engagement, Vendor: vendor, Reason: reason, Until: until})
}

// AdoptGuest hands an existing guest to the bridge: from now on it is the person's, and is changed and in the end deleted.
func (s *Store) AdoptGuest(ctx context.Context, actor audit.Actor, person, guestID, reason string) error {
	return s.write(ctx, "adopt a guest", func(t *tx) error {
		n, err := t.changed(`UPDATE persons SET guest_id = ?2, origin = 'adopted', phase = 'open', inviting_at = NULL, rev = rev + 1 WHERE id = ?1 AND guest_id = ''`, person, guestID)
		if err != nil {
			return err
		}
		if n == 0 {
			return contractor.Errorf(contractor.CodeConflict, "person %s is unknown or has a guest already; see scimbridge contractor show", person)
		}
		if err := t.touch(person, t.now, false); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "guest.adopted", Actor: actor, Outcome: audit.Done, Person: person, Reason: reason})
	})
}

// decisions reads what admins decided about a person against the records.
func decisions(ctx context.Context, c *conn, p *contractor.Person) error {
	var at instant
	err := c.row(ctx, `SELECT at, by, reason FROM blocks WHERE person = ?`, []any{p.ID}, &at, &p.Block.By, &p.Block.Reason)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	p.Block.At = at.Time
	for i := range p.Engagements {
		x := &p.Engagements[i].Extended
		var until, at instant
		err := c.row(ctx, `SELECT until, at, by, reason FROM extensions WHERE engagement = ?`, []any{p.Engagements[i].ID}, &until, &at, &x.By, &x.Reason)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		x.Until, x.At = until.Time, at.Time
	}
	return nil
}
