package main

import (
	"context"
	"os"

	"scimbridge/internal/audit"
	"scimbridge/internal/siem"
)

// startOutward runs what ships the journal and signs its head, and, where watch: is configured, what reads the tenant's logs.
func (d *daemon) startOutward(ctx context.Context) error {
	sealer, err := openSealer(ctx, d.config, d.store, audit.Actor{Kind: audit.ActorBridge, Name: "serve"})
	if err != nil {
		return setupError(err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // syslog writes it as unknown
	}
	runner, err := siem.New(siem.Config{
		Settings: d.config.Audit, Store: d.store, Sealer: sealer, Logger: d.log.With("component", "siem"), Version: version(), Hostname: host,
	})
	if err != nil {
		return setupError(err)
	}
	d.alone(ctx, "journal export", runner.Run)
	w := d.config.Watch
	if w == nil {
		return nil
	}
	sinks, err := d.alarmSinks(w, host)
	if err != nil {
		return setupError(err)
	}
	counted := newWatchMetrics(d.metrics.registry)
	watch, err := newWatch(watchOptions{
		store: d.store, graph: d.graph, log: d.log.With("component", "watch"), mapping: d.mapping.get,
		every: w.Every, keep: w.Keep, keepRows: w.KeepRows, retention: w.Retention, neverAccepted: w.NeverAccepted, trustedApps: w.TrustedApps,
		sinks: sinks, onAlarm: counted.alarm, onPass: counted.pass,
	})
	if err != nil {
		return setupError(err)
	}
	d.alone(ctx, "activity watch", watch.Run)
	return nil
}
