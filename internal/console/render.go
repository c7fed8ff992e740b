package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

//go:embed templates static
var files embed.FS

// pages are the parsed templates, each with the frame around it.
type pages struct {
	byName map[string]*template.Template
	files  fs.FS
}

func parsePages() (*pages, error) {
	frame, err := template.New("frame").Funcs(words()).ParseFS(files, "templates/frame.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	p := &pages{byName: map[string]*template.Template{}}
	for _, file := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")
		if name == "frame" || name == "parts" {
			continue
		}
		t, err := frame.Clone()
		if err == nil {
			t, err = t.ParseFS(files, file)
		}
		if err != nil {
			return nil, err
		}
		p.byName[name] = t
	}
	p.files, err = fs.Sub(files, "static")
	return p, err
}

// static serves the style, the script and the icon. They are small and revalidated, so that an update is seen at once.
func (p *pages) static() http.Handler {
	return http.StripPrefix("/static/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		http.ServeFileFS(w, r, p.files, r.URL.Path) //nolint:gosec // the files are embedded: there is nothing beside them
	}))
}

// view is what a template gets.
type frameView struct {
	Title   string
	Nav     string // the page's name, which the frame marks
	Session *session
	Now     time.Time
	Notice  string
	Waiting int // holds and people that wait for a decision
	Alarms  int
	Trouble bool
	Path    string
	Body    any
}

// counts are what the frame shows on every page, read at most every few seconds.
type counts struct {
	mu              sync.Mutex
	at              time.Time
	waiting, alarms int
	trouble         bool
}

const countsAge = 3 * time.Second

func (c *Console) frameCounts(ctx context.Context, f *frameView) {
	c.counts.mu.Lock()
	defer c.counts.mu.Unlock()
	if f.Now.Sub(c.counts.at) > countsAge {
		// A count that cannot be read stays as it was: the page itself tells what is wrong.
		if holds, err := c.store.HoldCounts(ctx); err == nil {
			c.counts.waiting = 0
			for _, h := range holds {
				c.counts.waiting += h.Open
			}
		}
		if alarms, err := c.store.OpenAlarms(ctx); err == nil {
			c.counts.alarms = 0
			for _, n := range alarms {
				c.counts.alarms += n
			}
		}
		if st, err := c.bridge.Status(ctx); err == nil {
			c.counts.trouble = len(st.Trouble) > 0
		}
		c.counts.at = f.Now
	}
	f.Waiting, f.Alarms, f.Trouble = c.counts.waiting, c.counts.alarms, c.counts.trouble
}

