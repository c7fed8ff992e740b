// Package config reads scimbridge.yaml, the settings of one daemon, and refuses what would not work or not be safe.
package config

import (
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"scimbridge/internal/siem"
	"scimbridge/internal/strictyaml"
)

// Config is the whole of scimbridge.yaml. Load and Parse return it with defaults filled in,
// validated, and with every path either absolute or relative to where the process runs.
//
// A path in the file that is not absolute is taken from the folder of scimbridge.yaml.
type Config struct {
	// Listen is the address of the vendor door, host:port. An address that other machines
	// reach needs TLS. Default 127.0.0.1:8080.
	Listen string `yaml:"listen"`

	// PublicURL is the address by which vendors reach the vendor door, up to and without
	// /scim/v2; it begins every SCIM location. https, or http on loopback. Optional where
	// Listen names a host: see BaseURL.
	PublicURL string `yaml:"public_url"`

	// TLS makes the vendor door speak HTTPS. Optional on loopback.
	TLS *TLS `yaml:"tls"`

	// TrustedProxies are the addresses or networks of reverse proxies whose X-Forwarded-For is
	// believed where a vendor's sign_in.networks are looked at. Default: none.
	TrustedProxies []strictyaml.Network `yaml:"trusted_proxies"`

	// Database is the path of the SQLite file, or the address of a PostgreSQL database for several nodes, as libpq writes it:
	// postgres://user@host/name?sslmode=verify-full. Default /var/lib/scimbridge/scimbridge.db.
	Database string `yaml:"database"`

	// DatabasePasswordFile holds the password of PostgreSQL's user. Optional.
	DatabasePasswordFile CredentialFile `yaml:"database_password_file"`

	// DatabaseAuth is how PostgreSQL is signed in to: password (the default), or entra, where the token of the credential below
	// is the password (Azure Database for PostgreSQL).
	DatabaseAuth DatabaseAuth `yaml:"database_auth"`

	// State is the folder of what each node keeps beside a PostgreSQL database: the journal's key, the same on all nodes, and the
	// checkpoint signed last. A SQLite file has them beside it. Default /var/lib/scimbridge.
	State string `yaml:"state"`

	// Mapping is the path of the mapping file. Default: mapping.yaml beside scimbridge.yaml.
	Mapping string `yaml:"mapping"`

	// AdminSocket is the path of the unix socket of the command line. At most 107 bytes, a
	// limit of Linux. Default /run/scimbridge/admin.sock.
	AdminSocket string `yaml:"admin_socket"`

	// Metrics opens a listener for Prometheus. Optional; without it there is none.
	Metrics *Metrics `yaml:"metrics"`

	// Entra is the tenant and how to sign in to it. Required.
	Entra Entra `yaml:"entra"`

	// Log says what is logged and how.
	Log Log `yaml:"log"`

	// ShutdownTimeout is how long steps in flight may take to finish after SIGTERM. From 1s
	// to 5m. Default 20s, well below systemd's TimeoutStopSec in our unit.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`

	// Workers is how many people are reconciled at the same time. From 1 to 64. Default 32:
	// passes wait for Graph most of the time, and its quota bounds the speed.
	Workers int `yaml:"workers"`

	// Patience is how long the loop waits for Entra to show what it was told.
	Patience Patience `yaml:"patience"`

	// Audit says when the journal's head is signed, and what is given to a SIEM. Default: signed hourly, shipped nowhere.
	Audit siem.Settings `yaml:"audit"`

	// Watch reads the tenant's logs about our guests. Optional; without it they are not read.
	Watch *Watch `yaml:"watch"`

	// Notify is how sponsors are told and answer. Optional; without it nobody is told.
	Notify *Notify `yaml:"notify"`

	// Pull names the vendors whose own SCIM servers are asked, by the name they have in the mapping. Optional.
	Pull map[string]*Pull `yaml:"pull"`

	// Console is the web page for admins and auditors. Optional; without it there is none.
	Console *Console `yaml:"console"`

	// Tracing sends OpenTelemetry traces. Optional; without it none are made.
	Tracing *Tracing `yaml:"tracing"`
}

