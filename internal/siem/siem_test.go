package siem_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/db"
	"scimbridge/internal/siem"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// world is a store with a journal, and a runner on it.
type world struct {
	t      *testing.T
	path   string
	store  *db.Store
	sealer *audit.Sealer
	log    logBuffer
}

func newWorld(t *testing.T, events int) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "scimbridge.db")}
	s, err := db.Open(context.Background(), db.Config{Path: w.path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = s
	key, err := audit.MakeKey(w.path+".audit-key", "scimbridge/test", "")
	if err != nil {
		t.Fatal(err)
	}
	w.sealer = &audit.Sealer{Key: key, Last: w.path + ".audit-last"}
	w.journal(events)
	return w
}

// journal appends n events; each second one is a grant, the others carry an address.
func (w *world) journal(n int) {
	w.t.Helper()
	for i := range n {
		e := audit.Event{Kind: "grant.added", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done, Person: "p1", Vendor: "acme", Reason: "a \"quoted\" reason, with\nline end"}
		if i%2 == 1 {
			e.Kind, e.Personal = "engagement.created", json.RawMessage(`{"email":"wanda@acme.example"}`)
		}
		if err := w.store.AppendEvents(w.t.Context(), e); err != nil {
			w.t.Fatal(err)
		}
	}
}

// logBuffer is a log that several goroutines write to.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run runs a runner until the test, or stop, ends it.
func (w *world) run(settings siem.Settings) (r *siem.Runner, stop func()) {
	w.t.Helper()
	r, err := siem.New(siem.Config{
		Settings: settings, Store: w.store, Sealer: w.sealer, Logger: slog.New(slog.NewTextHandler(&w.log, nil)), Version: "1.2", Hostname: "bridge.example",
		Poll: 5 * time.Millisecond, MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return r, stop
}

// eventually waits until what is asked for is so.
func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatalf("%s: not within %s; log:\n%s", what, patience, w.log.String())
		}
	}
}

func (w *world) cursor(sink string) int64 {
	w.t.Helper()
	seq, _, err := w.store.ExportCursor(w.t.Context(), sink)
	if err != nil {
		w.t.Fatal(err)
	}
	return seq
}

// receiver is a webhook's other side. It takes a batch only if answer says 200, and what it takes must be signed.
type receiver struct {
	t      *testing.T
	secret []byte
	url    string

	mu     sync.Mutex
	answer func(n int, header http.Header) int // nil: 200
	calls  int
	events []map[string]any
	ids    []string
}

const testSecret = "0123456789abcdef0123456789abcdef"

func newReceiver(t *testing.T) (*receiver, *siem.Webhook) {
	t.Helper()
	rec := &receiver{t: t, secret: []byte(testSecret)}
	srv := httptest.NewServer(rec)
	t.Cleanup(srv.Close)
	rec.url = srv.URL
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return rec, &siem.Webhook{URL: srv.URL, SecretFile: file, Batch: 10}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	want := siem.Signature(r.secret, req.Header.Get("webhook-id"), req.Header.Get("webhook-timestamp"), body)
	if got := req.Header.Get("webhook-signature"); got != want {
		r.t.Errorf("signature %q, want %q", got, want)
	}
	if ct := req.Header.Get("Content-Type"); ct != "application/cloudevents-batch+json; charset=UTF-8" {
		r.t.Errorf("content type %q", ct)
	}
	var batch []map[string]any
	if err := json.Unmarshal(body, &batch); err != nil {
		r.t.Errorf("body: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	code := http.StatusOK
	if r.answer != nil {
		code = r.answer(len(batch), w.Header())
	}
	if code == http.StatusOK {
		r.events = append(r.events, batch...)
		r.ids = append(r.ids, req.Header.Get("webhook-id"))
	}
	w.WriteHeader(code)
}

// seqs are the events that were taken, by number; checkpoints are left out.
func (r *receiver) seqs() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []int
	for _, e := range r.events {
		if n, err := strconv.Atoi(e["id"].(string)); err == nil {
			list = append(list, n)
		}
	}
	return list
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i + 1
	}
	return list
}

