package audit

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Row is an event as the store keeps it: the leaf, and beside it what queries need. The slices may be the store's own; nothing
// here keeps them.
type Row struct {
	Seq    int64
	Time   int64 // Unix microseconds
	Kind   []byte
	Person []byte

	Engagement []byte
	Vendor     []byte

	Hash []byte // SHA-256 of Leaf
	Leaf []byte

	Personal []byte // nil: none, or erased
	Salt     []byte
}

// Link is what a checked row gives to the chain and to the tree.
type Link struct {
	Prev   [sha256.Size]byte
	Hash   [sha256.Size]byte
	Record tlog.Hash // leaf hash of RFC 6962
	Erased bool      // it had personal fields, and has none now
}

// Check looks at a row by itself: leaf and hash belong together, the leaf is an event in canonical form, the columns repeat
// what it says, and the personal fields are those it was sealed with. The error is a *Fault.
func (r *Row) Check() (Link, error) {
	l, _, err := r.check()
	return l, err
}

// Event is the row's event, checked, with its personal fields.
func (r *Row) Event() (*Event, error) {
	if _, _, err := r.check(); err != nil {
		return nil, err
	}
	e, err := ParseLeaf(r.Leaf)
	if err != nil {
		return nil, &Fault{r.Seq, err.Error()}
	}
	e.Hash = hex.EncodeToString(r.Hash)
	if r.Personal != nil {
		e.Personal, e.Salt = append([]byte(nil), r.Personal...), append([]byte(nil), r.Salt...)
	}
	return e, nil
}

func (r *Row) check() (Link, view, error) {
	l := Link{Hash: sha256.Sum256(r.Leaf), Record: tlog.RecordHash(r.Leaf)}
	if string(l.Hash[:]) != string(r.Hash) {
		return l, view{}, &Fault{r.Seq, "its content does not have the hash that was recorded: it was changed"}
	}
	v, err := parseLeaf(r.Leaf)
	if err != nil {
		return l, v, &Fault{r.Seq, err.Error()}
	}
	if v.seq != r.Seq {
		return l, v, &Fault{r.Seq, fmt.Sprintf("found number %d in its place: events were removed, inserted or reordered", v.seq)}
	}
	if n, err := hex.Decode(l.Prev[:], v.prev); err != nil || n != len(l.Prev) {
		return l, v, &Fault{r.Seq, "it names no event before it"}
	}
	if why := r.columns(&v); why != "" {
		return l, v, &Fault{r.Seq, "its column " + why + " does not say what its content says: it was changed"}
	}
	if r.Personal != nil {
		if subtle.ConstantTimeCompare([]byte(HashPersonal(r.Salt, r.Personal)), v.personalHash) != 1 {
			return l, v, &Fault{r.Seq, "its personal fields do not have the hash that was recorded: they were changed"}
		}
	} else if v.personalHash != nil {
		l.Erased = true
	}
	return l, v, nil
}

// columns names the column that differs from the leaf, "" if none does.
func (r *Row) columns(v *view) string {
	t, err := v.time.instant()
	switch {
	case err != nil || t.UnixMicro() != r.Time:
		return "time"
	case !v.kind.is(r.Kind):
		return "kind"
	case !v.person.is(r.Person):
		return "person"
	case !v.engagement.is(r.Engagement):
		return "engagement"
	case !v.vendor.is(r.Vendor):
		return "vendor"
	}
	return ""
}

// Span is a run of consecutive events that hold together.
type Span struct {
	First   int64
	Prev    [sha256.Size]byte // hash of the event before the first
	Hash    [sha256.Size]byte // hash of the last
	Records []tlog.Hash       // one for each event
	Erased  int
	Time    time.Time // of the last
}

// Last is the number of the last event; First-1 for an empty span.
func (s *Span) Last() int64 { return s.First + int64(len(s.Records)) - 1 }

// Add checks a row and puts it behind the others. The error is a *Fault.
func (s *Span) Add(r *Row) error {
	want := s.First + int64(len(s.Records))
	if r.Seq != want {
		return &Fault{want, fmt.Sprintf("the next event found is number %d: events were removed", r.Seq)}
	}
	l, err := r.Check()
	if err != nil {
		return err
	}
	if len(s.Records) == 0 {
		s.Prev = l.Prev
	} else if l.Prev != s.Hash {
		return &Fault{want, "it does not follow the event before it: events were removed, inserted or reordered"}
	}
	s.Hash = l.Hash
	s.Records = append(s.Records, l.Record)
	if l.Erased {
		s.Erased++
	}
	s.Time = time.UnixMicro(r.Time).UTC()
	return nil
}
