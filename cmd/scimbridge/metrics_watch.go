package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scimbridge/internal/contractor"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/siem"
)

// watchMetrics count what the watch reads and finds.
type watchMetrics struct {
	alarms  *prometheus.CounterVec
	passes  *prometheus.CounterVec
	entries prometheus.Counter
	through *prometheus.GaugeVec
}

func newWatchMetrics(r prometheus.Registerer) *watchMetrics {
	m := &watchMetrics{
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scimbridge_alarms_raised_total", Help: "Alarms raised by the watch, by kind and severity."}, []string{"kind", "severity"}),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scimbridge_watch_passes_total", Help: "Passes of the watch over the tenant's logs, by outcome: done, failed."}, []string{"outcome"}),
		entries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "scimbridge_watch_entries_total", Help: "Entries of the tenant's logs about our guests that were stored."}),
		through: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "scimbridge_watch_read_through_timestamp_seconds", Help: "Up to when each of the tenant's logs was read, by log."}, []string{"log"}),
	}
	r.MustRegister(m.alarms, m.passes, m.entries, m.through)
	return m
}

func (m *watchMetrics) alarm(a contractor.Alarm) {
	m.alarms.WithLabelValues(string(a.Kind), string(a.Severity)).Inc()
}

func (m *watchMetrics) pass(p lifecycle.WatchPass) {
	outcome := "done"
	if p.Err != nil {
		outcome = "failed"
	}
	m.passes.WithLabelValues(outcome).Inc()
	m.entries.Add(float64(p.Stored))
	for log, at := range p.Through {
		m.through.WithLabelValues(string(log)).Set(float64(at.Unix()))
	}
}

// exportMetrics tell how the sinks of the journal do, and how many alarms are open.
type exportMetrics struct {
	status func() []siem.Status
	head   func(ctx context.Context) (int64, error) // last event of the journal
	open   func(ctx context.Context) (map[contractor.Severity]int, error)

	lag, failing, alarms *prometheus.Desc
}

func newExportMetrics(status func() []siem.Status, head func(context.Context) (int64, error), open func(context.Context) (map[contractor.Severity]int, error)) *exportMetrics {
	return &exportMetrics{
		status: status, head: head, open: open,
		lag:     prometheus.NewDesc("scimbridge_journal_export_behind_events", "Events of the journal that a sink has not taken yet, by sink.", []string{"sink"}, nil),
		failing: prometheus.NewDesc("scimbridge_journal_export_failures", "Consecutive failures of a sink of the journal, by sink.", []string{"sink"}, nil),
		alarms:  prometheus.NewDesc("scimbridge_alarms_open", "Alarms that nobody has acknowledged, by severity.", []string{"severity"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *exportMetrics) Describe(c chan<- *prometheus.Desc) {
	c <- m.lag
	c <- m.failing
	c <- m.alarms
}

// Collect implements prometheus.Collector. What the store does not answer is left out.
func (m *exportMetrics) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	head, err := m.head(ctx)
	for _, s := range m.status() {
		if err == nil {
			c <- prometheus.MustNewConstMetric(m.lag, prometheus.GaugeValue, float64(max(head-s.Position, 0)), s.Name)
		}
		c <- prometheus.MustNewConstMetric(m.failing, prometheus.GaugeValue, float64(s.Failures), s.Name)
	}
	if open, err := m.open(ctx); err == nil {
		for _, s := range []contractor.Severity{contractor.SeverityCritical, contractor.SeverityWarning, contractor.SeverityNotice} {
			c <- prometheus.MustNewConstMetric(m.alarms, prometheus.GaugeValue, float64(open[s]), string(s))
		}
	}
}
