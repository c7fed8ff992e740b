package main

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
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/scim"
)

// gatehouse is a daemon whose vendor door speaks TLS, and what its neighbours need to know.
type gatehouse struct {
	t      *testing.T
	dir    string
	cfg    *config.Config
	d      *daemon
	roots  *x509.CertPool // that the door's certificate is verified by
	ca     *authority     // that signs the door's certificate, and clients'
	issuer *httptest.Server
	key    *ecdsa.PrivateKey // of the issuer's tokens
	token  string            // of vendor basic
}

const signInMapping = `version: 1
catalog:
  groups:
    ext-base: {id: 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01}
vendors:
  basic:
    email_domains: [basic.example]
    sign_in: {basic: true}
  tokens:
    email_domains: [tokens.example]
    sign_in: {jwt: {issuer: %[1]s, audience: api://scimbridge, claims: {azp: vendor-app, scp: scim.write}}}
  certificates:
    email_domains: [certificates.example]
    quota: 1
    sign_in: {certificates: ["CN=scim, O=Acme", "dns:scim.acme.example"]}
  elsewhere:
    email_domains: [elsewhere.example]
    sign_in: {networks: [203.0.113.0/24]}
  slow:
    email_domains: [slow.example]
    rate: 1
rules:
  - name: everyone
    grant: {groups: [ext-base]}
`

func newGatehouse(t *testing.T) *gatehouse {
	t.Helper()
	h := &gatehouse{t: t, dir: t.TempDir(), ca: newAuthority(t), roots: x509.NewCertPool()}
	h.roots.AddCert(h.ca.cert)
	h.startIssuer()
	tenant, err := emulator.New(emulator.Config{})
	ok(t, err)
	graph, err := tenant.Start(context.WithoutCancel(t.Context()), emulator.StartConfig{GraphAddr: "127.0.0.1:0", LoginAddr: "127.0.0.1:0"})
	ok(t, err)
	t.Cleanup(func() { _ = graph.Close() })
	st := &stage{dir: h.dir, tenant: tenant, graph: graph}
	_, err = st.writeFiles()
	ok(t, err)
	write(t, st, "mapping.yaml", fmt.Sprintf(signInMapping, h.issuer.URL))
	h.ca.write(t, h.dir, "tls", &x509.Certificate{DNSNames: []string{"localhost"}})
	h.ca.writeCA(t, filepath.Join(h.dir, "clients.pem"))
	replace(t, st, "listen: 127.0.0.1:0", `listen: 127.0.0.1:0
tls: {cert_file: ./tls.crt, key_file: ./tls.key, client_ca_file: clients.pem}
public_url: https://scim.contoso.example
trusted_proxies: [127.0.0.1]
metrics: {listen: "127.0.0.1:0"}`)
	cfg, problems := config.Load(filepath.Join(h.dir, "scimbridge.yaml"))
	ok(t, problems.Err())
	h.cfg = cfg
	h.d, err = start(t.Context(), options{config: cfg, log: newLogger(cfg.Log, streams{nil, testWriter{t}, testWriter{t}})})
	ok(t, err)
	t.Cleanup(func() { ok(t, h.d.stop(context.WithoutCancel(t.Context()))) })
	h.token = h.tokenOf("basic")
	return h
}

func (h *gatehouse) tokenOf(vendor string) string {
	token := scim.NewToken()
	_, err := h.d.store.AddToken(h.t.Context(), admin(), contractor.Token{Vendor: vendor, Hash: scim.HashToken(token)}, "test")
	ok(h.t, err)
	return token
}

// startIssuer makes an OpenID provider with one key.
func (h *gatehouse) startIssuer() {
	var err error
	h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(h.t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": h.issuer.URL, "jwks_uri": h.issuer.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		n := func(i *big.Int) string { return base64.RawURLEncoding.EncodeToString(i.FillBytes(make([]byte, 32))) }
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256", "use": "sig", "x": n(h.key.X), "y": n(h.key.Y)}}})
	})
	h.issuer = httptest.NewServer(mux)
	h.t.Cleanup(h.issuer.Close)
}

func (h *gatehouse) accessToken(claims jwt.MapClaims) string {
	all := jwt.MapClaims{"iss": h.issuer.URL, "aud": "api://scimbridge", "azp": "vendor-app", "scp": "scim.read scim.write", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, all)
	tok.Header["kid"] = "k"
	s, err := tok.SignedString(h.key)
	ok(h.t, err)
	return s
}

// doorReply is what the door said.
type doorReply struct {
	status int
	header http.Header
	tls    *tls.ConnectionState
	body   []byte
}

