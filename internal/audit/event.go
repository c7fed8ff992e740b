package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// ActorKind says what kind of somebody acted.
type ActorKind string

// The actors there are.
const (
	ActorVendor ActorKind = "vendor" // a SCIM client; Name is the vendor
	ActorAdmin  ActorKind = "admin"  // a person; Name is the login
	ActorClock  ActorKind = "clock"  // time passed: a start, an end, a retention
	ActorBridge ActorKind = "bridge" // the loop made Entra agree with the records
)

// Actor is who did it. Every change names one.
type Actor struct {
	Kind ActorKind `json:"kind"`
	Name string    `json:"name,omitempty"`
}

// Outcome of what an event tells.
type Outcome string

// Done: it is so. Failed: it was tried and did not happen. Held: it waits for a person. Intended: it is about to be tried.
const (
	Done     Outcome = "done"
	Failed   Outcome = "failed"
	Held     Outcome = "held"
	Intended Outcome = "intended"
)

// Event is one line of the journal. Seq, Time, PersonalHash, Prev and Hash are the store's to fill. No field but Personal may
// carry a name or an address: Personal is kept apart and can be erased without breaking the chain.
type Event struct {
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"` // UTC, microseconds

	Kind    string  `json:"kind"` // noun.verb: engagement.created, guest.invited, grant.added …
	Actor   Actor   `json:"actor"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // a sentence

	Person      string          `json:"person,omitempty"`
	Engagement  string          `json:"engagement,omitempty"`
	Vendor      string          `json:"vendor,omitempty"`
	Entitlement string          `json:"entitlement,omitempty"` // "group/ext-base (3f0c…)"
	Rule        string          `json:"rule,omitempty"`
	Line        int             `json:"line,omitempty"`
	Revision    string          `json:"revision,omitempty"` // of the mapping
	Until       time.Time       `json:"until,omitzero"`
	RequestID   string          `json:"requestId,omitempty"`       // Graph's
	ClientID    string          `json:"clientRequestId,omitempty"` // ours
	Detail      json.RawMessage `json:"detail,omitempty"`          // before/after and the like, compact JSON, no personal data

	PersonalHash string          `json:"personalHash,omitempty"` // hex SHA-256 of salt and Personal
	Personal     json.RawMessage `json:"-"`                      // compact JSON, erasable
	Salt         []byte          `json:"-"`                      // 16 random bytes, erased with Personal

	Prev string `json:"prev"` // hex hash of the event before; 64 zeros for the first
	Hash string `json:"-"`    // hex SHA-256 of Leaf()
}

// Genesis is the Prev of the first event.
const Genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// Seal links the event behind prev and computes its hashes. Seq and Time must be set; Salt must be set where Personal is.
func (e *Event) Seal(prev string) error {
	_, err := e.SealLeaf(prev)
	return err
}

// SealLeaf seals the event and returns its Leaf.
func (e *Event) SealLeaf(prev string) ([]byte, error) {
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	e.Prev = prev
	if e.Personal != nil {
		e.PersonalHash = HashPersonal(e.Salt, e.Personal)
	}
	leaf, err := e.Leaf()
	if err != nil {
		return nil, err
	}
	e.Hash = HashLeaf(leaf)
	return leaf, nil
}

// HashLeaf is the hash by which the next event names this one.
func HashLeaf(leaf []byte) string {
	sum := sha256.Sum256(leaf)
	return hex.EncodeToString(sum[:])
}

// HashPersonal binds erasable fields to the chain; the salt keeps a guessed name from being confirmed after erasure.
func HashPersonal(salt, personal []byte) string {
	h := sha256.New()
	h.Write(salt)
	h.Write(personal)
	return hex.EncodeToString(h.Sum(nil))
}

// Verifier walks the journal in order and stops at the first event that does not fit.
type Verifier struct {
	prev  string
	count int64
}

// Fault is the first place where the journal is not what was written.
type Fault struct {
	Seq int64 // 0: no single event
	Why string
}

func (f *Fault) Error() string {
	if f.Seq == 0 {
		return "journal: " + f.Why
	}
	return fmt.Sprintf("journal event %d: %s", f.Seq, f.Why)
}

// Resume begins behind events that were archived: count of them, the last with this hash. It is called before the first Check.
func (v *Verifier) Resume(count int64, hash string) { v.count, v.prev = count, hash }

// Check takes the next event as stored: leaf is the stored canonical form, hash the stored hash, personal and salt what is kept
// apart (nil once erased). It returns the decoded event, or a *Fault.
func (v *Verifier) Check(leaf []byte, hash string, personal, salt []byte) (*Event, error) {
	want := v.count + 1
	if HashLeaf(leaf) != hash {
		return nil, &Fault{want, "its content does not have the hash that was recorded: it was changed"}
	}
	e, err := ParseLeaf(leaf)
	if err != nil {
		return nil, &Fault{want, err.Error()}
	}
	if e.Seq != want {
		return nil, &Fault{want, fmt.Sprintf("found number %d in its place: events were removed, inserted or reordered", e.Seq)}
	}
	prev := v.prev
	if prev == "" {
		prev = Genesis
	}
	if e.Prev != prev {
		return nil, &Fault{want, "it does not follow the event before it: events were removed, inserted or reordered"}
	}
	if personal != nil && HashPersonal(salt, personal) != e.PersonalHash {
		return nil, &Fault{want, "its personal fields do not have the hash that was recorded: they were changed"}
	}
	e.Hash, e.Personal, e.Salt = hash, personal, salt
	v.prev, v.count = hash, want
	return e, nil
}

// Head is the number of events walked and the hash of the last one.
func (v *Verifier) Head() (count int64, hash string) {
	if v.prev == "" {
		return 0, Genesis
	}
	return v.count, v.prev
}
