package db_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// BenchmarkDisk is the physical limit of one commit for one fsync: 4 KiB appended and synced.
func BenchmarkDisk(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "x"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// heavyWorker is an engagement with a resource of about 1.5 KB, as a vendor's system sends it.
func heavyWorker(n int) contractor.Engagement {
	id := uuid.Must(uuid.NewV7()).String()
	now := time.Now().UTC().Truncate(time.Microsecond)
	e := contractor.Engagement{ID: id, Vendor: "acme", Version: 1, Created: now, Modified: now, EndSetAt: now}
	// A name of its own, in no order, as it comes with real people.
	name := hex.EncodeToString([]byte(fmt.Sprintf("%04x", uint16(n*40503)))) + fmt.Sprint(n)
	e.Record = contractor.Record{
		UserName: name + "@acme-consulting.example", ExternalID: "EXT-" + name, Email: name + "@acme-consulting.example", Active: true,
		GivenName: "Annabel", FamilyName: "Featherstonehaugh", DisplayName: "Annabel Featherstonehaugh", Title: "Senior Software Engineer",
		UserType: "contractor", Locale: "de-DE", Phone: "+49 30 1234567", City: "Berlin", Department: "Platform Engineering",
		Organization: "ACME Consulting GmbH", CostCenter: "CC-4711", WorkerID: "W" + name, StartDate: "2026-12-01", EndDate: "2027-05-31",
		TimeZone: "Europe/Berlin", Supplier: "ACME Consulting", SponsorEmail: "sponsor@contoso.example", Country: "DE",
	}
	r := &e.Record
	e.Resource, _ = json.Marshal(map[string]any{
		"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", contractor.ExtensionURN},
		"userName": r.UserName, "externalId": r.ExternalID, "active": true, "displayName": r.DisplayName, "title": r.Title, "userType": r.UserType,
		"locale": r.Locale, "timezone": r.TimeZone, "preferredLanguage": "de-DE",
		"name":         map[string]any{"givenName": r.GivenName, "familyName": r.FamilyName, "formatted": r.DisplayName},
		"emails":       []any{map[string]any{"value": r.Email, "type": "work", "primary": true}},
		"phoneNumbers": []any{map[string]any{"value": r.Phone, "type": "work"}},
		"addresses":    []any{map[string]any{"type": "work", "locality": "Berlin", "country": "DE", "streetAddress": "Unter den Linden 1", "postalCode": "10117"}},
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"employeeNumber": r.WorkerID, "organization": r.Organization,
			"department": r.Department, "costCenter": r.CostCenter, "manager": map[string]any{"value": "26118915-6090-4610-87e4-49d8ca9f808d", "displayName": "Max Mustermann"}},
		contractor.ExtensionURN: map[string]any{"workerId": r.WorkerID, "engagementId": "ENG-" + name, "startDate": r.StartDate, "endDate": r.EndDate,
			"supplier": r.Supplier, "sponsorEmail": r.SponsorEmail, "country": r.Country, "purchaseOrder": "PO-2026-000123", "jobCode": "SWE-3", "site": "Berlin Mitte"},
	})
	return e
}

func heavyEvent(e contractor.Engagement) audit.Event {
	personal, _ := json.Marshal(map[string]string{"userName": e.Record.UserName, "email": e.Record.Email})
	return audit.Event{Kind: "engagement.created", Actor: audit.Actor{Kind: audit.ActorVendor, Name: "acme"}, Outcome: audit.Done,
		Reason: "the vendor sent a new engagement", Personal: personal}
}

// bare writes the rows that a create writes, with nothing around them: no look-up, no check, no chain, no encoding.
type bare struct {
	conn                                        *sql.Conn
	person, engagement, journal, personal, list *sql.Stmt
	seq                                         int64
}

