package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/db"
	"scimbridge/internal/entra"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/mapper"
	"scimbridge/internal/policy"
)

// watchOptions of the loop that reads the tenant's logs. store, graph, log and mapping are required.
type watchOptions struct {
	store   *db.Store
	graph   *entra.Client
	log     *slog.Logger
	mapping func() *mapper.Mapping // in force now

	every, keep, retention, neverAccepted time.Duration // zero: lifecycle's defaults
	keepRows                              int
	trustedApps                           []string
	sinks                                 []lifecycle.AlarmSink
	onAlarm                               func(contractor.Alarm)
	onPass                                func(lifecycle.WatchPass)
}

func newWatch(o watchOptions) (*lifecycle.Watch, error) {
	f := &forbidden{store: o.store, mapping: o.mapping, log: o.log}
	return lifecycle.NewWatch(lifecycle.WatchConfig{
		Store: o.store, Reader: o.graph, Logger: o.log, AppID: o.graph.AppID, Skew: o.graph.ClockSkew, Forbids: f.by,
		Every: o.every, Retention: o.retention, NeverAccepted: o.neverAccepted, TrustedApps: o.trustedApps,
		Bounds: contractor.ActivityBounds{For: o.keep, Rows: o.keepRows},
		Sinks:  o.sinks, OnAlarm: o.onAlarm, OnPass: o.onPass,
	})
}

// forbidden says which policies forbid a sign-in: ours as they were last written into the tenant or, where none was yet, those
// that the mapping declares, of which none is enforced then.
type forbidden struct {
	store interface {
		ManagedPolicies(ctx context.Context) ([]contractor.CAManaged, error)
	}
	mapping func() *mapper.Mapping
	log     *slog.Logger

	mu        sync.Mutex
	read      time.Time
	revision  string
	policies  []contractor.CAPolicy
	locations []contractor.NamedLocation
}

// forbiddenFor is how long what was read of the store is believed.
const forbiddenFor = time.Minute

func (f *forbidden) by(a contractor.Activity, groups []string) (by []string, enforced bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return policy.Forbids(f.policies, f.locations, policy.FromLog(a, lowerAll(groups)))
}

func (f *forbidden) refresh() {
	m := f.mapping()
	if time.Since(f.read) < forbiddenFor && m.Revision() == f.revision {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	managed, err := f.store.ManagedPolicies(ctx)
	if err != nil {
		f.log.Warn("our policies cannot be read; sign-ins are judged by those read before", "error", err)
		return
	}
	f.read, f.revision = time.Now(), m.Revision()
	f.policies, f.locations = written(managed)
	if len(f.policies) > 0 {
		return
	}
	f.policies, f.locations = policy.Declared(m.ConditionalAccess())
	for i := range f.policies {
		if f.policies[i].State == contractor.CAOn {
			f.policies[i].State = contractor.CAReportOnly
		}
	}
}

// written are our policies and locations as the store remembers them.
func written(managed []contractor.CAManaged) (policies []contractor.CAPolicy, locations []contractor.NamedLocation) {
	for _, m := range managed {
		switch policy.Kind(m.Kind) {
		case policy.KindPolicy:
			var p contractor.CAPolicy
			if len(m.Written) > 0 && json.Unmarshal(m.Written, &p) == nil {
				p.Name = strings.TrimPrefix(p.Name, policy.Prefix)
				policies = append(policies, p)
			}
		case policy.KindLocation:
			var l contractor.NamedLocation
			if len(m.Written) > 0 && json.Unmarshal(m.Written, &l) == nil {
				locations = append(locations, l)
			}
		}
	}
	return policies, locations
}
