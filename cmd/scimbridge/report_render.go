package main

import (
	_ "embed" // the page
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"scimbridge/internal/audit"
)

// report is a table with what must be known to read it.
type report struct {
	name    string // for machines
	title   string
	scope   string // what it was narrowed to
	summary string
	notes   []string
	columns []string
	rows    [][]string
	data    any // for JSON

	made     time.Time
	headSeq  int64 // the journal's last event
	headHash string
}

func (r *report) add(cells ...string) {
	for i := range cells {
		cells[i] = oneLine(cells[i])
	}
	r.rows = append(r.rows, cells)
}

// dropNames takes the columns with names and addresses out; they were left empty.
func (r *report) dropNames() {
	for _, name := range []string{"name", "address", "sponsor named"} {
		i := slices.Index(r.columns, name)
		if i < 0 {
			continue
		}
		r.columns = slices.Delete(slices.Clone(r.columns), i, i+1)
		for j := range r.rows {
			r.rows[j] = slices.Delete(r.rows[j], i, i+1)
		}
	}
}

// basis says what the report was made from.
func (r *report) basis() string {
	return fmt.Sprintf("Made %s UTC from the journal up to event %d (%.16s…).", r.made.Format("2006-01-02 15:04:05"), r.headSeq, r.headHash)
}

func writeTable(out io.Writer, r *report) error {
	var b strings.Builder
	b.WriteString(r.title)
	if r.scope != "" {
		b.WriteString(" (" + r.scope + ")")
	}
	b.WriteString(": " + r.summary + "\n")
	if len(r.rows) > 0 {
		b.WriteByte('\n')
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, strings.ToUpper(strings.Join(r.columns, "\t")))
		for _, row := range r.rows {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		b.WriteByte('\n')
	}
	for _, n := range r.notes {
		b.WriteString(n + "\n")
	}
	b.WriteString(r.basis() + "\n")
	_, err := io.WriteString(out, b.String())
	return err
}

func writeCSV(out io.Writer, r *report) error {
	w := csv.NewWriter(out)
	w.UseCRLF = true // RFC 4180
	if err := w.Write(r.columns); err != nil {
		return err
	}
	for _, row := range r.rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = audit.Cell(c)
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	return flushed(w)
}

// writeReportJSON writes the rows with their full values; times are RFC 3339.
func writeReportJSON(out io.Writer, r *report) error {
	b, err := json.Marshal(r.data)
	if err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	return printJSON(out, struct {
		Report  string                     `json:"report"`
		Made    time.Time                  `json:"made"`
		Journal int64                      `json:"journalEvent"`
		Hash    string                     `json:"journalHash"`
		Notes   []string                   `json:"notes,omitempty"`
		Data    map[string]json.RawMessage `json:"data"`
	}{r.name, r.made, r.headSeq, r.headHash, r.notes, fields})
}

//go:embed report_page.html
var reportPage string

// cellClass tells ids, which may break anywhere, and times, which may not break at all, from words.
func cellClass(cell string) string {
	if uuid.Validate(cell) == nil {
		return "id"
	}
	if _, err := time.Parse("2006-01-02 15:04Z", cell); err == nil {
		return "time"
	}
	return ""
}

// writeHTML writes a page that needs nothing else: no script, no font, no picture from elsewhere.
func writeHTML(out io.Writer, r *report) error {
	page, err := template.New("report").Funcs(template.FuncMap{"class": cellClass}).Parse(reportPage)
	if err != nil {
		return err
	}
	return page.Execute(out, map[string]any{
		"Title": r.title, "Scope": r.scope, "Summary": r.summary, "Notes": r.notes, "Columns": r.columns, "Rows": r.rows, "Basis": r.basis(),
		"HeadHash": r.headHash,
	})
}