func newBare(b *testing.B) *bare {
	path := filepath.Join(b.TempDir(), "bare.db")
	s, err := db.Open(b.Context(), db.Config{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	pool, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(1)&_pragma=wal_autocheckpoint(16000)&_pragma=cache_size(-32768)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = pool.Close() })
	conn, err := pool.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	w := &bare{conn: conn}
	prepare := func(query string) *sql.Stmt {
		stmt, err := conn.PrepareContext(context.Background(), query)
		if err != nil {
			b.Fatal(err)
		}
		return stmt
	}
	w.list = prepare(`INSERT INTO vendors (name, created, total, live, last_ord) VALUES ('acme', 1, 1, 1, 1)
		ON CONFLICT (name) DO UPDATE SET total = total + 1, live = live + 1, last_ord = last_ord + 1`)
	w.person = prepare(`INSERT INTO persons (id, email, email_key, created, next_at, urgent) VALUES (?, ?, ?, ?, ?, 0)`)
	w.engagement = prepare(`INSERT INTO engagements (id, vendor, ord, person, user_key, external_id, email_key, worker_id, end_date, active,
		version, created, modified, end_set_at, standing, record, resource) VALUES (?, 'acme', ?, ?, ?, ?, ?, ?, ?, 1, 1, ?, ?, ?, '{}', ?, ?)`)
	w.journal = prepare(`INSERT INTO journal (seq, time, kind, person, engagement, vendor, hash, leaf) VALUES (?, ?, 'engagement.created', ?, ?, 'acme', ?, ?)`)
	w.personal = prepare(`INSERT INTO journal_personal (seq, person, salt, fields) VALUES (?, ?, ?, ?)`)
	return w
}

// bareRow is all that is bound, ready.
type bareRow struct {
	e            contractor.Engagement
	person       string
	record, leaf string
	fields       string
	hash, salt   []byte
	done         chan error
}

func newBareRow(n int) *bareRow {
	e := heavyWorker(n)
	record, _ := json.Marshal(e.Record)
	event := heavyEvent(e)
	event.Person, event.Engagement, event.Vendor = uuid.NewString(), e.ID, e.Vendor
	leaf, _ := event.Leaf()
	hash := sha256.Sum256(leaf)
	salt := make([]byte, 16)
	rand.Read(salt)
	return &bareRow{e: e, person: uuid.Must(uuid.NewV7()).String(), record: string(record), leaf: string(leaf), fields: string(event.Personal), hash: hash[:], salt: salt, done: make(chan error, 1)}
}

func (w *bare) exec(query string) error {
	_, err := w.conn.ExecContext(context.Background(), query)
	return err
}

func (w *bare) write(r *bareRow) error {
	w.seq++
	at := r.e.Created.UnixMicro()
	for _, step := range []struct {
		stmt *sql.Stmt
		args []any
	}{
		{w.list, nil},
		{w.person, []any{r.person, r.e.Record.Email, r.e.Record.Email, at, at}},
		{w.engagement, []any{r.e.ID, w.seq, r.person, r.e.Record.UserName, r.e.Record.ExternalID, r.e.Record.Email, r.e.Record.WorkerID, r.e.Record.EndDate, at, at, at, r.record, string(r.e.Resource)}},
		{w.journal, []any{w.seq, at, r.person, r.e.ID, r.hash, r.leaf}},
		{w.personal, []any{w.seq, r.person, r.salt, r.fields}},
	} {
		if _, err := step.stmt.ExecContext(context.Background(), step.args...); err != nil {
			return err
		}
	}
	return nil
}

// latencies gathers how long calls took, and reports the rate and the tail.
type latencies struct {
	mu   sync.Mutex
	each []time.Duration
}

func (l *latencies) add(d []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.each = append(l.each, d...)
}

func (l *latencies) report(b *testing.B) {
	b.ReportMetric(float64(len(l.each))/b.Elapsed().Seconds(), "ops/s")
	slices.Sort(l.each)
	if len(l.each) > 0 {
		b.ReportMetric(float64(l.each[len(l.each)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(l.each[len(l.each)*99/100].Microseconds())/1000, "p99-ms")
	}
}

// concurrently shares b.N calls among clients that each wait for the answer before they call again.
func concurrently(b *testing.B, clients int, call func(n int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	var l latencies
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			var mine []time.Duration
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					break
				}
				start := time.Now()
				if err := call(int(n)); err != nil {
					b.Error(err)
					break
				}
				mine = append(mine, time.Since(start))
			}
			l.add(mine)
		})
	}
	wg.Wait()
	b.StopTimer()
	l.report(b)
}

