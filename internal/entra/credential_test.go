package entra_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/golang-jwt/jwt/v5"
	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
)

const (
	tenantID = "7e57ab1e-0000-4000-8000-00000000c0de"
	clientID = "5c1b1d9e-0000-4000-8000-00000000c1e7"
)

// office is a token endpoint that writes down what it was asked.
type office struct {
	*httptest.Server
	ca    string // file of its certificate authority
	mu    sync.Mutex
	forms []url.Values
	paths []string
	deny  bool
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{}
	o.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.paths = append(o.paths, r.URL.Path)
		if r.URL.Path != "/"+tenantID+"/oauth2/v2.0/token" { // all that it serves: no discovery document
			http.NotFound(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		o.forms = append(o.forms, r.PostForm)
		w.Header().Set("Content-Type", "application/json")
		if o.deny {
			w.WriteHeader(http.StatusUnauthorized)
			w.Write([]byte(`{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`)) //nolint:errcheck // a test server
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": "t-" + r.PostForm.Get("client_secret")}) //nolint:errcheck // a test server
	}))
	t.Cleanup(o.Close)
	o.ca = write0(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Certificate().Raw}))
	return o
}

func (o *office) last() url.Values {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.forms) == 0 {
		return nil
	}
	return o.forms[len(o.forms)-1]
}

func write0(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (o *office) config(kind entra.CredentialKind, file string) entra.CredentialConfig {
	return entra.CredentialConfig{TenantID: tenantID, ClientID: clientID, Kind: kind, File: file, LoginURL: o.URL, CAFile: o.ca}
}

func options() policy.TokenRequestOptions {
	return policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}}
}

func getToken(t *testing.T, c *entra.Credential) string {
	t.Helper()
	k, err := c.GetToken(t.Context(), options())
	if err != nil {
		t.Fatal(err)
	}
	return k.Token
}

