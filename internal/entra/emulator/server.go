package emulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// StartConfig says where to listen. Port 0 takes a free port.
type StartConfig struct {
	GraphAddr string // http; default 127.0.0.1:0
	LoginAddr string // https; default 127.0.0.1:0
	// PlainLogin serves the login endpoint without TLS, for clients that can do that. The
	// Azure identity library cannot.
	PlainLogin bool
}

// Server is an emulator that listens.
type Server struct {
	GraphURL string // http://127.0.0.1:port/v1.0
	LoginURL string // https://127.0.0.1:port
	CAPEM    []byte // certificate authority of LoginURL, made for this server

	graph, login *http.Server
	done         sync.WaitGroup
	stop         func() bool
	once         sync.Once
	err          error
}

// Start listens on loopback addresses, for as long as ctx lasts or until Close. Any other
// address is refused: the emulator has no password on its control endpoints.
func (e *Emulator) Start(ctx context.Context, cfg StartConfig) (*Server, error) {
	graph, err := listenLoopback(ctx, or(cfg.GraphAddr, "127.0.0.1:0"))
	if err != nil {
		return nil, err
	}
	login, err := listenLoopback(ctx, or(cfg.LoginAddr, "127.0.0.1:0"))
	if err != nil {
		return nil, errors.Join(err, graph.Close())
	}
	s := &Server{
		GraphURL: "http://" + graph.Addr().String() + "/v1.0",
		graph:    &http.Server{Handler: e.Graph(), ReadHeaderTimeout: 10 * time.Second},
		login:    &http.Server{Handler: e.Login(), ReadHeaderTimeout: 10 * time.Second},
	}
	scheme := "http"
	if !cfg.PlainLogin {
		cert, ca, err := loopbackCertificate()
		if err != nil {
			return nil, errors.Join(err, graph.Close(), login.Close())
		}
		scheme, s.CAPEM = "https", ca
		login = tls.NewListener(login, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	s.LoginURL = scheme + "://" + login.Addr().String()
	s.done.Go(func() { s.serve(s.graph, graph) })
	s.done.Go(func() { s.serve(s.login, login) })
	s.stop = context.AfterFunc(ctx, func() { s.shutdown() })
	return s, nil
}

func (s *Server) serve(srv *http.Server, l net.Listener) {
	srv.Serve(l) //nolint:errcheck // ErrServerClosed after Close; nothing else can happen to a loopback listener
}

// Close stops listening and waits for the requests that are being answered. It may be
// called more than once.
func (s *Server) Close() error {
	s.stop()
	s.shutdown()
	return s.err
}

func (s *Server) shutdown() {
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownPatience)
		defer cancel()
		for _, srv := range []*http.Server{s.graph, s.login} {
			if err := srv.Shutdown(ctx); err != nil {
				s.err = errors.Join(s.err, srv.Close())
			}
		}
		s.done.Wait()
	})
}

// listenLoopback refuses every address that others could reach.
func listenLoopback(ctx context.Context, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("emulator: %q is not an address to listen on; write 127.0.0.1:9009, or 127.0.0.1:0 for a free port", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("emulator: %s is not a loopback address; the emulator has no password and listens on 127.0.0.1, [::1] or localhost only", addr)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("emulator: cannot listen on %s: %w", addr, err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("emulator: %s leads to %s, which is not a loopback address", addr, l.Addr()), l.Close())
	}
	return l, nil
}

// loopbackCertificate makes a certificate for the loopback names and the authority that
// signed it.
func loopbackCertificate() (tls.Certificate, []byte, error) {
	fail := func(err error) (tls.Certificate, []byte, error) {
		return tls.Certificate{}, nil, fmt.Errorf("emulator: make a certificate: %w", err)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	from, to := time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "scimbridge emulator, not for production"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return fail(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return fail(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil
}

// shutdownPatience is how long Close lets requests finish that are being answered.
const shutdownPatience = 2 * time.Second
