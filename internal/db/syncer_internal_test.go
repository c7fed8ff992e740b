package db

import (
	"errors"
	"os"
	"testing"
	"time"
)

// eventually waits for what a probe does once a second.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to pass")
		}
	}
}

// What is committed and not yet on the disk is told to nobody: neither to whoever wrote it, nor to whoever reads it.
func TestNothingIsToldBeforeItIsOnTheDisk(t *testing.T) {
	s := openStore(t)
	reached, gate := make(chan struct{}, 8), make(chan struct{})
	sync := s.w.disk.sync
	s.w.disk.sync = func() error {
		reached <- struct{}{}
		<-gate
		return sync()
	}
	wrote, read := make(chan error, 2), make(chan error, 1)
	go func() { wrote <- s.w.do(t.Context(), put("k1")) }()
	<-reached
	if n := settings(t, s); n != 1 {
		t.Errorf("%d of 1 rows are committed", n)
	}
	go func() {
		read <- s.short.with(t.Context(), func(c *conn) error {
			var n int
			return c.row(t.Context(), `SELECT count(*) FROM settings`, nil, &n)
		})
	}()
	for range overlapFrom { // the next batch is written while the disk works at the first
		go func() { wrote <- s.w.do(t.Context(), put("k2")) }()
	}
	select {
	case err := <-wrote:
		t.Errorf("a write was acknowledged before it was on the disk: %v", err)
	case err := <-read:
		t.Errorf("a read was answered before what it saw was on the disk: %v", err)
	default:
	}
	close(gate)
	for range overlapFrom + 1 {
		<-wrote // one k2 is stored, the others are refused
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// Behind a sync that failed nothing is written and nothing is read, until the log was written once more.
func TestASyncThatFailedIsMended(t *testing.T) {
	s := openStore(t)
	if err := s.w.do(t.Context(), put("k1")); err != nil {
		t.Fatal(err)
	}
	sync, broken := s.w.disk.sync, errors.New("input/output error")
	s.w.disk.sync = func() error { return broken }
	if err := s.w.do(t.Context(), put("k2")); !errors.Is(err, broken) {
		t.Errorf("acknowledged what is not on the disk: %v", err)
	}
	s.w.disk.sync = sync // the next one would be called a success
	if err := s.w.do(t.Context(), put("k3")); !errors.Is(err, broken) {
		t.Errorf("wrote behind a sync that failed: %v", err)
	}
	if err := s.short.with(t.Context(), func(*conn) error { return nil }); !errors.Is(err, broken) {
		t.Errorf("answered a read of what may be lost: %v", err)
	}
	eventually(t, func() bool { _, why := s.Refusing(time.Now()); return why == nil })
	if err := s.w.do(t.Context(), put("k4")); err != nil {
		t.Errorf("the disk works again: %v", err)
	}
	if err := s.short.with(t.Context(), func(*conn) error { return nil }); err != nil {
		t.Errorf("the disk works again, and no read is answered: %v", err)
	}
	if n := settings(t, s); n != 3 {
		t.Errorf("%d rows are stored, want the one that was acknowledged before, the one that was in doubt, the one after", n)
	}
}

func TestTheLogIsSyncedWhereverItIs(t *testing.T) {
	f := walFile{path: t.TempDir() + "/x-wal"}
	if err := f.sync(); err != nil {
		t.Errorf("there is none: %v", err)
	}
	for range 2 {
		if err := os.WriteFile(f.path, []byte("log"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.sync(); err != nil {
			t.Fatal(err)
		}
		open, err := f.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if now, err := os.Stat(f.path); err != nil || !os.SameFile(now, open) {
			t.Errorf("synced another file than the log, %v", err)
		}
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

// Between the look at the log and its lock, a backup that ends may have moved it into the database.
func TestALogThatIsGoneIsNotWrittenOnceMore(t *testing.T) {
	path := t.TempDir() + "/x-wal"
	for _, content := range []string{"", "cut"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := rewriteLog(path); err != nil {
			t.Errorf("of %d bytes: %v", len(content), err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := rewriteLog(path); err != nil {
		t.Errorf("there is none: %v", err)
	}
}
