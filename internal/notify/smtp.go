package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// SMTPConfig of a sender. Address and From are required.
type SMTPConfig struct {
	Address  string // host:port
	Implicit bool   // TLS from the first byte (port 465); else STARTTLS, which is required (port 587)
	From     string // address
	Hello    string // our name for EHLO. Default localhost
	Username string // "": no authentication
	Password func() (string, error)
	RootCAs  *x509.CertPool // nil: the system's
}

// SMTP sends through a mail server, one connection a mail.
type SMTP struct {
	SMTPConfig
	host string
}

// NewSMTP checks the configuration. It makes no connection.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil || host == "" {
		return nil, errors.New("notify: the mail server's address must be host:port")
	}
	if a, err := mail.ParseAddress(c.From); err != nil || a.Name != "" {
		return nil, errors.New("notify: From must be a bare address")
	}
	if (c.Username == "") != (c.Password == nil) {
		return nil, errors.New("notify: user name and password belong together")
	}
	if c.Hello == "" {
		c.Hello = "localhost"
	}
	return &SMTP{c, host}, nil
}

// Send implements Sender. Until the final dot nothing was sent; when the answer to it is lost, the mail may have been.
func (s *SMTP) Send(ctx context.Context, m Message) (string, error) {
	body, err := s.encode(m)
	if err != nil {
		return "", &contractor.Failure{Op: "smtp", Verdict: contractor.VerdictPermanent, Message: "the mail cannot be written", Cause: err}
	}
	client, stop, err := s.dial(ctx)
	if err != nil {
		return "", smtpFailure("connect", err)
	}
	defer stop()
	if err := s.greet(client); err != nil {
		return "", smtpFailure("greet", err)
	}
	if err := client.Mail(s.From); err != nil {
		return "", smtpFailure("MAIL FROM", err)
	}
	for _, to := range m.To {
		if err := client.Rcpt(to); err != nil {
			return "", smtpFailure("RCPT TO", err)
		}
	}
	w, err := client.Data()
	if err != nil {
		return "", smtpFailure("DATA", err)
	}
	if _, err := w.Write(body); err != nil {
		return "", smtpFailure("the mail's text", err) // without the final dot no server takes it
	}
	if err := w.Close(); err != nil {
		if _, ok := errors.AsType[*textproto.Error](err); ok {
			return "", smtpFailure("the mail's end", err)
		}
		return "", &contractor.Failure{Op: "smtp", Verdict: contractor.VerdictUnknown, Message: "the mail server did not answer the mail's end", Cause: err}
	}
	_ = client.Quit() // it has the mail
	return "", nil
}

func (s *SMTP) tls() *tls.Config {
	return &tls.Config{ServerName: s.host, RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}
}

// dial connects; stop closes the connection, which the end of ctx does as well.
func (s *SMTP) dial(ctx context.Context) (_ *smtp.Client, stop func(), err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return nil, nil, err
	}
	if s.Implicit {
		conn = tls.Client(conn, s.tls())
	}
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	client, err := smtp.NewClient(conn, s.host)
	if err != nil {
		release()
		_ = conn.Close()
		return nil, nil, err
	}
	return client, func() { release(); _ = client.Close() }, nil
}

func (s *SMTP) greet(client *smtp.Client) error {
	if err := client.Hello(s.Hello); err != nil {
		return err
	}
	if !s.Implicit {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return errNoTLS
		}
		if err := client.StartTLS(s.tls()); err != nil {
			return err
		}
	}
	if s.Username == "" {
		return nil
	}
	password, err := s.Password()
	if err != nil {
		return fmt.Errorf("%w: %w", errPassword, err)
	}
	return client.Auth(smtp.PlainAuth("", s.Username, password, s.host))
}

var (
	errNoTLS    = errors.New("the mail server offers no STARTTLS")
	errPassword = errors.New("the password's file cannot be read")
)

// smtpFailure sorts an answer by its first digit (RFC 5321 section 4.2.1). The server's own words may name an address and stand
// in Cause alone.
func smtpFailure(where string, err error) *contractor.Failure {
	f := &contractor.Failure{Op: "smtp", Verdict: contractor.VerdictRetry, Message: "the mail server could not be used (" + where + ")", Cause: err}
	var answered *textproto.Error
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errNoTLS), errors.Is(err, errPassword):
		f.Verdict, f.Message = contractor.VerdictRefused, errors.Unwrap(fmt.Errorf("%w", err)).Error()
	case errors.As(err, &untrusted):
		f.Verdict, f.Message = contractor.VerdictRefused, "the mail server's certificate is not trusted; check notify.smtp.host and notify.smtp.ca_file"
	case !errors.As(err, &answered):
	case answered.Code == 535 || answered.Code == 530 || answered.Code == 534:
		f.Verdict, f.Message = contractor.VerdictRefused, fmt.Sprintf("the mail server refused the sign-in (%d); check notify.smtp.username and password_file", answered.Code)
	case answered.Code >= 500 && where == "MAIL FROM":
		f.Verdict, f.Message = contractor.VerdictRefused, fmt.Sprintf("the mail server does not let us send from notify.from (%d)", answered.Code)
	case answered.Code >= 500:
		f.Verdict, f.Message = contractor.VerdictPermanent, fmt.Sprintf("the mail server refused the mail at %s (%d)", where, answered.Code)
	default:
		f.Message = fmt.Sprintf("the mail server cannot take the mail now (%d at %s)", answered.Code, where)
	}
	return f
}

// encode writes the mail as RFC 5322 with plain text and HTML.
func (s *SMTP) encode(m Message) ([]byte, error) {
	for _, a := range append([]string{s.From, m.ID}, m.To...) {
		if strings.ContainsAny(a, "\r\n<>") {
			return nil, errors.New("an address or id has a character that ends a header")
		}
	}
	_, domain, _ := strings.Cut(s.From, "@")
	var b bytes.Buffer
	parts := multipart.NewWriter(&b)
	header := [][2]string{
		{"From", "<" + s.From + ">"}, {"To", "<" + strings.Join(m.To, ">, <") + ">"}, {"Subject", mime.QEncoding.Encode("utf-8", m.Subject)},
		{"Date", m.Date.Format(time.RFC1123Z)}, {"Message-ID", "<" + m.ID + "@" + domain + ">"}, {"Auto-Submitted", "auto-generated"}, {"X-Scimbridge-Mail", m.ID},
		{"MIME-Version", "1.0"}, {"Content-Type", `multipart/alternative; boundary="` + parts.Boundary() + `"`},
	}
	var head bytes.Buffer
	for _, h := range header {
		head.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	head.WriteString("\r\n")
	for _, p := range []struct{ kind, encoding, text string }{{"text/plain", "quoted-printable", m.Text}, {"text/html", "base64", m.HTML}} {
		w, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {p.kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {p.encoding}})
		if err != nil {
			return nil, err
		}
		if p.encoding == "base64" {
			writeBase64(&b, p.text)
			continue
		}
		q := quotedprintable.NewWriter(w)
		if _, err := q.Write([]byte(p.text)); err != nil {
			return nil, err
		}
		if err := q.Close(); err != nil {
			return nil, err
		}
	}
	if err := parts.Close(); err != nil {
		return nil, err
	}
	return append(head.Bytes(), b.Bytes()...), nil
}

func writeBase64(b *bytes.Buffer, text string) {
	s := base64.StdEncoding.EncodeToString([]byte(text))
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	b.WriteString(s + "\r\n")
}
