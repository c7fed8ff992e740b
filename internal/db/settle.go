package db

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// The parts of SQLite's write-ahead log that are needed to see how far it reaches (sqlite.org/walformat.html).
const (
	logHeader     = 32
	logPageSize   = 8  // where the header names it
	logSalt       = 16 // where the header has its salt, of 8 bytes
	frameHeader   = 24
	frameSalt     = 8
	logSaltLength = 8
)

// settleLog writes what a process before this one left in the write-ahead log once more, and syncs it, before anybody relies on it.
//
// After a failed fsync the page cache may show frames that are not on the disk and that the kernel never writes again, since it counts them
// as written. The process that met the failure knows that they do not count, and writes over them. A new one cannot tell: it takes them for
// commits, would copy them into the file and put its own commits behind them. A loss of power would then find half of them in the file, or a
// hole in the log, and what lies behind a hole is lost although it was acknowledged. Written again, they are on the disk.
//
// Where somebody leads, the log is known, and left alone.
func settleLog(ctx context.Context, pool *sql.DB, path string) (err error) {
	info, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() <= logHeader {
		return nil
	}
	if err != nil {
		return err
	}
	led, err := isLed(path)
	if err != nil || led {
		return err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// Nobody adds to the log meanwhile.
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	if err = rewriteLog(path + "-wal"); err != nil {
		err = fmt.Errorf("write the write-ahead log once more: %w", err)
	}
	_, rollback := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
	return errors.Join(err, rollback)
}

// rewriteLog writes the frames of the log's newest beginning over themselves.
func rewriteLog(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	header := make([]byte, logHeader)
	switch _, err := f.ReadAt(header, 0); {
	case errors.Is(err, io.EOF): // another process, a backup or a command, closed the file last, and moved all of its log into the database
		return nil
	case err != nil:
		return err
	}
	size := binary.BigEndian.Uint32(header[logPageSize:])
	if size < 512 || size > 65536 { // SQLite will not read it either
		return nil
	}
	if _, err := f.WriteAt(header, 0); err != nil {
		return err
	}
	frame := make([]byte, frameHeader+int(size))
	for at := int64(logHeader); ; at += int64(len(frame)) {
		switch _, err := f.ReadAt(frame, at); {
		case errors.Is(err, io.EOF):
			return f.Sync()
		case err != nil:
			return err
		case !bytes.Equal(frame[frameSalt:frameSalt+logSaltLength], header[logSalt:logSalt+logSaltLength]):
			return f.Sync()
		}
		if _, err := f.WriteAt(frame, at); err != nil {
			return err
		}
	}
}

// isLed reports whether some process leads on a database.
func isLed(database string) (bool, error) {
	f, err := os.Open(database + ".lock")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("the lock of the database cannot be opened: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was not written
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
