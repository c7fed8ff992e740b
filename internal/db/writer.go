package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"scimbridge/internal/contractor"
)

const (
	// queueLength bounds the writes that wait: a caller beyond it waits at the door, for as long as its context lets it.
	queueLength = 1024

	// maxBatch bounds one transaction, and with it how long the first caller of a batch waits for the last.
	maxBatch = 128

	// overlapFrom is how many writes are worth a commit of their own while the disk still works at the last one. With fewer, the
	// writer waits for it, or for more of them: a commit writes the same ends of indexes again.
	overlapFrom = 16

	// carefulBatches is how many batches run in savepoints after one had to be run again.
	carefulBatches = 64
)

// Where a piece of work stands. Whoever moves it out of waiting owns it: the writer to run it, or its caller to give up.
const (
	workWaiting int32 = iota
	workStarted
	workAbandoned
)

// work is one caller's write. Its results count only if done answers nil.
type work struct {
	run        func(*tx) error
	repeatable bool // run may be called again after its transaction was rolled back; else it is called once at most
	state      atomic.Int32
	done       chan error // one answer
}

// writer owns the one connection that writes.
type writer struct {
	pool    *sql.DB
	cp      *checkpointer
	disk    *syncer
	health  *health
	log     string // path of the write-ahead log
	queue   chan *work
	closing chan struct{} // closed by close: no further work is taken
	ended   chan struct{} // closed when the goroutine is gone

	// The rest is the goroutine's own.
	conn    *conn // nil after a failure: the next batch opens another
	careful int   // batches that still run in savepoints
}

func startWriter(conn *conn, pool *sql.DB, cp *checkpointer, disk *syncer, log string) *writer {
	w := &writer{
		pool:    pool,
		cp:      cp,
		disk:    disk,
		health:  cp.health,
		log:     log,
		queue:   make(chan *work, queueLength),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
		conn:    conn,
	}
	go w.loop()
	go w.keepProbing()
	return w
}

// close lets the work that waits finish. It is called once.
func (w *writer) close() error {
	close(w.closing)
	<-w.ended
	return w.dropConn()
}

func errClosed() error {
	return contractor.Errorf(contractor.CodeUnavailable, "the store is closed; the service is stopping")
}

// do runs fn in a transaction and returns once it is committed. A cancelled ctx takes back work that has not begun; work that
// has begun is waited for, since only its end tells whether it is done.
func (w *writer) do(ctx context.Context, fn func(*tx) error) error {
	return w.submit(ctx, &work{run: fn, done: make(chan error, 1)})
}

// doRepeatable is do for work that may be run again: it reads what it was given, and writes what it answers, anew each time.
// Such work shares a transaction without a savepoint of its own, which costs a tenth of a write.
func (w *writer) doRepeatable(ctx context.Context, fn func(*tx) error) error {
	return w.submit(ctx, &work{run: fn, repeatable: true, done: make(chan error, 1)})
}

func (w *writer) submit(ctx context.Context, item *work) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.closing:
		return errClosed()
	default:
	}
	if _, why := w.health.refusal(time.Now()); why != nil {
		return why
	}
	select {
	case w.queue <- item:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return errClosed()
	}
	return w.await(ctx, item)
}

func (w *writer) await(ctx context.Context, item *work) error {
	select {
	case err := <-item.done:
		return err
	case <-ctx.Done():
		if item.state.CompareAndSwap(workWaiting, workAbandoned) {
			return ctx.Err()
		}
	case <-w.ended:
	}
	select {
	case err := <-item.done:
		return err
	case <-w.ended:
	}
	select {
	case err := <-item.done: // answered just before the end
		return err
	default:
		return errClosed()
	}
}

// offer queues work that nobody waits for, and drops it where the queue is full.
func (w *writer) offer(fn func(*tx) error) {
	select {
	case w.queue <- &work{run: fn, done: make(chan error, 1)}:
	default:
	}
}

func (w *writer) loop() {
	defer close(w.ended)
	defer w.disk.close()
	batch := make([]*work, 0, maxBatch)
	for {
		select {
		case item := <-w.queue:
			batch = w.gather(append(batch[:0], item))
		case task := <-w.cp.tasks:
			w.maintain(task)
			continue
		case <-w.closing:
			batch = w.collect(batch[:0])
			if len(batch) == 0 {
				return
			}
		}
		w.commit(batch)
		clear(batch)
	}
}

// maintain runs a task outside any transaction. Where no connection can be had, the next write says so.
func (w *writer) maintain(task func(*conn)) {
	if err := w.connect(); err != nil {
		return
	}
	task(w.conn)
}

// gather is collect, and waits for more as long as the disk works at the last batch and there is too little for the next.
func (w *writer) gather(batch []*work) []*work {
	for batch = w.collect(batch); len(batch) < overlapFrom && w.disk.waiting.Load() > 0; batch = w.collect(batch) {
		select {
		case item := <-w.queue:
			batch = append(batch, item)
		case <-w.disk.rest:
		}
	}
	return batch
}

