package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// ImportConfig is what an Importer needs.
type ImportConfig struct {
	Feed   Feed                 // required
	Store  ImportStore          // required
	Vendor *contractor.Vendor   // required
	Actor  audit.Actor          // required: who imports
	Fields []string             // required: the fields that a column can fill
	Path   func(string) string  // required: a field's path in a SCIM body, "" for no field
	Layout contractor.CSVLayout // how the file is read; the vendor's own, with what was said for this one

	Full    bool             // who is not in the file is ended
	Overall contractor.Guard // over all vendors; of Full
	Dry     bool             // the Feed is a dry one: nothing is stored
	Again   bool             // from the first line, although an interrupted import could go on
	Workers int              // records under way at once; default 32
	Rate    int              // records a second at most; 0: as fast as it goes

	Progress func(Progress) // optional: called a few times a second
	Problem  func(Problem)  // optional: called for each line that was refused, in the order in which they were found
}

// Progress is how far an import is.
type Progress struct {
	Read, Size int64 // bytes
	Counts     contractor.FeedCounts
	Rate       float64       // records a second
	Left       time.Duration // at this rate; 0: not known yet
}

// Problem is what is wrong with a line.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column,omitempty"` // in bytes; 0: the whole line
	Message string `json:"message"`
}

// String is the problem as compilers write theirs.
func (p Problem) String() string {
	if p.Column == 0 {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// maxProblems is how many refused lines a report names; it counts all.
const maxProblems = 1000

// Report is what an import came to.
type Report struct {
	Vendor   string                `json:"vendor"`
	File     string                `json:"file"`
	SHA256   string                `json:"sha256"`
	DryRun   bool                  `json:"dryRun,omitempty"`
	Full     bool                  `json:"full,omitempty"`
	Resumed  int                   `json:"resumedAfterLine,omitempty"`
	Columns  []Column              `json:"columns"`
	Unused   []string              `json:"unusedColumns,omitempty"`
	Key      string                `json:"key"`
	Counts   contractor.FeedCounts `json:"counts"`
	Absent   int                   `json:"absent"`          // ended or held because the file does not have them
	Held     string                `json:"held,omitempty"`  // the guard's word on them
	Doubt    string                `json:"doubt,omitempty"` // why nobody was ended although Full
	Problems []Problem             `json:"problems"`        // the first ones
	Seconds  float64               `json:"seconds"`
}

// Importer imports one file at a time.
type Importer struct{ ImportConfig }

// NewImporter makes an Importer. It refuses missing parts.
func NewImporter(c ImportConfig) (*Importer, error) {
	switch {
	case c.Feed == nil:
		return nil, errors.New("intake: no Feed")
	case c.Store == nil:
		return nil, errors.New("intake: no Store")
	case c.Vendor == nil:
		return nil, errors.New("intake: no Vendor")
	case c.Actor.Kind == "":
		return nil, errors.New("intake: no Actor")
	case c.Path == nil || len(c.Fields) == 0:
		return nil, errors.New("intake: no Fields")
	case c.Workers < 0 || c.Rate < 0:
		return nil, errors.New("intake: a bound cannot be below 0")
	}
	if c.Workers == 0 {
		c.Workers = 32
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Problem == nil {
		c.Problem = func(Problem) {}
	}
	return &Importer{c}, nil
}

// Import reads a file to its end. The report tells also what was done before an error; an import that was interrupted goes on
// where it was when the same file is imported in the same way.
func (m *Importer) Import(ctx context.Context, name string) (*Report, error) {
	begun := time.Now()
	s, err := look(name, m.Layout.Encoding)
	if err != nil {
		return nil, err
	}
	text, meter, closeFile, err := s.open()
	if err != nil {
		return nil, err
	}
	defer closeFile() //nolint:errcheck // only read
	delimiter, err := delimiterGiven(m.Layout.Delimiter)
	if err != nil {
		return nil, err
	}
	t, err := newTable(text, delimiter)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c, err := layColumns(t.header, &m.Layout, m.Fields, m.Path)
	if err != nil {
		return nil, fmt.Errorf("the columns of %s are not clear:\n%w", name, err)
	}
	by := "import of " + filepath.Base(name)
	prolong := func(ctx context.Context) error {
		return m.Store.ClaimFeed(ctx, m.Vendor.Name, by, time.Now(), claimFor)
	}
	if !m.Dry {
		if err := prolong(ctx); err != nil {
			return nil, err
		}
		defer m.Store.ReleaseFeed(context.WithoutCancel(ctx), m.Vendor.Name, by) //nolint:errcheck // it ends by itself
	}
	r := &run{Importer: m, sheet: s, table: t, columns: c, meter: meter, begun: begun, prolong: prolong, had: seen{}}
	r.report = &Report{
		Vendor: m.Vendor.Name, File: name, SHA256: s.hash, DryRun: m.Dry, Full: m.Full, Key: c.key, Columns: c.list(t.header), Unused: c.unused,
		Problems: []Problem{},
	}
	err = r.do(ctx)
	r.report.Counts, r.report.Seconds = r.state.Counts, time.Since(begun).Seconds()
	return r.report, err
}

func delimiterGiven(s string) (rune, error) {
	switch d := []rune(s); {
	case len(d) == 0:
		return 0, nil
	case s == "tab" || s == `\t`:
		return '\t', nil
	case len(d) != 1 || d[0] == '"' || d[0] == '\n' || d[0] == '\r':
		return 0, fmt.Errorf("the delimiter %q is not one character; use a comma, a semicolon, | or tab", s)
	default:
		return d[0], nil
	}
}

// way identifies the file and how it is read: an interrupted import goes on only where both are the same.
func (m *Importer) way(hash string) (string, error) {
	how, err := json.Marshal(struct {
		Layout contractor.CSVLayout
		Full   bool
	}{m.Layout, m.Full})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(how)
	return hash + "/" + hex.EncodeToString(sum[:8]), nil
}

// refusal is what is wrong with a record, told from a fault of the store's, which another record would meet as well.
func refusal(err error) *contractor.Error {
	e, ok := errors.AsType[*contractor.Error](err)
	if !ok {
		return nil
	}
	switch e.Code {
	case contractor.CodeInvalid, contractor.CodeConflict, contractor.CodeForbidden, contractor.CodeQuota, contractor.CodeTooLarge, contractor.CodeNotFound, contractor.CodeVersion:
		return e
	}
	return nil
}
