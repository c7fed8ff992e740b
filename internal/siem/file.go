package siem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"scimbridge/internal/audit"
)

// fileSender appends lines to a file. They are on disk when send returns.
type fileSender struct {
	settings *File
	personal bool
	version  string
}

// fileBatch is how many events one fsync is for.
const fileBatch = 500

func (*fileSender) batch() int                      { return fileBatch }
func (*fileSender) settled(time.Time) (bool, error) { return true, nil }
func (*fileSender) close()                          {}

func (*fileSender) checkpoint(context.Context, audit.SignedCheckpoint) error {
	return errors.New("a file of events holds no checkpoints")
}

func (s *fileSender) send(_ context.Context, events []audit.Event) (err error) {
	f, err := os.OpenFile(s.settings.Path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o640) //nolint:gosec // what collects logs reads it by its group
	if err != nil {
		return fmt.Errorf("the file cannot be written; let the service's user write there: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var b bytes.Buffer
	if torn, err := endsTorn(f); err != nil {
		return err
	} else if torn { // by a crash: what it was part of is written again, on a line of its own
		b.WriteByte('\n')
	}
	for i := range events {
		line, err := eventText(&events[i], s.settings.Format, s.version, s.personal)
		if err != nil {
			return err
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	if _, err := f.Write(b.Bytes()); err != nil {
		return err
	}
	return f.Sync()
}

// endsTorn reports whether a file ends within a line.
func endsTorn(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// eventText is an event in one of the formats.
func eventText(e *audit.Event, format, version string, personal bool) ([]byte, error) {
	if format == formatCEF {
		return []byte(e.CEF(version, personal)), nil
	}
	return json.Marshal(e.Export(personal))
}
