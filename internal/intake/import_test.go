package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/intake"
)

var (
	_ intake.ImportStore = (*db.Store)(nil)
)

func TestImportTakesRowsAsPushes(t *testing.T) {
	w := newWorld(t)
	w.acme.Aliases = map[string][]string{"endDate": {"ext:sap.validTo"}}
	name := w.file(
		"Worker ID;First name;Last name;E-mail;Start date;End date;Status;Cost centre;Salary",
		`W-1;Ann;"O""Hara; jr";ann@acme.example;01/15/2026;12/31/2099;Active;4711;1`,
		`W-2;Bob;Ray;bob@acme.example;2026-01-15;2099-06-30;active;;1`,
	)
	r := w.imported(name, nil)
	if diff := cmp.Diff(contractor.FeedCounts{Read: 2, Created: 2}, r.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s\n%v", diff, r.Problems)
	}
	if diff := cmp.Diff([]string{"Salary"}, r.Unused); diff != "" {
		t.Errorf("unused (-want +got):\n%s", diff)
	}
	ann := w.engagements()["W-1"]
	if ann.Record.FamilyName != "O'Hara; jr" && ann.Record.FamilyName != `O"Hara; jr` || ann.Record.Email != "ann@acme.example" || ann.Record.CostCenter != "4711" || ann.Record.WorkerID != "W-1" {
		t.Errorf("the record is %+v", ann.Record)
	}
	if got := ann.Standing.EffectiveEnd.Format("2006-01-02 15:04:05"); got != "2099-12-31 23:59:59" {
		t.Errorf("the end is %s", got)
	}
	if strings.Contains(string(ann.Unused)+string(ann.Resource), "Salary") {
		t.Error("a column that nobody reads was kept")
	}
	if w.wakes.Load() == 0 {
		t.Error("nobody woke the loop")
	}
	var detail struct {
		From struct {
			File, SHA256 string
			Line         int
		}
	}
	created := w.journal("engagement.created")
	for _, e := range created {
		if err := json.Unmarshal(e.Detail, &detail); err != nil || detail.From.File != "workers.csv" || detail.From.SHA256 != r.SHA256 || detail.From.Line < 2 || e.Actor != root() {
			t.Errorf("the journal says %s by %v (%v)", e.Detail, e.Actor, err)
		}
	}
	if len(created) != 2 || len(w.journal("import.done")) != 1 {
		t.Errorf("%d created, %d done", len(created), len(w.journal("import.done")))
	}

	t.Run("again changes nothing", func(t *testing.T) {
		if r := w.imported(name, nil); r.Counts != (contractor.FeedCounts{Read: 2, Unchanged: 2}) {
			t.Errorf("%+v", r.Counts)
		}
	})
	t.Run("a changed row is a change, a closed one an end", func(t *testing.T) {
		name := w.file(
			"Worker ID;First name;Last name;E-mail;Start date;End date;Status;Cost centre",
			`W-1;Ann;Lee;ann@acme.example;01/15/2026;12/31/2098;Active;4711`,
			`W-2;Bob;Ray;bob@acme.example;2026-01-15;2099-06-30;Closed;`,
			`W-3;Cid;Old;cid@acme.example;2020-01-15;2021-06-30;Active;`,
		)
		dry := w.imported(name, func(c *intake.ImportConfig) { c.Dry = true })
		if dry.Counts != (contractor.FeedCounts{Read: 3, Changed: 1, Ended: 1, Skipped: 1}) {
			t.Errorf("dry: %+v", dry.Counts)
		}
		if got := w.engagements(); got["W-1"].Record.EndDate != "12/31/2099" || !got["W-2"].EndedAt.IsZero() {
			t.Error("a dry run wrote")
		}
		if r := w.imported(name, nil); r.Counts != dry.Counts {
			t.Errorf("done: %+v, the dry run said %+v", r.Counts, dry.Counts)
		}
		if got := w.engagements(); got["W-1"].Record.EndDate != "12/31/2098" || got["W-2"].EndedAt.IsZero() || len(got) != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func TestImportTellsWhatIsWrongWhere(t *testing.T) {
	w := newWorld(t)
	name := w.file(
		"Worker ID,E-mail,End date,Status",
		"W-1,ann@acme.example,31.12.2099,Active",
		"W-2,bob@other.example,2099-12-31,Active",
		",cid@acme.example,2099-12-31,Active",
		"W-4,dan@acme.example,2099-12-31,perhaps",
		`W-5,"eve"x@acme.example,2099-12-31,Active`,
		"W-6,fay@acme.example,2099-12-31",
		"W-7,gus@acme.example,2099-12-31,Active",
		",,,",
		"W-7,gus@acme.example,2099-12-31,Active",
		"W-8,hal@acme.example,2019-12-31,Active",
	)
	r := w.imported(name, nil)
	var got []string
	for _, p := range r.Problems {
		got = append(got, strings.TrimPrefix(p.String(), name))
	}
	want := []string{
		`:2:22: endDate: "31.12.2099" is not a date in a form this vendor may send; send YYYY-MM-DD or RFC 3339, or have the form added to the vendor's dates.layouts`,
		":3:5: emails: the address is in none of the domains that this vendor may send people from; send another, or ask the customer to add the domain",
		":4:1: there is no workerId, which names the row",
		`:5:33: it is not clear whether "perhaps" means that the contract goes on; list the values that do: csv: {active: [Active]} or --active Active`,
		":6:9: the CSV is malformed: a quote inside a value must be doubled, and nothing may stand between a closing quote and the delimiter",
		":7: the line has too few values: 3 for 4 columns",
		":10:1: workerId is the same as in line 8; a row for each contract, each with its own workerId",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if r.Counts != (contractor.FeedCounts{Read: 9, Created: 1, Skipped: 1, Refused: 7}) {
		t.Errorf("%+v", r.Counts)
	}
}

func TestImportRefusesFilesThatAreNotClear(t *testing.T) {
	w := newWorld(t)
	write := func(text string) string {
		name := w.file()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		name, text string
		layout     contractor.CSVLayout
		want       string
	}{
		{"windows-1252", "Worker ID,Name,E-mail\nW-1,M\xfcller,a@acme.example\n", contractor.CSVLayout{}, `:2:6: the byte 0xfc is not UTF-8; in Windows-1252, as Excel saves it, it is "ü": give --encoding windows-1252`},
		{"no text", "PK\x03\x04\x00\x00", contractor.CSVLayout{}, ":1:5: a NUL byte: this is no text"},
		{"empty", "", contractor.CSVLayout{}, "the file is empty; its first line must name the columns"},
		{"no address", "Worker ID,Name\n", contractor.CSVLayout{}, "no column is the e-mail address"},
		{"two columns for one field", "Worker ID,E-mail,Mail\n", contractor.CSVLayout{}, `the columns "E-mail" and "Mail" could both be email; say which with --column 'email=E-mail'`},
		{"a misspelt field", "Worker ID,E-mail\n", contractor.CSVLayout{Columns: map[string][]string{"endDte": {"Worker ID"}}}, `a record has no field "endDte" (did you mean "endDate"?)`},
		{"a misspelt column", "Worker ID,E-mail,Finish\n", contractor.CSVLayout{Columns: map[string][]string{"end": {"Finsh"}}}, `the file has no column "Finsh" for endDate (did you mean "Finish"?)`},
		{"a key that no column fills", "Worker ID,E-mail\n", contractor.CSVLayout{Key: "engagementId"}, "the key is engagementId, and no column fills it"},
		{"a delimiter of two characters", "Worker ID,E-mail\n", contractor.CSVLayout{Delimiter: ";;"}, `the delimiter ";;" is not one character`},
		{"an unknown encoding", "Worker ID,E-mail\n", contractor.CSVLayout{Encoding: "latin1"}, `the encoding "latin1" is not known`},
		{"a quote that is never closed", "Worker ID,E-mail\n\"W-1," + strings.Repeat("x", 3<<20), contractor.CSVLayout{}, "behind line 1: the record is longer than 1 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.imports(write(tt.text), func(c *intake.ImportConfig) { c.Layout = tt.layout })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want …%s…", err, tt.want)
			}
		})
	}
	if n := len(w.engagements()); n != 0 {
		t.Errorf("%d records were stored", n)
	}
	if _, err := w.imports("/dev/null", nil); err == nil || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("a device: %v", err)
	}
}

