package scim_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

// issuer is an OAuth2 issuer with keys that rotate.
type issuer struct {
	*httptest.Server
	mu    sync.Mutex
	keys  map[string]*ecdsa.PrivateKey
	reads int
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{keys: map[string]*ecdsa.PrivateKey{}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.reads++
		keys := []any{}
		for kid, k := range i.keys {
			b := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
			keys = append(keys, map[string]any{"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "use": "sig", "x": b(k.X), "y": b(k.Y)})
		}
		answer(w, map[string]any{"keys": keys})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	i.rotate(t, "k1")
	return i
}

func (i *issuer) rotate(t *testing.T, kid string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = map[string]*ecdsa.PrivateKey{kid: k}
}

func (i *issuer) token(t *testing.T, change func(jwt.MapClaims)) string {
	claims := jwt.MapClaims{"iss": i.URL, "aud": "api://scim", "azp": "acme-client", "scp": "scim.write scim.read", "exp": time.Now().Add(time.Hour).Unix(), "sub": "s"}
	if change != nil {
		change(claims)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for kid, k := range i.keys {
		tok := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		tok.Header["kid"] = kid
		s, err := tok.SignedString(k)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return ""
}

func never(context.Context, string) (bool, error) { return false, nil }

func TestSignInByAccessToken(t *testing.T) {
	i := newIssuer(t)
	paused := false
	w := newWorld(t, func(c *scim.Config) {
		c.Paused = func(context.Context, string) (bool, error) { return paused, nil }
		c.SignIn = map[string]scim.SignIn{
			"acme":   {JWT: &scim.JWT{Issuer: i.URL, Audience: "api://scim", Claims: map[string]string{"azp": "acme-client", "scp": "scim.write"}}},
			"globex": {JWT: &scim.JWT{Issuer: i.URL, Audience: "api://scim", Claims: map[string]string{"azp": "globex-client"}}},
		}
	})
	with := func(token string) reply {
		return w.as("").do("POST", "/Users", user("ann"), "Authorization", "Bearer "+token)
	}
	with(i.token(t, nil)).want(201)
	if e := w.stored(idOf(w, "ann")); e.Vendor != "acme" {
		t.Errorf("signed in as %q", e.Vendor)
	}
	w.as("").do("GET", "/Users", "", "Authorization", "Bearer "+i.token(t, func(c jwt.MapClaims) { c["azp"] = "globex-client" })).want(200).is("totalResults", "0")
	for name, change := range map[string]func(jwt.MapClaims){
		"expired":          func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() },
		"not yet valid":    func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() },
		"another audience": func(c jwt.MapClaims) { c["aud"] = "api://other" },
		"another client":   func(c jwt.MapClaims) { c["azp"] = "stranger" },
		"a missing claim":  func(c jwt.MapClaims) { delete(c, "scp") },
		"another scope":    func(c jwt.MapClaims) { c["scp"] = "scim.read" },
		"another issuer":   func(c jwt.MapClaims) { c["iss"] = "https://evil.example" },
	} {
		t.Run(name, func(t *testing.T) {
			r := with(i.token(t, change))
			r.t = t
			r.refused(401, "", "access token is not valid")
		})
	}
	t.Run("a changed token", func(t *testing.T) {
		head, rest, _ := strings.Cut(i.token(t, nil), ".")
		_, sig, _ := strings.Cut(rest, ".")
		claims := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"iss":%q,"aud":"api://scim","azp":"acme-client","scp":"scim.write","exp":9999999999}`, i.URL)))
		with(head+"."+claims+"."+sig).refused(401, "", "not valid")
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
		with(none+"."+claims+".").refused(401, "", "not valid")
	})
	t.Run("a rotated key is found", func(t *testing.T) {
		i.rotate(t, "k2")
		with(i.token(t, nil)).want(409)
	})
	t.Run("unknown keys do not make us call the issuer for ever", func(t *testing.T) {
		bad := newIssuer(t)
		for n := range 30 {
			bad.rotate(t, fmt.Sprintf("x%d", n))
			with(bad.token(t, func(c jwt.MapClaims) { c["iss"] = i.URL })).want(401)
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.reads > 6 {
			t.Errorf("the keys were read %d times", i.reads)
		}
	})
	t.Run("a stored token still works", func(t *testing.T) { w.do("GET", "/Users", "").want(200) })
	t.Run("paused", func(t *testing.T) {
		paused = true
		with(i.token(t, nil)).refused(403, "", "paused")
	})
}

func TestSignInByAccessTokenWithoutIssuer(t *testing.T) {
	i := newIssuer(t)
	token := i.token(t, nil)
	w := newWorld(t, func(c *scim.Config) {
		c.Paused = never
		c.SignIn = map[string]scim.SignIn{"acme": {JWT: &scim.JWT{Issuer: i.URL, Audience: "api://scim"}}}
	})
	i.Close()
	r := w.as("").do("GET", "/Users", "", "Authorization", "Bearer "+token)
	r.refused(503, "", "issuer")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestSignInByBasic(t *testing.T) {
	w := newWorld(t, func(c *scim.Config) { c.SignIn = map[string]scim.SignIn{"acme": {Basic: true}} })
	basic := func(user, password string) reply {
		return w.as("").do("GET", "/Users", "", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	basic("acme", w.tokens["acme"]).want(200)
	basic("acme", "wrong").refused(401, "", "")
	basic("globex", w.tokens["acme"]).refused(401, "", "")
	basic("globex", w.tokens["globex"]).refused(401, "", "")
	w.as("").do("GET", "/ServiceProviderConfig", "").is("authenticationSchemes.1.type", `"httpbasic"`)
}

func TestSignInByCertificate(t *testing.T) {
	pool, issue := authority(t)
	w := newWorld(t, func(c *scim.Config) {
		c.Paused = never
		c.SignIn = map[string]scim.SignIn{
			"acme":   {Certificates: []string{"CN=scim,O=Acme", "dns:scim.acme.example"}},
			"globex": {Certificates: []string{"uri:spiffe://globex/scim"}},
		}
	})
	server := httptest.NewUnstartedServer(w.server.Config.Handler)
	server.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	get := func(cert *tls.Certificate) int {
		client := server.Client()
		config := client.Transport.(*http.Transport).TLSClientConfig.Clone()
		if cert != nil {
			config.Certificates = []tls.Certificate{*cert}
		}
		client = &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		resp, err := client.Get(server.URL + scim.Base + "/Users")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	spiffe, err := url.Parse("spiffe://globex/scim")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cert *x509.Certificate
		want int
	}{
		"by subject":       {&x509.Certificate{Subject: pkix.Name{CommonName: "scim", Organization: []string{"Acme"}}}, 200},
		"by DNS name":      {&x509.Certificate{Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"scim.acme.example"}}, 200},
		"by URI":           {&x509.Certificate{Subject: pkix.Name{CommonName: "x"}, URIs: []*url.URL{spiffe}}, 200},
		"another subject":  {&x509.Certificate{Subject: pkix.Name{CommonName: "scim", Organization: []string{"Evil"}}}, 401},
		"no certificate":   {nil, 401},
		"another DNS name": {&x509.Certificate{Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"evil.scim.acme.example"}}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			var cert *tls.Certificate
			if c.cert != nil {
				cert = issue(c.cert)
			}
			if got := get(cert); got != c.want {
				t.Errorf("status %d, want %d", got, c.want)
			}
		})
	}
}

// authority makes a certificate authority and a function that issues client certificates.
func authority(t *testing.T) (*x509.CertPool, func(*x509.Certificate) *tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool, func(c *x509.Certificate) *tls.Certificate {
		c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), root.NotBefore, root.NotAfter
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parsed, &k.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
	}
}

func TestNetworks(t *testing.T) {
	only := func(networks string, proxies ...netip.Prefix) *world {
		return newWorld(t, func(c *scim.Config) {
			c.SignIn = map[string]scim.SignIn{"acme": {Networks: []netip.Prefix{netip.MustParsePrefix(networks)}}}
			c.Proxies = proxies
		})
	}
	only("127.0.0.0/8").do("GET", "/Users", "").want(200)
	w := only("10.1.0.0/16")
	w.do("GET", "/Users", "").refused(403, "", "address")
	w.do("GET", "/Users", "", "X-Forwarded-For", "10.1.2.3").refused(403, "", "address")
	w.as("globex").do("GET", "/Users", "").want(200)
	w = only("10.1.0.0/16", netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.168.0.0/16"))
	w.do("GET", "/Users", "", "X-Forwarded-For", "10.1.2.3").want(200)
	w.do("GET", "/Users", "", "X-Forwarded-For", "10.1.2.3, 192.168.0.7").want(200)
	w.do("GET", "/Users", "", "X-Forwarded-For", "10.1.2.3, 172.16.0.1").refused(403, "", "address")
	w.do("GET", "/Users", "", "X-Forwarded-For", "rubbish").refused(403, "", "address")
	w.do("GET", "/Users", "").refused(403, "", "address")
}

func TestRefusalsAreJournaledOnceAMinute(t *testing.T) {
	w := newWorld(t, nil)
	for range 20 {
		w.as("").do("GET", "/Users", "", "Authorization", "Bearer "+scim.NewToken()).want(401)
	}
	n := 0
	for e, err := range w.store.Journal(t.Context(), contractor.JournalQuery{Kind: "client.refused"}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if e.Outcome != "failed" || e.Reason == "" || !strings.Contains(string(e.Personal), "127.0.0.1") || strings.Contains(string(e.Detail), "127.0.0.1") {
			t.Errorf("event %+v, personal %s", e, e.Personal)
		}
	}
	if n != 1 {
		t.Errorf("%d refusals were journaled", n)
	}
}

func TestSignInSettingsThatCannotBeToldApart(t *testing.T) {
	good := &scim.JWT{Issuer: "https://login.example", Audience: "a"}
	for name, c := range map[string]struct {
		settings map[string]scim.SignIn
		want     string
	}{
		"the same tokens":       {map[string]scim.SignIn{"a": {JWT: good}, "b": {JWT: &scim.JWT{Issuer: good.Issuer, Audience: "a"}}}, "same access tokens"},
		"the same certificate":  {map[string]scim.SignIn{"a": {Certificates: []string{"CN=x"}}, "b": {Certificates: []string{"CN=x"}}}, "both"},
		"an issuer without TLS": {map[string]scim.SignIn{"a": {JWT: &scim.JWT{Issuer: "http://login.example", Audience: "a"}}}, "https"},
		"no audience":           {map[string]scim.SignIn{"a": {JWT: &scim.JWT{Issuer: "https://login.example"}}}, "audience"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scim.New(scim.Config{
				Store: struct{ scim.Store }{}, Wake: func() {}, Groups: func() []contractor.Entitlement { return nil }, Logger: discard(), Paused: never, SignIn: c.settings,
				Vendors: func(string) (*contractor.Vendor, bool) { return nil, false },
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	a, b := scim.NewToken(), scim.NewToken()
	if a == b || !strings.HasPrefix(a, "scimbridge_") || len(a) != len("scimbridge_")+43 {
		t.Errorf("tokens %q and %q", a, b)
	}
	if scim.HashToken(a) == scim.HashToken(b) {
		t.Error("two tokens have one hash")
	}
}
