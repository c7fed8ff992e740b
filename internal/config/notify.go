package config

import (
	"net"
	"net/mail"
	"regexp"
	"strings"
	"time"
)

// Notify is how sponsors are told what happens to their contractors, and how they answer.
type Notify struct {
	// Sender is graph (Microsoft Graph's sendMail) or smtp. Required.
	Sender MailSender `yaml:"sender"`

	// From is the mailbox that mails come from: its address, of Graph also its UPN. Required.
	From string `yaml:"from"`

	// KeyFile holds the key that signs links, 32 bytes at least (openssl rand -hex 32). Required. Another key makes every
	// link that was sent before worthless.
	KeyFile CredentialFile `yaml:"key_file"`

	// SMTP is the mail server. Required for sender smtp.
	SMTP *SMTP `yaml:"smtp"`

	// Listen opens a listener of its own for the links' page, host:port, with the vendor door's tls. Optional: without it the
	// vendor door serves the page under /s/.
	Listen string `yaml:"listen"`

	// PublicURL is how sponsors reach the page, without /s/. Default: the vendor door's address; required with Listen.
	PublicURL string `yaml:"public_url"`

	// At is the time of day of the digests, HH:MM in Timezone. Default 08:00.
	At string `yaml:"at"`

	// Timezone is an IANA name. Default UTC.
	Timezone string `yaml:"timezone"`

	// Language of mails to sponsors whose account names no language that there are templates for. Default en.
	Language string `yaml:"language"`

	// Templates is a folder whose files stand in for the built-in ones of the same name. Optional.
	Templates string `yaml:"templates"`

	// LinkLife is how long a link works: 1h to 720h. Default 336h, 14 days.
	LinkLife time.Duration `yaml:"link_life"`

	pasted `yaml:",inline"`
}

// SMTP is a mail server.
type SMTP struct {
	Host         string         `yaml:"host"`          // host:port. Required
	Security     MailSecurity   `yaml:"security"`      // starttls or tls. Default starttls; one of them is always used
	Username     string         `yaml:"username"`      // optional
	PasswordFile CredentialFile `yaml:"password_file"` // needed with username
	CAFile       string         `yaml:"ca_file"`       // root certificates trusted besides the system's, PEM. Optional

	pasted `yaml:",inline"`
}

// MailSender is a way to send mail.
type MailSender string

// The ways to send mail.
const (
	SendGraph MailSender = "graph"
	SendSMTP  MailSender = "smtp"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *MailSender) UnmarshalText(text []byte) error { return choose(s, text, SendGraph, SendSMTP) }

// MailSecurity is how the connection to a mail server is protected.
type MailSecurity string

// The protections.
const (
	StartTLS    MailSecurity = "starttls" // port 587, mostly
	ImplicitTLS MailSecurity = "tls"      // port 465
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *MailSecurity) UnmarshalText(text []byte) error {
	return choose(s, text, StartTLS, ImplicitTLS)
}

