package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"scimbridge/internal/config"
)

func newServe(io streams) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the bridge",
		Long: `Run the bridge: the vendor door (SCIM), the loop, the admin socket and the metrics.

SIGHUP reloads the mapping; a file with mistakes leaves the old one in force. SIGTERM and SIGINT stop it cleanly.

Exit codes: 0 stopped when asked, 1 a part failed, 78 the configuration, the mapping or a credential is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, newLogger(cfg.Log, io))
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// defaultConfig is where the packages put the configuration.
const defaultConfig = "/etc/scimbridge/scimbridge.yaml"

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", defaultConfig, "the configuration file")
}

// readConfig loads the configuration, tells its warnings, and turns its mistakes into exit code 78.
func readConfig(file string, io streams) (*config.Config, error) {
	cfg, problems := config.Load(file)
	if err := problems.Err(); err != nil {
		return nil, setupError(err)
	}
	for _, p := range problems {
		fmt.Fprintln(io.err, p)
	}
	return cfg, nil
}

func newLogger(c config.Log, io streams) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.Level(c.Level)}
	if c.Format == config.JSON {
		return slog.New(slog.NewJSONHandler(io.err, opts))
	}
	return slog.New(slog.NewTextHandler(io.err, opts))
}

// ballastSize is how much memory, in bytes, the garbage collector is made to believe in. It waits until the heap has doubled: the
// daemon's own is a few megabytes, and under load it would collect 70 times a second, for a fifth of the machine. The ballast is
// never touched and takes no memory; where the heap itself is large, it makes no difference.
const ballastSize = 16 << 20

// serve runs the daemon until ctx ends or a part of it fails.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	ballast := make([]byte, ballastSize)
	defer runtime.KeepAlive(ballast)
	d, err := start(ctx, options{config: cfg, log: log})
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	_, _ = systemd.SdNotify(false, systemd.SdNotifyReady+"\nSTATUS=serving "+d.scimAddr.String())
	debug.FreeOSMemory() // what the start left behind: an idle daemon may not collect for minutes
	beat := watchdog()
	defer beat.Stop()
	var cause error
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case cause = <-d.failed:
			running = false
		case <-hup:
			_, _ = systemd.SdNotify(false, systemd.SdNotifyReloading)
			_, _ = d.reload(ctx, "SIGHUP") // it has told the log, the journal and the status
			_, _ = systemd.SdNotify(false, systemd.SdNotifyReady)
		case <-beat.C:
			d.feedWatchdog(ctx)
		}
	}
	_, _ = systemd.SdNotify(false, systemd.SdNotifyStopping)
	log.Info("stopping")
	// ctx is over; what is in flight gets its own time.
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
	defer cancel()
	return errors.Join(cause, d.stop(stopCtx))
}

// watchdog ticks at half of systemd's WatchdogSec; without one, never.
func watchdog() *time.Ticker {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		t := time.NewTicker(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTicker(interval / 2)
}

// server runs an http.Server on a listener and tells failed when it ends by itself.
func (d *daemonState) server(name string, l net.Listener, h http.Handler, tlsConfig *tls.Config, edit func(*http.Server)) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second, // a client that dribbles its header holds a connection, not a place in the queue
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      120 * time.Second, // a long list to a slow client
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
		TLSConfig:         tlsConfig,
	}
	if edit != nil {
		edit(srv)
	}
	d.parts.Go(func() {
		var err error
		if tlsConfig != nil {
			err = srv.ServeTLS(l, "", "")
		} else {
			err = srv.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			d.fail(fmt.Errorf("%s stopped: %w", name, err))
		}
	})
	d.stops.add(name, func(ctx context.Context) error {
		if err := srv.Shutdown(ctx); err != nil {
			return errors.Join(err, srv.Close())
		}
		return nil
	})
}

// listen opens a TCP listener and says what to do where it cannot.
func listen(key, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use by another process; stop it (ss -ltnp shows which), or set %s to a free port", key, addr, key)
	}
	if errors.Is(err, syscall.EACCES) {
		return nil, fmt.Errorf("%s %s may not be opened by this user; use a port above 1023, or give the unit AmbientCapabilities=CAP_NET_BIND_SERVICE", key, addr)
	}
	return nil, fmt.Errorf("%s %s cannot be opened: %w", key, addr, err)
}

// daemonState is what the parts of a daemon share while it runs.
type daemonState struct {
	log    *slog.Logger
	stops  stops
	parts  sync.WaitGroup
	failed chan error // the first part that failed by itself
}

func (d *daemonState) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}
