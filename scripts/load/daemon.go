package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/db"
)

const (
	startLimit = 60 * time.Second // a daemon that is not up by then is a failure
	idleTime   = 10 * time.Second
)

// benchMapping grants one group to everybody. The daemon finds it in force already, as after any restart.
const benchMapping = `version: 1
defaults:
  timezone: Europe/Berlin
  missing_end: hold
  offboarding: {delete_after: 30d}
catalog:
  groups:
    ext-base: {id: 3f0c6f0e-1d7b-4b1f-9a57-0b1f0a3a9a01}
vendors:
  acme:
    rate: 10000
    quota: 0
    email_domains: [acme.example]
rules:
  - name: everyone
    grant: {groups: [ext-base]}
`

// daemon measures the whole program: how fast it starts, what it takes when nothing is asked of it, and what under load, with the
// loop at work against the emulated tenant.
func (o *options) daemon(ctx context.Context) error {
	if o.scimbridge == "" {
		return errors.New("-scimbridge names the program to measure")
	}
	for _, n := range o.rows {
		if err := o.withDaemon(ctx, n, o.daemonFigures); err != nil {
			return fmt.Errorf("daemon at %d rows: %w", n, err)
		}
	}
	return nil
}

// running is a daemon over a store with many records.
type running struct {
	pid     int
	to      target
	metrics string // address
	users   []knownUser
	rows    int
	up      time.Duration // from its start to its first answer
}

// withDaemon starts a daemon over a copy of a store, and hands it to figures.
func (o *options) withDaemon(ctx context.Context, rows int, figures func(context.Context, running) error) error {
	path, users, err := o.working(ctx, rows, "work.db")
	if err != nil {
		return err
	}
	defer removeStore(path) //nolint:errcheck // the next run removes it
	if err := prepareStore(ctx, path); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "scimbridge-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // configuration
	tenant, stopTenant, err := o.emulator(ctx, dir)
	if err != nil {
		return err
	}
	defer stopTenant()
	listen, err := freePort()
	if err != nil {
		return err
	}
	metrics, err := freePort()
	if err != nil {
		return err
	}
	if err := writeConfig(dir, path, listen, metrics, tenant); err != nil {
		return err
	}
	// The first start reads every record anew under a mapping that the store has not seen yet. What is measured is the next.
	first, _, err := o.serve(ctx, dir, listen)
	if err != nil {
		return err
	}
	err = calm(ctx, first.Process.Pid)
	end(first)
	if err != nil {
		return err
	}
	cmd, up, err := o.serve(ctx, dir, listen)
	if err != nil {
		return err
	}
	defer end(cmd)
	return figures(ctx, running{cmd.Process.Pid, target{listen, "/scim/v2", token}, metrics, users, rows, up})
}

// serve starts a daemon, and says how long it took to its first answer.
func (o *options) serve(ctx context.Context, dir, listen string) (cmd *exec.Cmd, up time.Duration, err error) {
	cmd = exec.CommandContext(ctx, o.scimbridge, "serve", "--config", filepath.Join(dir, "scimbridge.yaml"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, 0, err
	}
	defer log.Close() //nolint:errcheck // the daemon has it
	cmd.Stdout, cmd.Stderr = log, log
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	c, err := dialUntil(ctx, listen)
	if err != nil {
		end(cmd)
		text, _ := os.ReadFile(log.Name())
		return nil, 0, fmt.Errorf("%w\n%s", err, text)
	}
	_ = c.conn.Close() // it has said what it had to
	return cmd, time.Since(begun), nil
}

// end stops a process as systemd does.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	_ = cmd.Wait()
}

// calm waits until a process does almost nothing for three seconds.
func calm(ctx context.Context, pid int) error {
	for deadline, quiet := time.Now().Add(2*time.Minute), 0; quiet < 3; quiet++ {
		u0, err := useOf(pid)
		if err != nil {
			return err
		}
		time.Sleep(time.Second)
		u1, err := useOf(pid)
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return errors.New("the daemon is still busy two minutes after its first start")
		case u1.cpu-u0.cpu > 50*time.Millisecond:
			quiet = -1
		}
	}
	return nil
}

