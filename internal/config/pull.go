package config

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Pull is one vendor's own SCIM server, which is asked instead of waited for.
type Pull struct {
	// URL is the server's, up to what stands before /Users: https://api.vendor.example/scim/v2. https, or http on loopback. Required.
	URL string `yaml:"url"`

	// Bearer, Basic and OAuth2 are how the bridge signs in there; one of them at most.
	Bearer *PullBearer `yaml:"bearer"`
	Basic  *PullBasic  `yaml:"basic"`
	OAuth2 *PullOAuth2 `yaml:"oauth2"`

	// CAFile holds root certificates that are trusted besides the system's, PEM. Optional.
	CAFile string `yaml:"ca_file"`

	// ClientCertificate is shown to the server. Optional.
	ClientCertificate *PullCertificate `yaml:"client_certificate"`

	// Absent says what becomes of who is not in a whole reading: keep, or end under the vendor's guard. Default keep.
	Absent PullAbsent `yaml:"absent"`

	// Key is external_id, where the server sends one, or id: the server's own id, always. Default external_id.
	Key PullKey `yaml:"key"`

	// Filter is a SCIM filter that the server is asked with. Default: all Users.
	Filter string `yaml:"filter"`

	Every      time.Duration `yaml:"every"`       // between rounds: 1m to 24h. Default 15m
	FullEvery  time.Duration `yaml:"full_every"`  // between whole readings: every to 168h. Default 24h
	Timeout    time.Duration `yaml:"timeout"`     // of one request: 1s to 5m. Default 30s
	PageSize   int           `yaml:"page_size"`   // Users a request: 1 to 1000. Default 100
	MaxRecords int           `yaml:"max_records"` // a server with more Users is refused: 1 to 1000000. Default 200000

	pasted `yaml:",inline"`
}

// PullBearer is a bearer token.
type PullBearer struct {
	File CredentialFile `yaml:"file"` // required

	pasted `yaml:",inline"`
}

// PullBasic is HTTP Basic.
type PullBasic struct {
	Username string         `yaml:"username"` // required
	File     CredentialFile `yaml:"file"`     // the password. Required

	pasted `yaml:",inline"`
}

// PullOAuth2 is OAuth2 with client credentials.
type PullOAuth2 struct {
	TokenURL string         `yaml:"token_url"` // required
	ClientID string         `yaml:"client_id"` // required
	File     CredentialFile `yaml:"file"`      // the client secret. Required
	Scopes   []string       `yaml:"scopes"`    // optional
	InBody   bool           `yaml:"in_body"`   // id and secret in the form instead of HTTP Basic. Default false

	pasted `yaml:",inline"`
}

// PullCertificate is a client certificate.
type PullCertificate struct {
	CertFile CredentialFile `yaml:"cert_file"` // with its chain, PEM. Required
	KeyFile  CredentialFile `yaml:"key_file"`  // PEM, unencrypted. Required
}

// PullAbsent is what becomes of who is not in a whole reading.
type PullAbsent string

// The answers to absence.
const (
	AbsentKeep PullAbsent = "keep"
	AbsentEnd  PullAbsent = "end"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *PullAbsent) UnmarshalText(text []byte) error { return choose(a, text, AbsentKeep, AbsentEnd) }

// PullKey is what names a record.
type PullKey string

// The keys.
const (
	KeyExternalID PullKey = "external_id"
	KeyID         PullKey = "id"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *PullKey) UnmarshalText(text []byte) error { return choose(k, text, KeyExternalID, KeyID) }

// resolve fills what the file left out, and returns the files that it names.
func (p *Pull) resolve(folder string) (files []*CredentialFile) {
	p.CAFile = below(folder, p.CAFile)
	p.URL = strings.TrimRight(p.URL, "/")
	if p.Bearer != nil {
		files = append(files, &p.Bearer.File)
	}
	if p.Basic != nil {
		files = append(files, &p.Basic.File)
	}
	if p.OAuth2 != nil {
		files = append(files, &p.OAuth2.File)
	}
	if c := p.ClientCertificate; c != nil {
		files = append(files, &c.CertFile, &c.KeyFile)
	}
	return files
}

func (v *validator) pull(c *Config) {
	for _, name := range slices.Sorted(maps.Keys(c.Pull)) {
		if p := c.Pull[name]; p != nil {
			v.pullOf(name, p)
		}
	}
}

func (v *validator) pullOf(name string, p *Pull) {
	here := at("pull", name)
	if !v.given("pull", name, "url") {
		v.missing(here, "the pull of %s needs url, the vendor's SCIM server, such as https://api.vendor.example/scim/v2", name)
	} else {
		v.url(at("pull", name, "url"), p.URL, "it carries a credential and people's data")
		if strings.HasSuffix(strings.TrimRight(p.URL, "/"), "/Users") {
			v.add(at("pull", name, "url"), "leave /Users out; it is added")
		}
	}
	ways := 0
	if b := p.Bearer; b != nil {
		ways++
		v.pullFile(name, "bearer", b.File)
	}
	if b := p.Basic; b != nil {
		ways++
		v.pullFile(name, "basic", b.File)
		if b.Username == "" {
			v.missing(at("pull", name, "basic"), "basic needs username")
		}
	}
	if o := p.OAuth2; o != nil {
		ways++
		v.pullFile(name, "oauth2", o.File)
		if o.ClientID == "" {
			v.missing(at("pull", name, "oauth2"), "oauth2 needs client_id")
		}
		if o.TokenURL == "" {
			v.missing(at("pull", name, "oauth2"), "oauth2 needs token_url, where access tokens are fetched")
		} else {
			v.url(at("pull", name, "oauth2", "token_url"), o.TokenURL, "the client secret is sent to it")
		}
	}
	if ways > 1 {
		v.missing(here, "bearer, basic and oauth2 stand beside each other; keep one")
	}
	if cc := p.ClientCertificate; cc != nil && (cc.CertFile.IsZero() || cc.KeyFile.IsZero()) {
		v.missing(at("pull", name, "client_certificate"), "client_certificate needs cert_file and key_file")
	}
	for _, d := range []struct {
		key                string
		value, least, most time.Duration
	}{{"every", p.Every, time.Minute, 24 * time.Hour}, {"full_every", p.FullEvery, time.Minute, 7 * 24 * time.Hour}, {"timeout", p.Timeout, time.Second, 5 * time.Minute}} {
		if v.given("pull", name, d.key) && (d.value < d.least || d.value > d.most) {
			v.add(at("pull", name, d.key), "%v is out of range; write from %v to %v", d.value, d.least, d.most)
		}
	}
	for _, n := range []struct {
		key         string
		value, most int
	}{{"page_size", p.PageSize, 1000}, {"max_records", p.MaxRecords, 1_000_000}} {
		if v.given("pull", name, n.key) && (n.value < 1 || n.value > n.most) {
			v.add(at("pull", name, n.key), "%d is out of range; write from 1 to %d", n.value, n.most)
		}
	}
}

func (v *validator) pullFile(name, way string, f CredentialFile) {
	if f.IsZero() && !v.given("pull", name, way, "file") {
		v.missing(at("pull", name, way), "%s needs file, the name of the file with the secret", way)
	}
}