// Patience is how long the loop waits for Entra to show what it was told. The defaults suit the real service; an emulator
// that replicates within a second allows less. Each from 0s (the default is taken) to 1h.
type Patience struct {
	Settle       time.Duration `yaml:"settle"`        // before a write that no read shows is sent again. Default 60s
	InviteWindow time.Duration `yaml:"invite_window"` // before an invitation whose answer was lost is sent again. Default 60s
	NativeGrace  time.Duration `yaml:"native_grace"`  // for Entra's own expiry of a closed person's grants. Default 2m
	InviteSettle time.Duration `yaml:"invite_settle"` // before the first write to a new guest. Default 2s
}

// TLS is the certificate of the vendor door. Both files are needed.
type TLS struct {
	CertFile CredentialFile `yaml:"cert_file"` // the certificate and its chain, PEM
	KeyFile  CredentialFile `yaml:"key_file"`  // its private key, PEM, unencrypted

	// ClientCAFile holds the certificate authorities, PEM, of the client certificates that
	// vendors may sign in with. Optional; without it none is asked for.
	ClientCAFile string `yaml:"client_ca_file"`
}

// Metrics is the listener for Prometheus.
type Metrics struct {
	// Listen is an address of its own, host:port. It has no TLS and no password: keep it on
	// loopback or on a network for monitoring. Required.
	Listen string `yaml:"listen"`
}

// Entra names one Microsoft Entra tenant.
type Entra struct {
	// Cloud chooses the addresses of Graph and of the sign-in. Default global.
	Cloud Cloud `yaml:"cloud"`

	// TenantID is the tenant's id (a GUID) or one of its verified domains. Required.
	TenantID string `yaml:"tenant_id"`

	// ClientID is the application (client) id of the app registration, a GUID. Required,
	// except for a managed identity: there it is the client id of a user-assigned identity,
	// and left out it means the machine's system-assigned one.
	ClientID string `yaml:"client_id"`

	// Credential is how the app proves who it is. Required.
	Credential Credential `yaml:"credential"`

	// GraphURL is Graph's address with its version. Default: the cloud's, with /v1.0. Another
	// one is for emulators and tests; plain http only on loopback, for each request carries a
	// token.
	GraphURL string `yaml:"graph_url"`

	// LoginURL is the authority's address without the tenant. Default: the cloud's. https only.
	LoginURL string `yaml:"login_url"`

	// CAFile holds root certificates, PEM, that are trusted besides the system's: for an
	// emulator, or a proxy that opens TLS. Optional.
	CAFile string `yaml:"ca_file"`
}

// Credential is how the app proves who it is to Entra. It holds names of files, never a secret.
type Credential struct {
	// Kind is secret, certificate, managed_identity or workload_identity. Required.
	Kind CredentialKind `yaml:"kind"`

	// File holds, by kind: the client secret as text; certificate and private key, PEM or
	// PKCS#12; nothing (managed_identity has no file); the federated token (a JWT), read
	// again whenever a token is fetched.
	File CredentialFile `yaml:"file"`

	// PasswordFile holds the password of a PKCS#12 file. Only for kind certificate; optional.
	PasswordFile CredentialFile `yaml:"password_file"`

	pasted `yaml:",inline"`
}

// pasted are the keys under which people put the secret itself; each is refused with an
// answer that helps.
type pasted struct {
	Secret       pastedSecret `yaml:"secret,hidden"`
	ClientSecret pastedSecret `yaml:"client_secret,hidden"`
	Value        pastedSecret `yaml:"value,hidden"`
	Password     pastedSecret `yaml:"password,hidden"`
	Token        pastedSecret `yaml:"token,hidden"`
}

// Log says what is logged and how.
type Log struct {
	Level  Level     `yaml:"level"`  // debug, info, warn or error. Default info
	Format LogFormat `yaml:"format"` // text or json. Default text
}

