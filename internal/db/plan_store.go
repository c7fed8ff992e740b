package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Plan is what an edit of the mapping was computed to change.
type Plan struct {
	ID      string          `json:"id"` // hash of what it says
	Made    time.Time       `json:"made"`
	MadeBy  string          `json:"madeBy"`
	Before  string          `json:"before"` // revision that was in force; "" none
	After   string          `json:"after"`  // revision of Text
	Text    string          `json:"-"`      // the mapping file
	Summary json.RawMessage `json:"summary"`
	Applied time.Time       `json:"applied,omitzero"`
	seq     int64
}

// PlanPerson is one person whom a plan changes.
type PlanPerson struct {
	Person  string            `json:"person"`
	Email   string            `json:"email,omitempty"` // as it is now; not part of the plan
	Digest  string            `json:"digest"`          // of what was read of the person
	Losses  []contractor.Loss `json:"-"`
	Changes json.RawMessage   `json:"changes"`
}

const (
	// plansKept is how many plans are kept; older ones can no longer be applied.
	plansKept = 20
	// planMaking is after how long a plan without an id is one whose maker died.
	planMaking = time.Hour
)

// BeginPlan makes room for a plan. Its people are added in order with AddPlanPeople, and FinishPlan makes it one that can be
// applied. What was not finished, and all but the last plans, are dropped.
func (s *Store) BeginPlan(ctx context.Context, actor audit.Actor, before, after, text string) (*Plan, error) {
	p := &Plan{MadeBy: actor.Name, Before: before, After: after, Text: text}
	err := s.write(ctx, "begin a plan", func(t *tx) error {
		p.Made = t.now
		for _, drop := range [...]struct {
			where string
			arg   any
		}{
			{`id IS NULL AND made < ?`, t.now.Add(-planMaking).UnixMicro()},
			{`id IS NOT NULL AND seq NOT IN (SELECT seq FROM plans WHERE id IS NOT NULL ORDER BY seq DESC LIMIT ?)`, plansKept - 1},
		} {
			if _, err := t.exec(`DELETE FROM plan_people WHERE plan IN (SELECT seq FROM plans WHERE `+drop.where+`)`, drop.arg); err != nil {
				return err
			}
			if _, err := t.exec(`DELETE FROM plans WHERE `+drop.where, drop.arg); err != nil {
				return err
			}
		}
		return t.row(`INSERT INTO plans (made, made_by, before, after, text) VALUES (?, ?, ?, ?, ?) RETURNING seq`,
			[]any{t.now.UnixMicro(), actor.Name, before, after, text}, &p.seq)
	})
	return p, err
}

