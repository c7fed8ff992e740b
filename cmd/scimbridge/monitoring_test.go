package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

// metricNames are the names that a daemon registers, whether or not it has counted anything.
func metricNames(t *testing.T) []string {
	t.Helper()
	d := &daemon{metrics: newMetrics()}
	newWatchMetrics(d.metrics.registry)
	d.metrics.registry.MustRegister(newExportMetrics(nil, nil, nil), newPullMetrics(nil))
	d.metricsHandler() // registers the gauges
	descriptions := make(chan *prometheus.Desc)
	go func() {
		d.metrics.registry.Describe(descriptions)
		close(descriptions)
	}()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	var names []string
	for desc := range descriptions {
		if m := name.FindStringSubmatch(desc.String()); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Alerts, dashboard and page speak of metrics that there are, and the page of all of them.
func TestMonitoring(t *testing.T) {
	names := metricNames(t)
	ours := regexp.MustCompile(`\b(scimbridge|go|process)_[a-z_]+`)
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	for _, file := range []string{"../../configs/monitoring/alerts.yaml", "../../configs/monitoring/grafana-dashboard.json", "../../docs/monitoring.md"} {
		for _, word := range ours.FindAllString(read(t, file), -1) {
			if !slices.Contains(names, word) && !slices.Contains(names, suffix.ReplaceAllString(word, "")) {
				t.Errorf("%s speaks of %s, which no daemon has", file, word)
			}
		}
	}
	page := read(t, "../../docs/monitoring.md")
	for _, name := range names {
		if strings.HasPrefix(name, "scimbridge_") && !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/monitoring.md does not tell what %s is", name)
		}
	}
	if !json.Valid([]byte(read(t, "../../configs/monitoring/grafana-dashboard.json"))) {
		t.Error("the dashboard is not JSON")
	}
}

// Every alert has its place in the runbook.
func TestRunbook(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary, Description string }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../configs/monitoring/alerts.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	runbook := read(t, "../../docs/runbook.md")
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			if r.Expr == "" || r.Annotations.Summary == "" || r.Annotations.Description == "" {
				t.Errorf("alert %s has no expression, summary or description", r.Alert)
			}
			if !strings.Contains(runbook, "\n### "+r.Alert+"\n") {
				t.Errorf("docs/runbook.md has no section %s", r.Alert)
			}
		}
	}
	if n == 0 {
		t.Error("there are no alerts")
	}
}
