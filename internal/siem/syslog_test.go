package siem_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/siem"
)

// collector is a syslog receiver. It reads octet-counted messages off connections, or datagrams.
type collector struct {
	t    *testing.T
	addr string

	mu       sync.Mutex
	messages []string
	conns    []net.Conn
	hangUp   func(n int) bool // says after how many messages a connection is cut
}

func (c *collector) add(m string) (cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, m)
	return c.hangUp != nil && c.hangUp(len(c.messages))
}

func (c *collector) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.messages)
}

func (c *collector) serve(l net.Listener, newline bool) {
	c.addr = l.Addr().String()
	c.t.Cleanup(func() {
		closeQuietly(c.t, l)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, conn := range c.conns {
			_ = conn.Close()
		}
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			go c.read(conn, newline)
		}
	}()
}

func (c *collector) read(conn net.Conn, newline bool) {
	defer conn.Close() //nolint:errcheck // the other side is tested
	r := bufio.NewReader(conn)
	for {
		var m string
		if newline {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			m = strings.TrimSuffix(line, "\n")
		} else {
			count, err := r.ReadString(' ')
			if err != nil {
				return
			}
			n, err := strconv.Atoi(strings.TrimSuffix(count, " "))
			if err != nil || n < 1 || count[0] == '0' {
				c.t.Errorf("message length %q", count)
				return
			}
			b := make([]byte, n)
			if _, err := io.ReadFull(r, b); err != nil {
				return
			}
			m = string(b)
		}
		if c.add(m) {
			return
		}
	}
}

var header = regexp.MustCompile(`^<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) bridge\.example scimbridge (\d+) ([a-z._]+) \[origin software="scimbridge" swVersion="1\.2"\] (?s)(.*)$`)

// body checks a message's header and returns its text.
func body(t *testing.T, m string) (pri, id, text string) {
	t.Helper()
	parts := header.FindStringSubmatch(m)
	if parts == nil {
		t.Fatalf("not RFC 5424: %q", m)
	}
	if parts[3] != strconv.Itoa(os.Getpid()) {
		t.Errorf("process id %s", parts[3])
	}
	return parts[1], parts[4], parts[5]
}

var externalID = regexp.MustCompile(` externalId=(\d+) `)

func cefSeqs(t *testing.T, messages []string) []int {
	t.Helper()
	var list []int
	for _, m := range messages {
		_, id, text := body(t, m)
		if id == "checkpoint" {
			continue
		}
		match := externalID.FindStringSubmatch(text)
		if match == nil || !strings.HasPrefix(text, "CEF:0|scimbridge|scimbridge|1.2|"+id+"|") || strings.Contains(text, "\n") {
			t.Fatalf("not CEF: %q", text)
		}
		n, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, n)
	}
	return list
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSyslogOverTCP(t *testing.T) {
	w := newWorld(t, 25)
	c := &collector{t: t}
	c.serve(listenTCP(t), false)
	w.run(siem.Settings{Export: []siem.Sink{{Name: "siem", Syslog: &siem.Syslog{Network: "tcp", Address: c.addr}}}})
	w.eventually("25 messages", func() bool { return len(c.all()) >= 25 })
	if got := cefSeqs(t, c.all()); !slices.Equal(got, upTo(25)) {
		t.Errorf("got %v", got)
	}
	pri, id, text := body(t, c.all()[1])
	if pri != "110" || id != "engagement.created" || strings.Contains(text, "wanda") { // log audit (13) * 8 + informational (6)
		t.Errorf("%s %s %s", pri, id, text)
	}
	// The connection answers nothing; once it has stood for a while, what was written is believed.
	w.eventually("the cursor", func() bool { return w.cursor("siem") == 25 })
}

func TestSyslogInLinesOfJSON(t *testing.T) {
	w := newWorld(t, 4)
	c := &collector{t: t}
	c.serve(listenTCP(t), true)
	w.run(siem.Settings{Export: []siem.Sink{{Name: "siem", Personal: true, Syslog: &siem.Syslog{Network: "tcp", Address: c.addr, Format: "json", Framing: "newline"}}}})
	w.eventually("4 messages", func() bool { return len(c.all()) >= 4 })
	_, _, text := body(t, c.all()[1])
	var e struct {
		Seq      int
		Personal struct{ Email string }
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Seq != 2 || e.Personal.Email != "wanda@acme.example" {
		t.Errorf("%+v, %v: %s", e, err, text)
	}
}

func TestSyslogOverUDP(t *testing.T) {
	w := newWorld(t, 9)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{t: t}
	t.Cleanup(func() { closeQuietly(t, conn) })
	go func() {
		b := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			c.add(string(b[:n]))
		}
	}()
	w.run(siem.Settings{Export: []siem.Sink{{Name: "siem", Syslog: &siem.Syslog{Network: "udp", Address: conn.LocalAddr().String()}}}})
	w.eventually("9 datagrams", func() bool { return len(c.all()) >= 9 })
	if got := cefSeqs(t, c.all()); !slices.Equal(got, upTo(9)) {
		t.Errorf("got %v", got)
	}
	w.eventually("the cursor", func() bool { return w.cursor("siem") == 9 })
}

