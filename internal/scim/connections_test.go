package scim_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/scim"
)

// dial opens a raw connection to the door, which gives up after ten seconds.
func (w *world) dial() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// say writes to a connection.
func say(t *testing.T, conn net.Conn, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, format, args...); err != nil {
		t.Fatal(err)
	}
}

// answered reads one answer and gives its status, and whether the connection will be closed.
func answered(t *testing.T, conn net.Conn) (status int, closes bool) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Close
}

const getOne = "GET /scim/v2/Users?count=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"

func TestConnectionsOfOneVendorAreBounded(t *testing.T) {
	w := newWorld(t, func(c *scim.Config) { c.Limits.Connections = 3 })
	var conns []net.Conn
	for range 3 {
		conn := w.dial()
		say(t, conn, getOne, w.tokens["acme"])
		if status, closes := answered(t, conn); status != 200 || closes {
			t.Fatalf("status %d, closes %v", status, closes)
		}
		conns = append(conns, conn)
	}
	fourth := w.dial()
	say(t, fourth, getOne, w.tokens["acme"])
	if status, closes := answered(t, fourth); status != 429 || !closes {
		t.Errorf("the fourth connection: status %d, closes %v", status, closes)
	}
	say(t, conns[0], getOne, w.tokens["acme"]) // those that are open go on
	if status, _ := answered(t, conns[0]); status != 200 {
		t.Errorf("status %d", status)
	}
	say(t, conns[0], getOne, w.tokens["globex"]) // another vendor, over a connection that was the first one's
	if status, _ := answered(t, conns[0]); status != 200 {
		t.Errorf("status %d", status)
	}
	fifth := w.dial()
	say(t, fifth, getOne, w.tokens["acme"])
	if status, _ := answered(t, fifth); status != 200 {
		t.Errorf("after one was left: status %d", status)
	}
	for _, c := range append(conns, fifth) {
		_ = c.Close()
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { // the server has to see them closed
		sixth := w.dial()
		say(t, sixth, getOne, w.tokens["acme"])
		status, _ := answered(t, sixth)
		_ = sixth.Close()
		if status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("closed connections are still counted")
		}
	}
}

func TestSilentClientsKeepNobodyOut(t *testing.T) {
	w := newWorld(t, func(c *scim.Config) { c.Limits.Strangers = 20 })
	signedIn := w.dial()
	say(t, signedIn, getOne, w.tokens["acme"])
	if status, _ := answered(t, signedIn); status != 200 {
		t.Fatalf("status %d", status)
	}
	var silent []net.Conn
	for i := range 100 {
		conn := w.dial()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "GET /scim/v2/Users HTTP/1.1\r\nHost: ") // and no more
		}
		silent = append(silent, conn)
	}
	w.as("globex").do("GET", "/Users", "").want(200)
	say(t, signedIn, getOne, w.tokens["acme"])
	if status, _ := answered(t, signedIn); status != 200 {
		t.Errorf("who has signed in: status %d", status)
	}
	for i, conn := range silent[:80] {
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("silent connection %d is still open", i)
		}
	}
}

// full calls more until a vendor has as many requests under way as it may.
func (w *world) full(vendor string, more func()) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); w.as(vendor).do("GET", "/Users?count=1", "").status != 429; {
		if time.Now().After(deadline) {
			w.t.Fatalf("the slow requests of %s take no places", vendor)
		}
		more()
	}
}

// TestSlowClientsStarveOnlyThemselves holds that bodies that do not come, and answers that nobody reads, take the places of
// their own vendor alone.
func TestSlowClientsStarveOnlyThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *scim.Config) { c.Limits.Concurrent, c.Limits.Timeout = 8, 5*time.Second })
	for i := range 30 {
		w.made(fmt.Sprintf("u%d", i), `"title":"`+strings.Repeat("x", 60_000)+`"`)
	}
	for range 4 { // two megabytes each, which the client does not read
		conn := w.dial()
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096)
		}
		say(t, conn, "GET /scim/v2/Users?count=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", w.tokens["acme"])
	}
	var late []net.Conn
	w.full("acme", func() { // as many as it takes: an answer may go into the system's buffers unread, and give its place back
		conn := w.dial()
		say(t, conn, "POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100000\r\n\r\n{", w.tokens["acme"])
		late = append(late, conn)
	})
	for range 20 {
		w.as("globex").do("GET", "/Users?count=100", "").want(200)
	}
	for _, conn := range late { // given up in time, or refused at once
		if status, _ := answered(t, conn); status != 400 && status != 503 && status != 429 {
			t.Errorf("a body that never came: status %d", status)
		}
	}
}

// stuckStore holds the large pages of acme, whatever their deadline.
type stuckStore struct {
	scim.Store
	entered chan struct{}
	release chan struct{}
}

func (s *stuckStore) List(ctx context.Context, q contractor.Query) (contractor.Page, error) {
	if q.Vendor == "acme" && q.Count > 100 {
		s.entered <- struct{}{}
		<-s.release
	}
	return s.Store.List(context.WithoutCancel(ctx), q)
}

func TestLargeRequestsOfOneVendorQueue(t *testing.T) {
	stuck := &stuckStore{entered: make(chan struct{}, 100), release: make(chan struct{})}
	w := newWorld(t, func(c *scim.Config) { stuck.Store, c.Store, c.Limits.Timeout = c.Store, stuck, 300*time.Millisecond })
	var wg sync.WaitGroup
	for range 4 { // as many as there are places
		wg.Go(func() { w.do("GET", "/Users?count=200", "") })
		<-stuck.entered
	}
	large := user("ann", `"title":"`+strings.Repeat("x", 30_000)+`"`)
	r := w.do("GET", "/Users?count=200", "")
	r.refused(429, "", "large requests")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.do("POST", "/Users", large).refused(429, "", "large requests")
	w.made("bob") // small ones go on
	w.do("GET", "/Users?count=100", "").want(200)
	w.as("globex").do("GET", "/Users?count=200", "").want(200)
	close(stuck.release)
	wg.Wait()
	w.do("POST", "/Users", large).want(201)
}

// TestMemoryUnderAThousandConnections opens what four vendors and strangers can hold at once, in the ways that cost most: bodies
// that were announced and came by half, and headers that do not end.
func TestMemoryUnderAThousandConnections(t *testing.T) {
	vendors := []*contractor.Vendor{acme(), globex()}
	for _, name := range []string{"initech", "umbrella"} {
		v := acme()
		v.Name = name
		vendors = append(vendors, v)
	}
	w := newWorld(t, func(c *scim.Config) { c.Limits.Concurrent = 125 }, vendors...)
	for _, v := range vendors {
		w.as(v.Name).do("GET", "/Users", "").want(200)
	}
	before := held()
	half := strings.Repeat(" ", 15_000)
	for _, v := range vendors {
		for range 125 {
			say(t, w.dial(), "POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 262000\r\n\r\n%s", w.tokens[v.Name], half)
		}
	}
	for range 500 {
		say(t, w.dial(), "GET /scim/v2/Users HTTP/1.1\r\nHost: x\r\nX-Padding: %s", half)
	}
	for _, v := range vendors { // all of theirs have come in
		w.full(v.Name, func() { time.Sleep(time.Millisecond) })
	}
	grown := (held() - before) >> 20
	t.Logf("1,000 connections hold %d MB", grown)
	if grown > 100 {
		t.Errorf("1,000 connections hold %d MB, more than 100", grown)
	}
	for _, v := range vendors {
		w.as(v.Name).do("GET", "/ServiceProviderConfig", "").want(200)
	}
}

// held is the memory in use, in bytes, after a collection.
func held() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
