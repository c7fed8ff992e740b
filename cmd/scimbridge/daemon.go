package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.opentelemetry.io/otel/trace"

	"scimbridge/internal/config"
	"scimbridge/internal/console"
	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
	"scimbridge/internal/strictyaml"
)

// options of a daemon. config and log are required.
type options struct {
	config *config.Config
	log    *slog.Logger
}

// daemon is the running bridge.
type daemon struct {
	daemonState
	config  *config.Config
	started time.Time
	store   *db.Store
	graph   *entra.Client
	loop    *lifecycle.Loop
	pace    *lifecycle.Pace
	mapping live
	metrics *metrics
	tracing *tracing         // nil: not configured
	keys    *keyring         // nil without TLS
	console *console.Console // nil: not configured

	election election

	scimAddr    net.Addr
	metricsAddr net.Addr
	consoleAddr net.Addr
	baseURL     string

	sockets   inherited
	derive    chan struct{} // a mapping came into force: records may have to be read anew
	reloading sync.Mutex
	loaded    atomic.Pointer[mappingStatus]
	lastBeat  int64
}

// start brings every part up in order; whatever was started is stopped again if a later part cannot be.
func start(ctx context.Context, o options) (_ *daemon, err error) {
	d := &daemon{daemonState: daemonState{log: o.log, failed: make(chan error, 1)}, config: o.config, started: time.Now(), metrics: newMetrics(), derive: make(chan struct{}, 1), election: election{look: make(chan struct{}, 1)}}
	defer func() {
		if err != nil {
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.config.ShutdownTimeout)
			defer cancel()
			_ = d.stop(stopCtx) // the reason for stopping is the error that counts
		}
	}()
	if d.sockets, err = inheritListeners(); err != nil {
		return nil, err
	}
	if err := d.startTracing(ctx); err != nil {
		return nil, err
	}
	if err := d.openStore(ctx); err != nil {
		return nil, err
	}
	m, err := d.firstMapping(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.openGraph(o); err != nil {
		return nil, err
	}
	if err := d.startLoop(ctx, o); err != nil {
		return nil, err
	}
	if err := d.startPace(ctx); err != nil {
		return nil, err
	}
	if err := d.startDriftWatch(ctx); err != nil {
		return nil, err
	}
	if err := d.startOutward(ctx); err != nil {
		return nil, err
	}
	if err := d.openDoors(ctx); err != nil {
		return nil, err
	}
	if err := d.sockets.rest(); err != nil {
		return nil, err
	}
	d.campaign(ctx)
	d.log.Info("serving", "scim", d.baseURL+"/scim/v2", "mapping", m.Revision()[:12], "version", version())
	return d, nil
}

func (d *daemon) openStore(ctx context.Context) error {
	conf, err := databaseConfig(d.config)
	if err != nil {
		return err
	}
	store, err := db.Open(ctx, conf)
	if err != nil {
		return err
	}
	d.store = store
	d.stops.add("database", func(context.Context) error { return store.Close() })
	if d.config.OnPostgres() {
		return nil // nodes elect their leader
	}
	release, err := store.Lead(ctx)
	if err != nil {
		return err
	}
	d.stops.add("lead", func(context.Context) error { release(); return nil })
	return nil
}

func (d *daemon) openGraph(o options) error {
	var held func() bool
	if d.config.OnPostgres() {
		held = d.election.lease.Held
	}
	graph, closeIdle, err := dialGraph(graphOptions{
		config: o.config, log: d.log.With("component", "entra"), onCall: d.metrics.graphCall, tracer: d.tracing.tracer("entra"),
		untouchable: func() []string { return breakGlass(d.mapping.get()) }, held: held,
	})
	if err != nil {
		return err
	}
	d.graph = graph
	d.stops.add("Graph connections", func(context.Context) error { closeIdle(); return nil })
	return nil
}

// openGraphOnce makes a client for one command.
func openGraphOnce(cfg *config.Config, io streams) (*entra.Client, error) {
	m, _, err := readMapping(cfg.Mapping)
	if err != nil {
		return nil, setupError(err)
	}
	graph, _, err := dialGraph(graphOptions{config: cfg, log: newLogger(cfg.Log, io), untouchable: func() []string { return breakGlass(m) }})
	return graph, err
}

// breakGlass are the emergency accounts that the mapping names: never touched, whatever else is said.
func breakGlass(m *mapper.Mapping) []string {
	if ca := m.ConditionalAccess(); ca != nil {
		return ca.BreakGlassUsers
	}
	return nil
}

// graphOptions of a client of Entra. config, log and untouchable are required.
type graphOptions struct {
	config      *config.Config
	log         *slog.Logger
	onCall      func(entra.Call)
	untouchable func() []string
	held        func() bool // whether this node leads, asked before each request; nil: always
	tracer      trace.Tracer
}

