package contractor

import "time"

// Hint is why two records may be about one human.
type Hint string

// The hints. One of them alone is a doubt; an address that each names of the other is none.
const (
	HintPersonID   Hint = "personId"   // the same vendor gives both the same personId
	HintSecurityID Hint = "securityId" // the same securityId
	HintTheirs     Hint = "address"    // our own address is among their further ones
	HintOurs       Hint = "address of theirs"
	HintShared     Hint = "further address" // both have it among their further ones
)

// Match is another person who may be the same human.
type Match struct {
	Person  string
	Hints   []Hint // each once
	Older   bool   // was known before
	HasLeft bool   // none of its engagements is live
}

// Sure reports whether the match needs nobody to look: each names the other's address, or two things that do not depend on each
// other say so.
func (m *Match) Sure() bool {
	var ours, theirs, shared, ids int
	for _, h := range m.Hints {
		switch h {
		case HintOurs:
			ours = 1
		case HintTheirs:
			theirs = 1
		case HintShared:
			shared = 1
		case HintPersonID, HintSecurityID:
			ids++
		}
	}
	return ours+theirs == 2 || ids == 2 || ids == 1 && ours+theirs+shared > 0
}

// Identity is what the store knows about who a person is.
type Identity struct {
	Matches  []Match // oldest first, those apart left out
	NoRehire string  // why the person is on the do-not-rehire list; "" if it is not, or may come back all the same
}

// NoRehire is an entry of the do-not-rehire list. Whom it is about is kept as a salted hash alone.
type NoRehire struct {
	ID     int64     `json:"id"`
	Kind   string    `json:"kind"` // email, personId, securityId
	Vendor string    `json:"vendor,omitempty"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// NoRehireKey is what an entry is made from.
type NoRehireKey struct {
	Kind   string
	Vendor string // kind personId
	Value  string
}

// The kinds of a NoRehireKey.
const (
	NoRehireEmail      = "email"
	NoRehirePersonID   = "personId"
	NoRehireSecurityID = "securityId"
)

// NoRehireKeys are the keys by which a person is found on the do-not-rehire list, each once.
func NoRehireKeys(p *Person) []NoRehireKey {
	seen := map[NoRehireKey]bool{}
	var keys []NoRehireKey
	add := func(k NoRehireKey) {
		if k.Value != "" && !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	add(NoRehireKey{Kind: NoRehireEmail, Value: EmailKey(p.Email)})
	for i := range p.Engagements {
		e := &p.Engagements[i]
		r := &e.Record
		for _, email := range append([]string{r.Email}, r.OtherEmails...) {
			add(NoRehireKey{Kind: NoRehireEmail, Value: EmailKey(email)})
		}
		add(NoRehireKey{Kind: NoRehirePersonID, Vendor: e.Vendor, Value: r.PersonID})
		add(NoRehireKey{Kind: NoRehireSecurityID, Value: r.SecurityID})
	}
	return keys
}
