package scim

import (
	"context"
	"sort"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// memory is a store in memory, for the tests until the database can list.
type memory struct {
	mu     sync.Mutex
	client Client
	hash   [32]byte
	all    []*contractor.Engagement
	events []audit.Event
}

func (m *memory) Authenticate(_ context.Context, h [32]byte, _ time.Time) (Client, error) {
	if h != m.hash {
		return Client{}, contractor.Errorf(contractor.CodeUnauthorized, "unknown token")
	}
	return m.client, nil
}

func (m *memory) clash(e *contractor.Engagement) error {
	for _, o := range m.all {
		if o.Deleted || o.ID == e.ID || o.Vendor != e.Vendor {
			continue
		}
		if strings.EqualFold(o.Record.UserName, e.Record.UserName) {
			return &contractor.Error{Code: contractor.CodeConflict, Path: "userName", Message: "taken"}
		}
		if e.Record.ExternalID != "" && o.Record.ExternalID == e.Record.ExternalID {
			return &contractor.Error{Code: contractor.CodeConflict, Path: "externalId", Message: "taken"}
		}
	}
	return nil
}

func (m *memory) Create(_ context.Context, e contractor.Engagement, quota int, ev audit.Event) (contractor.Engagement, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.clash(&e); err != nil {
		return e, err
	}
	for i, o := range m.all {
		if o.Deleted && strings.EqualFold(o.Record.UserName, e.Record.UserName) {
			e.ID, e.Version = o.ID, o.Version+1
			m.all[i] = &e
			m.events = append(m.events, ev)
			return e, nil
		}
	}
	m.all = append(m.all, &e)
	m.events = append(m.events, ev)
	return e, nil
}

func (m *memory) find(vendor, id string) (*contractor.Engagement, error) {
	for _, o := range m.all {
		if o.ID == id && o.Vendor == vendor && !o.Deleted {
			return o, nil
		}
	}
	return nil, contractor.Errorf(contractor.CodeNotFound, "no user %s", id)
}

func (m *memory) Get(_ context.Context, vendor, id string) (contractor.Engagement, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, err := m.find(vendor, id)
	if err != nil {
		return contractor.Engagement{}, err
	}
	return *o, nil
}

func (m *memory) List(_ context.Context, q contractor.Query) (contractor.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var hits []contractor.Engagement
	for _, o := range m.all {
		r := renderer{base: "http://x"}
		full, _ := parseJSON(string(r.user(nil, o)), jsonLimits{depth: 20, values: 1 << 20})
		if o.Vendor == q.Vendor && !o.Deleted && (q.Where == nil || holds(q.Where, &full)) {
			hits = append(hits, *o)
		}
	}
	if q.SortBy != nil {
		key := func(e *contractor.Engagement) string {
			r := renderer{base: "http://x"}
			full, _ := parseJSON(string(r.user(nil, e)), jsonLimits{depth: 20, values: 1 << 20})
			if w := walk(&full, q.SortBy.Path); len(w) > 0 {
				return w[0].text
			}
			return ""
		}
		sort.SliceStable(hits, func(i, j int) bool { return (key(&hits[i]) < key(&hits[j])) != q.Descending })
	}
	p := contractor.Page{Total: len(hits)}
	if q.Start < len(hits) {
		p.Items = hits[q.Start:min(len(hits), q.Start+q.Count)]
	}
	return p, nil
}

func (m *memory) Update(_ context.Context, e contractor.Engagement, ev audit.Event) (contractor.Engagement, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, err := m.find(e.Vendor, e.ID)
	if err != nil {
		return e, err
	}
	if o.Version != e.Version {
		return e, contractor.Errorf(contractor.CodeVersion, "moved on")
	}
	if err := m.clash(&e); err != nil {
		return e, err
	}
	e.Version++
	*o = e
	m.events = append(m.events, ev)
	return e, nil
}

func (m *memory) Delete(_ context.Context, vendor, id string, version int64, now time.Time, ev audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, err := m.find(vendor, id)
	if err != nil {
		return err
	}
	if version != 0 && version != o.Version {
		return contractor.Errorf(contractor.CodeVersion, "moved on")
	}
	o.Deleted, o.EndedAt = true, now
	m.events = append(m.events, ev)
	return nil
}

func (m *memory) Members(context.Context, string, contractor.EntitlementKey) ([]Member, error) {
	return nil, nil
}

func (m *memory) Refused(_ context.Context, ev audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, ev)
	return nil
}
