package scim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"

	"scimbridge/internal/contractor"
)

// issuer is one OAuth2 issuer.
type issuer struct {
	url    string
	client *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil until discovery succeeded; it keeps the issuer's keys
	tried    time.Time
}

const (
	// issuerTimeout bounds one call to an issuer: a vendor's request waits for it.
	issuerTimeout = 5 * time.Second
	// issuerAnswer bounds what is read of one answer.
	issuerAnswer = 1 << 20
	// issuerPause is how long a failed discovery is not repeated.
	issuerPause = 10 * time.Second
	// keyReads and keyEvery bound how often the keys are read: anybody can send tokens that name unknown ones.
	keyReads = 5
	keyEvery = 10 * time.Second
)

func newIssuer(url string, base http.RoundTripper) *issuer {
	if base == nil {
		base = http.DefaultTransport
	}
	return &issuer{url: url, client: &http.Client{
		Timeout:   issuerTimeout,
		Transport: &sparing{base: base, limit: rate.NewLimiter(rate.Every(keyEvery), keyReads)},
	}}
}

// sparing refuses calls beyond a rate, and bounds the answers.
type sparing struct {
	base  http.RoundTripper
	limit *rate.Limiter
}

func (s *sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.limit.Allow() {
		return nil, errors.New("the issuer's keys were read too often in the last seconds")
	}
	resp, err := s.base.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, issuerAnswer)
	}
	return resp, err
}

// discovered finds the issuer's keys, by discovery at first use.
func (i *issuer) discovered(ctx context.Context, now time.Time) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	if now.Sub(i.tried) < issuerPause {
		return nil, errors.New("the issuer could not be reached a moment ago")
	}
	i.tried = now
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.url)
	if err != nil {
		return nil, err
	}
	i.verifier = p.Verifier(&oidc.Config{SkipClientIDCheck: true}) // the audience is the vendor's (jwt)
	return i.verifier, nil
}

// looksLikeJWT tells an access token of an issuer from a token of ours.
func looksLikeJWT(s string) bool { return strings.HasPrefix(s, "ey") && strings.Count(s, ".") == 2 }

// jwt signs in by an access token of an issuer.
func (s *signIns) jwt(k *call, token string) (Client, error) {
	refusal := &contractor.Error{Code: contractor.CodeUnauthorized, Message: "the access token is not valid here; get a new one from the issuer, for the right audience"}
	iss := unverifiedIssuer(token)
	var takers []*contractor.Vendor
	for v := range s.all {
		if v.SignIn.JWT != nil && v.SignIn.JWT.Issuer == iss {
			takers = append(takers, v)
		}
	}
	if len(takers) == 0 {
		refusal.Cause = errors.New("no vendor has this issuer")
		return Client{}, refusal
	}
	i := s.issuer(iss)
	verifier, err := i.discovered(k.context(), k.now)
	if err != nil {
		return Client{}, &contractor.Error{Code: contractor.CodeUnavailable, Message: "the issuer of the access token cannot be reached; try again in a moment", Cause: err}
	}
	t, err := verifier.Verify(oidc.ClientContext(k.context(), i.client), token)
	if err != nil {
		refusal.Cause = err
		return Client{}, refusal
	}
	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		refusal.Cause = err
		return Client{}, refusal
	}
	var found []string
	for _, v := range takers {
		if slices.Contains(t.Audience, v.SignIn.JWT.Audience) && hasClaims(claims, v.SignIn.JWT.Claims) {
			found = append(found, v.Name)
		}
	}
	if len(found) != 1 {
		refusal.Cause = fmt.Errorf("the token fits %d vendors", len(found))
		return Client{}, refusal
	}
	return s.known(k.context(), found[0], "jwt")
}

// issuer finds what is known of an issuer that the mapping in force names; those that it names no more are forgotten.
func (s *signIns) issuer(url string) *issuer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.issuers[url]; i != nil {
		return i
	}
	for old := range s.issuers {
		named := false
		for v := range s.all {
			named = named || v.SignIn.JWT != nil && v.SignIn.JWT.Issuer == old
		}
		if !named {
			delete(s.issuers, old)
		}
	}
	i := newIssuer(url, s.http)
	s.issuers[url] = i
	return i
}

// unverifiedIssuer reads who a token says that it is from, to know whose keys to verify it with.
func unverifiedIssuer(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(b, &c) != nil {
		return ""
	}
	return c.Issuer
}

func hasClaims(have map[string]any, want map[string]string) bool {
	for name, value := range want {
		switch h := have[name].(type) {
		case string:
			if h != value && !slices.Contains(strings.Fields(h), value) { // "scp" is a list in a string
				return false
			}
		case []any:
			if !slices.Contains(h, any(value)) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