// A receiver that goes away in the middle of a batch, several times, is sent everything: some twice, none never.
func TestSyslogReceiverThatHangsUp(t *testing.T) {
	w := newWorld(t, 900)
	c := &collector{t: t}
	cuts := map[int]bool{7: true, 250: true, 251: true, 600: true}
	c.hangUp = func(n int) bool { return cuts[n] }
	c.serve(listenTCP(t), false)
	w.run(siem.Settings{Export: []siem.Sink{{Name: "siem", Syslog: &siem.Syslog{Network: "tcp", Address: c.addr}}}})
	w.eventually("the cursor", func() bool { return w.cursor("siem") == 900 })
	seen := map[int]bool{}
	for _, n := range cefSeqs(t, c.all()) {
		seen[n] = true
	}
	for n := 1; n <= 900; n++ {
		if !seen[n] {
			t.Fatalf("event %d never arrived", n)
		}
	}
}

func TestSyslogReceiverThatIsDownAtFirst(t *testing.T) {
	w := newWorld(t, 5)
	l := listenTCP(t)
	addr := l.Addr().String()
	closeQuietly(t, l)
	r, _ := w.run(siem.Settings{Export: []siem.Sink{{Name: "siem", Syslog: &siem.Syslog{Network: "tcp", Address: addr}}}})
	w.eventually("a failure", func() bool { st := r.Status()[0]; return st.Failures > 2 && st.Error != "" && !st.Since.IsZero() })
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("the port was taken by another: %v", err)
	}
	c := &collector{t: t}
	c.serve(l, false)
	w.eventually("5 messages", func() bool { return len(c.all()) >= 5 })
	w.eventually("the status", func() bool { st := r.Status()[0]; return st.Failures == 0 && st.Error == "" })
	if n := strings.Count(w.log.String(), "does not take the journal"); n != 1 {
		t.Errorf("one trouble was told %d times:\n%s", n, w.log.String())
	}
}

// pair makes a certificate for 127.0.0.1 that signs itself.
func pair(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestSyslogOverTLS(t *testing.T) {
	serverCert, serverKey := pair(t, "collector")
	clientCert, clientKey := pair(t, "bridge")
	cert, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	b, err := os.ReadFile(clientCert)
	if err != nil || !pool.AppendCertsFromPEM(b) {
		t.Fatal(err)
	}
	serve := func(t *testing.T) *collector {
		c := &collector{t: t}
		c.serve(tls.NewListener(listenTCP(t), &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}), false)
		return c
	}
	t.Run("EachSideKnowsTheOther", func(t *testing.T) {
		w := newWorld(t, 12)
		c := serve(t)
		w.run(siem.Settings{Export: []siem.Sink{{Name: "siem", Personal: true, Checkpoints: true, Syslog: &siem.Syslog{
			Address: c.addr, TLS: siem.TLS{CAFile: serverCert, CertFile: clientCert, KeyFile: clientKey},
		}}}})
		w.eventually("12 messages and a checkpoint", func() bool { return len(c.all()) >= 13 })
		var note string
		var events []string
		for _, m := range c.all() {
			_, id, text := body(t, m)
			if id != "checkpoint" {
				events = append(events, m)
				continue
			}
			_, rest, _ := strings.Cut(text, " cs1=")
			if rest == "" {
				_, rest, _ = strings.Cut(text, "|cs1=")
			}
			rest, _, _ = strings.Cut(rest, " cs1Label=checkpoint")
			note = strings.NewReplacer(`\n`, "\n", `\=`, `=`, `\\`, `\`).Replace(rest)
		}
		if got := cefSeqs(t, events); !slices.Equal(got, upTo(12)) {
			t.Errorf("got %v", got)
		}
		if _, _, text := body(t, events[1]); !strings.Contains(text, "duser=wanda@acme.example") {
			t.Errorf("no address in %s", text)
		}
		w.holds([]byte(note), 12)
	})
	t.Run("AReceiverThatNobodyVouchesForIsGivenNothing", func(t *testing.T) {
		w := newWorld(t, 3)
		c := serve(t)
		r, _ := w.run(siem.Settings{Export: []siem.Sink{{Name: "siem", Syslog: &siem.Syslog{Address: c.addr, TLS: siem.TLS{CertFile: clientCert, KeyFile: clientKey}}}}})
		w.eventually("a failure", func() bool { return strings.Contains(r.Status()[0].Error, "certificate") })
		if got := c.all(); len(got) > 0 {
			t.Errorf("got %q", got)
		}
	})
	t.Run("WithoutAClientCertificateTheCursorStays", func(t *testing.T) {
		w := newWorld(t, 3)
		c := serve(t)
		r, _ := w.run(siem.Settings{Export: []siem.Sink{{Name: "siem", Syslog: &siem.Syslog{Address: c.addr, TLS: siem.TLS{CAFile: serverCert}}}}})
		w.eventually("failures", func() bool { return r.Status()[0].Failures > 1 })
		if n := w.cursor("siem"); n != 0 || len(c.all()) > 0 {
			t.Errorf("cursor %d, messages %q", n, c.all())
		}
	})
}

func ExampleSignature() {
	fmt.Println(siem.Signature([]byte("an example of a secret, long enough"), "scimbridge/1f2e/1-2", "1795521600", []byte("[]")))
	// Output: v1,KgNpniHBzXIc91pEzHuADXTFFAu5yW0ta9EZXGEyI9c=
}