// AtTime is At as a time since midnight.
func (n *Notify) AtTime() time.Duration {
	t, err := time.Parse("15:04", n.At)
	if err != nil {
		return 8 * time.Hour
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

// resolve fills what the file left out, and returns the files that it names.
func (n *Notify) resolve(folder string) []*CredentialFile {
	n.Templates = below(folder, n.Templates)
	n.PublicURL = strings.TrimRight(n.PublicURL, "/")
	if n.At == "" {
		n.At = "08:00"
	}
	if n.Timezone == "" {
		n.Timezone = "UTC"
	}
	if n.Language == "" {
		n.Language = "en"
	}
	if n.LinkLife == 0 {
		n.LinkLife = 14 * 24 * time.Hour
	}
	files := []*CredentialFile{&n.KeyFile}
	if s := n.SMTP; s != nil {
		s.CAFile = below(folder, s.CAFile)
		if s.Security == "" {
			s.Security = StartTLS
		}
		files = append(files, &s.PasswordFile)
	}
	return files
}

var language = regexp.MustCompile(`^[a-z]{2}$`)

// Bounds of a link's life.
const (
	minLinkLife = time.Hour
	maxLinkLife = 30 * 24 * time.Hour
)

func (v *validator) notify(c *Config, n *Notify) {
	if n.Sender == "" && !v.given("notify", "sender") {
		v.missing(at("notify"), "notify needs sender: graph or smtp")
	}
	switch a, err := mail.ParseAddress(n.From); {
	case !v.given("notify", "from"):
		v.missing(at("notify"), "notify needs from, the mailbox that mails come from")
	case err != nil || a.Name != "" || a.Address != n.From:
		v.add(at("notify", "from"), "%q is not an address; write it bare, such as scimbridge@contoso.example", n.From)
	}
	if n.KeyFile.IsZero() && !v.given("notify", "key_file") {
		v.missing(at("notify"), "notify needs key_file, which signs the links; make one with: openssl rand -hex 32")
	}
	v.smtp(n)
	v.page(c, n)
	if _, err := time.Parse("15:04", n.At); v.given("notify", "at") && err != nil {
		v.add(at("notify", "at"), "%q is not a time of day; write HH:MM, such as 08:00", n.At)
	}
	if _, err := time.LoadLocation(n.Timezone); v.given("notify", "timezone") && (err != nil || n.Timezone == "" || n.Timezone == "Local") {
		v.add(at("notify", "timezone"), "%q is not a time zone; write an IANA name, such as Europe/Berlin", n.Timezone)
	}
	if v.given("notify", "language") && !language.MatchString(n.Language) {
		v.add(at("notify", "language"), "%q is not a language; write two letters, such as en or de", n.Language)
	}
	if v.given("notify", "link_life") && (n.LinkLife < minLinkLife || n.LinkLife > maxLinkLife) {
		v.add(at("notify", "link_life"), "%v is out of range; write from 1h to 720h", n.LinkLife)
	}
}

func (v *validator) smtp(n *Notify) {
	s := n.SMTP
	switch {
	case s == nil && n.Sender == SendSMTP && !v.given("notify", "smtp"):
		v.missing(at("notify"), "sender smtp needs smtp with host, such as {host: smtp.contoso.example:587}")
		return
	case s != nil && n.Sender == SendGraph:
		v.missing(at("notify", "smtp"), "sender graph uses no mail server; remove smtp, or write sender: smtp")
		return
	case s == nil:
		return
	}
	if !v.given("notify", "smtp", "host") {
		v.missing(at("notify", "smtp"), "smtp needs host, such as smtp.contoso.example:587")
	} else if host, port, err := net.SplitHostPort(s.Host); err != nil || host == "" || port == "" {
		v.add(at("notify", "smtp", "host"), "%q is not a mail server; write host:port, such as smtp.contoso.example:587", s.Host)
	}
	if (s.Username == "") != s.PasswordFile.IsZero() && s.pasted == (pasted{}) {
		v.missing(at("notify", "smtp"), "username and password_file belong together")
	}
}

// page checks how sponsors reach the page of the links.
func (v *validator) page(c *Config, n *Notify) {
	if n.PublicURL != "" {
		v.url(at("notify", "public_url"), n.PublicURL, "whoever reads a link on its way can use it")
	}
	if n.Listen == "" {
		return
	}
	host, ok := v.address(at("notify", "listen"), n.Listen)
	switch {
	case !ok:
	case n.Listen == c.Listen && !strings.HasSuffix(n.Listen, ":0"):
		v.add(at("notify", "listen"), "%q is the vendor door's address already; leave listen out to have the page there, or choose another port", n.Listen)
	case c.TLS == nil && !v.given("tls") && !loopback(host):
		v.add(at("notify", "listen"), "%q can be reached by other machines, and links open a page without a sign-in; add tls, or write 127.0.0.1 and put a TLS proxy in front", n.Listen)
	case n.PublicURL == "":
		v.missing(at("notify"), "a listener of its own needs public_url, how sponsors reach it, such as https://access.contoso.example")
	}
}
