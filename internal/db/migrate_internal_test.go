package db

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// An upgrade keeps the way back; a new database and one that is up to date keep nothing.
func TestUpgradeKeepsACopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	known, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	older := known[:len(known)-1]
	drv, err := newDriver()
	if err != nil {
		t.Fatal(err)
	}
	pool := openPool(drv, writerDSN(path, defaultBusyTimeout, "FULL"), 1)
	conn, err := openConn(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	if err := migrateTo(t.Context(), conn, path, older); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.close(), pool.Close()); err != nil {
		t.Fatal(err)
	}
	kept := path + ".before-" + known[len(older)].name[:4]
	if _, err := os.Stat(kept); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a new database was copied: %v", err)
	}
	for range 2 { // the second time it is up to date
		s, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(path + ".before-*")
	if err != nil || len(files) != 1 || files[0] != kept {
		t.Fatalf("kept %v, error %v; want %s", files, err, kept)
	}
	info, err := os.Stat(kept)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %v, error %v", info, err)
	}
	copied := openPool(drv, dsn(kept, defaultBusyTimeout, "mode", "ro"), 1)
	defer copied.Close() //nolint:errcheck // read only
	var n int
	if err := copied.QueryRowContext(t.Context(), `SELECT count(*) FROM migrations`).Scan(&n); err != nil || n != len(older) {
		t.Errorf("the copy has %d migrations, want %d; error %v", n, len(older), err)
	}
}