// show renders a page whole before a byte of it is sent.
func (c *Console) show(w http.ResponseWriter, r *http.Request, s *session, status int, name, title string, body any) {
	f := &frameView{Title: title, Nav: name, Session: s, Now: time.Now().UTC(), Path: r.URL.RequestURI(), Body: body}
	if s != nil {
		c.frameCounts(r.Context(), f)
		if r.Header.Get(liveHeader) == "" {
			f.Notice = s.told()
		}
	}
	var b bytes.Buffer
	if err := c.pages.byName[name].ExecuteTemplate(&b, "frame", f); err != nil {
		c.log.Error("a page cannot be rendered", "page", name, "error", err)
		http.Error(w, "This page cannot be shown; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the reader is gone: nobody to tell
}

// page renders a page for a session.
func (c *Console) page(w http.ResponseWriter, r *http.Request, s *session, name, title string, body any) error {
	c.show(w, r, s, http.StatusOK, name, title, body)
	return nil
}

type failView struct {
	Status  int
	Message string
	SignIn  bool
}

func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) { c.failFor(w, r, nil, err) }

// failFor is the one place where errors become answers. The cause is for the log alone.
func (c *Console) failFor(w http.ResponseWriter, r *http.Request, s *session, err error) {
	status, message := http.StatusInternalServerError, "This did not work; the daemon's log says why."
	var ce *contractor.Error
	switch {
	case errors.As(err, &ce):
		status, message = statusOf(ce.Code), sentence(ce.Message)
		if ce.Cause != nil {
			c.log.Error("a page of the console failed", "path", r.URL.Path, "error", err)
		}
	case errors.Is(err, context.Canceled):
		return // the reader left
	case errors.Is(err, context.DeadlineExceeded):
		status, message = http.StatusServiceUnavailable, "The database did not answer in time. Try again, or narrow the search."
	default:
		c.log.Error("a page of the console failed", "path", r.URL.Path, "error", err)
	}
	c.show(w, r, s, status, "fail", http.StatusText(status), failView{status, message, status == http.StatusUnauthorized})
}

func statusOf(code contractor.Code) int {
	switch code {
	case contractor.CodeInvalid:
		return http.StatusBadRequest
	case contractor.CodeNotFound:
		return http.StatusNotFound
	case contractor.CodeConflict, contractor.CodeVersion:
		return http.StatusConflict
	case contractor.CodeForbidden, contractor.CodeQuota:
		return http.StatusForbidden
	case contractor.CodeUnauthorized:
		return http.StatusUnauthorized
	case contractor.CodeTooMany:
		return http.StatusTooManyRequests
	case contractor.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case contractor.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// sentence begins with a capital letter and ends with a stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "…") {
		s += "."
	}
	return s
}

// words are the templates' functions.
func words() template.FuncMap {
	return template.FuncMap{
		"at":       func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"second":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"day":      func(t time.Time) string { return t.UTC().Format("2006-01-02") },
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"rel":      relative,
		"span":     lasting,
		"lasting":  contractor.Lasting,
		"short":    func(s string) string { return s[:min(len(s), 12)] },
		"tail":     func(s string) string { return s[max(0, len(s)-8):] },
		"num":      groupedAny,
		"plural":   plural,
		"sentence": sentence,
		"percent":  func(x float64) string { return fmt.Sprintf("%.3f%%", x*100) },
		"inc":      func(n int) int { return n + 1 },
		"text":     func(v any) string { return fmt.Sprint(v) },
		"bare":     bare,
		"list":     func(words ...string) []string { return words },
		"link":     newNavLink,
		"label":    func(v any) string { return strings.ReplaceAll(fmt.Sprint(v), "_", " ") },
	}
}

// navLink is one line of the frame's navigation.
type navLink struct {
	URL, Label, Key string
	Here            bool
	Count           int
}

// newNavLink makes a line; pages are the names of the pages that belong to it, here is the one that is shown.
func newNavLink(url, label, pages, here string, count int, key string) navLink {
	return navLink{url, label, key, slices.Contains(strings.Fields(pages), here), count}
}

// bare is an entitlement without its id, "group/ext-base": the event's own page has the id.
func bare(entitlement string) string {
	name, _, _ := strings.Cut(entitlement, " (")
	return name
}

// relative says how far t is from now: "in 3 d", "2 h ago".
func relative(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := t.Sub(now)
	if d < 0 {
		if d > -time.Second {
			return "now"
		}
		return lasting(-d) + " ago"
	}
	return "in " + lasting(d)
}

// lasting writes a length of time in its largest unit, rounded down.
func lasting(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return grouped(int(d/day)) + " d"
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", max(0, d)/time.Second)
}

// grouped writes a number with thin spaces between its thousands.
func grouped[N int | int64](n N) string {
	s := fmt.Sprint(n)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(r)
	}
	if neg {
		return "-" + b.String()
	}
	return b.String()
}

// groupedAny is grouped for templates, which know no type parameters.
func groupedAny(n any) string {
	switch n := n.(type) {
	case int:
		return grouped(n)
	case int64:
		return grouped(n)
	}
	return fmt.Sprint(n)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if before, ok := strings.CutSuffix(one, "person"); ok {
		return grouped(n) + " " + before + "people"
	}
	return grouped(n) + " " + one + "s"
}
