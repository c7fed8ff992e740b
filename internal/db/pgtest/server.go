// Package pgtest runs a PostgreSQL server of its own for tests: on loopback, in a directory of its own, gone with it.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrMissing says that the server's programs are not on this machine. Tests skip on it, and on no other error.
var ErrMissing = errors.New("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")

// patience bounds each program that is run, and the start of the server.
const patience = time.Minute

// Server is a running server. Its data is not meant to outlive it: it does not wait for its disk.
type Server struct {
	// Port of the server on 127.0.0.1.
	Port int

	bin    string // directory of the programs
	dir    string
	who    *syscall.Credential // nil: as we are
	cmd    *exec.Cmd
	ended  chan struct{}
	log    *bytes.Buffer
	number atomic.Int64
}

// Start makes a cluster in a new directory, in memory where the machine has /dev/shm, and runs a server on it, with the
// settings (name=value) that are given besides. Stop ends it and removes everything. As root it runs as the user postgres or nobody,
// since PostgreSQL refuses root.
func Start(ctx context.Context, settings ...string) (_ *Server, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, log: &bytes.Buffer{}}
	if s.dir, err = os.MkdirTemp("/dev/shm", "pg"); err != nil { // memory, where there is some: nothing here has to last
		if s.dir, err = os.MkdirTemp("", "pg"); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if s.who, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.who != nil {
		if err := os.Chown(s.dir, int(s.who.Uid), int(s.who.Gid)); err != nil {
			return nil, err
		}
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	if err := s.run(ctx, "initdb", "-D", data, "-U", "scimbridge", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"); err != nil {
		return nil, err
	}
	return s, s.serve(ctx, settings)
}

// serve starts the server and waits until it answers.
func (s *Server) serve(ctx context.Context, settings []string) error {
	args := []string{"-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-p", strconv.Itoa(s.Port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200", "max_wal_size=256MB",
		"autovacuum_naptime=5s", "lc_messages=C", "log_min_messages=warning",
	}, settings...) {
		args = append(args, "-c", setting)
	}
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), args...) //nolint:noctx,gosec // Stop ends it; the program is PostgreSQL's
	s.cmd.Dir, s.cmd.Env = s.dir, s.env()
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = s.attributes()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // it is ended by a signal
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.run(ctx, "pg_isready", "-q", "-t", "1")
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the server ended as it began: %s", s.log)
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Database makes an empty database, or a copy of another one of this server that nobody uses meanwhile, and answers its name.
func (s *Server) Database(ctx context.Context, template string) (string, error) {
	name := "d" + strconv.FormatInt(s.number.Add(1), 10)
	args := []string{name}
	if template != "" {
		args = append(args, "-T", template)
	}
	return name, s.run(ctx, "createdb", args...)
}

// URL is the address of a database of the server.
func (s *Server) URL(database string) string {
	return "postgres://scimbridge@127.0.0.1:" + strconv.Itoa(s.Port) + "/" + database + "?sslmode=disable"
}

// SQL runs statements in a database, as a stranger with psql would, and answers what was printed: a row a line, columns parted by |.
func (s *Server) SQL(ctx context.Context, database, script string) (string, error) {
	var out bytes.Buffer
	err := s.command(ctx, &out, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", script)
	return strings.TrimSpace(out.String()), err
}

// Stop ends the server at once and removes its directory.
func (s *Server) Stop() error {
	if s.cmd != nil && s.cmd.Process != nil && s.ended != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended by itself
		select {
		case <-s.ended:
		case <-time.After(5 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.ended
		}
	}
	return os.RemoveAll(s.dir)
}

func (s *Server) run(ctx context.Context, program string, args ...string) error {
	var out bytes.Buffer
	return s.command(ctx, &out, program, args...)
}

func (s *Server) command(ctx context.Context, out *bytes.Buffer, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...) //nolint:gosec // the program is PostgreSQL's
	cmd.Dir, cmd.Env = s.dir, s.env()
	cmd.SysProcAttr = s.attributes()
	var problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &problems
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(problems.String()))
	}
	return nil
}

func (s *Server) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "PGHOST=" + s.dir, "PGPORT=" + strconv.Itoa(s.Port), "PGUSER=scimbridge", "PGDATABASE=postgres"}
}

// attributes let the programs end with us, whatever becomes of us.
func (s *Server) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Credential: s.who}
	endWithParent(a)
	return a
}

// programs finds the directory of the newest server.
func programs() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(dirs) == 0 {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return "", ErrMissing
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", err
		}
		return filepath.Dir(path), nil
	}
	newest := slices.MaxFunc(dirs, func(a, b string) int { return release(a) - release(b) })
	return filepath.Dir(newest), nil
}

func release(path string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return n
}

// unprivileged is who runs the server where we are root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uidErr, gidErr)
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:errcheck // a TCP listener's
	return port, l.Close()
}
