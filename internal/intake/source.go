package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"scimbridge/internal/contractor"
)

// Secret reads a secret where it is kept, anew each time, so that one that is renewed is used.
type Secret func() (string, error)

// Auth is how a server is signed in to: by one of the three, or not at all.
type Auth struct {
	Bearer Secret
	Basic  *Basic
	OAuth2 *OAuth2
}

// Basic is a user and a password.
type Basic struct {
	Username string
	Password Secret
}

// OAuth2 is the client credentials grant (RFC 6749 section 4.4).
type OAuth2 struct {
	TokenURL string
	ClientID string
	Secret   Secret
	Scopes   []string
	InBody   bool // id and secret in the form instead of HTTP Basic
}

// Source is a vendor's SCIM server.
type Source struct {
	URL       string            // https://…/scim/v2: Users are below it
	Auth      Auth              //
	Transport http.RoundTripper // required
	Filter    string            // further SCIM filter, "" for all Users
	ByID      bool              // the server's id is always the record's externalId, also where it sends another
	Absent    bool              // who is not in a whole reading is ended
	Page      int               // Users a page; default 100
	Max       int               // Users in all; a server with more is refused. Default 200,000
	Body      int64             // bytes of one answer; default 16 MiB
	Timeout   time.Duration     // of one request with its answer; default 30 s
	Every     time.Duration     // between rounds; default 15 min
	FullEvery time.Duration     // between whole readings; default 24 h
	Patience  time.Duration     // the longest Retry-After that is waited for; default 2 min

	mu    sync.Mutex
	token *oauth2.Token
}

// check fills the defaults, and refuses what would not work.
func (s *Source) check() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("intake: %q is not the URL of a SCIM server", s.URL)
	case s.Transport == nil:
		return errors.New("intake: no Transport")
	case s.Page < 0 || s.Max < 0 || s.Body < 0 || s.Timeout < 0 || s.Every < 0 || s.FullEvery < 0 || s.Patience < 0:
		return errors.New("intake: a bound cannot be below 0")
	}
	s.URL = strings.TrimRight(s.URL, "/")
	def(&s.Page, 100)
	def(&s.Max, 200_000)
	def(&s.Body, 16<<20)
	def(&s.Timeout, 30*time.Second)
	def(&s.Every, 15*time.Minute)
	def(&s.FullEvery, 24*time.Hour)
	def(&s.Patience, 2*time.Minute)
	return nil
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// answer is what a server answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// sourceTries is how often a request is sent that a server is too busy for, or that was lost on its way.
const sourceTries = 5

