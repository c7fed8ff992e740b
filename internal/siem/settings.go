package siem

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Settings is the "audit" section of scimbridge.yaml. Paths are absolute, or relative to where the process runs: whoever reads the
// file resolves them.
type Settings struct {
	// Checkpoints says when the journal's head is signed, and where the signature is kept.
	Checkpoints Checkpoints `yaml:"checkpoints"`

	// Export are the sinks that are given the journal. None by default.
	Export []Sink `yaml:"export"`
}

// Checkpoints says when the journal's head is signed. It is also signed at the start and at the end of the daemon, and not if
// nothing was journaled since.
type Checkpoints struct {
	// Every is how often. From 1m to 24h. Default 1h. What happened since the last checkpoint is what somebody with the database
	// and its key could still write anew.
	Every time.Duration `yaml:"every"`

	// File is given every checkpoint, one behind the other: best on a disk of another machine. Optional. A database that does not
	// continue the file's last checkpoint (it was rolled back, or changed) is told as an error and not signed for there.
	File string `yaml:"file"`
}

// Sink is one place that is given the journal: exactly one of Syslog, Webhook and File.
type Sink struct {
	// Name tells sinks apart, and is what the store remembers the position by: a renamed sink starts anew. Required: lower-case
	// letters, digits, "-" and "_", at most 63.
	Name string `yaml:"name"`

	Syslog  *Syslog  `yaml:"syslog"`
	Webhook *Webhook `yaml:"webhook"`
	File    *File    `yaml:"file"`

	// Personal sends the names and addresses that events carry. Default false. Needs TLS where it leaves the machine. What a sink
	// was given is not erased by audit erase.
	Personal bool `yaml:"personal"`

	// Checkpoints sends the signed checkpoints too: a checkpoint in a SIEM is kept elsewhere. Default false. Not for files: those
	// have checkpoints.file.
	Checkpoints bool `yaml:"checkpoints"`

	// Kinds are the kinds of events that are sent, whole or as a beginning that ends with a dot ("guest."). Default all.
	Kinds []string `yaml:"kinds"`

	// From is where a sink begins that was never given anything: start (the oldest event) or now. Default start.
	From string `yaml:"from"`
}

// Syslog is a receiver of RFC 5424 messages.
type Syslog struct {
	// Network is tls (RFC 5425), tcp (RFC 6587) or udp (RFC 5426). Default tls.
	Network string `yaml:"network"`

	// Address is the receiver's host:port. Required. The usual ports are 6514 for tls and 514 for the others.
	Address string `yaml:"address"`

	// Format is cef or json. Default cef.
	Format string `yaml:"format"`

	// Framing of tcp and tls is octet-counting or newline, for receivers that do not count. Default octet-counting.
	Framing string `yaml:"framing"`

	// Facility is the syslog facility, from 0 to 23. Default 13, log audit.
	Facility *int `yaml:"facility"`

	TLS `yaml:",inline"`
}

// Webhook is a receiver of CloudEvents 1.0 batches over HTTPS, each signed as Standard Webhooks has it: HMAC-SHA256 over id,
// timestamp and body, in the header webhook-signature.
type Webhook struct {
	// URL is where batches are posted. Required. https, or http on loopback.
	URL string `yaml:"url"`

	// SecretFile holds the secret of the signature, at least 24 bytes, as text; "whsec_" and base64 is decoded. Required. It is read
	// again for every batch, so that it can be changed.
	SecretFile string `yaml:"secret_file"`

	// Batch is how many events are sent at once. From 1 to 1000. Default 100.
	Batch int `yaml:"batch"`

	TLS `yaml:",inline"`
}

// File is a file that lines are appended to. It is opened for every batch, so that it can be rotated.
type File struct {
	// Path of the file; made with mode 0640 if it is not there. Required.
	Path string `yaml:"path"`

	// Format is json or cef. Default json.
	Format string `yaml:"format"`
}