// ask sends one request over a connection of its own.
func (h *gatehouse) ask(cert *tls.Certificate, method, path, body string, header ...string) doorReply {
	h.t.Helper()
	cfg := &tls.Config{RootCAs: h.roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(h.t.Context(), method, "https://"+h.d.scimAddr.String()+"/scim/v2"+path, strings.NewReader(body))
	ok(h.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	ok(h.t, err)
	b, err := io.ReadAll(resp.Body)
	ok(h.t, errors.Join(err, resp.Body.Close()))
	return doorReply{resp.StatusCode, resp.Header, resp.TLS, b}
}

func (h *gatehouse) want(status int, cert *tls.Certificate, method, path, body string, header ...string) doorReply {
	h.t.Helper()
	r := h.ask(cert, method, path, body, header...)
	if r.status != status {
		h.t.Errorf("%s %s: %d, want %d: %s", method, path, r.status, status, r.body)
	}
	return r
}

// TestSignInWhileServing starts the daemon as its configuration says and comes in by every way that the mapping opens.
func TestSignInWhileServing(t *testing.T) {
	t.Parallel()
	h := newGatehouse(t)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	mtls := h.ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "scim", Organization: []string{"Acme"}}})
	stranger := newAuthority(t).issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "scim", Organization: []string{"Acme"}}})

	h.want(200, nil, "GET", "/Users", "", "Authorization", "Bearer "+h.token)
	h.want(200, nil, "GET", "/Users", "", "Authorization", basic("basic", h.token))
	h.want(401, nil, "GET", "/Users", "", "Authorization", basic("tokens", h.token))
	h.want(401, nil, "GET", "/Users", "", "Authorization", basic("tokens", h.tokenOf("tokens")))
	h.want(200, nil, "GET", "/Users", "", "Authorization", "Bearer "+h.accessToken(nil))
	h.want(401, nil, "GET", "/Users", "", "Authorization", "Bearer "+h.accessToken(jwt.MapClaims{"aud": "api://other"}))
	h.want(401, nil, "GET", "/Users", "", "Authorization", "Bearer "+h.accessToken(jwt.MapClaims{"scp": "scim.read"}))
	h.want(200, mtls, "GET", "/Users", "")
	h.want(401, h.ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "other"}}), "GET", "/Users", "")
	h.want(401, nil, "GET", "/Users", "")
	h.want(200, mtls, "GET", "/Users", "", "Authorization", "Bearer "+h.token) // a token says who comes; the certificate does not matter then
	if _, err := tls.Dial("tcp", h.d.scimAddr.String(), &tls.Config{RootCAs: h.roots, ServerName: "localhost", MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	h.refusesCertificate(t, stranger)

	t.Run("discovery says what can be used", func(t *testing.T) {
		var spc struct{ AuthenticationSchemes []struct{ Type string } }
		ok(t, json.Unmarshal(h.want(200, nil, "GET", "/ServiceProviderConfig", "").body, &spc))
		if len(spc.AuthenticationSchemes) != 3 {
			t.Errorf("schemes %v", spc.AuthenticationSchemes)
		}
	})
	t.Run("networks, behind a proxy that is trusted", func(t *testing.T) {
		token := "Bearer " + h.tokenOf("elsewhere")
		h.want(200, nil, "GET", "/Users", "", "Authorization", token, "X-Forwarded-For", "198.51.100.9, 203.0.113.9")
		h.want(403, nil, "GET", "/Users", "", "Authorization", token, "X-Forwarded-For", "203.0.113.9, 198.51.100.9")
		h.want(403, nil, "GET", "/Users", "", "Authorization", token)
	})
	t.Run("quota", func(t *testing.T) {
		one := func(name string) string {
			return fmt.Sprintf(`{"userName":"%[1]s@certificates.example","urn:ietf:params:scim:schemas:extension:contractor:2.0:User":{"endDate":"2099-12-31"}}`, name)
		}
		h.want(201, mtls, "POST", "/Users", one("ann"))
		h.want(403, mtls, "POST", "/Users", one("bob"))
	})
	t.Run("rate", func(t *testing.T) {
		token := "Bearer " + h.tokenOf("slow")
		for range 2 {
			h.want(200, nil, "GET", "/Users", "", "Authorization", token)
		}
		if r := h.want(429, nil, "GET", "/Users", "", "Authorization", token); r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
	t.Run("paused and resumed from the command line while it runs", func(t *testing.T) {
		h.cli("vendor", "pause", "certificates", "--reason", "nonsense in the feed")
		h.want(403, mtls, "DELETE", "/Users/x", "")
		h.want(200, mtls, "GET", "/Users", "")
		h.cli("vendor", "pause", "basic", "--reason", "nonsense in the feed")
		eventually(t, 5*time.Second, "the daemon heeds it", func() bool {
			return h.ask(nil, "DELETE", "/Users/x", "", "Authorization", "Bearer "+h.token).status == 403
		})
		h.cli("vendor", "resume", "basic", "--reason", "mended")
		h.cli("vendor", "resume", "certificates", "--reason", "mended")
		h.want(404, mtls, "DELETE", "/Users/x", "")
		eventually(t, 5*time.Second, "the daemon heeds it", func() bool {
			return h.ask(nil, "DELETE", "/Users/x", "", "Authorization", "Bearer "+h.token).status == 404
		})
	})
	t.Run("failed sign-ins are counted, and journaled without flooding", h.refusalsAreTold)
	t.Run("a renewed certificate and authority, without a restart", func(t *testing.T) { h.renewed(t, mtls) })
	t.Run("the mapping is reloaded", func(t *testing.T) {
		write(t, &stage{dir: h.dir}, "mapping.yaml", strings.Replace(fmt.Sprintf(signInMapping, h.issuer.URL), "sign_in: {basic: true}", "sign_in: {basic: false}", 1))
		h.cli("reload")
		h.want(401, nil, "GET", "/Users", "", "Authorization", basic("basic", h.token))
		h.want(200, nil, "GET", "/Users", "", "Authorization", "Bearer "+h.token)
	})
}

// cli runs a command beside the daemon.
func (h *gatehouse) cli(args ...string) {
	h.t.Helper()
	var out strings.Builder
	if code := run(h.t.Context(), append(args, "--config", filepath.Join(h.dir, "scimbridge.yaml")), streams{nil, &out, &out}); code != exitOK {
		h.t.Fatalf("scimbridge %v: exit %d\n%s", args, code, &out)
	}
}

func (h *gatehouse) refusalsAreTold(t *testing.T) {
	for range 20 {
		h.want(401, nil, "GET", "/Users", "", "Authorization", "Bearer wrong", "X-Forwarded-For", "192.0.2.77")
	}
	n := 0
	for e, err := range h.d.store.Journal(t.Context(), contractor.JournalQuery{Kind: "client.refused"}) {
		ok(t, err)
		if strings.Contains(string(e.Personal), "192.0.2.77") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d events for twenty failures from one address", n)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.d.metricsAddr.String()+"/metrics", nil)
	ok(t, err)
	resp, err := http.DefaultClient.Do(req)
	ok(t, err)
	b, err := io.ReadAll(resp.Body)
	ok(t, err)
	ok(t, resp.Body.Close())
	for _, want := range []string{`scimbridge_scim_sign_ins_refused_total{kind="unauthorized",vendor=""} 2`, `scimbridge_scim_sign_ins_refused_total{kind="forbidden",vendor="elsewhere"} 2`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the metrics do not have %s", want)
		}
	}
}

// refusesCertificate sends a certificate though the door names other authorities, and wants no connection.
func (h *gatehouse) refusesCertificate(t *testing.T, cert *tls.Certificate) {
	t.Helper()
	c, err := tls.Dial("tcp", h.d.scimAddr.String(), &tls.Config{
		RootCAs: h.roots, ServerName: "localhost", MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil },
	})
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // in TLS 1.3 the refusal comes after the client's side is done
		_ = c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "tls:") {
		t.Errorf("a certificate of an authority that is not ours: %v", err)
	}
}

func (h *gatehouse) renewed(t *testing.T, old *tls.Certificate) {
	next := newAuthority(t)
	next.write(t, h.dir, "tls", &x509.Certificate{DNSNames: []string{"localhost"}})
	next.writeCA(t, filepath.Join(h.dir, "clients.pem"))
	h.cli("reload")
	h.roots.AddCert(next.cert)
	r := h.want(200, nil, "GET", "/Users", "", "Authorization", "Bearer "+h.token)
	if r.tls.PeerCertificates[0].Issuer.String() != next.cert.Subject.String() {
		t.Errorf("still the certificate of %s", r.tls.PeerCertificates[0].Issuer)
	}
	h.want(200, next.issue(t, &x509.Certificate{DNSNames: []string{"scim.acme.example"}}), "GET", "/Users", "")
	h.refusesCertificate(t, old)
	ok(t, os.WriteFile(filepath.Join(h.dir, "tls.crt"), []byte("broken"), 0o600))
	h.cli("reload")
	h.want(200, nil, "GET", "/Users", "", "Authorization", "Bearer "+h.token)
	st, err := h.d.status(t.Context())
	ok(t, err)
	if !strings.Contains(strings.Join(st.Trouble, "\n"), "the certificate on disk is not in use") {
		t.Errorf("status does not tell: %v", st.Trouble)
	}
	next.write(t, h.dir, "tls", &x509.Certificate{DNSNames: []string{"localhost"}})
	h.cli("reload")
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	serial := big.NewInt(time.Now().UnixNano())
	root := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "authority " + serial.String()}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	ok(t, err)
	cert, err := x509.ParseCertificate(der)
	ok(t, err)
	return &authority{cert, key}
}

func (a *authority) issue(t *testing.T, c *x509.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), a.cert.NotBefore, a.cert.NotAfter
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	ok(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// write issues a certificate into files name.crt and name.key.
func (a *authority) write(t *testing.T, dir, name string, c *x509.Certificate) {
	t.Helper()
	pair := a.issue(t, c)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	ok(t, err)
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, ".key": {Type: "PRIVATE KEY", Bytes: key}} {
		ok(t, os.WriteFile(filepath.Join(dir, name+suffix), pem.EncodeToMemory(block), 0o600))
	}
}

func (a *authority) writeCA(t *testing.T, file string) {
	t.Helper()
	ok(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600))
}
