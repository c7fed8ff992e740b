package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// keyring serves a key pair, and the authorities of client certificates, from files, and takes renewed ones without a restart:
// the files' times are looked at once a minute at most, on a handshake, and whenever the daemon is reloaded. Renewed files that
// cannot be loaded leave the old ones in use.
type keyring struct {
	certFile, keyFile string
	clientCAFile      string // "": no client certificates are asked for

	mu      sync.Mutex
	current *tls.Certificate
	clients *x509.CertPool // nil without clientCAFile
	stamp   time.Time
	looked  time.Time
	broken  error // why the files on disk are not in use
}

// keyringPause is how long the files are believed not to have changed.
const keyringPause = time.Minute

// expiresSoon is when an operator should hear that nothing has renewed the certificate. ACME clients renew a month before.
const expiresSoon = 7 * 24 * time.Hour

func loadKeyring(certFile, keyFile, clientCAFile string) (*keyring, error) {
	k := &keyring{certFile: certFile, keyFile: keyFile, clientCAFile: clientCAFile}
	if err := k.load(); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *keyring) load() error {
	stamp, err := k.modified()
	if err != nil {
		return fmt.Errorf("tls: a file of the certificate cannot be found; check cert_file, key_file and client_ca_file: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return fmt.Errorf("tls: the certificate cannot be loaded; check tls.cert_file and tls.key_file: %w", err)
	}
	var clients *x509.CertPool
	if k.clientCAFile != "" {
		text, err := os.ReadFile(k.clientCAFile)
		if err == nil {
			if clients = x509.NewCertPool(); !clients.AppendCertsFromPEM(text) {
				err = errors.New("it holds no certificate in PEM")
			}
		}
		if err != nil {
			return fmt.Errorf("tls: the authorities of client certificates cannot be loaded; check tls.client_ca_file: %w", err)
		}
	}
	k.current, k.clients, k.stamp = &pair, clients, stamp
	return nil
}

func (k *keyring) modified() (time.Time, error) {
	var newest time.Time
	for _, f := range []string{k.certFile, k.keyFile, k.clientCAFile} {
		if f == "" {
			continue
		}
		info, err := os.Stat(f)
		if err != nil {
			return newest, err
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest, nil
}

// refresh looks at the files again. The error says why those on disk are not in use.
func (k *keyring) refresh() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.look(time.Now())
	return k.broken
}

func (k *keyring) look(now time.Time) {
	k.looked = now
	if stamp, err := k.modified(); err == nil && stamp.Equal(k.stamp) && k.broken == nil {
		return
	}
	k.broken = k.load()
}

// inUse is what a handshake is answered with.
func (k *keyring) inUse() (*tls.Certificate, *x509.CertPool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.looked) > keyringPause {
		k.look(now)
	}
	return k.current, k.clients
}

// trouble is what an operator must see to; "" if nothing.
func (k *keyring) trouble(now time.Time) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.broken != nil:
		return "the certificate on disk is not in use: " + k.broken.Error()
	case k.current.Leaf != nil && now.Add(expiresSoon).After(k.current.Leaf.NotAfter):
		return "the certificate of the vendor door ends on " + day(k.current.Leaf.NotAfter) + "; put a renewed one into its file"
	}
	return ""
}

// config answers handshakes. A client certificate is asked for where there are authorities to verify it by, and required of
// nobody: which vendor must have one is the mapping's to say.
func (k *keyring) config() *tls.Config {
	protocols := []string{"h2", "http/1.1"}
	if k.clientCAFile == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, _ := k.inUse()
			return pair, nil
		}}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pair, clients := k.inUse()
		return &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: protocols, Certificates: []tls.Certificate{*pair},
			ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients,
			SessionTicketsDisabled: true, // a resumed session would not be verified by authorities that changed meanwhile
		}, nil
	}}
}