// TLS is how the other side of a connection is told, and how it tells us.
type TLS struct {
	// CAFile holds the root certificates to trust, PEM. Default the system's.
	CAFile string `yaml:"ca_file"`

	// CertFile and KeyFile are a client certificate, PEM. Optional.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// The words of the settings.
const (
	networkTLS, networkTCP, networkUDP = "tls", "tcp", "udp"
	formatCEF, formatJSON              = "cef", "json"
	framingOctets, framingNewline      = "octet-counting", "newline"
	fromStart, fromNow                 = "start", "now"
)

const (
	defaultEvery    = time.Hour
	defaultFacility = 13 // log audit (RFC 5424 table 1)
	defaultBatch    = 100
	maxSinks        = 16
	minSecret       = 24 // bytes; Standard Webhooks
)

// Problem is what is wrong with a setting.
type Problem struct {
	Key     string // in the section, such as export[1].webhook.url
	Message string
}

func (p Problem) Error() string { return "audit." + p.Key + ": " + p.Message }

var sinkName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Check fills in the defaults and answers all that is wrong. It opens no file and no connection.
func (s *Settings) Check() []Problem {
	c := &checker{}
	if s.Checkpoints.Every == 0 {
		s.Checkpoints.Every = defaultEvery
	}
	if e := s.Checkpoints.Every; e < time.Minute || e > 24*time.Hour {
		c.add("checkpoints.every", "%s is not from 1m to 24h", e)
	}
	if len(s.Export) > maxSinks {
		c.add("export", "%d sinks are more than %d", len(s.Export), maxSinks)
	}
	names := map[string]bool{}
	for i := range s.Export {
		key := fmt.Sprintf("export[%d]", i)
		sink := &s.Export[i]
		switch {
		case !sinkName.MatchString(sink.Name):
			c.add(key+".name", "%q is not a name: lower-case letters, digits, - and _, at most 63", sink.Name)
		case names[sink.Name]:
			c.add(key+".name", "%q is the name of another sink", sink.Name)
		}
		names[sink.Name] = true
		c.sink(key, sink)
	}
	return c.problems
}

// Paths are the paths in the settings, for whoever reads the file to make absolute. "" names none.
func (s *Settings) Paths() []*string {
	paths := []*string{&s.Checkpoints.File}
	for i := range s.Export {
		sink := &s.Export[i]
		if f := sink.File; f != nil {
			paths = append(paths, &f.Path)
		}
		if l := sink.Syslog; l != nil {
			paths = append(paths, &l.CAFile, &l.CertFile, &l.KeyFile)
		}
		if w := sink.Webhook; w != nil {
			paths = append(paths, &w.SecretFile, &w.CAFile, &w.CertFile, &w.KeyFile)
		}
	}
	return paths
}

type checker struct{ problems []Problem }

func (c *checker) add(key, format string, args ...any) {
	c.problems = append(c.problems, Problem{key, fmt.Sprintf(format, args...)})
}

// choice fills in the first choice, and refuses what is none.
func (c *checker) choice(key string, value *string, choices ...string) {
	if *value == "" {
		*value = choices[0]
		return
	}
	if slices.Contains(choices, *value) {
		return
	}
	c.add(key, "%q is not known here; write %s", *value, strings.Join(choices, " or "))
}

func (c *checker) sink(key string, s *Sink) {
	n := 0
	if s.Syslog != nil {
		n++
		c.syslog(key+".syslog", s)
	}
	if s.Webhook != nil {
		n++
		c.webhook(key+".webhook", s.Webhook)
	}
	if s.File != nil {
		n++
		c.choice(key+".file.format", &s.File.Format, formatJSON, formatCEF)
		if s.File.Path == "" {
			c.add(key+".file.path", "the path is missing")
		}
		if s.Checkpoints {
			c.add(key+".checkpoints", "a file of events holds no checkpoints; use audit.checkpoints.file")
		}
	}
	if n != 1 {
		c.add(key, "a sink is one of syslog, webhook and file")
	}
	c.choice(key+".from", &s.From, fromStart, fromNow)
	for i, k := range s.Kinds {
		if k == "" || strings.ContainsAny(k, " *") {
			c.add(fmt.Sprintf("%s.kinds[%d]", key, i), "%q is no kind; write grant.added, or grant. for all that begin so", k)
		}
	}
}

func (c *checker) syslog(key string, s *Sink) {
	l := s.Syslog
	c.choice(key+".network", &l.Network, networkTLS, networkTCP, networkUDP)
	c.choice(key+".format", &l.Format, formatCEF, formatJSON)
	c.choice(key+".framing", &l.Framing, framingOctets, framingNewline)
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil || host == "" || port == "" {
		c.add(key+".address", "%q is not host:port", l.Address)
	} else if s.Personal && l.Network != networkTLS && !loopback(host) {
		c.add(key+".network", "names and addresses (personal: true) do not leave the machine without TLS")
	}
	if l.Facility == nil {
		f := defaultFacility
		l.Facility = &f
	}
	if *l.Facility < 0 || *l.Facility > 23 {
		c.add(key+".facility", "%d is not from 0 to 23", *l.Facility)
	}
	if l.Network != networkTLS && l.TLS != (TLS{}) {
		c.add(key, "ca_file, cert_file and key_file are for network: tls")
	}
	c.tls(key, &l.TLS)
}

func (c *checker) webhook(key string, w *Webhook) {
	u, err := url.Parse(w.URL)
	switch {
	case w.URL == "":
		c.add(key+".url", "the URL is missing")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		c.add(key+".url", "it is not a URL that begins with https://")
	case u.User != nil:
		c.add(key+".url", "a password in a URL ends up in logs; the receiver knows us by the signature")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		c.add(key+".url", "events do not leave the machine without TLS; write https")
	}
	if w.SecretFile == "" {
		c.add(key+".secret_file", "the file with the secret of the signature is missing")
	}
	if w.Batch == 0 {
		w.Batch = defaultBatch
	}
	if w.Batch < 1 || w.Batch > 1000 {
		c.add(key+".batch", "%d is not from 1 to 1000", w.Batch)
	}
	c.tls(key, &w.TLS)
}

func (c *checker) tls(key string, t *TLS) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		c.add(key+".cert_file", "a client certificate needs both cert_file and key_file")
	}
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
