package main

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
)

// metrics are the daemon's own registry and what it counts.
type metrics struct {
	registry   *prometheus.Registry
	scimCalls  *prometheus.CounterVec
	scimTime   *prometheus.HistogramVec
	refusals   *prometheus.CounterVec
	graphCalls *prometheus.CounterVec
	graphTime  *prometheus.HistogramVec
	reloads    *prometheus.CounterVec

	mu         sync.Mutex
	lastAnswer time.Time
	lastError  string
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		scimCalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scimbridge_scim_requests_total", Help: "SCIM requests answered, by method and status."}, []string{"method", "code"}),
		scimTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "scimbridge_scim_request_seconds", Help: "Time to answer a SCIM request.", Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12)}, []string{"method"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scimbridge_scim_sign_ins_refused_total", Help: "Failed sign-ins at the vendor door, by vendor (empty: unknown) and kind (unauthorized, forbidden)."}, []string{"vendor", "kind"}),
		graphCalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scimbridge_graph_calls_total", Help: "Calls to Microsoft Graph, by operation and status; 0 is no answer."}, []string{"operation", "code"}),
		graphTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "scimbridge_graph_call_seconds", Help: "Time of a call to Microsoft Graph.", Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 10)}, []string{"operation"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scimbridge_mapping_reloads_total", Help: "Reloads of the mapping file, by outcome: loaded, refused (it has mistakes), failed."}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.reloads, m.scimCalls, m.scimTime, m.refusals, m.graphCalls, m.graphTime,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// graphCall takes note of one call to Graph.
func (m *metrics) graphCall(c entra.Call) {
	m.graphCalls.WithLabelValues(c.Op, strconv.Itoa(c.Status)).Inc()
	m.graphTime.WithLabelValues(c.Op).Observe(c.Took.Seconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Status != 0 {
		m.lastAnswer = time.Now().UTC()
	}
	switch {
	case c.Status == 0:
		m.lastError = c.Op + ": no answer; check the network, graph_url and login_url"
	case c.Status == http.StatusUnauthorized:
		m.lastError = c.Op + ": 401, the token was refused; check tenant_id, client_id and the credential"
	case c.Status == http.StatusForbidden:
		m.lastError = c.Op + ": 403, a permission or licence is missing; scimbridge needs those of docs/entra-setup.md"
	case c.Status < 400:
		m.lastError = ""
	}
}

func (m *metrics) entra() (lastAnswer time.Time, lastError string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastAnswer, m.lastError
}

// refused counts a failed sign-in. The labels are bounded: vendors that the mapping has, and two kinds.
func (m *metrics) refused(vendor string, why contractor.Code) {
	m.refusals.WithLabelValues(vendor, string(why)).Inc()
}

// scim counts and times the vendor door's requests.
func (m *metrics) scim(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		sw := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(sw, r)
		method := knownMethod(r.Method)
		m.scimCalls.WithLabelValues(method, strconv.Itoa(sw.code)).Inc()
		m.scimTime.WithLabelValues(method).Observe(time.Since(begin).Seconds())
	})
}

// knownMethod keeps what is counted and traced by method bounded, whatever a client sends.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// metricsHandler serves /metrics, /healthz (the process runs) and /readyz (the database answers, takes writes, and the loop keeps up).
func (d *daemon) metricsHandler() http.Handler {
	gauge := func(name, help string, value func(*adminStatus) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			st, err := d.status(ctx)
			if err != nil {
				return -1
			}
			return value(st)
		})
	}
	d.metrics.registry.MustRegister(
		gauge("scimbridge_due_people", "People whose work is due now; -1 if the database does not answer.", func(s *adminStatus) float64 { return float64(s.Due) }),
		gauge("scimbridge_leader", "1 if this node works on the tenant, 0 if another one does.", func(s *adminStatus) float64 {
			if s.Role == roleLeader {
				return 1
			}
			return 0
		}),
		gauge("scimbridge_lag_seconds", "Age of the oldest due work; -1 if the database does not answer.", func(s *adminStatus) float64 { return s.Lag }),
		gauge("scimbridge_database_refuses_writes", "1 while the database takes no writes, since its disk is full, read-only, failing or silent, else 0.", func(s *adminStatus) float64 {
			if s.Refusing != "" {
				return 1
			}
			return 0
		}),
		gauge("scimbridge_closing_lag_seconds", "Age of the oldest closing work that is due.", func(s *adminStatus) float64 { return s.Closing.Lag }),
		gauge("scimbridge_closing_forecast_seconds", "Longest wait of a door that is to be closed within a day, from the ends that are known and Entra's quota.", func(s *adminStatus) float64 { return s.Closing.Forecast }),
		gauge("scimbridge_mails_waiting", "Mails to sponsors that wait to be sent.", func(s *adminStatus) float64 { return float64(s.Mails["waiting"] + s.Mails["sending"]) }),
		gauge("scimbridge_mails_failed", "Mails to sponsors that could not be sent.", func(s *adminStatus) float64 { return float64(s.Mails["failed"]) }),
		gauge("scimbridge_mails_sent", "Mails to sponsors that the mail server has taken.", func(s *adminStatus) float64 { return float64(s.Mails["sent"]) }),
		gauge("scimbridge_clock_skew_seconds", "How far this machine's clock is ahead of Entra's.", func(s *adminStatus) float64 { return s.Entra.SkewSecs }),
		gauge("scimbridge_mapping_refused", "1 while the mapping file on disk has mistakes and another is in force, else 0.", func(s *adminStatus) float64 {
			if s.Mapping.Refused != "" {
				return 1
			}
			return 0
		}),
		gauge("scimbridge_mapping_loaded_timestamp_seconds", "When the mapping in force was loaded.", func(s *adminStatus) float64 { return float64(s.Mapping.Loaded.Unix()) }),
		gauge("scimbridge_held_people", "People who wait for a person's decision; -1 if the database does not answer.", func(s *adminStatus) float64 { return float64(s.Held) }),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		st, err := d.status(r.Context())
		if err != nil || st.Lag > 300 && st.Role == roleLeader { // a standby serves vendors however far the leader is behind
			http.Error(w, "not ready: the database does not answer or the loop is behind; see scimbridge status", http.StatusServiceUnavailable)
			return
		}
		if st.Refusing != "" {
			http.Error(w, "not ready: no write is taken: "+st.Refusing, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok " + string(st.Role) + "\n"))
	})
	return mux
}