func (o *options) daemonFigures(ctx context.Context, d running) error {
	pid, to, users := d.pid, d.to, d.users
	t := &table{}
	t.add(fmt.Sprintf("a daemon with %d records", d.rows), "measured", "goal")
	t.add("from start to the first answer", ms(d.up)+" ms", "1 s")
	time.Sleep(3 * time.Second) // what a start leaves behind is not idleness
	u0, err := useOf(pid)
	if err != nil {
		return err
	}
	time.Sleep(idleTime)
	u1, err := useOf(pid)
	if err != nil {
		return err
	}
	t.add("CPU while idle", fmt.Sprintf("%.2f %% of a core", 100*(u1.cpu-u0.cpu).Seconds()/idleTime.Seconds()), "0.5 %")
	t.add("memory while idle", mib(u1.rss), "60 MiB")
	get, byUserName, _ := readWork(users)
	create := &work{want: 201}
	create.next = func(b []byte, n int) []byte { return create.to.build(b, "POST", "/Users", body(n)) }
	first := freshNumber
	for _, s := range []struct {
		what string
		w    *work
	}{{"GET by id", get}, {"userName eq", byUserName}, {"page of 100", listWork("")}, {"create", create}, {"GET by id, the loop at work", get}} {
		s.w.to = to
		// A mapping allows 10,000 requests a second and vendor at most, and twice that at once: reads are faster.
		time.Sleep(2 * time.Second)
		r, err := drive(ctx, s.w, 64, time.Second, first)
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		first = r.last + 1
		t.add(s.what+", 64 clients", fmt.Sprintf("%s a second, p99 %s ms", rate(r.rate), ms(r.p99)), "")
	}
	peak, err := peakOf(pid)
	if err != nil {
		return err
	}
	t.add("memory at most", mib(peak), "200 MiB")
	t.print()
	return nil
}

// prepareStore lets the vendor in, and puts the mapping in force.
func prepareStore(ctx context.Context, path string) error {
	s, err := db.Open(ctx, db.Config{Path: path})
	if err != nil {
		return err
	}
	err = addToken(ctx, s)
	if err == nil {
		_, err = s.AddRevision(ctx, audit.Actor{Kind: audit.ActorAdmin, Name: "bench"}, benchMapping, "benchmark")
	}
	return errors.Join(err, s.Close())
}

// peakOf is the most memory that a process had resident, in bytes.
func peakOf(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kb int64
	_, err = fmt.Sscan(rest, &kb)
	return kb << 10, err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// dialUntil connects as soon as somebody listens, and waits for a first answer.
func dialUntil(ctx context.Context, addr string) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		c, err := dial(ctx, addr)
		if err == nil {
			to := target{addr: addr, path: "/scim/v2"}
			c.out = to.build(nil, "GET", "/ServiceProviderConfig", nil)
			if status, err := c.do(); err != nil || status != 200 {
				return nil, fmt.Errorf("the first answer was %d: %w", status, err)
			}
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("nobody listens at %s: %w", addr, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// emulator starts the emulated tenant; what it prints is what a configuration wants.
func (o *options) emulator(ctx context.Context, dir string) (settings map[string]string, stop func(), err error) {
	graph, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	login, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, o.scimbridge, "emulator", "--graph", graph, "--login", login, "--ca-file", filepath.Join(dir, "ca.pem"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() { end(cmd) }
	settings = map[string]string{}
	for lines := bufio.NewScanner(out); settings["seed"] == "" && lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		settings[key] = strings.TrimSpace(value)
	}
	if settings["seed"] == "" {
		stop()
		return nil, nil, errors.New("the emulator did not start")
	}
	return settings, stop, nil
}

func writeConfig(dir, path, listen, metrics string, tenant map[string]string) error {
	for name, text := range map[string]string{
		"secret": tenant["secret"] + "\n", "mapping.yaml": benchMapping,
		"scimbridge.yaml": fmt.Sprintf("listen: %s\nmetrics: {listen: %s}\ndatabase: %s\nmapping: mapping.yaml\nadmin_socket: admin.sock\n"+
			"entra:\n  tenant_id: %s\n  client_id: %s\n  credential: {kind: secret, file: ./secret}\n  graph_url: %s\n  login_url: %s\n  ca_file: ca.pem\n",
			listen, metrics, path, tenant["tenant_id"], tenant["client_id"], tenant["graph_url"], tenant["login_url"]),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
