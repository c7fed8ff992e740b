package emulator_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"scimbridge/internal/entra/emulator"
)

// keyPair is a certificate with its key.
func keyPair(t *testing.T) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "bridge"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// started is an emulator that listens, and a client that trusts its authority.
func started(t *testing.T, cfg emulator.Config) (*emulator.Emulator, *emulator.Server, *http.Client) {
	t.Helper()
	cfg.Now = nil // the identity library goes by the real clock
	e, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Start(t.Context(), emulator.StartConfig{})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CAPEM) {
		t.Fatal("CAPEM holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, s, &http.Client{Transport: transport}
}

// TestAzureIdentity fetches tokens with the library that real clients use, and calls
// Graph with them.
func TestAzureIdentity(t *testing.T) {
	cert, key := keyPair(t)
	cfg := kind()
	cfg.Certificates = []*x509.Certificate{cert}
	issuerKey := &key.PublicKey
	cfg.Federated = []emulator.FederatedCredential{{Issuer: "https://issuer.example", Subject: "system:serviceaccount:bridge", Key: issuerKey}}
	_, s, hc := started(t, cfg)
	options := policy.ClientOptions{
		Transport: hc, Retry: policy.RetryOptions{MaxRetries: -1},
		Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: s.LoginURL},
	}
	secret, err := azidentity.NewClientSecretCredential(emulator.DefaultTenantID, emulator.DefaultClientID, emulator.DefaultClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := azidentity.NewClientCertificateCredential(emulator.DefaultTenantID, emulator.DefaultClientID, []*x509.Certificate{cert}, key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	federated, err := azidentity.NewClientAssertionCredential(emulator.DefaultTenantID, emulator.DefaultClientID,
		func(context.Context) (string, error) {
			return sign(t, key, map[string]any{
				"iss": "https://issuer.example", "sub": "system:serviceaccount:bridge", "aud": "api://AzureADTokenExchange",
				"exp": time.Now().Add(time.Minute).Unix(),
			}), nil
		}, &azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := azidentity.NewClientSecretCredential(emulator.DefaultTenantID, emulator.DefaultClientID, "guess",
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, cred := range map[string]azcore.TokenCredential{"Secret": secret, "Certificate": certificate, "Federated": federated} {
		t.Run(name, func(t *testing.T) {
			tk, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}, EnableCAE: true})
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(tk.ExpiresOn); left < 50*time.Minute || left > 61*time.Minute {
				t.Errorf("the token lives for %s", left)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.GraphURL+"/users", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+tk.Token)
			if status, err := try(t, hc, req); err != nil || status != http.StatusOK {
				t.Errorf("status %d, error %v", status, err)
			}
		})
	}
	t.Run("WrongSecret", func(t *testing.T) {
		_, err := wrong.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
		if err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
			t.Errorf("error %v", err)
		}
	})
}

// sign makes a JWT (RS256).
func sign(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Error(err)
	}
	enc := base64.RawURLEncoding
	head := enc.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + enc.EncodeToString(payload)
	sum := sha256.Sum256([]byte(head))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Error(err)
	}
	return head + "." + enc.EncodeToString(sig)
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	cert, key := keyPair(t)
	cfg := kind()
	cfg.Now = time.Now
	cfg.Certificates = []*x509.Certificate{cert}
	c := newClient(t, cfg)
	base := "https://" + emulator.LoginHost + "/"
	endpoint := base + emulator.DefaultTenantID + "/oauth2/v2.0/token"
	assertion := func(claims map[string]any) string {
		full := map[string]any{"iss": emulator.DefaultClientID, "sub": emulator.DefaultClientID, "aud": endpoint, "exp": time.Now().Add(time.Minute).Unix()}
		maps.Copy(full, claims)
		return sign(t, key, full)
	}
	form := func(changes ...string) url.Values {
		f := url.Values{"grant_type": {"client_credentials"}, "client_id": {emulator.DefaultClientID}, "client_secret": {emulator.DefaultClientSecret}, "scope": {"https://graph.microsoft.com/.default"}}
		for i := 0; i+1 < len(changes); i += 2 {
			f.Del(changes[i])
			if changes[i+1] != "" {
				f.Set(changes[i], changes[i+1])
			}
		}
		return f
	}
	const kindOf = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	tests := []struct {
		name, endpoint string
		form           url.Values
		status         int
		sts            string
	}{
		{"WrongTenant", base + "fabrikam.example/oauth2/v2.0/token", form(), 400, "AADSTS90002"},
		{"WrongClient", endpoint, form("client_id", "x"), 400, "AADSTS700016"},
		{"WrongGrant", endpoint, form("grant_type", "password"), 400, "AADSTS70003"},
		{"ScopeOfADelegate", endpoint, form("scope", "User.Read"), 400, "AADSTS1002012"},
		{"NoCredential", endpoint, form("client_secret", ""), 401, "AADSTS7000218"},
		{"TwoCredentials", endpoint, form("client_assertion", "x"), 400, "AADSTS7000217"},
		{"WrongAssertionType", endpoint, form("client_secret", "", "client_assertion", "x"), 400, "AADSTS700213"},
		{"AssertionWithoutThumbprint", endpoint, form("client_secret", "", "client_assertion_type", kindOf, "client_assertion", assertion(nil)), 401, "AADSTS700027"},
		{"AssertionOfAStranger", endpoint, form("client_secret", "", "client_assertion_type", kindOf, "client_assertion", assertion(map[string]any{"iss": "https://other.example"})), 401, "AADSTS700027"},
		{"AssertionExpired", endpoint, form("client_secret", "", "client_assertion_type", kindOf, "client_assertion", assertion(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})), 401, "AADSTS700027"},
		{"Domain", base + emulator.DefaultDomain + "/oauth2/v2.0/token", form(), 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := c.http.PostForm(tt.endpoint, tt.form)
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, resp.Body)
			var body struct {
				Description string `json:"error_description"`
			}
			if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || !strings.HasPrefix(body.Description, tt.sts) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body.Description, tt.status, tt.sts)
			}
		})
	}
	c.e.RefuseTokenRequests(1)
	for _, want := range []int{503, 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form().Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if status, err := try(t, c.http, req); err != nil || status != want {
			t.Errorf("status %d, error %v, want %d", status, err, want)
		}
	}
}

func TestManagedIdentity(t *testing.T) {
	cfg := kind()
	cfg.ManagedIdentityHeader = "secret-header"
	_, s, hc := started(t, cfg)
	t.Setenv("IDENTITY_ENDPOINT", s.LoginURL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "secret-header")
	cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: policy.ClientOptions{Transport: hc}})
	if err != nil {
		t.Fatal(err)
	}
	tk, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	if err != nil || tk.Token == "" {
		t.Fatalf("no token: %v", err)
	}
}

func TestDiscoveryDocuments(t *testing.T) {
	c := newClient(t, kind())
	for _, path := range []string{"/" + emulator.DefaultTenantID + "/v2.0/.well-known/openid-configuration", "/common/discovery/instance?api-version=1.1", "/" + emulator.DefaultTenantID + "/discovery/v2.0/keys"} {
		c.must(200, "GET", "https://"+emulator.LoginHost+path, nil)
	}
}