func TestWebhook(t *testing.T) {
	t.Run("EveryEventArrivesInOrderAndOnceWhileAllGoesWell", func(t *testing.T) {
		w := newWorld(t, 25)
		rec, hook := newReceiver(t)
		r, _ := w.run(siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook}}})
		w.eventually("25 events", func() bool { return len(rec.seqs()) >= 25 })
		w.journal(5)
		w.eventually("the cursor", func() bool { return w.cursor("hook") == 30 })
		if got := rec.seqs(); !slices.Equal(got, upTo(30)) {
			t.Errorf("got %v", got)
		}
		w.eventually("the status", func() bool { st := r.Status()[0]; return st.Position == 30 && st.Sent == 30 && st.Error == "" })
		e := rec.events[1]
		want := map[string]any{"specversion": "1.0", "id": "2", "source": "scimbridge/test", "type": "scimbridge.engagement.created",
			"subject": "person/p1", "datacontenttype": "application/json", "sequence": "00000000000000000002"}
		for k, v := range want {
			if e[k] != v {
				t.Errorf("%s is %v, want %v", k, e[k], v)
			}
		}
		data, _ := json.Marshal(e["data"])
		if strings.Contains(string(data), "wanda") || !strings.Contains(string(data), `"hash":"`) {
			t.Errorf("data %s", data)
		}
	})
	t.Run("PersonalFieldsAreSentWhereTheSettingSaysSo", func(t *testing.T) {
		w := newWorld(t, 2)
		rec, hook := newReceiver(t)
		w.run(siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook, Personal: true}}})
		w.eventually("2 events", func() bool { return len(rec.seqs()) >= 2 })
		if data, _ := json.Marshal(rec.events[1]["data"]); !strings.Contains(string(data), `"personal":{"email":"wanda@acme.example"}`) {
			t.Errorf("data %s", data)
		}
	})
	t.Run("OnlyTheKindsAskedForAreSent", func(t *testing.T) {
		w := newWorld(t, 10)
		rec, hook := newReceiver(t)
		w.run(siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook, Kinds: []string{"grant."}}}})
		w.eventually("the cursor", func() bool { return w.cursor("hook") == 10 })
		if got := rec.seqs(); !slices.Equal(got, []int{1, 3, 5, 7, 9}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("ANewSinkMayBeginNow", func(t *testing.T) {
		w := newWorld(t, 10)
		rec, hook := newReceiver(t)
		w.run(siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook, From: "now"}}})
		w.eventually("the cursor", func() bool { return w.cursor("hook") == 10 })
		w.journal(1)
		w.eventually("an event", func() bool { return len(rec.seqs()) > 0 })
		if got := rec.seqs(); !slices.Equal(got, []int{11}) {
			t.Errorf("got %v", got)
		}
	})
	for _, code := range []int{500, 503, 429, 400, 401, 302} {
		t.Run(fmt.Sprintf("NothingIsLostByAnswer%d", code), func(t *testing.T) {
			w := newWorld(t, 25)
			rec, hook := newReceiver(t)
			rec.answer = func(int, http.Header) int {
				if rec.calls <= 3 {
					return code
				}
				return http.StatusOK
			}
			w.run(siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook}}})
			w.eventually("the cursor", func() bool { return w.cursor("hook") == 25 })
			if got := rec.seqs(); !slices.Equal(got, upTo(25)) {
				t.Errorf("got %v", got)
			}
			if log := w.log.String(); !strings.Contains(log, "does not take the journal") || !strings.Contains(log, "takes the journal again") || strings.Contains(log, testSecret) {
				t.Errorf("log:\n%s", log)
			}
		})
	}
	t.Run("ABatchThatIsTooLargeIsSentInParts", func(t *testing.T) {
		w := newWorld(t, 25)
		rec, hook := newReceiver(t)
		rec.answer = func(n int, _ http.Header) int {
			if n > 3 {
				return http.StatusRequestEntityTooLarge
			}
			return http.StatusOK
		}
		w.run(siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook}}})
		w.eventually("the cursor", func() bool { return w.cursor("hook") == 25 })
		if got := rec.seqs(); !slices.Equal(got, upTo(25)) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("AnAnswerThatWasLostBringsTheSameBatchWithTheSameId", func(t *testing.T) {
		w := newWorld(t, 10)
		rec, hook := newReceiver(t)
		var taken []string
		lossy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			taken = append(taken, req.Header.Get("webhook-id"))
			if len(taken) == 1 { // taken, but the answer does not arrive
				if c, _, err := rw.(http.Hijacker).Hijack(); err == nil {
					_ = c.Close()
				}
				return
			}
			rec.ServeHTTP(rw, req)
		}))
		t.Cleanup(lossy.Close)
		hook.URL = lossy.URL
		_, stop := w.run(siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook}}})
		w.eventually("the cursor", func() bool { return w.cursor("hook") == 10 })
		stop()
		if len(taken) != 2 || taken[0] != taken[1] {
			t.Errorf("ids %v", taken)
		}
	})
	t.Run("ARestartGoesOnWhereItStopped", func(t *testing.T) {
		w := newWorld(t, 10)
		rec, hook := newReceiver(t)
		settings := siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook}}}
		_, stop := w.run(settings)
		w.eventually("the cursor", func() bool { return w.cursor("hook") == 10 })
		stop()
		w.journal(7)
		w.run(settings)
		w.eventually("the cursor", func() bool { return w.cursor("hook") == 17 })
		if got := rec.seqs(); !slices.Equal(got, upTo(17)) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("ACheckpointArrivesAndHoldsAgainstTheJournal", func(t *testing.T) {
		w := newWorld(t, 10)
		rec, hook := newReceiver(t)
		w.run(siem.Settings{Export: []siem.Sink{{Name: "hook", Webhook: hook, Checkpoints: true}}})
		var note string
		w.eventually("a checkpoint", func() bool {
			rec.mu.Lock()
			defer rec.mu.Unlock()
			for _, e := range rec.events {
				if e["type"] == "scimbridge.checkpoint" {
					note = e["data"].(map[string]any)["note"].(string)
				}
			}
			return note != ""
		})
		w.holds([]byte(note), 10)
	})
}