func TestImportReadsEncodings(t *testing.T) {
	for name, text := range map[string]string{
		"utf-8 with a mark": "\xef\xbb\xbfWorker ID,Last name,E-mail,End date\r\nW-1,Müller,a@acme.example,2099-12-31\r\n",
		"windows-1252":      "Worker ID,Last name,E-mail,End date\nW-1,M\xfcller,a@acme.example,2099-12-31\n",
		"utf-16":            "\xff\xfeW\x00o\x00r\x00k\x00e\x00r\x00I\x00D\x00\t\x00L\x00a\x00s\x00t\x00n\x00a\x00m\x00e\x00\t\x00M\x00a\x00i\x00l\x00\t\x00E\x00n\x00d\x00\n\x00W\x00-\x001\x00\t\x00M\x00\xfc\x00l\x00l\x00e\x00r\x00\t\x00a\x00@\x00a\x00c\x00m\x00e\x00.\x00e\x00x\x00a\x00m\x00p\x00l\x00e\x00\t\x002\x000\x009\x009\x00-\x001\x002\x00-\x003\x001\x00\n\x00",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			file := w.file()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := w.imported(file, func(c *intake.ImportConfig) {
				if name == "windows-1252" {
					c.Layout.Encoding = name
				}
			})
			if e := w.engagements()["W-1"]; e.Record.FamilyName != "Müller" {
				t.Errorf("the name is %q; %v", e.Record.FamilyName, r.Problems)
			}
		})
	}
}

