package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // what is measured can be looked into
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/scim"
)

// A server under test is a process of its own, so that its memory and its CPU can be told from the generator's. It says where it
// listens on its first line, and ends when its standard input does.

// server is a child.
type server struct {
	target
	cmd   *exec.Cmd
	stdin io.Closer
	stats string // address of /stats
}

// start runs a child of this program.
func startChild(ctx context.Context, args ...string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startServer(ctx, exec.CommandContext(ctx, self, args...))
}

// startServer runs a server that says "ADDRESS STATS TOKEN" on its first line.
func startServer(_ context.Context, cmd *exec.Cmd) (*server, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	cmd.Cancel, cmd.WaitDelay = stdin.Close, 20*time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start: %w", cmd.Args, err), s.stop())
	}
	f := append(strings.Fields(line), "", "", "")
	s.addr, s.stats, s.token = f[0], f[1], f[2]
	return s, nil
}

func (s *server) stop() error { return errors.Join(s.stdin.Close(), s.cmd.Wait()) }

// heap is what a child tells of itself.
type heap struct {
	Mallocs, Bytes uint64
	Goroutines     int
	GC             uint32
}

func (s *server) heap(ctx context.Context) (h heap, err error) {
	if s.stats == "" {
		return h, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.stats+"/stats", nil)
	if err != nil {
		return h, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return h, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	return h, json.NewDecoder(resp.Body).Decode(&h)
}

// measure drives a child, and says what its requests cost it.
func (s *server) measure(ctx context.Context, w *work, clients int, each time.Duration, first int) (*result, error) {
	h0, err := s.heap(ctx)
	if err != nil {
		return nil, err
	}
	u0, err := useOf(s.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	w.to = s.target
	r, err := drive(ctx, w, clients, each, first)
	if err != nil || r.count == 0 {
		return r, err
	}
	u1, err := useOf(s.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	h1, err := s.heap(ctx)
	n := float64(r.count)
	r.cpu = time.Duration(float64(u1.cpu-u0.cpu) / n)
	r.allocs, r.bytes = float64(h1.Mallocs-h0.Mallocs)/n, float64(h1.Bytes-h0.Bytes)/n
	return r, err
}

// child runs the server side.
func child(ctx context.Context, args []string) error {
	switch {
	case args[0] == "child-hello" && len(args) == 1:
		e := echo.New()
		e.GET("/hello", func(c echo.Context) error { return c.String(http.StatusOK, "hello") })
		return serve(ctx, e, "")
	case args[0] == "child-bare" && len(args) == 2:
		return bareChild(ctx, args[1])
	case args[0] == "child-door" && len(args) == 2:
		return doorChild(ctx, args[1])
	}
	return fmt.Errorf("%q is not a child", args)
}

// bareChild is the ceiling of creates over HTTP: Echo, the body read, the rows written, the body sent back.
func bareChild(ctx context.Context, path string) error {
	w, err := openBare(ctx, path)
	if err != nil {
		return err
	}
	m, err := newRowMaker()
	if err != nil {
		return err
	}
	like, err := m.row(1 << 30)
	if err != nil {
		return err
	}
	go w.group()
	e := echo.New()
	e.POST("/Users/:n", func(c echo.Context) error {
		sent, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		var n int
		if _, err := fmt.Sscan(c.Param("n"), &n); err != nil {
			return err
		}
		r := like.as(n)
		w.queue <- r
		if err := <-r.done; err != nil {
			return err
		}
		return c.Blob(http.StatusCreated, "application/scim+json", sent)
	})
	return errors.Join(serve(ctx, e, ""), w.close(true))
}

// ballastSize is the daemon's; see cmd/scimbridge.
const ballastSize = 16 << 20

// doorChild is the vendor door over a store, as the daemon wires it, without the loop that works on what it stores.
func doorChild(ctx context.Context, path string) error {
	s, err := db.Open(ctx, db.Config{Path: path})
	if err != nil {
		return err
	}
	if err := addToken(ctx, s); err != nil {
		return errors.Join(err, s.Close())
	}
	defer runtime.KeepAlive(make([]byte, ballastSize))
	v := vendor()
	door, err := scim.New(scim.Config{
		Store: s, Logger: slog.New(slog.DiscardHandler),
		Vendors: func(name string) (*contractor.Vendor, bool) { return v, name == v.Name },
		Names:   func() []string { return []string{v.Name} },
		Groups:  func() []contractor.Entitlement { return nil },
		Wake:    func() {},
		Limits:  scim.Limits{Concurrent: -1},
	})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return errors.Join(serve(ctx, door.Handler(), token), s.Close())
}

// token is the vendor's: of a store that nobody else reaches.
const token = "scimbridge-bench-0198c5a27b1e7d2a9c415b0f0a3a9a01"

// addToken lets the vendor in, if the store does not know the token from an earlier run.
func addToken(ctx context.Context, s *db.Store) error {
	_, err := s.AddToken(ctx, audit.Actor{Kind: audit.ActorAdmin, Name: "bench"}, contractor.Token{Vendor: vendorName, Hash: scim.HashToken(token)}, "benchmark")
	if e, ok := errors.AsType[*contractor.Error](err); ok && e.Code == contractor.CodeConflict {
		return nil
	}
	return err
}

// serve answers on a port of its own until standard input ends. The time-outs are the daemon's.
func serve(ctx context.Context, h http.Handler, token string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	side, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, l.Close())
	}
	http.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		_ = json.NewEncoder(w).Encode(heap{m.Mallocs, m.TotalAlloc, runtime.NumGoroutine(), m.NumGC}) // the parent sees what is missing
	})
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second, WriteTimeout: 120 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 32 << 10}
	about := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = about.Serve(side) }() // ends with the process
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(nil)
	}()
	go func() { cancel(srv.Serve(l)) }()
	fmt.Println(l.Addr(), side.Addr(), token)
	<-ctx.Done()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	return srv.Shutdown(stop)
}