func dialGraph(o graphOptions) (graph *entra.Client, closeIdle func(), err error) {
	e := o.config.Entra
	transport, err := entra.NewTransport(e.CAFile)
	if err != nil {
		return nil, nil, setupError(err)
	}
	credential, err := newCredential(e)
	if err != nil {
		return nil, nil, setupError(err)
	}
	scope, err := graphScope(e)
	if err != nil {
		return nil, nil, setupError(err)
	}
	graph, err = entra.New(entra.Config{
		GraphURL: e.GraphURL, Credential: credential, Scope: scope, Transport: whileLeading(transport, o.held), Logger: o.log,
		InviteSettle: o.config.Patience.InviteSettle, OnCall: o.onCall, BreakGlass: o.untouchable, Tracer: o.tracer,
	})
	if err != nil {
		return nil, nil, setupError(err)
	}
	return graph, transport.CloseIdleConnections, nil
}

func (d *daemon) startLoop(ctx context.Context, o options) error {
	loop, err := lifecycle.New(lifecycle.Config{
		Store: d.store, Directory: d.graph, Logger: d.log.With("component", "lifecycle"),
		Rules:   func() lifecycle.Rules { return d.mapping.get() },
		Former:  newFormer(d.store).rules,
		Workers: o.config.Workers, Settle: o.config.Patience.Settle, InviteWindow: o.config.Patience.InviteWindow, NativeGrace: o.config.Patience.NativeGrace,
		Skew: d.graph.ClockSkew, Tracer: d.tracing.tracer("lifecycle"),
		Ready: func() error { _, why := d.store.Refusing(time.Now()); return why },
	})
	if err != nil {
		return err
	}
	d.loop = loop
	if d.config.OnPostgres() {
		d.alone(ctx, "records", func(ctx context.Context) error { d.keepDerived(ctx); return nil })
		d.alone(ctx, "loop", loop.Run)
		return nil
	}
	// The loop outlives ctx until its turn to stop: the doors close first.
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	d.parts.Go(func() { d.keepDerived(runCtx) })
	d.parts.Go(func() { d.watchDisk(runCtx) })
	d.parts.Go(func() {
		defer close(done)
		if err := loop.Run(runCtx); err != nil {
			d.fail(fmt.Errorf("the loop stopped: %w", err))
		}
	})
	d.stops.add("loop", func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("steps in flight did not finish; they are resumed at the next start: %w", ctx.Err())
		}
	})
	return nil
}

// openDoors opens the listeners, all before any is served: a port in use must not leave half a daemon.
func (d *daemon) openDoors(ctx context.Context) error {
	l, err := d.sockets.listen("listen", d.config.Listen, d.config.TLS != nil)
	if err != nil {
		return err
	}
	d.scimAddr = l.Addr()
	d.baseURL = d.config.BaseURL(l.Addr())
	issuers, err := entra.NewTransport(d.config.Entra.CAFile)
	if err != nil {
		_ = l.Close()
		return setupError(err)
	}
	d.stops.add("issuers", func(context.Context) error { issuers.CloseIdleConnections(); return nil })
	door, err := scim.New(scim.Config{
		Store: d.store, PublicURL: d.baseURL, Wake: d.loop.Wake, Logger: d.log.With("component", "scim"),
		Vendors: func(name string) (*contractor.Vendor, bool) { return d.mapping.get().Vendor(name) },
		Names:   func() []string { return d.mapping.get().Vendors() },
		Groups:  func() []contractor.Entitlement { return d.mapping.get().Catalog() },
		Proxies: prefixes(d.config.TrustedProxies), Refused: d.metrics.refused, Spoiled: d.spoiled, HTTP: issuers,
	})
	if err != nil {
		_ = l.Close()
		return err
	}
	if err := d.startPulls(ctx, door); err != nil {
		_ = l.Close()
		return err
	}
	handler, err := d.startSponsors(ctx, d.tracing.scim(d.metrics.scim(door.Handler())))
	if err != nil {
		_ = l.Close()
		return err
	}
	admin, err := listenAdmin(d.config.AdminSocket)
	if err != nil {
		_ = l.Close()
		return err
	}
	if err := d.openMetrics(); err != nil {
		_, _ = l.Close(), admin.Close()
		return err
	}
	if err := d.openConsole(ctx); err != nil {
		_, _ = l.Close(), admin.Close()
		return err
	}
	d.server("admin socket", admin, d.adminHandler(), nil, func(s *http.Server) { s.ConnContext = withPeer })
	if d.config.TLS == nil {
		d.server("vendor door", l, handler, nil, door.Guard)
		return nil
	}
	keys, err := loadKeyring(d.config.TLS.CertFile.Path(), d.config.TLS.KeyFile.Path(), d.config.TLS.ClientCAFile)
	if err != nil {
		_ = l.Close()
		return setupError(err)
	}
	d.keys = keys
	d.server("vendor door", l, handler, keys.config(), door.Guard)
	return nil
}

