package console

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/audit"
)

const (
	sessionIdle  = time.Hour     // without a request
	sessionLife  = 8 * time.Hour // whatever happens: a working day
	maxSessions  = 1000
	maxPerPerson = 20
)

// session is one signed-in browser. What a session knows is gone with the daemon: people sign in again.
type session struct {
	Name   string // for the journal
	Roles  []Role
	Token  string // of its forms
	By     string // how it was signed in
	Since  time.Time
	Till   time.Time
	last   time.Time
	key    [32]byte
	mu     sync.Mutex
	notice string
}

// May reports whether one of the roles has the right.
func (s *session) May(x string) bool {
	return slices.ContainsFunc(s.Roles, func(r Role) bool { return r.has(right(x)) })
}

// RoleNames are the roles as one word for people.
func (s *session) RoleNames() string {
	var names []string
	for _, r := range s.Roles {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

func (s *session) actor() audit.Actor {
	return audit.Actor{Kind: audit.ActorAdmin, Name: s.Name + " (console)"}
}

// tell leaves a sentence for the next page.
func (s *session) tell(notice string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notice = notice
}

func (s *session) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notice
	s.notice = ""
	return n
}

// sessions are the live ones, by the hash of their cookie. Bounded: the one longest unused goes.
type sessions struct {
	mu   sync.Mutex
	live map[[32]byte]*session
}

func newSessions() *sessions { return &sessions{live: map[[32]byte]*session{}} }

// secret is 32 random bytes for a URL or a cookie.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func keyOf(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// begin makes a session and answers its cookie's value.
func (l *sessions) begin(name string, roles []Role, by string, now time.Time) (*session, string) {
	value := secret()
	s := &session{Name: name, Roles: roles, By: by, Token: secret(), Since: now, Till: now.Add(sessionLife), last: now, key: keyOf(value)}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, old := range l.live {
		if old.over(now) {
			delete(l.live, k)
		}
	}
	l.trim(maxPerPerson, func(x *session) bool { return x.Name == name })
	l.trim(maxSessions, func(*session) bool { return true })
	l.live[s.key] = s
	return s, value
}

// trim makes room for one more among those that count.
func (l *sessions) trim(most int, counts func(*session) bool) {
	for {
		n := 0
		var oldest *session
		for _, s := range l.live {
			if counts(s) {
				if n++; oldest == nil || s.last.Before(oldest.last) {
					oldest = s
				}
			}
		}
		if n < most {
			return
		}
		delete(l.live, oldest.key)
	}
}

func (s *session) over(now time.Time) bool { return now.After(s.Till) || now.Sub(s.last) > sessionIdle }

// of finds the request's session; nil if there is none, or it is over.
func (l *sessions) of(r *http.Request, now time.Time) *session {
	var value string
	for _, name := range []string{cookieTLS, cookiePlain} {
		if c, err := r.Cookie(name); err == nil {
			value = c.Value
			break
		}
	}
	if value == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.live[keyOf(value)]
	if s == nil {
		return nil
	}
	if s.over(now) {
		delete(l.live, s.key)
		return nil
	}
	if r.Header.Get(liveHeader) == "" { // a page that refreshes itself keeps nobody signed in
		s.last = now
	}
	return s
}

// holds reports whether the session still lives.
func (l *sessions) holds(s *session, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live[s.key] == s && !s.over(now)
}

func (l *sessions) end(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, s.key)
}

// The cookie's name: with TLS the browser itself holds that it came over TLS, from this host, for all of it.
const (
	cookieTLS   = "__Host-scimbridge"
	cookiePlain = "scimbridge-console"
)

func (c *Console) cookie(value string, age time.Duration) *http.Cookie {
	name := cookiePlain
	if c.secure() {
		name = cookieTLS
	}
	// Lax: the answer of Entra's sign-in leads here from another site. Actions are POSTs, which Lax leaves out.
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()), Secure: c.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode} //nolint:gosec // Secure wherever there is TLS; loopback may have none
}