func TestSecretCredential(t *testing.T) {
	o := newOffice(t)
	file := write0(t, "secret", []byte("first\n"))
	c, err := entra.NewCredential(o.config(entra.KindSecret, file))
	if err != nil {
		t.Fatal(err)
	}
	if got := getToken(t, c); got != "t-first" {
		t.Errorf("token %q", got)
	}
	if f := o.last(); f.Get("grant_type") != "client_credentials" || f.Get("client_id") != clientID || f.Get("scope") != "https://graph.microsoft.com/.default" {
		t.Errorf("asked with %v", f)
	}
	for _, p := range o.paths {
		if strings.Contains(p, "discovery/instance") {
			t.Error("the instance of a private authority was looked up")
		}
	}
	t.Run("follows its file without a restart", func(t *testing.T) {
		if err := os.WriteFile(file, []byte("second-secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := getToken(t, c); got != "t-second-secret" {
			t.Errorf("token %q", got)
		}
	})
	t.Run("keeps the last good one while the file is away or empty", func(t *testing.T) {
		for _, spoil := range []func() error{func() error { return os.WriteFile(file, nil, 0o600) }, func() error { return os.Remove(file) }} {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			if got := getToken(t, c); got != "t-second-secret" {
				t.Errorf("token %q", got)
			}
		}
	})
	t.Run("a refused credential is told as one, without the secret", func(t *testing.T) {
		o.mu.Lock()
		o.deny = true
		o.mu.Unlock()
		fresh, err := entra.NewCredential(o.config(entra.KindSecret, write0(t, "s", []byte("hunter2"))))
		if err != nil {
			t.Fatal(err)
		}
		client, _ := script(t, func(c *entra.Config) { c.Credential = fresh })
		_, err = client.Guest(t.Context(), guestID)
		f := wantVerdict(t, err, contractor.VerdictRefused)
		if !strings.Contains(f.Message, "credential") || strings.Contains(f.Error(), "hunter2") {
			t.Error(f)
		}
	})
	t.Run("a login service that cannot be reached is worth another try", func(t *testing.T) {
		away := o.config(entra.KindSecret, write0(t, "s", []byte("x")))
		away.LoginURL = "https://127.0.0.1:1"
		fresh, err := entra.NewCredential(away)
		if err != nil {
			t.Fatal(err)
		}
		client, _ := script(t, func(c *entra.Config) { c.Credential = fresh })
		_, err = client.RevokeSessions(t.Context(), guestID)
		wantVerdict(t, err, contractor.VerdictRetry)
	})
}

// pair makes a key with its certificate.
func pair(t *testing.T, name string) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour).Truncate(time.Second)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func TestCertificateCredential(t *testing.T) {
	o := newOffice(t)
	key, cert := pair(t, "scimbridge")
	_, other := pair(t, "issuer")
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
	}
	modern, err := pkcs12.Modern.Encode(key, cert, []*x509.Certificate{other}, "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := pkcs12.Passwordless.Encode(key, cert, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]struct {
		content  []byte
		password string
	}{
		"PEM":                           {content: bytes.Join([][]byte{block("PRIVATE KEY", der), block("CERTIFICATE", cert.Raw)}, nil)},
		"PEM with the chain first":      {content: bytes.Join([][]byte{block("CERTIFICATE", other.Raw), block("CERTIFICATE", cert.Raw), block("PRIVATE KEY", der)}, nil)},
		"PFX of today with a password":  {content: modern, password: "open sesame"},
		"PFX without a password":        {content: plain},
		"PEM with a PKCS#1 private key": {content: bytes.Join([][]byte{block("CERTIFICATE", cert.Raw), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))}, nil)},
	}
	for name, f := range files {
		t.Run(name, func(t *testing.T) {
			cfg := o.config(entra.KindCertificate, write0(t, "cert", f.content))
			if f.password != "" {
				cfg.PasswordFile = write0(t, "password", []byte(f.password+"\n"))
			}
			c, err := entra.NewCredential(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !c.NotAfter().Equal(cert.NotAfter) {
				t.Errorf("expires %s, not %s", c.NotAfter(), cert.NotAfter)
			}
			getToken(t, c)
			assertion := o.last().Get("client_assertion")
			claims := jwt.RegisteredClaims{}
			if _, err := jwt.ParseWithClaims(assertion, &claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }); err != nil {
				t.Fatalf("assertion: %v", err)
			}
			if claims.Subject != clientID || !strings.Contains(strings.Join(claims.Audience, ""), "/oauth2/v2.0/token") {
				t.Errorf("claims %+v", claims)
			}
		})
	}
	t.Run("is replaced without a restart", func(t *testing.T) {
		path := write0(t, "cert.pem", files["PEM"].content)
		c, err := entra.NewCredential(o.config(entra.KindCertificate, path))
		if err != nil {
			t.Fatal(err)
		}
		newKey, newCert := pair(t, "next, with a longer name")
		newDER, err := x509.MarshalPKCS8PrivateKey(newKey)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(block("PRIVATE KEY", newDER), block("CERTIFICATE", newCert.Raw)...), 0o600); err != nil {
			t.Fatal(err)
		}
		getToken(t, c)
		if _, err := jwt.Parse(o.last().Get("client_assertion"), func(*jwt.Token) (any, error) { return &newKey.PublicKey, nil }); err != nil {
			t.Errorf("still signed with the old key: %v", err)
		}
	})
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"no key": block("CERTIFICATE", cert.Raw), "no certificate": block("PRIVATE KEY", der), "nothing": []byte("x"), "wrong password": modern,
		"an elliptic key, which Entra does not take": append(block("PRIVATE KEY", ecDER), block("CERTIFICATE", cert.Raw)...),
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := entra.NewCredential(o.config(entra.KindCertificate, write0(t, "c", bad))); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestWorkloadIdentityCredential(t *testing.T) {
	o := newOffice(t)
	file := write0(t, "token", []byte("federated-1"))
	c, err := entra.NewCredential(o.config(entra.KindWorkloadIdentity, file))
	if err != nil {
		t.Fatal(err)
	}
	getToken(t, c)
	if got := o.last().Get("client_assertion"); got != "federated-1" {
		t.Errorf("assertion %q", got)
	}
	if err := os.WriteFile(file, []byte("federated-2"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Reset()
	getToken(t, c)
	if got := o.last().Get("client_assertion"); got != "federated-2" {
		t.Errorf("assertion %q", got)
	}
}

func TestManagedIdentityCredential(t *testing.T) {
	var asked *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Clone(r.Context())
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"access_token":"mi","token_type":"Bearer","resource":"https://graph.microsoft.com","expires_on":"4102444800"}`)) //nolint:errcheck // a test server
	}))
	t.Cleanup(srv.Close)
	t.Setenv("IDENTITY_ENDPOINT", srv.URL) // how App Service and others tell where their identity is
	t.Setenv("IDENTITY_HEADER", "h")
	c, err := entra.NewCredential(entra.CredentialConfig{Kind: entra.KindManagedIdentity, ClientID: clientID})
	if err != nil {
		t.Fatal(err)
	}
	if got := getToken(t, c); got != "mi" {
		t.Errorf("token %q", got)
	}
	if q := asked.URL.Query(); q.Get("resource") != "https://graph.microsoft.com" || q.Get("client_id") != clientID {
		t.Errorf("asked with %v", q)
	}
}

func TestCredentialMistakes(t *testing.T) {
	good := entra.CredentialConfig{TenantID: tenantID, ClientID: clientID, Kind: entra.KindSecret, File: write0(t, "s", []byte("x"))}
	if _, err := entra.NewCredential(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*entra.CredentialConfig){
		"tenant_id":         func(c *entra.CredentialConfig) { c.TenantID = "contoso" },
		"client_id":         func(c *entra.CredentialConfig) { c.ClientID = "scimbridge" },
		"kind":              func(c *entra.CredentialConfig) { c.Kind = "password" },
		"needs a file":      func(c *entra.CredentialConfig) { c.File = "" },
		"no such file":      func(c *entra.CredentialConfig) { c.File = "/nonexistent" },
		"login_url":         func(c *entra.CredentialConfig) { c.LoginURL = "http://127.0.0.1:9010" },
		"CA file":           func(c *entra.CredentialConfig) { c.CAFile = "/nonexistent" },
		"is empty":          func(c *entra.CredentialConfig) { c.File = write0(t, "e", []byte(" \n")) },
		"larger than 1 MiB": func(c *entra.CredentialConfig) { c.File = write0(t, "l", make([]byte, 1<<21)) },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			spoil(&c)
			_, err := entra.NewCredential(c)
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestClouds(t *testing.T) {
	want := map[string][3]string{
		"global":    {"https://graph.microsoft.com/v1.0", "https://login.microsoftonline.com", "https://graph.microsoft.com/.default"},
		"":          {"https://graph.microsoft.com/v1.0", "https://login.microsoftonline.com", "https://graph.microsoft.com/.default"},
		"usgov":     {"https://graph.microsoft.us/v1.0", "https://login.microsoftonline.us", "https://graph.microsoft.us/.default"},
		"usgov-dod": {"https://dod-graph.microsoft.us/v1.0", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us/.default"},
		"china":     {"https://microsoftgraph.chinacloudapi.cn/v1.0", "https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn/.default"},
	}
	for name, w := range want {
		c, err := entra.CloudNamed(name)
		if err != nil || c.GraphURL != w[0] || c.LoginURL != w[1] || c.Scope != w[2] {
			t.Errorf("%q: %+v, %v", name, c, err)
		}
	}
	if _, err := entra.CloudNamed("germany"); err == nil {
		t.Error("a closed cloud is taken")
	}
}

// TestTransport talks to a real server over TLS: HTTP/2, one connection, bodies whole and with their length.
func TestTransport(t *testing.T) {
	type seen struct {
		proto  string
		length int64
		remote string
	}
	var (
		mu    sync.Mutex
		calls []seen
	)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, seen{r.Proto, r.ContentLength, r.RemoteAddr})
		switch {
		case r.Method == http.MethodPatch:
			w.WriteHeader(http.StatusNoContent)
		case strings.HasSuffix(r.URL.Path, "memberOf"):
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(none)) //nolint:errcheck // a test server
		case strings.HasSuffix(r.URL.Path, bossID): // an endless answer
			w.Header().Set("Content-Type", "application/json")
			chunk := bytes.Repeat([]byte(" "), 1<<16)
			for range 1 << 9 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(guestBody)) //nolint:errcheck // a test server
		}
	}))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of the refused handshake
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca := write0(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	c, _ := script(t, func(c *entra.Config) { c.GraphURL, c.Transport, c.CAFile = srv.URL+"/v1.0", nil, ca })
	for range 5 {
		if _, err := c.Guest(t.Context(), guestID); err != nil {
			t.Fatal(err)
		}
		if _, err := c.SetEnabled(t.Context(), guestID, false); err != nil {
			t.Fatal(err)
		}
	}
	remotes := map[string]bool{}
	for _, s := range calls {
		remotes[s.remote] = true
		if s.proto != "HTTP/2.0" || s.length < 0 {
			t.Errorf("%+v", s)
		}
	}
	if len(remotes) != 1 {
		t.Errorf("%d connections for %d calls", len(remotes), len(calls))
	}
	t.Run("an endless answer is cut", func(t *testing.T) {
		_, err := c.Guest(t.Context(), bossID)
		if _, isFailure := errors.AsType[*contractor.Failure](err); !isFailure {
			t.Fatalf("%v", err)
		}
	})
	t.Run("an unknown certificate is refused", func(t *testing.T) {
		c, _ := script(t, func(c *entra.Config) { c.GraphURL, c.Transport = srv.URL+"/v1.0", nil })
		_, err := c.Guest(t.Context(), guestID)
		wantVerdict(t, err, contractor.VerdictRetry)
	})
}
