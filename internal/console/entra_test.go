package console_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"scimbridge/internal/console"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
)

// quietBridge is a daemon of which nothing but its state is asked.
type quietBridge struct{ console.Bridge }

func (quietBridge) Status(context.Context) (console.Status, error) { return console.Status{}, nil }

const clientID = "9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8"

// issuer speaks OpenID Connect as Entra's v2.0 endpoint does.
type issuer struct {
	*httptest.Server
	t         *testing.T
	key       *rsa.PrivateKey
	challenge string
	claims    jwt.MapClaims // of the next token, over the right ones
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": i.URL + "/v2.0", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1",
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		user, secret, _ := r.BasicAuth()
		if user == "" {
			user, secret = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		if r.FormValue("code") != "the-code" || base64.RawURLEncoding.EncodeToString(sum[:]) != i.challenge || user != clientID || secret != "hunter2" {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, i.claims)
		token.Header["kid"] = "k1"
		raw, err := token.SignedString(key)
		if err != nil {
			t.Error(err)
		}
		answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": raw})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

// browser follows no redirect, so that each step is seen.
type client struct {
	*http.Client
	t    *testing.T
	base string
}

func (c *client) get(path string) (code int, location, page string) {
	c.t.Helper()
	resp, err := c.Get(c.base + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(b)
}

func newClient(t *testing.T, base string) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &client{&http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, t, base}
}

func TestSignInByEntra(t *testing.T) {
	entra := newIssuer(t)
	store, err := db.Open(t.Context(), db.Config{Path: filepath.Join(t.TempDir(), "s.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	srv := httptest.NewUnstartedServer(nil)
	base := "http://" + srv.Listener.Addr().String()
	c, err := console.New(console.Config{
		Store: store, Bridge: quietBridge{}, Logger: slog.New(slog.DiscardHandler), BaseURL: base,
		Entra: &console.Entra{Issuer: entra.URL + "/v2.0", ClientID: clientID, ClientSecret: func() (string, error) { return "hunter2\n", nil }, Client: entra.Client()},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = c.Handler()
	srv.Start()
	t.Cleanup(srv.Close)

	// begin goes to the issuer and answers the state and nonce that it was sent with.
	begin := func(t *testing.T, b *client) (state, nonce string) {
		t.Helper()
		code, location, _ := b.get("/signin/entra?to=/holds")
		u, err := url.Parse(location)
		if err != nil || code != http.StatusSeeOther {
			t.Fatalf("answered %d, %v", code, err)
		}
		q := u.Query()
		if q.Get("code_challenge_method") != "S256" || q.Get("redirect_uri") != base+"/signin/callback" || q.Get("client_id") != clientID {
			t.Errorf("the issuer is sent %v", q)
		}
		entra.challenge = q.Get("code_challenge")
		return q.Get("state"), q.Get("nonce")
	}
	for name, tc := range map[string]struct {
		edit func(jwt.MapClaims)
		code int
		want string // where it leads, or what it says
	}{
		"AnOperatorGetsIn":           {func(jwt.MapClaims) {}, http.StatusSeeOther, "/holds"},
		"WithoutARoleNobodyDoes":     {func(m jwt.MapClaims) { m["roles"] = []string{"reader"} }, http.StatusForbidden, "none of the app roles"},
		"ATokenForAnotherAppDoesNot": {func(m jwt.MapClaims) { m["aud"] = "another" }, http.StatusUnauthorized, "cannot be trusted"},
		"AnExpiredTokenDoesNot":      {func(m jwt.MapClaims) { m["exp"] = time.Now().Add(-time.Hour).Unix() }, http.StatusUnauthorized, "cannot be trusted"},
		"AnotherIssuersDoesNot":      {func(m jwt.MapClaims) { m["iss"] = "https://evil.example" }, http.StatusUnauthorized, "cannot be trusted"},
		"AnotherSignInsNonceDoesNot": {func(m jwt.MapClaims) { m["nonce"] = "x" }, http.StatusUnauthorized, "cannot be trusted"},
		"ATokenThatNamesNobody":      {func(m jwt.MapClaims) { delete(m, "preferred_username"); delete(m, "oid") }, http.StatusUnauthorized, "cannot be trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newClient(t, base)
			state, nonce := begin(t, b)
			entra.claims = jwt.MapClaims{"iss": entra.URL + "/v2.0", "aud": clientID, "exp": time.Now().Add(time.Hour).Unix(), "sub": "s", "nonce": nonce, "preferred_username": "ann@contoso.example", "oid": "o1", "roles": []string{"Operator", "auditor", "unknown"}}
			tc.edit(entra.claims)
			code, location, page := b.get("/signin/callback?code=the-code&state=" + state)
			if code != tc.code || !strings.Contains(page+location, tc.want) {
				t.Errorf("answered %d, %s:\n%s", code, location, page)
			}
			code, _, page = b.get("/keys")
			if in := code == http.StatusOK; in != (tc.code == http.StatusSeeOther) {
				t.Errorf("afterwards /keys answers %d", code)
			} else if in && !strings.Contains(page, "operator, auditor") {
				t.Errorf("the roles are not those of the token:\n%s", page)
			}
		})
	}
	t.Run("TheJournalKnows", func(t *testing.T) {
		n := 0
		for e, err := range store.Journal(t.Context(), contractor.JournalQuery{Kind: "console.signed_in"}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; e.Actor.Name != "ann@contoso.example (console)" || e.Reason != "by Entra, as operator, auditor" {
				t.Errorf("the journal says %q, %q", e.Actor.Name, e.Reason)
			}
		}
		if n != 1 {
			t.Errorf("%d sign-ins are in the journal", n)
		}
	})
	t.Run("AnAnswerToAnotherBrowserIsRefused", func(t *testing.T) {
		state, _ := begin(t, newClient(t, base))
		if code, _, _ := newClient(t, base).get("/signin/callback?code=the-code&state=" + state); code != http.StatusUnauthorized {
			t.Errorf("answered %d", code)
		}
	})
	t.Run("AnAnswerWorksOnce", func(t *testing.T) {
		b := newClient(t, base)
		state, nonce := begin(t, b)
		entra.claims = jwt.MapClaims{"iss": entra.URL + "/v2.0", "aud": clientID, "exp": time.Now().Add(time.Hour).Unix(), "nonce": nonce, "oid": "o2", "roles": []string{"viewer"}}
		for i, want := range []int{http.StatusSeeOther, http.StatusUnauthorized} {
			if code, _, _ := b.get("/signin/callback?code=the-code&state=" + state); code != want {
				t.Errorf("time %d answered %d", i+1, code)
			}
		}
	})
	t.Run("ARefusalIsTold", func(t *testing.T) {
		b := newClient(t, base)
		state, _ := begin(t, b)
		if code, _, page := b.get("/signin/callback?error=access_denied&error_description=%3Cscript%3E&state=" + state); code != http.StatusUnauthorized || !strings.Contains(page, "access_denied") || strings.Contains(page, "<script>") {
			t.Errorf("answered %d:\n%s", code, page)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	store := new(db.Store)
	log := slog.New(slog.DiscardHandler)
	for name, cfg := range map[string]console.Config{
		"NoStore":      {Bridge: quietBridge{}, Logger: log, BaseURL: "http://127.0.0.1:1"},
		"NoBridge":     {Store: store, Logger: log, BaseURL: "http://127.0.0.1:1"},
		"NoLogger":     {Store: store, Bridge: quietBridge{}, BaseURL: "http://127.0.0.1:1"},
		"NoURL":        {Store: store, Bridge: quietBridge{}, Logger: log},
		"URLWithAPath": {Store: store, Bridge: quietBridge{}, Logger: log, BaseURL: "https://a.example/console"},
		"HalfAnIssuer": {Store: store, Bridge: quietBridge{}, Logger: log, BaseURL: "https://a.example", Entra: &console.Entra{Issuer: "https://i.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := console.New(cfg); err == nil {
				t.Error("was accepted")
			}
		})
	}
}
