package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

func openStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(context.Background(), Config{Path: filepath.Join(t.TempDir(), "scimbridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// hold occupies the writer, so that what is written meanwhile waits, until release is called.
func hold(t testing.TB, s *Store) (release func()) {
	t.Helper()
	started, gate, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.w.do(context.Background(), func(*tx) error {
			close(started)
			<-gate
			return nil
		})
	}()
	<-started
	return sync.OnceFunc(func() {
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// queued waits until n writes wait.
func queued(t testing.TB, s *Store, n int) {
	t.Helper()
	for len(s.w.queue) < n {
		if t.Context().Err() != nil {
			t.Fatal("the writes never came")
		}
	}
}

func put(key string) func(*tx) error {
	return func(t *tx) error {
		if _, err := t.exec(`INSERT INTO settings (key, value, changed) VALUES (?, x'00', 1)`, key); err != nil {
			return err
		}
		return t.append(&audit.Event{Kind: "setting.changed", Detail: detail("key", key)})
	}
}

func settings(t testing.TB, s *Store) (n int) {
	t.Helper()
	if err := s.reads.QueryRow(`SELECT count(*) FROM settings WHERE key LIKE 'k%'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOneFailureCostsTheOthersNothing(t *testing.T) {
	t.Run("InSavepoints", func(t *testing.T) { testIsolation(t, (*writer).do) })
	t.Run("RunAgain", func(t *testing.T) { testIsolation(t, (*writer).doRepeatable) })
	t.Run("Mixed", func(t *testing.T) {
		n := 0
		var mu sync.Mutex
		testIsolation(t, func(w *writer, ctx context.Context, fn func(*tx) error) error {
			mu.Lock()
			n++
			repeatable := n%2 == 0
			mu.Unlock()
			if repeatable {
				return w.doRepeatable(ctx, fn)
			}
			return w.do(ctx, fn)
		})
	})
}

func testIsolation(t *testing.T, do func(*writer, context.Context, func(*tx) error) error) {
	s := openStore(t)
	if err := s.w.do(t.Context(), func(tx *tx) error {
		_, err := tx.exec(`INSERT INTO settings (key, value, changed) VALUES ('taken', x'00', 1)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	release := hold(t, s)
	const n = 60
	refused := errors.New("no")
	results := make([]error, n)
	transactions := make([]*tx, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			results[i] = do(s.w, t.Context(), func(tx *tx) error {
				transactions[i] = tx
				if err := put(fmt.Sprint("k", i))(tx); err != nil {
					return err
				}
				switch i % 7 {
				case 3: // refuses after it wrote
					return refused
				case 5: // is refused by the database
					return put("taken")(tx)
				}
				return nil
			})
		})
	}
	queued(t, s, n)
	release()
	wg.Wait()
	kept := 0
	for i, err := range results {
		if transactions[i] != transactions[0] {
			t.Errorf("write %d ran in another transaction: %d commits where one would do", i, i)
		}
		switch i % 7 {
		case 3:
			if !errors.Is(err, refused) {
				t.Errorf("write %d: %v", i, err)
			}
		case 5:
			if !isUnique(err) {
				t.Errorf("write %d: %v", i, err)
			}
		default:
			kept++
			if err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		}
	}
	if got := settings(t, s); got != kept {
		t.Errorf("%d are stored, want %d", got, kept)
	}
	if count, _, err := s.VerifyJournal(t.Context()); err != nil || count != int64(kept) {
		t.Errorf("the journal has %d events, want %d, error %v", count, kept, err)
	}
}

// A refusal before the first write needs no second run, and shows nobody a savepoint.
func TestEarlyRefusalIsNotRunAgain(t *testing.T) {
	s := openStore(t)
	release := hold(t, s)
	var runs atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := s.w.doRepeatable(t.Context(), func(tx *tx) error {
				runs.Add(1)
				if i%2 == 0 {
					return contractor.ErrStale
				}
				return put(fmt.Sprint("k", i))(tx)
			})
			if (err == nil) != (i%2 == 1) {
				t.Errorf("write %d: %v", i, err)
			}
		})
	}
	queued(t, s, 20)
	release()
	wg.Wait()
	if runs.Load() != 20 || settings(t, s) != 10 || s.w.careful > 0 {
		t.Errorf("%d runs, %d stored, %d careful batches to come", runs.Load(), settings(t, s), s.w.careful)
	}
}

func TestAllThatFailCommitNothing(t *testing.T) {
	s := openStore(t)
	for _, n := range []int{1, 5} {
		release := hold(t, s)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				err := s.w.do(t.Context(), func(tx *tx) error {
					if err := put(fmt.Sprint("k", i))(tx); err != nil {
						return err
					}
					return contractor.ErrStale
				})
				if !errors.Is(err, contractor.ErrStale) {
					t.Error(err)
				}
			})
		}
		queued(t, s, n)
		release()
		wg.Wait()
	}
	if got := settings(t, s); got != 0 {
		t.Errorf("%d are stored", got)
	}
}