// AddPlanPeople adds people behind the n that were added.
func (s *Store) AddPlanPeople(ctx context.Context, p *Plan, n int, people []PlanPerson) error {
	return s.write(ctx, "add to a plan", func(t *tx) error {
		for i, x := range people {
			losses, err := json.Marshal(x.Losses)
			if err != nil {
				return err
			}
			_, err = t.exec(`INSERT INTO plan_people (plan, n, person, digest, loses, changes) VALUES (?, ?, ?, ?, ?, ?)`,
				p.seq, n+i, x.Person, x.Digest, string(losses), string(x.Changes))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// FinishPlan gives the plan its id. A plan that says the same, made before, is replaced.
func (s *Store) FinishPlan(ctx context.Context, p *Plan, id string, summary json.RawMessage) error {
	return s.write(ctx, "finish a plan", func(t *tx) error {
		if _, err := t.exec(`DELETE FROM plan_people WHERE plan IN (SELECT seq FROM plans WHERE id = ?)`, id); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM plans WHERE id = ?`, id); err != nil {
			return err
		}
		p.ID, p.Summary = id, summary
		_, err := t.exec(`UPDATE plans SET id = ?, summary = ? WHERE seq = ?`, id, string(summary), p.seq)
		return err
	})
}

// Plan finds a plan by its id or the beginning of it; the last one with "". CodeNotFound if there is none.
func (s *Store) Plan(ctx context.Context, id string) (*Plan, error) {
	p := &Plan{}
	var made, applied instant
	var summary string
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT seq, id, made, made_by, before, after, text, summary, applied FROM plans
			WHERE id IS NOT NULL AND substr(id, 1, length(?1)) = ?1 ORDER BY seq DESC LIMIT 1`, []any{strings.ToLower(id)},
			&p.seq, &p.ID, &made, &p.MadeBy, &p.Before, &p.After, &p.Text, &summary, &applied)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, contractor.Errorf(contractor.CodeNotFound, "no plan %s is stored; make one with: scimbridge plan", id)
	}
	p.Made, p.Applied, p.Summary = made.Time, applied.Time, json.RawMessage(summary)
	return p, failure("read a plan", err)
}

// PlanPeople streams the people whom a plan changes, in its order.
func (s *Store) PlanPeople(ctx context.Context, p *Plan) iter.Seq2[PlanPerson, error] {
	return func(yield func(PlanPerson, error) bool) {
		for after := -1; ; {
			people, err := s.planPeopleAfter(ctx, p.seq, after)
			if err != nil {
				yield(PlanPerson{}, failure("read a plan", err))
				return
			}
			for _, x := range people {
				if !yield(x, nil) {
					return
				}
			}
			if after += len(people); len(people) < chunk {
				return
			}
		}
	}
}

func (s *Store) planPeopleAfter(ctx context.Context, seq int64, after int) (people []PlanPerson, err error) {
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT x.person, x.digest, x.loses, x.changes, coalesce(p.email, '') FROM plan_people x LEFT JOIN persons p ON p.id = x.person
			WHERE x.plan = ? AND x.n > ? ORDER BY x.n LIMIT ?`, seq, after, chunk)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			x, err := scanPlanPerson(rows)
			if err != nil {
				return err
			}
			people = append(people, x)
		}
		return rows.Err()
	})
	return people, err
}

func scanPlanPerson(row scanner) (x PlanPerson, err error) {
	var losses, changes string
	if err := row.Scan(&x.Person, &x.Digest, &losses, &changes, &x.Email); err != nil {
		return x, err
	}
	x.Changes = json.RawMessage(changes)
	return x, json.Unmarshal([]byte(losses), &x.Losses)
}

// PlanPerson finds one person of a plan; false if the plan changes nothing for it.
func (s *Store) PlanPerson(ctx context.Context, p *Plan, person string) (x PlanPerson, found bool, err error) {
	err = s.short.with(ctx, func(c *conn) error {
		var losses, changes string
		err := c.row(ctx, `SELECT person, digest, loses, changes FROM plan_people WHERE plan = ? AND person = ?`, []any{p.seq, person}, &x.Person, &x.Digest, &losses, &changes)
		if err != nil {
			return err
		}
		x.Changes = json.RawMessage(changes)
		return json.Unmarshal([]byte(losses), &x.Losses)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return x, false, nil
	}
	return x, err == nil, failure("read a plan", err)
}

// Revisions lists the mapping files that were in force, newest first, at most limit (0: 1,000), without their texts.
func (s *Store) Revisions(ctx context.Context, limit int) (list []contractor.MappingRevision, err error) {
	if limit <= 0 {
		limit = 1000
	}
	err = s.short.with(ctx, func(c *conn) (err error) {
		rows, err := c.query(ctx, `SELECT hash, who, loaded FROM mapping_revisions ORDER BY seq DESC LIMIT ?`, limit)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			r, err := scanRevision(rows)
			if err != nil {
				return err
			}
			list = append(list, r)
		}
		return rows.Err()
	})
	return list, failure("list the mapping revisions", err)
}

func scanRevision(row scanner) (r contractor.MappingRevision, err error) {
	var who string
	var loaded instant
	if err := row.Scan(&r.Hash, &who, &loaded); err != nil {
		return r, err
	}
	var actor audit.Actor
	err = json.Unmarshal([]byte(who), &actor)
	r.Who, r.Loaded = actor.Name, loaded.Time
	return r, err
}

// RevisionAt reads the mapping file that was in force at an instant; CodeNotFound if none was.
func (s *Store) RevisionAt(ctx context.Context, at time.Time) (contractor.MappingRevision, error) {
	return s.revisionWhere(ctx, `loaded <= ?`, at.UnixMicro(), "no mapping was in force at "+at.UTC().Format(time.RFC3339))
}

// RevisionLike reads a mapping file by the beginning of its hash; CodeNotFound if there is none.
func (s *Store) RevisionLike(ctx context.Context, prefix string) (contractor.MappingRevision, error) {
	return s.revisionWhere(ctx, `substr(hash, 1, length(?1)) = ?1`, strings.ToLower(prefix), "no mapping revision begins with "+prefix+"; list them with: scimbridge mapping list")
}

func (s *Store) revisionWhere(ctx context.Context, where string, arg any, missing string) (contractor.MappingRevision, error) {
	var hash, text, who string
	var loaded instant
	err := s.short.with(ctx, func(c *conn) error {
		return c.row(ctx, `SELECT hash, text, who, loaded FROM mapping_revisions WHERE `+where+` ORDER BY seq DESC LIMIT 1`, []any{arg}, &hash, &text, &who, &loaded)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return contractor.MappingRevision{}, contractor.Errorf(contractor.CodeNotFound, "%s", missing)
	}
	var actor audit.Actor
	if err == nil {
		err = json.Unmarshal([]byte(who), &actor)
	}
	return contractor.MappingRevision{Hash: hash, Text: text, Who: actor.Name, Loaded: loaded.Time}, failure("read a mapping revision", err)
}
