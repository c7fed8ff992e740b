package entra

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// CredentialKind says how the application proves itself to Entra.
type CredentialKind string

// The four kinds.
const (
	KindSecret           CredentialKind = "secret"            // File holds the client secret
	KindCertificate      CredentialKind = "certificate"       // File holds certificate and private key, PEM or PFX
	KindManagedIdentity  CredentialKind = "managed_identity"  // of the Azure VM; ClientID names a user-assigned one
	KindWorkloadIdentity CredentialKind = "workload_identity" // File holds another issuer's token, exchanged for ours
)

// CredentialConfig says who the application is. Secrets come from files only, and are read again when the file changes.
type CredentialConfig struct {
	Cloud    Cloud  // default: global
	TenantID string // required, except for a managed identity
	ClientID string // required, except for the system-assigned managed identity
	Kind     CredentialKind
	// File of the secret, the certificate or the federated token (a path that systemd's LoadCredential gives, say).
	File string
	// PasswordFile opens an encrypted PFX; "" if it has no password.
	PasswordFile string
	// LoginURL is another token authority (an emulator's). It must be https, and its instance is not looked up at Microsoft.
	LoginURL string
	// CAFile is a PEM file of further root certificates for LoginURL.
	CAFile string
	// Transport sends the token requests. Default: as NewTransport(CAFile).
	Transport http.RoundTripper
}

// errCredentialFile marks what a person must mend in the credential's file.
var errCredentialFile = errors.New("credential file")

// Credential fetches the application's tokens. It implements azcore.TokenCredential, is safe for use by many goroutines, and
// follows its files: a rotated secret or certificate is used from the next token on, without a restart.
type Credential struct {
	config CredentialConfig
	client *http.Client

	mu     sync.Mutex
	inner  azcore.TokenCredential
	stamps [2]stamp // of File and PasswordFile, when inner was built
	expiry time.Time
}

// stamp tells whether a file has changed.
type stamp struct {
	size     int64
	modified time.Time
}

// NewCredential checks the configuration and reads the files once, so that a mistake shows at the start. It makes no call.
func NewCredential(c CredentialConfig) (*Credential, error) {
	if c.Cloud == (Cloud{}) {
		var err error
		if c.Cloud, err = CloudNamed(""); err != nil {
			return nil, err
		}
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Transport == nil {
		t, err := NewTransport(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("entra: %w", err)
		}
		c.Transport = t
	}
	if c.LoginURL != "" {
		c.Transport = authority{c.Transport}
	}
	credential := &Credential{config: c, client: &http.Client{
		Transport:     c.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if _, err := credential.current(); err != nil {
		return nil, err
	}
	return credential, nil
}

func (c *CredentialConfig) validate() error {
	switch c.Kind {
	case KindSecret, KindCertificate, KindWorkloadIdentity:
		if !isGUID(c.TenantID) && !strings.Contains(c.TenantID, ".") {
			return fmt.Errorf("entra: tenant_id %q is neither a GUID nor a domain", c.TenantID)
		}
		if !isGUID(c.ClientID) {
			return fmt.Errorf("entra: client_id %q is not a GUID", c.ClientID)
		}
		if c.File == "" {
			return fmt.Errorf("entra: a credential of kind %s needs a file", c.Kind)
		}
	case KindManagedIdentity:
		if c.ClientID != "" && !isGUID(c.ClientID) {
			return fmt.Errorf("entra: client_id %q is not a GUID", c.ClientID)
		}
	default:
		return fmt.Errorf("entra: credential kind %q is unknown; write secret, certificate, managed_identity or workload_identity", c.Kind)
	}
	if c.LoginURL == "" {
		return nil
	}
	u, err := url.Parse(c.LoginURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("entra: login_url %q must be https://host[:port]", c.LoginURL)
	}
	return nil
}

// GetToken implements azcore.TokenCredential.
func (c *Credential) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	inner, err := c.current()
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return inner.GetToken(ctx, options)
}

// Reset forgets cached tokens, after one was refused.
func (c *Credential) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inner = nil
}

// NotAfter is when the certificate in use expires; zero for the other kinds.
func (c *Credential) NotAfter() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.expiry
}

// current is the SDK's credential for what the files hold now. A file that cannot be read or used (half-written, say) leaves
// the last good one in place.
func (c *Credential) current() (azcore.TokenCredential, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := c.stamp()
	if err != nil {
		if c.inner != nil {
			return c.inner, nil
		}
		return nil, err
	}
	if c.inner != nil && now == c.stamps {
		return c.inner, nil
	}
	inner, expiry, err := c.build()
	if err != nil {
		if c.inner != nil {
			return c.inner, nil
		}
		return nil, err
	}
	c.inner, c.stamps, c.expiry = inner, now, expiry
	return inner, nil
}