// get asks a server, as often as it takes. An error is a *contractor.Error with a sentence for the operator.
func (s *Source) get(ctx context.Context, path string, q url.Values, etag string) (*answer, error) {
	for n := 1; ; n++ {
		a, err := s.once(ctx, path, q, etag)
		var wait time.Duration
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			if e, ok := errors.AsType[*contractor.Error](err); ok && e.Code != contractor.CodeUnavailable {
				return nil, err
			}
			wait = backoff(n)
		case a.status == http.StatusUnauthorized && s.Auth.OAuth2 != nil && n == 1: // the token was revoked before its time
			s.forget()
			continue
		case a.status == http.StatusTooManyRequests || a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout:
			wait = max(backoff(n), retryAfter(a.header, time.Now()))
			err = contractor.Errorf(contractor.CodeUnavailable, "GET %s was answered %d", path, a.status)
		default:
			return a, nil
		}
		if n == sourceTries || wait > s.Patience {
			return nil, &contractor.Error{Code: contractor.CodeUnavailable, Message: fmt.Sprintf("%s, after %s", err, tries(n)), Cause: nil}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func tries(n int) string {
	if n == 1 {
		return "one try"
	}
	return strconv.Itoa(n) + " tries"
}

// backoff is how long to wait after the n-th try, with some chance so that not everybody comes back at once.
func backoff(n int) time.Duration {
	d := 250 * time.Millisecond << n
	return d/2 + rand.N(d/2) //nolint:gosec // no secret
}

// retryAfter reads the header in both of its forms; 0 for none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < 1e6 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}

// once sends one request and reads its answer, bounded in time and size.
func (s *Source) once(ctx context.Context, path string, q url.Values, etag string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	address := s.URL + path
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, contractor.Errorf(contractor.CodeInvalid, "the address %s cannot be asked: %v", path, err)
	}
	r.Header.Set("Accept", "application/scim+json, application/json")
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	if err := s.signIn(ctx, r); err != nil {
		return nil, err
	}
	resp, err := s.client().Do(r)
	if err != nil {
		return nil, lost(path, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, s.Body+1))
	switch {
	case err != nil:
		return nil, lost(path, err)
	case int64(len(body)) > s.Body:
		return nil, contractor.Errorf(contractor.CodeTooLarge, "the answer to GET %s is larger than %d bytes; set a smaller page_size", path, s.Body)
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// client follows no redirect: it would carry the credential to where nobody said.
func (s *Source) client() *http.Client {
	return &http.Client{Transport: s.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// lost is a request without an answer. The address is left out: filters may name people.
func lost(path string, err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it took too long")
	}
	return contractor.Errorf(contractor.CodeUnavailable, "GET %s got no whole answer: %v", path, err)
}

func (s *Source) signIn(ctx context.Context, r *http.Request) error {
	unreadable := func(err error) error {
		return contractor.Errorf(contractor.CodeUnauthorized, "the credential cannot be read: %v", err)
	}
	switch a := &s.Auth; {
	case a.Bearer != nil:
		t, err := a.Bearer()
		if err != nil {
			return unreadable(err)
		}
		r.Header.Set("Authorization", "Bearer "+t)
	case a.Basic != nil:
		p, err := a.Basic.Password()
		if err != nil {
			return unreadable(err)
		}
		r.SetBasicAuth(a.Basic.Username, p)
	case a.OAuth2 != nil:
		t, err := s.oauth(ctx)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+t)
	}
	return nil
}

// oauth is a live access token: the one at hand, or a new one.
func (s *Source) oauth(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Valid() {
		return s.token.AccessToken, nil
	}
	a := s.Auth.OAuth2
	secret, err := a.Secret()
	if err != nil {
		return "", contractor.Errorf(contractor.CodeUnauthorized, "the client secret cannot be read: %v", err)
	}
	c := clientcredentials.Config{ClientID: a.ClientID, ClientSecret: secret, TokenURL: a.TokenURL, Scopes: a.Scopes, AuthStyle: oauth2.AuthStyleInHeader}
	if a.InBody {
		c.AuthStyle = oauth2.AuthStyleInParams
	}
	t, err := c.Token(context.WithValue(ctx, oauth2.HTTPClient, s.client()))
	var re *oauth2.RetrieveError
	switch {
	case errors.As(err, &re) && re.Response != nil && re.Response.StatusCode < http.StatusInternalServerError && re.Response.StatusCode != http.StatusTooManyRequests:
		return "", contractor.Errorf(contractor.CodeUnauthorized, "the token address answered %d %s; check client_id, the secret and the scopes", re.Response.StatusCode, re.ErrorCode)
	case errors.As(err, &re) && re.Response != nil:
		return "", contractor.Errorf(contractor.CodeUnavailable, "the token address answered %d", re.Response.StatusCode)
	case err != nil:
		return "", lost("the token address", err)
	}
	s.token = t
	return t.AccessToken, nil
}

func (s *Source) forget() {
	s.mu.Lock()
	s.token = nil
	s.mu.Unlock()
}

// list asks for one page of Users.
func (s *Source) list(ctx context.Context, q url.Values, etag string) (*page, *answer, error) {
	a, err := s.get(ctx, "/Users", q, etag)
	if err != nil || a.status == http.StatusNotModified {
		return nil, a, err
	}
	if err := a.json("GET /Users"); err != nil {
		return nil, a, err
	}
	p, err := parseList(a.body, s.ByID)
	if err != nil {
		return nil, a, contractor.Errorf(contractor.CodeInvalid, "the answer to GET /Users cannot be used: %v", err)
	}
	return p, a, nil
}

// json refuses an answer that is no success, or no JSON.
func (a *answer) json(what string) error {
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return contractor.Errorf(contractor.CodeUnauthorized, "%s was answered %d: the server refuses the credential, or what it may read", what, a.status)
	case a.status >= 300 && a.status < 400:
		return contractor.Errorf(contractor.CodeInvalid, "%s was sent elsewhere (%d); set url to where the server really is", what, a.status)
	case a.status != http.StatusOK:
		return contractor.Errorf(contractor.CodeInvalid, "%s was answered %d", what, a.status)
	case media == "text/html":
		return contractor.Errorf(contractor.CodeInvalid, "%s was answered with a web page, not with SCIM; set url to the SCIM server, which mostly ends in /scim/v2", what)
	}
	return nil
}
