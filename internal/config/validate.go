package config

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"scimbridge/internal/strictyaml"
)

// Limits that messages name.
const (
	minShutdown   = time.Second
	maxShutdown   = 5 * time.Minute
	maxWorkers    = 64
	maxSocketPath = 107 // sun_path of unix(7), less its closing zero byte
)

var (
	guid   = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	domain = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]{2,63}$`)
)

// placeholder stands for ids in the example file.
const placeholder = "00000000-0000-0000-0000-000000000000"

// validator collects what is wrong with values that could be decoded.
type validator struct {
	doc      *strictyaml.Document
	folder   string // of the config file
	problems strictyaml.Problems
	reported map[strictyaml.Pos]bool // places where decoding already failed
}

// add reports a mistake of the value at path, unless decoding already reported one there.
func (v *validator) add(path []any, format string, args ...any) {
	if pos := v.doc.At(path...); !v.reported[pos] {
		v.problems = append(v.problems, v.doc.Problemf(pos, format, args...))
	}
}

// missing reports what the mapping at path lacks, at its key, unless the mapping itself
// could not be decoded.
func (v *validator) missing(path []any, format string, args ...any) {
	if !v.reported[v.doc.At(path...)] {
		v.problems = append(v.problems, v.doc.Problemf(v.doc.KeyAt(path...), format, args...))
	}
}

func (v *validator) warn(path []any, format string, args ...any) {
	v.problems = append(v.problems, v.doc.Warningf(v.doc.At(path...), format, args...))
}

// given says whether the file has a value at path.
func (v *validator) given(path ...any) bool { return v.doc.Has(path...) }

func at(path ...any) []any { return path }

func (v *validator) config(c *Config) {
	v.doors(c)
	v.paths(c)
	v.entra(&c.Entra)
	v.audit(c)
	if c.Watch != nil {
		v.watch(c.Watch)
		v.mailTo(c)
	}
	if c.Notify != nil {
		v.notify(c, c.Notify)
	}
	v.pull(c)
	if c.Console != nil {
		v.console(c, c.Console)
	}
	if c.Tracing != nil {
		v.tracing(c.Tracing)
	}
	if c.ShutdownTimeout < minShutdown || c.ShutdownTimeout > maxShutdown {
		v.add(at("shutdown_timeout"), "%v is out of range; write from 1s to 5m", c.ShutdownTimeout)
	}
	if c.Workers < 1 || c.Workers > maxWorkers {
		v.add(at("workers"), "%d is out of range; write from 1 to %d", c.Workers, maxWorkers)
	}
	for key, d := range map[string]time.Duration{
		"settle": c.Patience.Settle, "invite_window": c.Patience.InviteWindow, "native_grace": c.Patience.NativeGrace, "invite_settle": c.Patience.InviteSettle,
	} {
		if d < 0 || d > maxPatience {
			v.add(at("patience", key), "%v is out of range; write from 0s to 1h", d)
		}
	}
}

// maxPatience bounds how long a lost write may go unnoticed.
const maxPatience = time.Hour

// doors checks the listeners, TLS and the public URL.
func (v *validator) doors(c *Config) {
	host, ok := v.address(at("listen"), c.Listen)
	if ok && c.TLS == nil && !v.given("tls") && !loopback(host) {
		v.add(at("listen"), "%q can be reached by other machines, and vendors send their tokens to it; add tls with cert_file and key_file, or write 127.0.0.1 and put a TLS proxy in front", c.Listen)
	}
	if c.TLS != nil {
		if c.TLS.CertFile.IsZero() && !v.given("tls", "cert_file") {
			v.missing(at("tls"), "tls needs cert_file, the certificate's PEM file")
		}
		if c.TLS.ClientCAFile == "" && v.given("tls", "client_ca_file") {
			v.add(at("tls", "client_ca_file"), "client_ca_file is empty; name the PEM file of the authorities, or leave the key out")
		}
		if c.TLS.KeyFile.IsZero() && !v.given("tls", "key_file") {
			v.missing(at("tls"), "tls needs key_file, the private key's PEM file")
		}
	}
	if c.Metrics != nil {
		v.metrics(c)
	}
	if c.PublicURL != "" {
		v.url(at("public_url"), c.PublicURL, "vendors send their tokens to it")
		if strings.HasSuffix(strings.TrimRight(c.PublicURL, "/"), "/scim/v2") {
			v.add(at("public_url"), "leave /scim/v2 out; it is added")
		}
	} else if ip, err := netip.ParseAddr(host); ok && !v.given("public_url") && (host == "" || err == nil && ip.IsUnspecified()) {
		v.add(at("listen"), "%q names no host that vendors can be sent to; add public_url, such as https://scimbridge.contoso.example", c.Listen)
	}
}

func (v *validator) metrics(c *Config) {
	if !v.given("metrics", "listen") {
		v.missing(at("metrics"), "metrics needs listen, such as 127.0.0.1:9464")
		return
	}
	host, ok := v.address(at("metrics", "listen"), c.Metrics.Listen)
	if !ok {
		return
	}
	if c.Metrics.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		v.add(at("metrics", "listen"), "%q is the vendor door's address already; choose another port", c.Metrics.Listen)
	}
	if !loopback(host) {
		v.warn(at("metrics", "listen"), "%q can be reached by other machines, and metrics have no password; they show counts, vendors' names and group names", c.Metrics.Listen)
	}
}

// address checks a host:port to listen on and returns the host.
func (v *validator) address(path []any, value string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		v.add(path, "%q is not an address to listen on; write host:port, such as 127.0.0.1:8080", value)
		return "", false
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		v.add(path, "port %q is not a number from 0 to 65535", port)
		return "", false
	}
	return host, true
}

func loopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// url checks an http or https URL; plain http only on loopback, for the reason why.
func (v *validator) url(path []any, value, why string) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		v.add(path, "%q is not a URL; write it whole, such as https://host.example", value)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		v.add(path, "write the URL without a user, without ? and without #")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.add(path, "%q is plain http, and %s; write https (http is accepted on loopback only)", value, why)
	}
}

func (v *validator) paths(c *Config) {
	v.database(c)
	for key, value := range map[string]string{"database": strings.SplitN(c.Database, "?", 2)[0], "mapping": c.Mapping, "admin_socket": c.AdminSocket} {
		if path.Clean(value) == "." || strings.HasSuffix(value, "/") {
			v.add(at(key), "%q is not the path of a file", value)
		}
	}
	if socket := below(v.folder, c.AdminSocket); len(socket) > maxSocketPath {
		v.add(at("admin_socket"), "the path of the socket has %d bytes (%s); Linux allows %d", len(socket), socket, maxSocketPath)
	}
}

func (v *validator) entra(e *Entra) {
	if !v.given("entra") {
		v.missing(nil, "entra is missing: add entra with tenant_id, client_id and credential")
		return
	}
	v.tenant(e.TenantID)
	switch {
	case e.ClientID == "" && e.Credential.Kind != ManagedIdentity && !v.given("entra", "client_id"):
		v.missing(at("entra"), "entra needs client_id, the application (client) id of the app registration")
	case e.ClientID == placeholder:
		v.warn(at("entra", "client_id"), "this is the example's client_id; write your own")
	case (e.ClientID != "" || v.given("entra", "client_id")) && !guid.MatchString(e.ClientID):
		v.add(at("entra", "client_id"), "%q is not a client id; write the app registration's application (client) id, such as 9f0a1b2c-3d4e-5f60-7182-93a4b5c6d7e8", e.ClientID)
	}
	v.credential(&e.Credential)
	if v.given("entra", "graph_url") {
		v.url(at("entra", "graph_url"), e.GraphURL, "each request carries a token")
		if !strings.HasSuffix(strings.TrimRight(e.GraphURL, "/"), "/v1.0") {
			v.warn(at("entra", "graph_url"), "%q does not end in /v1.0, the version of Graph that is spoken", e.GraphURL)
		}
	}
	if v.given("entra", "login_url") {
		if strings.HasPrefix(strings.ToLower(e.LoginURL), "http://") {
			v.add(at("entra", "login_url"), "%q is plain http, and the app's credential is sent to it; write https (with ca_file for an emulator's own certificate)", e.LoginURL)
		} else {
			v.url(at("entra", "login_url"), e.LoginURL, "")
		}
	}
}

func (v *validator) tenant(id string) {
	key := at("entra", "tenant_id")
	switch {
	case !v.given(key...):
		v.missing(at("entra"), "entra needs tenant_id, the tenant's id or one of its domains")
	case id == placeholder:
		v.warn(key, "this is the example's tenant_id; write your own")
	case id == "common" || id == "organizations" || id == "consumers":
		v.add(key, "%q is no single tenant; write the tenant's id or one of its domains", id)
	case !guid.MatchString(id) && !domain.MatchString(id):
		v.add(key, "%q is not a tenant; write its id, such as 72f988bf-86f1-41af-91ab-2d7cd011db47, or one of its domains, such as contoso.onmicrosoft.com", id)
	}
}

func (v *validator) credential(c *Credential) {
	key := at("entra", "credential")
	switch {
	case !v.given(key...):
		v.missing(at("entra"), "entra needs credential, such as {kind: certificate, file: /etc/scimbridge/entra.pem}")
		return
	case c.Kind == "":
		if !v.given("entra", "credential", "kind") {
			v.missing(key, "credential needs kind: secret, certificate, managed_identity or workload_identity")
		}
		return
	}
	file := v.given("entra", "credential", "file")
	switch c.Kind {
	case ManagedIdentity:
		if file {
			v.add(at("entra", "credential", "file"), "a managed identity has no file; remove the key")
		}
	case ClientSecret, Certificate, WorkloadIdentity:
		if !file && c.pasted == (pasted{}) {
			holds := map[CredentialKind]string{ClientSecret: "the client secret", Certificate: "certificate and private key (PEM or PKCS#12)", WorkloadIdentity: "the federated token"}
			v.missing(key, "credential of kind %s needs file, which holds %s", c.Kind, holds[c.Kind])
		}
	}
	if c.Kind != Certificate && v.given("entra", "credential", "password_file") {
		v.add(at("entra", "credential", "password_file"), "password_file is for kind certificate; remove the key")
	}
}