// dying is a feed that fails for good at a record.
type dying struct {
	intake.Feed
	after int64
	n     atomic.Int64
	fail  error
}

func (d *dying) Put(ctx context.Context, r contractor.FeedRecord) (contractor.FeedResult, error) {
	if d.n.Add(1) > d.after {
		return contractor.FeedResult{}, d.fail
	}
	return d.Feed.Put(ctx, r)
}

func TestAnInterruptedImportGoesOn(t *testing.T) {
	w := newWorld(t)
	name := w.file(workers(200)...)
	broken := errors.New("the power is gone")
	_, err := w.imports(name, func(c *intake.ImportConfig) {
		c.Feed, c.Workers = &dying{Feed: w.feed(false), after: 120, fail: broken}, 4
	})
	if !errors.Is(err, broken) {
		t.Fatalf("error is %v", err)
	}
	first := len(w.engagements())
	if first == 0 || first > 120 {
		t.Fatalf("%d were stored", first)
	}
	again := &dying{Feed: w.feed(false), after: 1 << 40}
	r := w.imported(name, func(c *intake.ImportConfig) { c.Feed = again })
	if r.Resumed == 0 || len(w.engagements()) != 200 {
		t.Errorf("resumed behind line %d, %d are stored", r.Resumed, len(w.engagements()))
	}
	if n := int(again.n.Load()); n != 201-r.Resumed {
		t.Errorf("%d records went to the door, want those behind line %d", n, r.Resumed)
	}
	if len(w.journal("engagement.created")) != 200 || len(w.journal("engagement.replaced")) != 0 {
		t.Error("something was done twice")
	}
	if r := w.imported(name, nil); r.Resumed != 0 || r.Counts.Unchanged != 200 {
		t.Errorf("a finished import was gone on with: %+v", r)
	}
}

