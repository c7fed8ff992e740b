package notify_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/notify"
)

// postOffice is a mail server that speaks as much SMTP as a sender needs.
type postOffice struct {
	tls     *tls.Config
	roots   *x509.CertPool
	address string
	plain   bool              // offers no STARTTLS
	answers map[string]string // command -> answer in place of its own; "hang up": none

	mu    sync.Mutex
	mails []string
	said  []string
}

func newPostOffice(t *testing.T, edit func(*postOffice)) *postOffice {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	p := &postOffice{tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots: x509.NewCertPool(), answers: map[string]string{}}
	p.roots.AddCert(cert)
	if edit != nil {
		edit(p)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p.address = l.Addr().String()
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); open.Wait() })
	return p
}

func (p *postOffice) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	say := func(s string) { _, _ = io.WriteString(conn, s+"\r\n") }
	say("220 post")
	secure := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, _, _ := strings.Cut(line, " ")
		p.mu.Lock()
		p.said = append(p.said, line)
		p.mu.Unlock()
		if a, ok := p.answers[verb]; ok {
			say(a)
			continue
		}
		switch verb {
		case "EHLO":
			if !secure && !p.plain {
				say("250-post\r\n250 STARTTLS")
			} else {
				say("250-post\r\n250 AUTH PLAIN")
			}
		case "STARTTLS":
			say("220 go")
			secured := tls.Server(conn, p.tls)
			conn, r, secure = secured, bufio.NewReader(secured), true
		case "DATA":
			say("354 go")
			var b strings.Builder
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				b.WriteString(l)
			}
			p.mu.Lock()
			p.mails = append(p.mails, b.String())
			p.mu.Unlock()
			switch a := p.answers["."]; a {
			case "":
				say("250 taken")
			case "hang up":
				return
			default:
				say(a)
			}
		case "AUTH":
			say("235 welcome")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (p *postOffice) send(t *testing.T) error {
	t.Helper()
	s, err := notify.NewSMTP(notify.SMTPConfig{
		Address: p.address, From: "bridge@contoso.example", RootCAs: p.roots, Username: "u", Password: func() (string, error) { return "hunter2", nil },
	})
	must(t, err)
	_, err = s.Send(t.Context(), notify.Message{ID: "id-1", To: []string{"sponsor@contoso.example"}, Subject: "Zugänge", Text: "Grüße\n.\nEnde", HTML: "<p>Grüße</p>", Date: time.Now()})
	return err
}

func TestSMTP(t *testing.T) {
	p := newPostOffice(t, nil)
	must(t, p.send(t))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mails) != 1 {
		t.Fatalf("%d mails", len(p.mails))
	}
	m, err := mail.ReadMessage(strings.NewReader(p.mails[0]))
	must(t, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	must(t, err)
	if subject != "Zugänge" || m.Header.Get("Message-ID") != "<id-1@contoso.example>" {
		t.Errorf("headers %v", m.Header)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	must(t, err)
	parts := multipart.NewReader(m.Body, params["boundary"])
	text, err := parts.NextPart() // quoted-printable is undone by the reader
	must(t, err)
	if b, err := io.ReadAll(text); err != nil || !strings.Contains(string(b), "Grüße") {
		t.Errorf("text %q %v", b, err)
	}
	if html, err := parts.NextPart(); err != nil || !strings.HasPrefix(html.Header.Get("Content-Type"), "text/html") {
		t.Errorf("html %v %v", html, err)
	}
	for _, line := range p.said[:2] {
		if strings.HasPrefix(line, "AUTH") {
			t.Error("the password left before TLS")
		}
	}
}

func TestSMTPFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*postOffice)
		want contractor.Verdict
	}{
		"no TLS":              {func(p *postOffice) { p.plain = true }, contractor.VerdictRefused},
		"another certificate": {func(p *postOffice) { p.roots = x509.NewCertPool() }, contractor.VerdictRefused},
		"a wrong password":    {func(p *postOffice) { p.answers["AUTH"] = "535 no" }, contractor.VerdictRefused},
		"an unknown receiver": {func(p *postOffice) { p.answers["RCPT"] = "550 nobody sponsor@contoso.example" }, contractor.VerdictPermanent},
		"a full server":       {func(p *postOffice) { p.answers["RCPT"] = "452 later" }, contractor.VerdictRetry},
		"refused at the end":  {func(p *postOffice) { p.answers["."] = "451 later" }, contractor.VerdictRetry},
		"silent at the end":   {func(p *postOffice) { p.answers["."] = "hang up" }, contractor.VerdictUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			err := newPostOffice(t, tt.edit).send(t)
			var f *contractor.Failure
			if !errors.As(err, &f) || f.Verdict != tt.want {
				t.Fatalf("%v, want %s", err, tt.want)
			}
			if strings.Contains(f.Message, "@") || strings.Contains(fmt.Sprint(f), "hunter2") {
				t.Errorf("an address or a secret in %q", f.Message)
			}
		})
	}
}
