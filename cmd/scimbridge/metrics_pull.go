package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scimbridge/internal/contractor"
)

// pullMetrics tell how the readings of vendors' own servers do, from what the store remembers of each.
type pullMetrics struct {
	states func(context.Context) ([]contractor.PullState, error)

	finished, failures, users, refused, doubt *prometheus.Desc
}

func newPullMetrics(states func(context.Context) ([]contractor.PullState, error)) *pullMetrics {
	vendor := []string{"vendor"}
	return &pullMetrics{
		states:   states,
		finished: prometheus.NewDesc("scimbridge_pull_finished_timestamp_seconds", "When a vendor's server was last read to its end; 0: never.", vendor, nil),
		failures: prometheus.NewDesc("scimbridge_pull_failures", "Consecutive rounds with a vendor's server that failed.", vendor, nil),
		users:    prometheus.NewDesc("scimbridge_pull_users", "Users that a vendor's server had, by the last whole reading.", vendor, nil),
		refused:  prometheus.NewDesc("scimbridge_pull_refused_records", "Records of the last round with a vendor's server that were refused.", vendor, nil),
		doubt:    prometheus.NewDesc("scimbridge_pull_in_doubt", "1 while whole readings of a vendor's server contradict themselves, so that nobody is ended for being missing, else 0.", vendor, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *pullMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.finished, m.failures, m.users, m.refused, m.doubt} {
		c <- d
	}
}

// Collect implements prometheus.Collector. What the store does not answer is left out.
func (m *pullMetrics) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := m.states(ctx)
	if err != nil {
		return
	}
	for i := range list {
		p := &list[i]
		gauge := func(d *prometheus.Desc, v float64) {
			c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, p.Vendor)
		}
		finished, doubt := 0.0, 0.0
		if !p.Finished.IsZero() {
			finished = float64(p.Finished.Unix())
		}
		if p.Doubt != "" {
			doubt = 1
		}
		gauge(m.finished, finished)
		gauge(m.failures, float64(p.Failures))
		gauge(m.users, float64(p.Total))
		gauge(m.refused, float64(p.Counts.Refused))
		gauge(m.doubt, doubt)
	}
}
