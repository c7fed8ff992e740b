package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Console is the web page for admins and auditors.
type Console struct {
	// Listen is an address of its own, host:port. One that other machines reach needs TLS. Default 127.0.0.1:8090.
	Listen string `yaml:"listen"`

	// PublicURL is how browsers reach it, without a path: https, or http on loopback. Default: Listen's own address. Required
	// where Listen names no host, and where a proxy stands in front.
	PublicURL string `yaml:"public_url"`

	// TLS makes it speak HTTPS. Optional on loopback.
	TLS *TLS `yaml:"tls"`

	// Entra lets people of the tenant sign in. Optional: without it only links of `scimbridge console` let in.
	Entra *ConsoleEntra `yaml:"entra"`
}

// ConsoleEntra is the app registration by which people sign in to the console. It is another than the daemon's: this one has no
// permissions, and app roles viewer, operator and auditor.
type ConsoleEntra struct {
	ClientID   string         `yaml:"client_id"`   // application (client) id, a GUID. Required
	SecretFile CredentialFile `yaml:"secret_file"` // the client secret as text. Required

	pasted `yaml:",inline"`
}

// defaultConsole is where the console listens.
const defaultConsole = "127.0.0.1:8090"

// resolve fills what the file left out, and returns the files that it names.
func (c *Console) resolve() (files []*CredentialFile) {
	if c.Listen == "" {
		c.Listen = defaultConsole
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.TLS != nil {
		files = append(files, &c.TLS.CertFile, &c.TLS.KeyFile)
	}
	if c.Entra != nil {
		files = append(files, &c.Entra.SecretFile)
	}
	return files
}

// BaseURL is PublicURL or, where the file has none, the URL of Listen with the port of bound.
func (c *Console) BaseURL(bound net.Addr) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	return (&Config{Listen: c.Listen, TLS: c.TLS}).BaseURL(bound)
}

func (v *validator) console(c *Config, x *Console) {
	address := x.Listen
	if !v.given("console", "listen") {
		address = defaultConsole
	}
	host, ok := v.address(at("console", "listen"), address)
	if ok {
		v.consoleDoor(c, x, address, host)
	}
	if x.TLS != nil {
		if x.TLS.CertFile.IsZero() && !v.given("console", "tls", "cert_file") {
			v.missing(at("console", "tls"), "tls needs cert_file, the certificate's PEM file")
		}
		if x.TLS.KeyFile.IsZero() && !v.given("console", "tls", "key_file") {
			v.missing(at("console", "tls"), "tls needs key_file, the private key's PEM file")
		}
	}
	if x.TLS != nil && v.given("console", "tls", "client_ca_file") {
		v.add(at("console", "tls", "client_ca_file"), "people sign in to the console with Entra, not with certificates; remove the key")
	}
	if x.PublicURL != "" {
		v.url(at("console", "public_url"), x.PublicURL, "sessions are sent to it")
		if u, err := url.Parse(x.PublicURL); err == nil && strings.Trim(u.Path, "/") != "" {
			v.add(at("console", "public_url"), "the console has a host of its own; write the URL without the path %s", u.Path)
		}
	}
	if e := x.Entra; e != nil {
		v.consoleEntra(c, e)
	}
}

func (v *validator) consoleDoor(c *Config, x *Console, address, host string) {
	if !loopback(host) && x.TLS == nil && !v.given("console", "tls") {
		v.add(at("console", "listen"), "%q can be reached by other machines, and sessions are sent to it; add tls with cert_file and key_file, or write 127.0.0.1 and put a TLS proxy in front", address)
	}
	taken := []string{c.Listen}
	if c.Metrics != nil {
		taken = append(taken, c.Metrics.Listen)
	}
	if c.Notify != nil {
		taken = append(taken, c.Notify.Listen)
	}
	for _, other := range taken {
		if other == address && !strings.HasSuffix(address, ":0") {
			v.add(at("console", "listen"), "%q is the address of another listener already; choose another port", address)
		}
	}
	if ip, err := netip.ParseAddr(host); x.PublicURL == "" && !v.given("console", "public_url") && (host == "" || err == nil && ip.IsUnspecified()) {
		v.add(at("console", "listen"), "%q names no host that browsers can be sent to; add console.public_url, such as https://console.contoso.example", address)
	}
}

func (v *validator) consoleEntra(c *Config, e *ConsoleEntra) {
	switch {
	case !v.given("console", "entra", "client_id"):
		v.missing(at("console", "entra"), "entra needs client_id, the application (client) id of the console's app registration")
	case !guid.MatchString(e.ClientID):
		v.add(at("console", "entra", "client_id"), "%q is not a client id; write the console's application (client) id, such as 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8", e.ClientID)
	}
	if e.SecretFile.IsZero() && !v.given("console", "entra", "secret_file") && e.pasted == (pasted{}) {
		v.missing(at("console", "entra"), "entra needs secret_file, which holds the client secret of the console's app registration")
	}
	if c.Entra.TenantID != "" && !guid.MatchString(c.Entra.TenantID) {
		v.add(at("entra", "tenant_id"), "%q is a domain; the console's sign-in needs the tenant's id, such as 72f988bf-86f1-41af-91ab-2d7cd011db47", c.Entra.TenantID)
	}
}