// BenchmarkBareSingle is the ceiling for one client: the same rows, one transaction each.
func BenchmarkBareSingle(b *testing.B) {
	w := newBare(b)
	rows := make([]*bareRow, b.N)
	for n := range rows {
		rows[n] = newBareRow(n)
	}
	concurrently(b, 1, func(n int) error {
		if err := w.exec("BEGIN IMMEDIATE"); err != nil {
			return err
		}
		if err := w.write(rows[n-1]); err != nil {
			return err
		}
		return w.exec("COMMIT")
	})
}

// BenchmarkBareGroup is the ceiling for many: the same rows, written by one goroutine that commits what waits.
func BenchmarkBareGroup(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			w := newBare(b)
			rows := make([]*bareRow, b.N)
			for n := range rows {
				rows[n] = newBareRow(n)
			}
			queue := make(chan *bareRow, 1024)
			go func() {
				for first := range queue {
					batch := []*bareRow{first}
				more:
					for len(batch) < 128 {
						select {
						case r := <-queue:
							batch = append(batch, r)
						default:
							break more
						}
					}
					err := w.exec("BEGIN IMMEDIATE")
					for _, r := range batch {
						if err == nil {
							err = w.write(r)
						}
					}
					if err == nil {
						err = w.exec("COMMIT")
					}
					for _, r := range batch {
						r.done <- err
					}
				}
			}()
			concurrently(b, clients, func(n int) error {
				queue <- rows[n-1]
				return <-rows[n-1].done
			})
			close(queue)
		})
	}
}

// BenchmarkCreate is a durable create through the store: look-ups, checks, encoding and the chain included.
func BenchmarkCreate(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			s := openSQLite(b)
			rows := make([]contractor.Engagement, b.N)
			events := make([]audit.Event, b.N)
			for n := range rows {
				rows[n] = heavyWorker(n)
				events[n] = heavyEvent(rows[n])
			}
			concurrently(b, clients, func(n int) error {
				_, err := s.Create(b.Context(), rows[n-1], 0, events[n-1])
				return err
			})
		})
	}
}

// big is a store with n engagements of one vendor, every thirtieth of them a tombstone.
func big(b *testing.B, n int) (*db.Store, []contractor.Engagement) {
	s := openSQLite(b)
	list := make([]contractor.Engagement, n)
	var wg sync.WaitGroup
	for client := range 64 {
		wg.Go(func() {
			for i := client; i < n; i += 64 {
				e := heavyWorker(i)
				e, err := s.Create(context.Background(), e, 0, heavyEvent(e))
				if err == nil && i%30 == 0 {
					err = s.Delete(context.Background(), "acme", e.ID, 0, e.Created, event("engagement.deleted"))
				}
				if err != nil {
					b.Error(err)
					return
				}
				list[i] = e
			}
		})
	}
	wg.Wait()
	return s, list
}

// benchRows is how many engagements BenchmarkRead reads from: SCIMBRIDGE_BENCH_ROWS, or 100,000.
func benchRows(b *testing.B) int {
	text, ok := os.LookupEnv("SCIMBRIDGE_BENCH_ROWS")
	if !ok {
		return 100_000
	}
	rows, err := strconv.Atoi(text)
	if err != nil || rows < 1000 {
		b.Fatalf("SCIMBRIDGE_BENCH_ROWS is %q; give a number from 1000", text)
	}
	return rows
}

