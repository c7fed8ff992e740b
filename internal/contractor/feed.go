package contractor

import (
	"encoding/json"
	"time"
)

// FeedOutcome is what became of one record of a feed.
type FeedOutcome string

// The outcomes. FeedSkipped: a contract that is over and was never known here is nothing to do. FeedHeld: it was ended, and the
// end waits for a person.
const (
	FeedCreated   FeedOutcome = "created"
	FeedChanged   FeedOutcome = "changed"
	FeedEnded     FeedOutcome = "ended"
	FeedHeld      FeedOutcome = "held"
	FeedUnchanged FeedOutcome = "unchanged"
	FeedSkipped   FeedOutcome = "skipped"
)

// FeedRecord is one record that a feed delivers.
type FeedRecord struct {
	// Body is a SCIM User as the vendor would POST it. Where it says nothing of "active" it is: it stands in the feed.
	Body []byte
	// Origin goes into the journal: the file and line, or the server. Compact JSON without personal data.
	Origin json.RawMessage
}

// FeedResult is what became of a record. Engagement is also told beside an error, where the record that is refused belongs to an
// engagement that is known: it was delivered, however wrongly.
type FeedResult struct {
	Engagement string // "" for a record that was never known and is not now
	Outcome    FeedOutcome
	Why        string // of FeedSkipped
}

// FeedEnd ends an engagement that a whole reading of a feed does not have any more.
type FeedEnd struct {
	Engagement string
	Reason     string // a sentence for the journal
	Origin     json.RawMessage
	// Hold says why the end waits for a person; "": it takes effect, if the loop's guard lets it.
	Hold string
}

// FeedCounts count records by outcome.
type FeedCounts struct {
	Read      int `json:"read"`
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Ended     int `json:"ended"`
	Held      int `json:"held"` // ends that wait for a person
	Unchanged int `json:"unchanged"`
	Skipped   int `json:"skipped"` // over, and never known here
	Refused   int `json:"refused"`
}

// Add counts one outcome.
func (c *FeedCounts) Add(o FeedOutcome) {
	switch o {
	case FeedCreated:
		c.Created++
	case FeedChanged:
		c.Changed++
	case FeedEnded:
		c.Ended++
	case FeedHeld:
		c.Held++
	case FeedUnchanged:
		c.Unchanged++
	case FeedSkipped:
		c.Skipped++
	}
}

// Wrote reports whether anything was written.
func (c *FeedCounts) Wrote() bool { return c.Created+c.Changed+c.Ended+c.Held > 0 }

// PullState is how far a vendor's SCIM server was read. The zero value: never.
type PullState struct {
	Vendor string `json:"vendor"`
	URL    string `json:"url"`

	Started  time.Time  `json:"started,omitzero"`  // of the last round
	Finished time.Time  `json:"finished,omitzero"` // of the last round that read to its end
	Full     time.Time  `json:"full,omitzero"`     // start of the last whole reading without a fault
	Mode     string     `json:"mode,omitempty"`    // of the last round: full, delta, or unchanged (the server said so)
	Counts   FeedCounts `json:"counts"`            // of the last round
	Total    int        `json:"total"`             // Users that the server had, by the last whole reading

	// Watermark is the instant since which the next delta asks, by the server's clock.
	Watermark time.Time `json:"watermark,omitzero"`
	// NoDelta is when the server was found not to filter by meta.lastModified; it is asked again after a day.
	NoDelta time.Time `json:"noDelta,omitzero"`
	// ETag is of the last whole reading that fitted on one page.
	ETag string `json:"etag,omitempty"`

	Error    string    `json:"error,omitempty"`    // why the last round failed; a sentence without personal data
	Since    time.Time `json:"since,omitzero"`     // of the first of the failures in a row
	Failures int       `json:"failures,omitempty"` // in a row
	Doubt    string    `json:"doubt,omitempty"`    // why nobody was ended although a whole reading was due
}

// ImportState is how far a file was imported, for one that was interrupted.
type ImportState struct {
	Vendor  string     `json:"vendor"`
	File    string     `json:"file"` // hash of the file and of how it is read
	Line    int        `json:"line"` // the last line up to which all is done
	Counts  FeedCounts `json:"counts"`
	Begun   time.Time  `json:"begun"`
	Updated time.Time  `json:"updated"`
	Done    bool       `json:"done"`
}

// CSVLayout is how a vendor's files are read. The zero value: comma or what the header shows, UTF-8, columns by their names.
type CSVLayout struct {
	Columns   map[string][]string // record field -> headers, first non-empty value wins; besides those that are known by name
	Key       string              // record field that names a row and never changes; "": externalId, else workerId, engagementId, email
	Delimiter string              // one character; "": found in the header
	Encoding  string              // utf-8, windows-1252 or utf-16; "": utf-8, or what the byte order mark says
	Active    []string            // values of the column "active" that mean that the contract goes on; empty: true, yes, 1, active
}