func TestCancel(t *testing.T) {
	t.Run("TakesBackWhatHasNotBegun", func(t *testing.T) {
		s := openStore(t)
		release := hold(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{}, 1)
		answer := make(chan error, 1)
		go func() {
			answer <- s.write(ctx, "test", func(*tx) error { ran <- struct{}{}; return nil })
		}()
		queued(t, s, 1)
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("answered %v", err)
		}
		release()
		if err := s.w.do(t.Context(), put("k1")); err != nil {
			t.Fatal(err)
		}
		if len(ran) != 0 {
			t.Error("it ran all the same")
		}
	})
	t.Run("WaitsForWhatHasBegun", func(t *testing.T) {
		s := openStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.w.do(ctx, func(tx *tx) error {
			cancel()
			return put("k1")(tx)
		})
		if err != nil || settings(t, s) != 1 {
			t.Errorf("answered %v, %d stored", err, settings(t, s))
		}
	})
	t.Run("BeforeTheDoor", func(t *testing.T) {
		s := openStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.w.do(ctx, put("k1")); !errors.Is(err, context.Canceled) || settings(t, s) != 0 {
			t.Errorf("answered %v", err)
		}
	})
	t.Run("AtAFullQueue", func(t *testing.T) {
		s := openStore(t)
		release := hold(t, s)
		for range queueLength + 10 {
			s.w.offer(func(*tx) error { return nil }) // dropped beyond the bound
		}
		if len(s.w.queue) != queueLength {
			t.Errorf("%d wait", len(s.w.queue))
		}
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error, 1)
		go func() { answer <- s.w.do(ctx, put("k1")) }()
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("answered %v", err)
		}
		release()
	})
}

// A full disk fails what is written, with a sentence, keeps what was acknowledged, and is forgotten once there is room again.
func TestFullDisk(t *testing.T) {
	s := openStore(t)
	if err := s.w.do(t.Context(), put("k-before")); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		err := s.w.do(t.Context(), func(tx *tx) error {
			var n int
			return tx.row(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages), nil, &n)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // as many as there are
	big := strings.Repeat("x", 1<<20)
	release := hold(t, s)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			err := s.write(t.Context(), "test", func(tx *tx) error {
				_, err := tx.exec(`INSERT INTO settings (key, value, changed) VALUES (?, CAST(? AS BLOB), 1)`, fmt.Sprint("k", i), big)
				return err
			})
			var e *contractor.Error
			if !errors.As(err, &e) || e.Code != contractor.CodeUnavailable || !strings.Contains(e.Message, "disk") {
				t.Errorf("answered %v", err)
			}
		})
	}
	queued(t, s, 4)
	release()
	wg.Wait()
	// The connection that failed was dropped, and the next one knows no limit.
	if _, why := s.Refusing(time.Now()); why == nil {
		t.Error("the store does not say that it takes no writes")
	}
	eventually(t, func() bool { _, why := s.Refusing(time.Now()); return why == nil })
	if err := s.w.do(t.Context(), put("k-after")); err != nil {
		t.Errorf("once there is room: %v", err)
	}
	if got := settings(t, s); got != 2 {
		t.Errorf("%d are stored, want 2", got)
	}
}

// A connection that breaks in the middle of a batch fails the batch and no more.
func TestBrokenConnection(t *testing.T) {
	s := openStore(t)
	release := hold(t, s)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			err := s.w.do(t.Context(), func(tx *tx) error {
				if err := put(fmt.Sprint("k", i))(tx); err != nil {
					return err
				}
				_, err := tx.exec(`ROLLBACK`) // as SQLite does by itself after some failures
				return err
			})
			if err == nil {
				t.Error("acknowledged, though its transaction was gone")
			}
		})
	}
	queued(t, s, 3)
	release()
	wg.Wait()
	if err := s.w.do(t.Context(), put("k-after")); err != nil || settings(t, s) != 1 {
		t.Errorf("answered %v, %d stored", err, settings(t, s))
	}
}

// An acknowledged write is on disk, and no connection of the pool lacks what was set for all.
func TestConnectionsAreSetUp(t *testing.T) {
	s := openStore(t)
	check := func(pragma, want string, read func(query string, dest *string) error) {
		t.Helper()
		var got string
		if err := read("PRAGMA "+pragma, &got); err != nil || got != want {
			t.Errorf("%s is %q, want %q, error %v", pragma, got, want, err)
		}
	}
	for pragma, want := range map[string]string{"synchronous": "1", "journal_mode": "wal", "foreign_keys": "1", "secure_delete": "1", "recursive_triggers": "1", "busy_timeout": "10000"} {
		check(pragma, want, func(query string, dest *string) error {
			return s.w.do(t.Context(), func(tx *tx) error { return tx.row(query, nil, dest) })
		})
	}
	for range defaultReaders {
		c := <-s.short.idle
		defer func() { s.short.idle <- c }()
		if c == nil {
			var err error
			if c, err = openConn(t.Context(), s.reads); err != nil {
				t.Fatal(err)
			}
		}
		for pragma, want := range map[string]string{"query_only": "1", "busy_timeout": "10000"} {
			check(pragma, want, func(query string, dest *string) error { return c.row(t.Context(), query, nil, dest) })
		}
		if _, err := c.exec(t.Context(), `DELETE FROM settings`); err == nil {
			t.Error("a reader can write")
		}
	}
}

// The write-ahead log stays small under writers and readers that never pause, and no reader meets an error for it.
func TestLogStaysSmall(t *testing.T) {
	s := openStore(t)
	err := s.w.do(t.Context(), func(*tx) error { // in the writer's goroutine, whose field it is
		s.cp.every, s.cp.restart = 50, 300
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers, writers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for ctx.Err() == nil {
				err := s.short.snapshot(context.Background(), func(c *conn) error {
					for range 20 { // long enough that some read is always under way
						var n int
						if err := c.row(context.Background(), `SELECT count(*) FROM journal`, nil, &n); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 8 {
		writers.Go(func() {
			for j := range 500 {
				if err := s.w.do(context.Background(), put(fmt.Sprint("k", i, "-", j))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	info, err := os.Stat(s.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const frame = 4096 + 24
	if most := int64(12 * 300 * frame); info.Size() > most {
		t.Errorf("the log grew to %d pages", info.Size()/frame)
	}
	t.Logf("the log has room for %d pages", info.Size()/frame)
}