func BenchmarkRead(b *testing.B) {
	rows := benchRows(b)
	s, list := big(b, rows)
	at := func(n int) contractor.Engagement {
		i := n * 7919 % rows
		if i%30 == 0 { // a tombstone
			i++
		}
		return list[i]
	}
	first := func(page contractor.Page, err error) error {
		if err == nil && len(page.Items) == 0 {
			err = fmt.Errorf("an empty page")
		}
		return err
	}
	find := func(a contractor.Attr, value func(contractor.Engagement) string) func(int) error {
		return func(n int) error {
			return first(s.List(b.Context(), contractor.Query{Vendor: "acme", Count: 100,
				Where: contractor.Compare{Attr: a, Op: contractor.OpEq, Value: value(at(n))}}))
		}
	}
	str := contractor.TypeString
	token := addToken(b, s, "acme", "a", time.Time{})
	active := contractor.Compare{Attr: contractor.Attr{Path: []string{"active"}, Type: contractor.TypeBoolean}, Op: contractor.OpEq, Value: true}
	title := contractor.Compare{Attr: contractor.Attr{Path: []string{"title"}, Type: str}, Op: contractor.OpCo, Value: "engineer"}
	name := contractor.Attr{Path: []string{"userName"}, Type: str}
	walk := func(q contractor.Query) func(int) error {
		cursor := ""
		return func(int) error {
			q.Cursor = cursor
			page, err := s.List(b.Context(), q)
			cursor = page.Next
			return first(page, err)
		}
	}
	for _, c := range []struct {
		name    string
		clients int
		call    func(n int) error
	}{
		{"authenticate", 1, func(n int) error {
			_, err := s.Authenticate(b.Context(), token.Hash, time.Now())
			return err
		}},
		{"get", 1, func(n int) error { _, err := s.Get(b.Context(), "acme", at(n).ID); return err }},
		{"get/64", 64, func(n int) error { _, err := s.Get(b.Context(), "acme", at(n).ID); return err }},
		{"userName", 1, find(name, func(e contractor.Engagement) string { return e.Record.UserName })},
		{"userName/64", 64, find(name, func(e contractor.Engagement) string { return e.Record.UserName })},
		{"externalId", 1, find(contractor.Attr{Path: []string{"externalId"}, Type: str, CaseExact: true}, func(e contractor.Engagement) string { return e.Record.ExternalID })},
		{"emails", 1, find(contractor.Attr{Path: []string{"emails", "value"}, Type: str, Multi: true}, func(e contractor.Engagement) string { return e.Record.Email })},
		{"page/first", 1, func(int) error { return first(s.List(b.Context(), contractor.Query{Vendor: "acme", Count: 100})) }},
		{"page/cursor", 1, walk(contractor.Query{Vendor: "acme", Count: 100, UseCursor: true})},
		{"page/offset", 1, func(n int) error {
			return first(s.List(b.Context(), contractor.Query{Vendor: "acme", Count: 100, Start: rows/2 + n%(rows/4)}))
		}},
		{"page/active", 1, func(int) error {
			return first(s.List(b.Context(), contractor.Query{Vendor: "acme", Count: 100, Where: active}))
		}},
		{"page/active/cursor", 1, walk(contractor.Query{Vendor: "acme", Count: 100, Where: active, UseCursor: true})},
		{"page/sorted/cursor", 1, walk(contractor.Query{Vendor: "acme", Count: 100, SortBy: &name, UseCursor: true})},
		{"page/title", 1, func(int) error {
			return first(s.List(b.Context(), contractor.Query{Vendor: "acme", Count: 100, Where: title}))
		}},
		{"total/title", 1, func(int) error {
			_, err := s.List(b.Context(), contractor.Query{Vendor: "acme", Where: title})
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			concurrently(b, c.clients, c.call)
		})
	}
}

// BenchmarkUpdate is a durable PATCH of active by 64 clients, each on records of its own.
func BenchmarkUpdate(b *testing.B) {
	s := openSQLite(b)
	list := make([]contractor.Engagement, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				e := heavyWorker(int(i))
				e, err := s.Create(context.Background(), e, 0, heavyEvent(e))
				if err != nil {
					b.Error(err)
					return
				}
				e.Record.Active = false
				list[i] = e
			}
		})
	}
	wg.Wait()
	concurrently(b, 64, func(n int) error {
		_, err := s.Update(b.Context(), list[n-1], event("engagement.updated"))
		return err
	})
}

// BenchmarkPeople reads everybody, as a plan does.
func BenchmarkPeople(b *testing.B) {
	const rows = 20_000
	s, _ := big(b, rows)
	for b.Loop() {
		n := 0
		for _, err := range s.People(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != rows {
			b.Fatalf("%d people", n)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "people/s")
}

// BenchmarkVerify walks a journal of 200,000 events with personal fields.
func BenchmarkVerify(b *testing.B) {
	const events = 200_000
	s := openSQLite(b)
	batch := make([]audit.Event, 1000)
	for i := range batch {
		batch[i] = heavyEvent(contractor.Engagement{Record: contractor.Record{UserName: "ann", Email: "ann@acme.example"}})
	}
	for range events / len(batch) {
		if err := s.AppendEvents(b.Context(), batch...); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if count, _, err := s.VerifyJournal(b.Context()); err != nil || count != events {
			b.Fatal(count, err)
		}
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
