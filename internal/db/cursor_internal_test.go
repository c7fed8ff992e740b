package db

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

func TestCursorComesBack(t *testing.T) {
	s := &Store{cursorKey: make([]byte, 32)}
	print := fingerprint(sha256.Sum256([]byte("query")))
	for _, want := range []position{
		{},
		{key: nil, tie: 7, offset: 100},
		{key: int64(-5), tie: 1 << 40, offset: 1 << 30},
		{key: "", tie: 1},
		{key: "Zoë \x00 'quoted' \xff", tie: 1},
		{key: strings.Repeat("x", maxCursorKey), tie: 1},
	} {
		cursor, err := s.sealCursor(print, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.openCursor(print, cursor)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(position{})); diff != "" || err != nil {
			t.Errorf("error %v\n%s", err, diff)
		}
		if raw, err := base64.RawURLEncoding.DecodeString(cursor); err != nil || strings.Contains(string(raw), "quoted") {
			t.Errorf("error %v, or the cursor can be read: %q", err, raw)
		}
		again, err := s.sealCursor(print, want)
		if err != nil || again == cursor {
			t.Errorf("error %v, or two cursors of one position are the same", err)
		}
	}
	for _, long := range []any{strings.Repeat("x", maxCursorKey+1), 2.5} { // its row tells it
		cursor, err := s.sealCursor(print, position{key: long, tie: 9})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.openCursor(print, cursor); err != nil || got.key != (rowKey{}) || got.tie != 9 {
			t.Errorf("got %+v, error %v", got, err)
		}
	}
}

func FuzzOpenCursor(f *testing.F) {
	s := &Store{cursorKey: make([]byte, 32)}
	print := fingerprint(sha256.Sum256([]byte("query")))
	given := position{key: "name", tie: 3, offset: 4}
	good, err := s.sealCursor(print, given)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "x", good, good[1:], good + "A", strings.ToUpper(good), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%%%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := s.openCursor(print, cursor)
		if err == nil && p != given { // another process of the fuzzer may have sealed it
			t.Errorf("a cursor that was never given out is read as %+v", p)
		}
		var e *contractor.Error
		if err != nil && (!errors.As(err, &e) || e.SCIMType != "invalidCursor") {
			t.Errorf("refused with %v", err)
		}
	})
}

// What was sealed was written here; still, no content of it may bring the store down.
func FuzzParsePosition(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\x02\x04n", "\x02\x04i\x06", "\x02\x04sname", "\x02\x04r", "\x02\x03n", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x02\x04z"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePosition(b)
		if err == nil && p.offset < 0 {
			t.Errorf("offset %d", p.offset)
		}
	})
}