func TestAFullFileEndsWhoIsMissing(t *testing.T) {
	full := func(c *intake.ImportConfig) { c.Full = true }
	t.Run("within the guard", func(t *testing.T) {
		w := newWorld(t)
		w.acme.Guard = contractor.Guard{MaxEnds: 3}
		w.imported(w.file(workers(20)...), nil)
		w.live()
		dry := w.imported(w.file(workers(18)...), func(c *intake.ImportConfig) { c.Full, c.Dry = true, true })
		r := w.imported(w.file(workers(18)...), full)
		if r.Absent != 2 || r.Counts.Ended != 2 || r.Held != "" || dry.Absent != 2 || dry.Counts != r.Counts {
			t.Errorf("%+v\ndry %+v", r, dry)
		}
		if got := w.active(); len(got) != 18 || slices.Contains(got, "W-0019") {
			t.Errorf("active are %v", got)
		}
		ended := w.journal("engagement.ended")
		if len(ended) != 2 || ended[0].Reason != "the file of all contracts does not have it" || !strings.Contains(string(ended[0].Detail), `"absent":true`) {
			t.Errorf("the journal says %+v", ended)
		}
		t.Run("and who is back goes on", func(t *testing.T) {
			w.imported(w.file(workers(20)...), full)
			if got := w.active(); len(got) != 20 {
				t.Errorf("active are %v", got)
			}
		})
	})
	t.Run("beyond the guard everybody is held", func(t *testing.T) {
		w := newWorld(t)
		w.acme.Guard = contractor.Guard{MaxEnds: 3}
		w.imported(w.file(workers(20)...), nil)
		w.live()
		r := w.imported(w.file(workers(10)...), full)
		if r.Absent != 10 || r.Counts.Held != 10 || r.Counts.Ended != 0 || !strings.Contains(r.Held, "10 sudden ends within 24 hours, the guard allows 3") {
			t.Errorf("%+v", r)
		}
		holds, err := w.store.Holds(t.Context(), contractor.HoldQuery{})
		if err != nil || len(holds) != 10 {
			t.Fatalf("%d holds, %v", len(holds), err)
		}
		// The loop asks about the very change that is held.
		e := w.engagements()["W-0015"]
		h, err := w.store.AdmitEnd(t.Context(), contractor.EndRequest{Engagement: &e, Person: e.Person, Now: e.EndSetAt, Vendor: w.acme.Guard})
		if err != nil || h.State != contractor.HoldOpen {
			t.Errorf("the loop would be told %q, %v", h.State, err)
		}
		if r := w.imported(w.file(workers(10)...), full); r.Absent != 0 {
			t.Errorf("held ends were ended again: %+v", r)
		}
	})
	t.Run("a file in doubt ends nobody", func(t *testing.T) {
		w := newWorld(t)
		w.imported(w.file(workers(20)...), nil)
		w.live()
		bad := append(workers(18), "W-0019,Ann")
		r := w.imported(w.file(bad...), full)
		if r.Doubt == "" || r.Absent != 0 || len(w.active()) != 20 {
			t.Errorf("doubt %q, absent %d, active %d", r.Doubt, r.Absent, len(w.active()))
		}
		if r := w.imported(w.file(workers(0)...), full); r.Doubt == "" || len(w.active()) != 20 {
			t.Errorf("an empty file: doubt %q, active %d", r.Doubt, len(w.active()))
		}
		// A record that is refused is in the file all the same.
		refused := workers(20)
		refused[5] = strings.Replace(refused[5], "2099-12-31", "soon", 1)
		if r := w.imported(w.file(refused...), full); r.Doubt != "" || r.Counts.Refused != 1 || len(w.active()) != 20 {
			t.Errorf("%+v", r)
		}
	})
}

func TestTwoDoNotReadOneFeed(t *testing.T) {
	w := newWorld(t)
	if err := w.store.ClaimFeed(t.Context(), "acme", "somebody else", time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	_, err := w.imports(w.file(workers(1)...), nil)
	if err == nil || !strings.Contains(err.Error(), "the feed of acme is being read by somebody else") {
		t.Errorf("error is %v", err)
	}
	if err := w.store.ReleaseFeed(t.Context(), "acme", "somebody else"); err != nil {
		t.Fatal(err)
	}
	w.imported(w.file(workers(1)...), nil)
}
