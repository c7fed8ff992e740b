package scim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
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

// signingIn is a vendor that may sign in by more than a token.
func signingIn(v *contractor.Vendor, s contractor.SignIn) *contractor.Vendor {
	v.SignIn = s
	return v
}

func TestSignInByAccessToken(t *testing.T) {
	i := newIssuer(t)
	w := newWorld(t, nil,
		signingIn(acme(), contractor.SignIn{JWT: &contractor.AccessTokens{Issuer: i.URL, Audience: "api://scim", Claims: map[string]string{"azp": "acme-client", "scp": "scim.write"}}}),
		signingIn(globex(), contractor.SignIn{JWT: &contractor.AccessTokens{Issuer: i.URL, Audience: "api://scim", Claims: map[string]string{"azp": "globex-client"}}}),
	)
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
		if err := w.store.PauseVendor(t.Context(), admin(), "acme", true, "test"); err != nil {
			t.Fatal(err)
		}
		with(i.token(t, nil)).refused(403, "", "paused")
	})
}

func TestSignInByAccessTokenWithoutIssuer(t *testing.T) {
	i := newIssuer(t)
	token := i.token(t, nil)
	w := newWorld(t, nil, signingIn(acme(), contractor.SignIn{JWT: &contractor.AccessTokens{Issuer: i.URL, Audience: "api://scim"}}))
	i.Close()
	r := w.as("").do("GET", "/Users", "", "Authorization", "Bearer "+token)
	r.refused(503, "", "issuer")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestSignInByBasic(t *testing.T) {
	w := newWorld(t, nil, signingIn(acme(), contractor.SignIn{Basic: true}), globex())
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
	w := newWorld(t, nil,
		signingIn(acme(), contractor.SignIn{Certificates: []string{"CN=scim,O=Acme", "dns:scim.acme.example"}}),
		signingIn(globex(), contractor.SignIn{Certificates: []string{"uri:spiffe://globex/scim"}}),
	)
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
		return newWorld(t, func(c *scim.Config) { c.Proxies = proxies },
			signingIn(acme(), contractor.SignIn{Networks: []netip.Prefix{netip.MustParsePrefix(networks)}}), globex())
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

func TestSignInFollowsTheMapping(t *testing.T) {
	w := newWorld(t, nil)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("acme:"+w.tokens["acme"]))
	w.as("").do("GET", "/Users", "", "Authorization", basic).refused(401, "", "")
	w.as("").do("GET", "/ServiceProviderConfig", "").is("authenticationSchemes.#", "1")
	w.vendors.Store("acme", signingIn(acme(), contractor.SignIn{Basic: true}))
	w.as("").do("GET", "/Users", "", "Authorization", basic).want(200)
	w.as("").do("GET", "/ServiceProviderConfig", "").is("authenticationSchemes.#", "2")
	w.vendors.Store("acme", acme())
	w.as("").do("GET", "/Users", "", "Authorization", basic).refused(401, "", "")
}

func TestRefusalsAreCountedByVendor(t *testing.T) {
	var mu sync.Mutex
	counted := map[string]int{}
	w := newWorld(t, func(c *scim.Config) {
		c.Refused = func(vendor string, why contractor.Code) {
			mu.Lock()
			defer mu.Unlock()
			counted[vendor+" "+string(why)]++
		}
	}, signingIn(acme(), contractor.SignIn{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}), globex())
	w.do("GET", "/Users", "").want(403)
	w.as("").do("GET", "/Users", "").want(401)
	w.as("").do("GET", "/Users", "").want(401)
	w.as("globex").do("GET", "/Users", "").want(200)
	w.vendors.Delete("globex")
	w.as("globex").do("GET", "/Users", "").refused(403, "", "no vendor of this name")
	mu.Lock()
	defer mu.Unlock()
	want := map[string]int{"acme forbidden": 1, " unauthorized": 2, " forbidden": 1}
	if !maps.Equal(counted, want) {
		t.Errorf("counted %v, want %v", counted, want)
	}
}

func TestSignInSettingsThatCannotBeUsed(t *testing.T) {
	const issuer = "https://login.example"
	tokens := func(claims map[string]string) contractor.SignIn {
		return contractor.SignIn{JWT: &contractor.AccessTokens{Issuer: issuer, Audience: "a", Claims: claims}}
	}
	named := func(names ...string) contractor.SignIn { return contractor.SignIn{Certificates: names} }
	for name, c := range map[string]struct {
		acme, globex contractor.SignIn
		want         string // in the only mistake; "": none
		path         []any
	}{
		"the same tokens":               {tokens(nil), tokens(nil), "could fit both acme and globex", []any{"sign_in", "jwt"}},
		"one wants less than the other": {tokens(map[string]string{"azp": "x"}), tokens(nil), "could fit both", []any{"sign_in", "jwt"}},
		"different claims":              {tokens(map[string]string{"azp": "x"}), tokens(map[string]string{"scp": "y"}), "could fit both", []any{"sign_in", "jwt"}},
		"told apart by a claim":         {tokens(map[string]string{"azp": "x"}), tokens(map[string]string{"azp": "y"}), "", nil},
		"the same certificate":          {named("CN=x,O=y"), named("dns:a", "O = y, CN = x"), "is given to acme, too", []any{"sign_in", "certificates", 1}},
		"the same name in another case": {named("dns:Scim.Example"), named("dns:scim.example"), "is given to acme, too", []any{"sign_in", "certificates", 0}},
		"not a subject":                 {named("scim.acme.example"), contractor.SignIn{}, "is not a subject", []any{"sign_in", "certificates", 0}},
		"an unknown type":               {named("CX=a"), contractor.SignIn{}, "no attribute type", []any{"sign_in", "certificates", 0}},
		"a wildcard":                    {named("dns:*.acme.example"), contractor.SignIn{}, "not a name that a certificate can have", []any{"sign_in", "certificates", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			found := scim.CheckVendors([]*contractor.Vendor{signingIn(acme(), c.acme), signingIn(globex(), c.globex)})
			if c.want == "" {
				if found != nil {
					t.Errorf("found %v", found)
				}
				return
			}
			if len(found) != 1 || !strings.Contains(found[0].Message, c.want) || !slices.Equal(found[0].Path, c.path) {
				t.Errorf("found %+v, want %q at %v", found, c.want, c.path)
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