// collect adds what waits already. It does not wait for more: while a batch commits, the next one gathers.
func (w *writer) collect(batch []*work) []*work {
	for len(batch) < maxBatch {
		select {
		case item := <-w.queue:
			batch = append(batch, item)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction, and has everybody in it answered once that is on the disk.
func (w *writer) commit(batch []*work) {
	started := make([]*work, 0, len(batch)) // the batch's own: it is answered while the next one gathers
	for _, item := range batch {
		if item.state.CompareAndSwap(workWaiting, workStarted) {
			started = append(started, item)
		}
	}
	if len(started) == 0 {
		return
	}
	w.health.begin(time.Now())
	done := &committed{items: started}
	var err error
	if done.results, err = w.transact(started, &done.number); err != nil {
		for i := range done.results {
			if done.results[i] == nil {
				done.results[i] = err
			}
		}
	}
	w.health.saw(err)
	w.disk.put(done, len(w.queue) == 0)
	w.health.end()
	w.cp.wrote(len(started))
}

// transact returns one result for each piece of work, and the error of the transaction as a whole: with it, none was done. number becomes
// that of the commit, if there was one.
//
// Work that fails before it writes has nothing to undo. Should some fail behind its first write, the whole batch is rolled back
// and run again, each piece in a savepoint of its own, and so are the next batches: a feed that sends conflicts sends many.
func (w *writer) transact(batch []*work, number *uint64) (results []error, err error) {
	careful := w.careful > 0
	for _, item := range batch {
		careful = careful || !item.repeatable
	}
	if w.careful > 0 {
		w.careful--
	}
	results, again, err := w.attempt(batch, careful || len(batch) == 1, number)
	if again {
		w.careful = carefulBatches
		results, _, err = w.attempt(batch, true, number)
	}
	return results, err
}

// attempt runs a batch in one transaction. Without savepoints it may ask to be called again with them.
func (w *writer) attempt(batch []*work, savepoints bool, number *uint64) (results []error, again bool, err error) {
	results = make([]error, len(batch))
	if err := w.disk.broken(); err != nil {
		return results, false, err
	}
	if err := w.connect(); err != nil {
		return results, false, failure("open the writing connection", err)
	}
	t, err := w.begin()
	if err != nil {
		return results, false, failure("begin a transaction", errors.Join(err, w.dropConn()))
	}
	t.now = time.Now().UTC().Truncate(time.Microsecond)
	done := 0
	for i, item := range batch {
		switch before := t.writes; {
		case len(batch) == 1:
			results[i] = t.run(item.run) // the transaction is its savepoint
		case savepoints:
			results[i], err = t.within(item.run)
		default:
			results[i] = t.run(item.run)
			again = results[i] != nil && (t.writes > before || t.conn.aborted())
		}
		if err != nil || again {
			break
		}
		if t.broken != nil {
			err = t.broken
			break
		}
		if results[i] == nil {
			done++
		}
	}
	switch {
	case err != nil:
	case again, done == 0:
		_, err = t.exec(`ROLLBACK`)
	default:
		*number = w.disk.begin()
		err = t.commit()
	}
	if err == nil {
		return results, again, nil
	}
	// Neither the transaction nor the connection can be relied upon: start afresh with the next batch.
	return results, false, failure("write", errors.Join(err, w.dropConn()))
}

// run runs a piece of work. One that passed over a statement that failed has failed itself, where that ends the transaction.
func (t *tx) run(fn func(*tx) error) error {
	err := fn(t)
	if err == nil && t.conn.aborted() {
		return errAborted
	}
	return err
}

// commit commits, and tells the other nodes of PostgreSQL where somebody became due.
func (t *tx) commit() error {
	statement := `COMMIT`
	if t.due && t.conn.pg != nil {
		statement = commitDue
	}
	_, err := t.exec(statement)
	return err
}

// begin begins a transaction. Nothing is lost yet with a session that turns out to be gone: another one is opened, once.
func (w *writer) begin() (*tx, error) {
	t := &tx{conn: w.conn}
	_, err := t.exec(`BEGIN IMMEDIATE`)
	if err != nil && w.conn.pg != nil && !w.conn.usable() {
		if err := errors.Join(w.dropConn(), w.connect()); err != nil {
			return nil, err
		}
		t = &tx{conn: w.conn}
		_, err = t.exec(`BEGIN IMMEDIATE`)
	}
	return t, err
}

// within runs fn in a savepoint. The second error is the savepoint's own, and ends the transaction.
func (t *tx) within(fn func(*tx) error) (result, fatal error) {
	if _, err := t.exec(`SAVEPOINT work`); err != nil {
		return nil, fmt.Errorf("savepoint: %w", err)
	}
	head, known := t.head, t.headKnown
	if result = t.run(fn); result != nil {
		if _, err := t.exec(`ROLLBACK TO work`); err != nil {
			return nil, fmt.Errorf("roll back to savepoint after %w: %w", result, err)
		}
		t.head, t.headKnown = head, known
	}
	if _, err := t.exec(`RELEASE work`); err != nil {
		return nil, fmt.Errorf("release savepoint: %w", err)
	}
	return result, nil
}

// connect opens a new connection where the last one was dropped.
func (w *writer) connect() (err error) {
	if w.conn != nil && !w.conn.usable() {
		_ = w.dropConn() // it is gone already
	}
	if w.conn == nil {
		w.conn, err = openConn(context.Background(), w.pool)
	}
	return err
}

func (w *writer) dropConn() error {
	if w.conn == nil {
		return nil
	}
	err := w.conn.close()
	w.conn = nil
	return err
}

// write runs fn in the writer.
func (s *Store) write(ctx context.Context, what string, fn func(*tx) error) error {
	ctx, end := traced(ctx, what)
	return end(failure(what, s.w.do(ctx, fn)))
}

// writeRepeatable runs fn in the writer, perhaps more than once; see doRepeatable.
func (s *Store) writeRepeatable(ctx context.Context, what string, fn func(*tx) error) error {
	ctx, end := traced(ctx, what)
	return end(failure(what, s.w.doRepeatable(ctx, fn)))
}