func (d *daemon) openMetrics() error {
	if d.config.Metrics == nil {
		return nil
	}
	l, err := d.sockets.listen("metrics.listen", d.config.Metrics.Listen, true) // it has no TLS, wherever it listens
	if err != nil {
		return err
	}
	d.metricsAddr = l.Addr()
	d.server("metrics", l, d.metricsHandler(), nil, nil)
	return nil
}

// stop ends the daemon: the doors first, then the loop, then the store.
func (d *daemon) stop(ctx context.Context) error {
	err := d.stops.run(ctx)
	d.parts.Wait()
	return err
}

// prefixes are the networks of the configuration.
func prefixes(networks []strictyaml.Network) []netip.Prefix {
	var all []netip.Prefix
	for _, n := range networks {
		all = append(all, n.Prefix)
	}
	return all
}

// feedWatchdog tells systemd that the loop makes progress: passes were made, or nothing is due.
func (d *daemon) feedWatchdog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	passes := d.loop.Passes()
	if _, why := d.store.Refusing(time.Now()); why != nil { // known, told, and not mended by a restart
		_, _ = systemd.SdNotify(false, systemd.SdNotifyWatchdog)
		return
	}
	due, err := d.store.Due(ctx, time.Now().Add(-time.Minute), 1)
	if err != nil && !d.config.OnPostgres() || len(due) > 0 && passes == d.lastBeat && d.role() == roleLeader { // no restart brings a server back
		d.log.Error("the loop makes no progress; systemd will restart the daemon", "error", err)
		return
	}
	d.lastBeat = passes
	_, _ = systemd.SdNotify(false, systemd.SdNotifyWatchdog)
}

// statsAge is how old the dear counts of a status may be.
const statsAge = 5 * time.Second

// status is the daemon's own account of itself.
func (d *daemon) status(ctx context.Context) (*adminStatus, error) {
	now := time.Now()
	stats, err := d.store.Stats(ctx, now, statsAge)
	if err != nil {
		return nil, err
	}
	graph := d.graph.Stats()
	lastAnswer, lastError := d.metrics.entra()
	skew, _ := d.graph.ClockSkew()
	st := &adminStatus{
		Role: d.role(), Version: version(), PID: os.Getpid(), Started: d.started.UTC(), Mapping: *d.loaded.Load(), Passes: d.loop.Passes(),
		People: stats.Phases, Records: stats.Statuses, Held: stats.Held, Due: stats.Due, NextDue: stats.NextDue,
		Entra: entraStatus{URL: d.config.Entra.GraphURL, LastAnswer: lastAnswer, LastError: lastError, SkewSecs: skew.Seconds(), Throttled: graph.Throttled, Quota: quotaOf(graph)},
	}
	if err := d.keepingUp(ctx, st, &stats); err != nil {
		return nil, err
	}
	if !stats.OldestDue.IsZero() && stats.OldestDue.Before(now) {
		st.Lag = now.Sub(stats.OldestDue).Seconds()
	}
	if since, why := d.store.Refusing(now); why != nil {
		st.Refusing = toldPeople(why)
		st.Trouble = append(st.Trouble, fmt.Sprintf("no write is taken since %s: %s", since.UTC().Format(time.RFC3339), st.Refusing))
	}
	if st.Mapping.Refused != "" {
		st.Trouble = append(st.Trouble, refusedTrouble(st.Mapping.Refused))
	}
	if st.Lag > 60 && st.Role == roleLeader {
		st.Trouble = append(st.Trouble, fmt.Sprintf("the loop is %.0f s behind; look at entra.lastError and the quota", st.Lag))
	}
	if lastError != "" {
		st.Trouble = append(st.Trouble, "Entra: "+lastError)
	}
	if d.keys != nil {
		if t := d.keys.trouble(now); t != "" {
			st.Trouble = append(st.Trouble, t)
		}
	}
	pulls, trouble, err := d.pullTrouble(ctx)
	if err != nil {
		return nil, err
	}
	st.Pulls, st.Trouble = pulls, append(st.Trouble, trouble...)
	st.Healthy = len(st.Trouble) == 0
	return st, nil
}

func lookupGroup(name string) (gid int, ok bool) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	gid, err = strconv.Atoi(g.Gid)
	return gid, err == nil
}
