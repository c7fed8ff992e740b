package scim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"

	"scimbridge/internal/contractor"
)

// JWT says which access tokens a vendor may sign in with. Keys come from the issuer by OpenID Connect discovery, and are read
// again when a token names one that is not known (rotation).
type JWT struct {
	Issuer   string            // exactly as in "iss"; https, or http on loopback
	Audience string            // one of "aud"; required
	Claims   map[string]string // further claims that the token must have: the value, or one of the list
}

func (j *JWT) check() error {
	u, err := url.Parse(j.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return fmt.Errorf("the issuer %q is not an https URL", j.Issuer)
	}
	if j.Audience == "" {
		return errors.New("an issuer needs an audience: without one, every token that it ever gave to anybody would do")
	}
	return nil
}

func loopback(host string) bool { return host == "127.0.0.1" || host == "::1" || host == "localhost" }

// issuer is one OAuth2 issuer and the vendors that may use it.
type issuer struct {
	url     string
	client  *http.Client
	vendors []audienceOf

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil until discovery succeeded; it keeps the issuer's keys
	tried    time.Time
}

type audienceOf struct {
	vendor string
	jwt    *JWT
}

const (
	// issuerTimeout bounds one call to an issuer: a vendor's request waits for it.
	issuerTimeout = 5 * time.Second
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

// sparing refuses calls beyond a rate.
type sparing struct {
	base  http.RoundTripper
	limit *rate.Limiter
}

func (s *sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.limit.Allow() {
		return nil, errors.New("the issuer's keys were read too often in the last seconds")
	}
	return s.base.RoundTrip(r)
}

// check refuses two vendors that one token could sign in as.
func (i *issuer) check() error {
	slices.SortFunc(i.vendors, func(a, b audienceOf) int { return strings.Compare(a.vendor, b.vendor) })
	for n, a := range i.vendors {
		for _, b := range i.vendors[n+1:] {
			if a.jwt.Audience == b.jwt.Audience && reflect.DeepEqual(a.jwt.Claims, b.jwt.Claims) {
				return fmt.Errorf("scim: the vendors %s and %s take the same access tokens; tell them apart by audience or claims", a.vendor, b.vendor)
			}
		}
	}
	return nil
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
	i := s.issuers[unverifiedIssuer(token)]
	if i == nil {
		refusal.Cause = errors.New("no vendor has this issuer")
		return Client{}, refusal
	}
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
	for _, a := range i.vendors {
		if slices.Contains(t.Audience, a.jwt.Audience) && hasClaims(claims, a.jwt.Claims) {
			found = append(found, a.vendor)
		}
	}
	if len(found) != 1 {
		refusal.Cause = fmt.Errorf("the token fits %d vendors", len(found))
		return Client{}, refusal
	}
	return s.known(k.context(), found[0], "jwt")
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
