package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/scim"
)

// bare writes the rows that a create writes, into the same schema, and does nothing else: no look-up, no check, no chain, no
// encoding, and nobody who waits for its own answer.
type bare struct {
	pool                                        *sql.DB
	conn                                        *sql.Conn
	list, person, engagement, journal, personal *sql.Stmt
	seq, ord                                    int64 // last of the journal, and of the vendor's list
	queue                                       chan *bareRow
	ended                                       chan struct{}
}

// bareRow is all that is bound, worked out beforehand.
type bareRow struct {
	e                              contractor.Engagement
	person                         string
	record, standing, leaf, fields string
	hash, salt                     []byte
	done                           chan error
}

// openBare opens a store, by whose schema it writes, behind what is in it. The journal that it writes is no chain.
func openBare(ctx context.Context, path string) (*bare, error) {
	s, err := db.Open(ctx, db.Config{Path: path})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	// What the store sets, but for what it sets for safety alone: erased rows are not overwritten here.
	pool, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(1)"+
		"&_pragma=wal_autocheckpoint(16000)&_pragma=cache_size(-32768)&_pragma=temp_store(memory)")
	if err != nil {
		return nil, err
	}
	w := &bare{pool: pool, queue: make(chan *bareRow, 1024), ended: make(chan struct{})}
	if w.conn, err = pool.Conn(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	if err := w.conn.QueryRowContext(ctx, `SELECT (SELECT coalesce(max(seq), 0) FROM journal), (SELECT coalesce(max(last_ord), 0) FROM vendors WHERE name = 'acme')`).Scan(&w.seq, &w.ord); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	for _, s := range []struct {
		into  **sql.Stmt
		query string
	}{
		{&w.list, `INSERT INTO vendors (name, created, total, live, last_ord, changes) VALUES ('acme', 1, 1, 1, 1, 1)
			ON CONFLICT (name) DO UPDATE SET total = total + 1, live = live + 1, last_ord = last_ord + 1, changes = changes + 1`},
		{&w.person, `INSERT INTO persons (id, email, email_key, created, next_at, urgent) VALUES (?, ?, ?, ?, ?, 0)`},
		{&w.engagement, `INSERT INTO engagements (id, vendor, ord, person, user_key, external_id, email_key, worker_id, end_date, active,
			version, created, modified, end_set_at, start_at, end_at, standing, record, resource)
			VALUES (?, 'acme', ?, ?, ?, ?, ?, ?, ?, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&w.journal, `INSERT INTO journal (seq, time, kind, person, engagement, vendor, hash, leaf) VALUES (?, ?, 'engagement.created', ?, ?, 'acme', ?, ?)`},
		{&w.personal, `INSERT INTO journal_personal (seq, person, salt, fields) VALUES (?, ?, ?, ?)`},
	} {
		if *s.into, err = w.conn.PrepareContext(ctx, s.query); err != nil {
			return nil, errors.Join(err, pool.Close())
		}
	}
	return w, nil
}

// close ends the group's goroutine, where one runs, and closes the file.
func (w *bare) close(grouped bool) error {
	close(w.queue)
	if grouped {
		<-w.ended
	}
	return errors.Join(w.conn.Close(), w.pool.Close())
}

// rowMaker makes rows.
type rowMaker struct{ reader *scim.Reader }

func newRowMaker() (*rowMaker, error) {
	reader, err := scim.NewReader(vendor())
	return &rowMaker{reader}, err
}

func (m *rowMaker) row(n int) (*bareRow, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	e, err := engagement(m.reader, n, now)
	if err != nil {
		return nil, err
	}
	person, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	event := created(&e)
	event.Person, event.Salt, event.Seq, event.Time = person.String(), make([]byte, 16), int64(n), now
	if _, err := rand.Read(event.Salt); err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body(n))
	leaf, err := event.SealLeaf(event.Revision + "0000000000000000000000000000000000000000000000000000000000000000")
	if err != nil {
		return nil, err
	}
	record, err := json.Marshal(&e.Record)
	if err != nil {
		return nil, err
	}
	standing, err := json.Marshal(&e.Standing)
	if err != nil {
		return nil, err
	}
	return &bareRow{
		e: e, person: event.Person, record: string(record), standing: string(standing), leaf: string(leaf), fields: string(event.Personal),
		hash: hash[:], salt: event.Salt, done: make(chan error, 1),
	}, nil
}

// as makes of a row one like it, of another contractor: for a server that has no time to make rows.
func (r *bareRow) as(n int) *bareRow {
	c := *r
	c.e.Record.UserName, c.e.Record.ExternalID = nameOf(n), externalOf(n)
	c.e.Record.Email, c.e.Record.WorkerID = c.e.Record.UserName, "W"+c.e.Record.ExternalID
	c.e.ID, c.person = uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	c.done = make(chan error, 1)
	return &c
}

// write writes one row in the transaction that runs.
func (w *bare) write(r *bareRow) error {
	w.seq++
	w.ord++
	at, rec, ctx := r.e.Created.UnixMicro(), &r.e.Record, context.Background()
	if _, err := w.list.ExecContext(ctx); err != nil {
		return err
	}
	if _, err := w.person.ExecContext(ctx, r.person, rec.Email, rec.Email, at, at); err != nil {
		return err
	}
	if _, err := w.engagement.ExecContext(ctx, r.e.ID, w.ord, r.person, rec.UserName, rec.ExternalID, rec.Email, rec.WorkerID, rec.EndDate, at, at, at,
		r.e.Standing.EffectiveStart.UnixMicro(), r.e.Standing.EffectiveEnd.UnixMicro(), r.standing, r.record, string(r.e.Resource)); err != nil {
		return err
	}
	if _, err := w.journal.ExecContext(ctx, w.seq, at, r.person, r.e.ID, r.hash, r.leaf); err != nil {
		return err
	}
	_, err := w.personal.ExecContext(ctx, w.seq, r.person, r.salt, r.fields)
	return err
}

// commit writes rows in one transaction.
func (w *bare) commit(rows ...*bareRow) error {
	ctx := context.Background()
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, r := range rows {
		if err := w.write(r); err != nil {
			return err
		}
	}
	_, err := w.conn.ExecContext(ctx, "COMMIT")
	return err
}

// group commits what waits, as one transaction, until the queue is closed.
func (w *bare) group() {
	defer close(w.ended)
	batch := make([]*bareRow, 0, 128)
	for first := range w.queue {
		batch = append(batch[:0], first)
	more:
		for len(batch) < cap(batch) {
			select {
			case r, ok := <-w.queue:
				if !ok {
					break more
				}
				batch = append(batch, r)
			default:
				break more
			}
		}
		err := w.commit(batch...)
		for _, r := range batch {
			r.done <- err
		}
	}
}
