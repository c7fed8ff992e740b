package siem

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"scimbridge/internal/audit"
)

const (
	// syslogBatch is how many messages are written at once.
	syslogBatch = 200

	// dialTimeout and writeTimeout are those of a receiver in another data centre on a bad day.
	dialTimeout  = 15 * time.Second
	writeTimeout = 30 * time.Second

	// settleAfter is how long a connection must have stood after a write for the write to be believed: syslog answers nothing, and
	// a receiver that went away tells so within a round trip.
	settleAfter = 3 * time.Second

	// maxDatagram is what UDP can carry over IPv4. A longer message is cut: rather a part than nothing.
	maxDatagram = 65507
)

// syslogSender writes RFC 5424 messages.
type syslogSender struct {
	settings *Syslog
	personal bool
	version  string
	hostname string
	pid      string

	conn   net.Conn
	closed chan struct{} // closed when the other side hung up
	wrote  time.Time     // last
}

func newSyslog(s *Sink, cfg *Config) (*syslogSender, error) {
	if s.Syslog.Network == networkTLS {
		if _, err := tlsConfig(s.Syslog.TLS); err != nil { // better told now than at the first event
			return nil, err
		}
	}
	return &syslogSender{
		settings: s.Syslog, personal: s.Personal, version: cfg.Version,
		hostname: printable(cfg.Hostname, 255), pid: strconv.Itoa(os.Getpid()),
	}, nil
}

func (*syslogSender) batch() int { return syslogBatch }

func (s *syslogSender) send(ctx context.Context, events []audit.Event) error {
	messages := make([][]byte, len(events))
	for i := range events {
		e := &events[i]
		text, err := eventText(e, s.settings.Format, s.version, s.personal)
		if err != nil {
			return err
		}
		messages[i] = s.message(e.Time, severity(e), e.Kind, text)
	}
	return s.write(ctx, messages)
}

// checkpoint sends a checkpoint as a message of its own, the note in a JSON string or, its line ends as \n, in the CEF field cs1.
func (s *syslogSender) checkpoint(ctx context.Context, c audit.SignedCheckpoint) error {
	text, err := json.Marshal(checkpointData(c))
	if err != nil {
		return err
	}
	if s.settings.Format == formatCEF {
		text = []byte(c.CEF(s.version))
	}
	return s.write(ctx, [][]byte{s.message(time.Now(), severityNotice, "checkpoint", text)})
}

// checkpointJSON is a checkpoint for machines.
type checkpointJSON struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"`
	Note   string `json:"note"`
}

func checkpointData(c audit.SignedCheckpoint) checkpointJSON {
	return checkpointJSON{c.Origin, c.Size, c.Root.String(), string(c.Note)}
}

// The severities of RFC 5424 that are used.
const (
	severityWarning = 4
	severityNotice  = 5
	severityInfo    = 6
)

func severity(e *audit.Event) int {
	switch n := e.Severity(); {
	case n >= 6:
		return severityWarning
	case n >= 5:
		return severityNotice
	}
	return severityInfo
}

// message is header, structured data and text. The time has microseconds at most, as RFC 5424 wants, and the text no byte order
// mark: receivers of CEF look for CEF at its beginning.
func (s *syslogSender) message(t time.Time, severity int, id string, text []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%d>1 %s %s scimbridge %s %s [origin software=\"scimbridge\" swVersion=\"%s\"] ",
		*s.settings.Facility*8+severity, t.UTC().Format("2006-01-02T15:04:05.000000Z"), s.hostname, s.pid, printable(id, 32), paramValue(s.version))
	b.Write(text)
	return b.Bytes()
}

// printable is a header field: printable ASCII without spaces, "-" for nothing.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

func paramValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(s)
}

func (s *syslogSender) write(ctx context.Context, messages [][]byte) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return s.lost(err)
	}
	if s.settings.Network == networkUDP {
		for _, m := range messages {
			if _, err := s.conn.Write(cut(m, maxDatagram)); err != nil {
				return s.lost(err)
			}
		}
		return nil
	}
	var b bytes.Buffer
	for _, m := range messages {
		if s.settings.Framing == framingOctets {
			fmt.Fprintf(&b, "%d ", len(m))
			b.Write(m)
		} else {
			b.Write(bytes.ReplaceAll(m, []byte("\n"), []byte(" ")))
			b.WriteByte('\n')
		}
	}
	if _, err := s.conn.Write(b.Bytes()); err != nil {
		return s.lost(err)
	}
	s.wrote = time.Now()
	return nil
}

// cut shortens a message at the end of a character.
func cut(m []byte, most int) []byte {
	if len(m) <= most {
		return m
	}
	m = m[:most]
	for len(m) > 0 && !utf8.RuneStart(m[len(m)-1]) {
		m = m[:len(m)-1]
	}
	return m[:len(m)-1]
}

func (s *syslogSender) connect(ctx context.Context) error {
	if s.conn != nil {
		return s.hungUp()
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var conn net.Conn
	var err error
	switch s.settings.Network {
	case networkTLS:
		var cfg *tls.Config
		if cfg, err = tlsConfig(s.settings.TLS); err == nil { // read again: certificates are renewed
			conn, err = (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", s.settings.Address)
		}
	default:
		conn, err = (&net.Dialer{}).DialContext(ctx, s.settings.Network, s.settings.Address)
	}
	if err != nil {
		return fmt.Errorf("the syslog receiver %s cannot be reached: %w", s.settings.Address, err)
	}
	s.conn = conn
	if s.settings.Network != networkUDP {
		s.closed = make(chan struct{})
		go watch(conn, s.closed)
	}
	return nil
}

// watch waits for the other side to hang up; what it says is not listened to.
func watch(conn net.Conn, closed chan<- struct{}) {
	defer close(closed)
	b := make([]byte, 512)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// hungUp reports a connection that the other side closed.
func (s *syslogSender) hungUp() error {
	select {
	case <-s.closed:
		return s.lost(errors.New("it closed the connection"))
	default:
		return nil
	}
}

func (s *syslogSender) lost(err error) error {
	s.close()
	return fmt.Errorf("the syslog receiver %s was lost, and what it may have missed is sent again: %w", s.settings.Address, err)
}

func (s *syslogSender) settled(now time.Time) (bool, error) {
	if s.settings.Network == networkUDP {
		return true, nil // as well as it ever can be
	}
	if s.conn == nil {
		return true, nil // nothing was sent on it
	}
	if err := s.hungUp(); err != nil {
		return false, err
	}
	return now.Sub(s.wrote) >= settleAfter, nil
}

func (s *syslogSender) close() {
	if s.conn == nil {
		return
	}
	_ = s.conn.Close() // whether it closes cleanly changes nothing any more
	if s.closed != nil {
		<-s.closed
	}
	s.conn, s.closed = nil, nil
}

// tlsConfig reads certificates.
func tlsConfig(t TLS) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s has no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file and key_file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}