// defaults returns the settings of a file that says nothing.
func defaults() Config {
	return Config{
		Listen:          "127.0.0.1:8080",
		Database:        "/var/lib/scimbridge/scimbridge.db",
		State:           "/var/lib/scimbridge",
		Mapping:         "mapping.yaml",
		AdminSocket:     "/run/scimbridge/admin.sock",
		Entra:           Entra{Cloud: Global},
		Log:             Log{Level: Level(slog.LevelInfo), Format: Text},
		ShutdownTimeout: 20 * time.Second,
		Workers:         32,
	}
}

// Load reads and checks the file at path. It opens no other file: that a certificate or a
// secret can be read shows when it is used. The config is nil where a problem is more than a
// warning.
func Load(path string) (*Config, strictyaml.Problems) {
	doc, problems := strictyaml.ParseFile(path)
	return decode(doc, problems, filepath.Dir(path))
}

// Parse checks the text of a config file. file is its path: for messages, and the folder from
// which relative paths are taken.
func Parse(file string, data []byte) (*Config, strictyaml.Problems) {
	doc, problems := strictyaml.Parse(file, data)
	return decode(doc, problems, filepath.Dir(file))
}

func decode(doc *strictyaml.Document, problems strictyaml.Problems, folder string) (*Config, strictyaml.Problems) {
	if doc == nil {
		return nil, problems
	}
	cfg := defaults()
	problems = append(problems, doc.Decode(&cfg)...)
	v := validator{doc: doc, folder: folder, reported: map[strictyaml.Pos]bool{}}
	for _, p := range problems {
		v.reported[p.Pos] = true
	}
	v.config(&cfg)
	problems = append(problems, v.problems...)
	problems.Sort()
	if problems.Err() != nil {
		return nil, problems
	}
	cfg.resolve(folder)
	return &cfg, problems
}

// resolve turns what the file left out or left relative into what the program uses.
func (c *Config) resolve(folder string) {
	if !c.OnPostgres() {
		c.Database = below(folder, c.Database)
	}
	for _, p := range append(c.Audit.Paths(), &c.State, &c.Mapping, &c.AdminSocket, &c.Entra.CAFile) {
		*p = below(folder, *p)
	}
	files := []*CredentialFile{&c.DatabasePasswordFile, &c.Entra.Credential.File, &c.Entra.Credential.PasswordFile}
	if c.Notify != nil {
		files = append(files, c.Notify.resolve(folder)...)
	}
	if c.Console != nil {
		files = append(files, c.Console.resolve()...)
	}
	for _, p := range c.Pull {
		if p != nil {
			files = append(files, p.resolve(folder)...)
		}
	}
	if c.Tracing != nil {
		files = append(files, &c.Tracing.HeadersFile)
	}
	if c.TLS != nil {
		files = append(files, &c.TLS.CertFile, &c.TLS.KeyFile)
		c.TLS.ClientCAFile = below(folder, c.TLS.ClientCAFile)
	}
	for _, f := range files {
		f.folder = folder
	}
	graph, login := c.Entra.Cloud.addresses()
	if c.Entra.GraphURL == "" {
		c.Entra.GraphURL = graph + "/v1.0"
	}
	if c.Entra.LoginURL == "" {
		c.Entra.LoginURL = login
	}
	for _, u := range []*string{&c.PublicURL, &c.Entra.GraphURL, &c.Entra.LoginURL} {
		*u = strings.TrimRight(*u, "/")
	}
}

// below returns path, taken from folder where it is relative; "" stays "".
func below(folder, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}

// BaseURL returns PublicURL or, where the file has none, the URL of Listen with the port of
// bound, the address that the vendor door was really given (the port may have been 0). It
// has no slash at its end.
func (c *Config) BaseURL(bound net.Addr) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	u := url.URL{Scheme: "http", Host: c.Listen}
	if c.TLS != nil {
		u.Scheme = "https"
	}
	host, _, err := net.SplitHostPort(c.Listen)
	_, port, boundErr := net.SplitHostPort(bound.String())
	if err == nil && boundErr == nil {
		u.Host = net.JoinHostPort(host, port)
	}
	return u.String()
}
