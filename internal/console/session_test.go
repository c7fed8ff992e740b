package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"scimbridge/internal/contractor"
)

func (l *sessions) with(value string, now time.Time) *session {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookiePlain+"="+value)
	return l.of(r, now)
}

func TestSessionsEnd(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	l := newSessions()
	_, idle := l.begin("ann", []Role{Viewer}, "link", now)
	_, busy := l.begin("bo", []Role{Viewer}, "link", now)
	for d := time.Duration(0); d < sessionLife; d += 30 * time.Minute {
		if l.with(busy, now.Add(d)) == nil {
			t.Fatalf("a session in use ended after %v", d)
		}
	}
	if l.with(idle, now.Add(sessionIdle+time.Second)) != nil {
		t.Error("a session that nobody uses lives on")
	}
	if l.with(busy, now.Add(sessionLife+time.Second)) != nil {
		t.Error("a session lives longer than a day's work")
	}
	if l.with("made up", now) != nil {
		t.Error("a made-up cookie is a session")
	}
}

func TestLiveUpdatesKeepNobodySignedIn(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	l := newSessions()
	_, value := l.begin("ann", []Role{Viewer}, "link", now)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookiePlain+"="+value)
	r.Header.Set(liveHeader, "1")
	if l.of(r, now.Add(sessionIdle-time.Minute)) == nil {
		t.Fatal("the session ended early")
	}
	if l.of(r, now.Add(sessionIdle+time.Minute)) != nil {
		t.Error("a page that refreshes itself kept its reader signed in")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	l := newSessions()
	_, first := l.begin("ann", []Role{Viewer}, "link", now)
	for i := range maxPerPerson {
		l.begin("ann", []Role{Viewer}, "link", now.Add(time.Duration(i+1)*time.Second))
	}
	if len(l.live) != maxPerPerson || l.with(first, now.Add(time.Minute)) != nil {
		t.Errorf("one person has %d sessions", len(l.live))
	}
	for i := range maxSessions + 5 {
		l.begin(fmt.Sprint("p", i), []Role{Viewer}, "link", now.Add(time.Minute))
	}
	if len(l.live) > maxSessions {
		t.Errorf("%d sessions live", len(l.live))
	}
}

func TestLinks(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	l := newOneTime[link](maxLinks)
	for i := range maxLinks {
		if !l.add(keyOf(fmt.Sprint(i)), link{"ann", []Role{Viewer}}, now.Add(linkLife), now) {
			t.Fatalf("link %d was refused", i)
		}
	}
	if l.add(keyOf("more"), link{}, now.Add(linkLife), now) {
		t.Error("more links than allowed wait")
	}
	if _, ok := l.take(keyOf("1"), now); !ok {
		t.Error("a link does not work")
	}
	if _, ok := l.take(keyOf("1"), now); ok {
		t.Error("a link works twice")
	}
	if _, ok := l.take(keyOf("2"), now.Add(linkLife+time.Second)); ok {
		t.Error("an old link works")
	}
	if !l.add(keyOf("more"), link{}, now.Add(2*linkLife), now.Add(linkLife+time.Second)) {
		t.Error("links that are over take room")
	}
}

func TestOwnPath(t *testing.T) {
	for to, want := range map[string]string{
		"": "/", "/": "/", "/holds?after=1": "/holds?after=1", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "/a\r\nb": "/", "javascript:alert(1)": "/",
	} {
		if got := ownPath(to); got != want {
			t.Errorf("ownPath(%q) = %q, want %q", to, got, want)
		}
	}
}

func TestBars(t *testing.T) {
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	win := window{now.AddDate(0, 0, -10), now.AddDate(0, 0, 90)}
	for name, tc := range map[string]struct {
		start, end int // days from now
		x, w       string
	}{
		"Inside":            {0, 50, "10.00%", "50.00%"},
		"BegunBefore":       {-300, 0, "0.00%", "10.00%"},
		"GoesOn":            {40, 400, "50.00%", "50.00%"},
		"OneDayIsStillSeen": {0, 0, "10.00%", "0.20%"},
	} {
		t.Run(name, func(t *testing.T) {
			b := makeBar(&contractor.Contract{Start: now.AddDate(0, 0, tc.start), End: now.AddDate(0, 0, tc.end), Email: "a@b.example"}, win, now)
			if b.X != tc.x || b.W != tc.w {
				t.Errorf("from %s, %s wide; want %s, %s", b.X, b.W, tc.x, tc.w)
			}
		})
	}
	b := makeBar(&contractor.Contract{Start: now, End: now.AddDate(0, 0, 50), PrevEnd: now.AddDate(0, 0, 20), Held: "nobody answers", Email: "a@b.example"}, win, now)
	if b.ExtX != "30.00%" || b.ExtW != "30.00%" || b.Class != "bar  waits" {
		t.Errorf("an extension from %s, %s wide, class %q", b.ExtX, b.ExtW, b.Class)
	}
}

func TestRelative(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "in 0 s", 90 * time.Second: "in 90 s", 3 * time.Hour: "in 3 h", 49 * time.Hour: "in 2 d", -5 * time.Minute: "5 min ago", -400 * 24 * time.Hour: "400 d ago",
	} {
		if got := relative(now.Add(d), now); got != want {
			t.Errorf("relative(%v) = %q, want %q", d, got, want)
		}
	}
	if got := grouped(1234567); got != "1\u202f234\u202f567" {
		t.Errorf("grouped = %q", got)
	}
}