// holds checks a checkpoint that arrived against the journal, as an auditor does.
func (w *world) holds(note []byte, size int64) {
	w.t.Helper()
	v, err := w.sealer.Key.Verifier()
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := audit.OpenCheckpoint(note, v)
	if err != nil {
		w.t.Fatalf("%v in %q", err, note)
	}
	report, err := w.store.VerifyTrail(w.t.Context(), []audit.KnownCheckpoint{{SignedCheckpoint: c, Source: "the SIEM", Kept: true}}, nil)
	if err != nil || report.Covered != size {
		w.t.Errorf("%+v, %v", report, err)
	}
}

func TestFile(t *testing.T) {
	read := func(path string) []int {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		var seqs []int
		for line := range strings.Lines(string(b)) {
			var e struct{ Seq int }
			if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &e) == nil {
				seqs = append(seqs, e.Seq)
			}
		}
		return seqs
	}
	w := newWorld(t, 600)
	path := filepath.Join(t.TempDir(), "events.jsonl")
	settings := siem.Settings{Export: []siem.Sink{{Name: "lines", File: &siem.File{Path: path}}}}
	_, stop := w.run(settings)
	w.eventually("600 lines", func() bool { return w.cursor("lines") == 600 })
	if got := read(path); !slices.Equal(got, upTo(600)) {
		t.Errorf("got %v", got)
	}
	t.Run("ARotatedFileIsMadeAnew", func(t *testing.T) {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		w.journal(1)
		w.eventually("a line", func() bool { return w.cursor("lines") == 601 })
		if got := read(path); !slices.Equal(got, []int{601}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("ATornLineIsEnded", func(t *testing.T) {
		stop()
		if err := os.WriteFile(path, []byte(`{"seq":602,"ti`), 0o600); err != nil {
			t.Fatal(err)
		}
		w.journal(1)
		w.run(settings)
		w.eventually("a line", func() bool { return w.cursor("lines") == 602 })
		if got := read(path); !slices.Equal(got, []int{602}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestCheckpointFile(t *testing.T) {
	w := newWorld(t, 10)
	path := filepath.Join(t.TempDir(), "checkpoints")
	settings := siem.Settings{Checkpoints: siem.Checkpoints{File: path}}
	_, stop := w.run(settings)
	w.eventually("a checkpoint", func() bool { _, err := os.Stat(path); return err == nil })
	w.journal(5)
	stop() // signs once more
	notes := func() [][]byte {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		list, err := audit.SplitNotes(b)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if list := notes(); len(list) != 2 {
		t.Fatalf("%d checkpoints", len(list))
	}
	w.holds(notes()[0], 10)
	w.holds(notes()[1], 15)

	t.Run("NothingNewIsNotSignedAgain", func(t *testing.T) {
		_, stop := w.run(settings)
		stop()
		if list := notes(); len(list) != 2 {
			t.Errorf("%d checkpoints", len(list))
		}
	})
	t.Run("AJournalThatDoesNotContinueItIsTold", func(t *testing.T) {
		other := newWorld(t, 20) // another history, signed by the same key
		if err := os.Remove(w.sealer.Last); err != nil {
			t.Fatal(err)
		}
		other.sealer = w.sealer
		_, stop := other.run(settings)
		other.eventually("the error", func() bool { return strings.Contains(other.log.String(), "does not continue") })
		stop()
		if list := notes(); len(list) != 2 {
			t.Errorf("%d checkpoints", len(list))
		}
	})
}

func TestSettingsCheck(t *testing.T) {
	const remote = "203.0.113.9:514"
	for name, c := range map[string]struct {
		settings siem.Settings
		key      string // "" for none
	}{
		"Nothing":             {siem.Settings{}, ""},
		"Good":                {siem.Settings{Export: []siem.Sink{{Name: "a", Syslog: &siem.Syslog{Address: "x:6514"}, Personal: true, Checkpoints: true}}}, ""},
		"TooOften":            {siem.Settings{Checkpoints: siem.Checkpoints{Every: time.Second}}, "checkpoints.every"},
		"TooRarely":           {siem.Settings{Checkpoints: siem.Checkpoints{Every: 25 * time.Hour}}, "checkpoints.every"},
		"NoName":              {siem.Settings{Export: []siem.Sink{{File: &siem.File{Path: "x"}}}}, "export[0].name"},
		"BadName":             {siem.Settings{Export: []siem.Sink{{Name: "A b", File: &siem.File{Path: "x"}}}}, "export[0].name"},
		"SameName":            {siem.Settings{Export: []siem.Sink{{Name: "a", File: &siem.File{Path: "x"}}, {Name: "a", File: &siem.File{Path: "y"}}}}, "export[1].name"},
		"NoKindOfSink":        {siem.Settings{Export: []siem.Sink{{Name: "a"}}}, "export[0]"},
		"TwoKindsOfSink":      {siem.Settings{Export: []siem.Sink{{Name: "a", File: &siem.File{Path: "x"}, Syslog: &siem.Syslog{Address: "x:1"}}}}, "export[0]"},
		"NoPath":              {siem.Settings{Export: []siem.Sink{{Name: "a", File: &siem.File{}}}}, "export[0].file.path"},
		"FileCheckpoints":     {siem.Settings{Export: []siem.Sink{{Name: "a", Checkpoints: true, File: &siem.File{Path: "x"}}}}, "export[0].checkpoints"},
		"NoPort":              {siem.Settings{Export: []siem.Sink{{Name: "a", Syslog: &siem.Syslog{Address: "x"}}}}, "export[0].syslog.address"},
		"UnknownNetwork":      {siem.Settings{Export: []siem.Sink{{Name: "a", Syslog: &siem.Syslog{Address: "x:1", Network: "sctp"}}}}, "export[0].syslog.network"},
		"UnknownFormat":       {siem.Settings{Export: []siem.Sink{{Name: "a", Syslog: &siem.Syslog{Address: "x:1", Format: "leef"}}}}, "export[0].syslog.format"},
		"PersonalInTheClear":  {siem.Settings{Export: []siem.Sink{{Name: "a", Personal: true, Syslog: &siem.Syslog{Address: remote, Network: "tcp"}}}}, "export[0].syslog.network"},
		"CertificateForUDP":   {siem.Settings{Export: []siem.Sink{{Name: "a", Syslog: &siem.Syslog{Address: remote, Network: "udp", TLS: siem.TLS{CAFile: "x"}}}}}, "export[0].syslog"},
		"CertificateNoKey":    {siem.Settings{Export: []siem.Sink{{Name: "a", Syslog: &siem.Syslog{Address: remote, TLS: siem.TLS{CertFile: "x"}}}}}, "export[0].syslog.cert_file"},
		"PlainHTTP":           {siem.Settings{Export: []siem.Sink{{Name: "a", Webhook: &siem.Webhook{URL: "http://x.example", SecretFile: "s"}}}}, "export[0].webhook.url"},
		"PasswordInURL":       {siem.Settings{Export: []siem.Sink{{Name: "a", Webhook: &siem.Webhook{URL: "https://u:p@x.example", SecretFile: "s"}}}}, "export[0].webhook.url"},
		"NoURL":               {siem.Settings{Export: []siem.Sink{{Name: "a", Webhook: &siem.Webhook{SecretFile: "s"}}}}, "export[0].webhook.url"},
		"NoSecret":            {siem.Settings{Export: []siem.Sink{{Name: "a", Webhook: &siem.Webhook{URL: "https://x.example"}}}}, "export[0].webhook.secret_file"},
		"HugeBatch":           {siem.Settings{Export: []siem.Sink{{Name: "a", Webhook: &siem.Webhook{URL: "https://x.example", SecretFile: "s", Batch: 1001}}}}, "export[0].webhook.batch"},
		"UnknownBeginning":    {siem.Settings{Export: []siem.Sink{{Name: "a", From: "yesterday", File: &siem.File{Path: "x"}}}}, "export[0].from"},
		"AKindThatIsAPattern": {siem.Settings{Export: []siem.Sink{{Name: "a", Kinds: []string{"grant.*"}, File: &siem.File{Path: "x"}}}}, "export[0].kinds[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			problems := c.settings.Check()
			if c.key == "" {
				if len(problems) > 0 {
					t.Errorf("got %v", problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Key != c.key || problems[0].Message == "" {
				t.Errorf("got %v, want one at %s", problems, c.key)
			}
		})
	}
}

func TestPathsAreAll(t *testing.T) {
	s := siem.Settings{Checkpoints: siem.Checkpoints{File: "p"}, Export: []siem.Sink{
		{File: &siem.File{Path: "p"}},
		{Syslog: &siem.Syslog{TLS: siem.TLS{CAFile: "p", CertFile: "p", KeyFile: "p"}}},
		{Webhook: &siem.Webhook{SecretFile: "p", TLS: siem.TLS{CAFile: "p", CertFile: "p", KeyFile: "p"}}},
	}}
	for _, p := range s.Paths() {
		*p = "q"
	}
	b, err := json.Marshal(s)
	if err != nil || strings.Contains(string(b), `"p"`) || strings.Count(string(b), `"q"`) != 9 {
		t.Errorf("%s, %v", b, err)
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t, 0)
	good := siem.Config{Store: w.store, Sealer: w.sealer, Logger: slog.New(slog.DiscardHandler)}
	short := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*siem.Config){
		"NoStore":       func(c *siem.Config) { c.Store = nil },
		"NoSealer":      func(c *siem.Config) { c.Sealer = nil },
		"NoLogger":      func(c *siem.Config) { c.Logger = nil },
		"WrongSettings": func(c *siem.Config) { c.Settings.Checkpoints.Every = 1 },
		"AShortSecret": func(c *siem.Config) {
			c.Settings.Export = []siem.Sink{{Name: "a", Webhook: &siem.Webhook{URL: "https://x.example", SecretFile: short}}}
		},
		"ACAThatIsNone": func(c *siem.Config) {
			c.Settings.Export = []siem.Sink{{Name: "a", Syslog: &siem.Syslog{Address: "x:1", TLS: siem.TLS{CAFile: short}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			edit(&c)
			if _, err := siem.New(c); err == nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := siem.New(good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// closeQuietly closes what a test is done with.
func closeQuietly(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
