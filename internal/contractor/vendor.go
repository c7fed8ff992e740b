package contractor

import (
	"path"
	"strings"
	"time"
)

// MissingEnd says what happens to an engagement for which the vendor names no end.
type MissingEnd string

// The three answers to a missing end date.
const (
	MissingEndCap    MissingEnd = "cap"    // end = start + MaxDuration
	MissingEndHold   MissingEnd = "hold"   // accepted, no access
	MissingEndReject MissingEnd = "reject" // 400 at the SCIM door
)

// Guard bounds what a feed may do before somebody looks (product rule 7): how many contracts it may suddenly end, and how many ends it
// may move to another day, in each direction.
type Guard struct {
	MaxEnds         int           // ends per window; 0: no such bound
	MaxEndsPercent  int           // percent of the live engagements per window; 0: no such bound
	MaxMoves        int           // ends moved per window and direction; 0: no such bound
	MaxMovesPercent int           // percent of the live engagements per window and direction; 0: no such bound
	Window          time.Duration // rolling; 0: 24 h

	MaxRefused   int  // records refused in a row before it is an alarm; 0: never
	PauseRefused bool // and the vendor is paused
}

// Vendor is one vendor's section of the mapping file with the file's defaults filled in.
type Vendor struct {
	Name         string
	EmailDomains []string // "acme.example", "*.acme.example"; empty: none allowed
	Quota        int      // live engagements at most; 0: unlimited
	Profile      string   // entra | okta | sap-ips | jumpcloud | pingfederate | rippling | ""
	Supplier     string   // supplier of record where the vendor sends none
	Zone         *time.Location
	DateLayouts  []string // Go layouts tried before the standard ones; never guessed
	MissingEnd   MissingEnd
	MaxDuration  Span // from start; zero: unlimited
	MaxMove      Span // how much later one change may put an end without somebody looking; zero: unlimited
	Guard        Guard
	TestUsers    []string            // patterns (path.Match) on userName, folded
	Aliases      map[string][]string // record field -> paths, first non-empty wins
	IgnoreGroups bool                // writes to /Groups are accepted and ignored instead of refused
	RatePerSec   float64             // requests a second; 0: the door's default
	SignIn       SignIn              // besides its bearer tokens
	CSV          CSVLayout           // how its files are read
}

// AllowsEmail reports whether the address lies in one of the vendor's domains. "*.x" admits every subdomain of x, not x itself.
func (v *Vendor) AllowsEmail(email string) bool {
	at := strings.LastIndexByte(email, '@')
	if at < 1 {
		return false
	}
	domain := strings.ToLower(email[at+1:])
	for _, d := range v.EmailDomains {
		d = strings.ToLower(d)
		if rest, ok := strings.CutPrefix(d, "*."); ok {
			if strings.HasSuffix(domain, "."+rest) {
				return true
			}
		} else if domain == d {
			return true
		}
	}
	return false
}

// IsTestUser reports whether userName is one of the vendor's test users. A malformed pattern matches nothing; the mapping's
// validation refuses it.
func (v *Vendor) IsTestUser(userName string) bool {
	name := strings.ToLower(userName)
	for _, p := range v.TestUsers {
		if ok, err := path.Match(strings.ToLower(p), name); err == nil && ok {
			return true
		}
	}
	return false
}
