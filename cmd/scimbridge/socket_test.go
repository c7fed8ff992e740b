package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/entra/emulator"
)

// A socket that systemd opened is the daemon's, and outlives it.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	tenant, err := emulator.New(emulator.Config{})
	ok(t, err)
	st := &stage{dir: t.TempDir(), tenant: tenant, graph: &emulator.Server{GraphURL: "http://127.0.0.1:1/v1.0", LoginURL: "https://127.0.0.1:1", CAPEM: testCA(t)}}
	_, err = st.writeFiles()
	ok(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer l.Close() //nolint:errcheck // the test ends
	file, err := l.(*net.TCPListener).File()
	ok(t, err)
	defer file.Close() //nolint:errcheck // the test ends
	serve := func(name string) (*exec.Cmd, *bytes.Buffer) {
		exe, err := os.Executable()
		ok(t, err)
		// The variable names the process that is meant, which only a shell that becomes it knows before.
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, exe, filepath.Join(st.dir, "scimbridge.yaml"))
		cmd.Env = append(os.Environ(), asProgram+"=1", "LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
		cmd.ExtraFiles = []*os.File{file}
		out := &bytes.Buffer{}
		cmd.Stderr = out
		ok(t, cmd.Start())
		return cmd, out
	}
	for range 2 { // the second is the restart
		cmd, out := serve("listen")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/scim/v2/ServiceProviderConfig", nil)
		ok(t, err)
		resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req) // waits for the daemon to come up
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		ok(t, resp.Body.Close())
		if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusOK {
			t.Errorf("answered %s", resp.Status)
		}
		ok(t, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Run("AMistypedNameIsRefused", func(t *testing.T) {
		cmd, out := serve("lissen")
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitSetup || !strings.Contains(out.String(), "lissen") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