func (c *Credential) stamp() ([2]stamp, error) {
	var s [2]stamp
	if c.config.Kind == KindWorkloadIdentity { // read at every use anyway
		return s, nil
	}
	for i, path := range []string{c.config.File, c.config.PasswordFile} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return s, fmt.Errorf("%w: %w", errCredentialFile, err)
		}
		s[i] = stamp{info.Size(), info.ModTime()}
	}
	return s, nil
}

// build makes the SDK's credential and tells when its certificate expires.
func (c *Credential) build() (azcore.TokenCredential, time.Time, error) {
	k := &c.config
	authority := k.Cloud.LoginURL
	if k.LoginURL != "" {
		authority = k.LoginURL
	}
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: authority, Services: map[cloud.ServiceName]cloud.ServiceConfiguration{}},
		Transport: c.client,
		// One repeat here; the calls that need the token are repeated by their own rules.
		Retry: policy.RetryOptions{MaxRetries: 1, TryTimeout: tokenTimeout / 2, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second},
	}
	elsewhere := k.LoginURL != ""
	switch k.Kind {
	case KindSecret:
		secret, err := readSecret(k.File)
		if err != nil {
			return nil, time.Time{}, err
		}
		inner, err := azidentity.NewClientSecretCredential(k.TenantID, k.ClientID, secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: elsewhere})
		return inner, time.Time{}, wrap(err)
	case KindCertificate:
		chain, key, err := readCertificate(k.File, k.PasswordFile)
		if err != nil {
			return nil, time.Time{}, err
		}
		inner, err := azidentity.NewClientCertificateCredential(k.TenantID, k.ClientID, chain, key, &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: elsewhere})
		return inner, chain[0].NotAfter, wrap(err)
	case KindWorkloadIdentity:
		assertion := func(context.Context) (string, error) { return readSecret(k.File) }
		inner, err := azidentity.NewClientAssertionCredential(k.TenantID, k.ClientID, assertion, &azidentity.ClientAssertionCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: elsewhere})
		return inner, time.Time{}, wrap(err)
	}
	managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
	if k.ClientID != "" {
		managed.ID = azidentity.ClientID(k.ClientID)
	}
	inner, err := azidentity.NewManagedIdentityCredential(managed)
	return inner, time.Time{}, wrap(err)
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("entra: credential: %w", err)
}

// maxSecretFile bounds a credential file; a PFX with a long chain is a few KiB.
const maxSecretFile = 1 << 20

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredentialFile, err)
	}
	if info.Size() > maxSecretFile {
		return nil, fmt.Errorf("%w: %s is larger than 1 MiB", errCredentialFile, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredentialFile, err)
	}
	return b, nil
}

// readSecret reads a one-line secret; the line break that editors leave does not belong to it.
func readSecret(path string) (string, error) {
	b, err := readFile(path)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" {
		return "", fmt.Errorf("%w: %s is empty", errCredentialFile, path)
	}
	return s, nil
}

// readCertificate reads a certificate with its key, and its chain, from PEM or PFX. The first certificate is the key's own.
func readCertificate(path, passwordFile string) ([]*x509.Certificate, crypto.PrivateKey, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	if bytes.Contains(b, []byte("-----BEGIN ")) {
		chain, key, err := azidentity.ParseCertificates(b, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s must hold an unencrypted private key and its certificate in PEM form: %w", errCredentialFile, path, err)
		}
		return own(chain, key), key, nil
	}
	password := ""
	if passwordFile != "" {
		if password, err = readSecret(passwordFile); err != nil {
			return nil, nil, err
		}
	}
	key, leaf, chain, err := pkcs12.DecodeChain(b, password)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s is neither PEM nor a PFX that the password opens: %w", errCredentialFile, path, err)
	}
	return append([]*x509.Certificate{leaf}, chain...), key, nil
}

// own puts the certificate of the key first.
func own(chain []*x509.Certificate, key crypto.PrivateKey) []*x509.Certificate {
	signer, isSigner := key.(crypto.Signer)
	if !isSigner {
		return chain
	}
	public, comparable := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !comparable {
		return chain
	}
	for i, cert := range chain {
		if public.Equal(cert.PublicKey) {
			chain[0], chain[i] = chain[i], chain[0]
			break
		}
	}
	return chain
}
