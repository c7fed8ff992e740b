package main

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
	"scimbridge/internal/scim"
	"scimbridge/internal/strictyaml"
)

// maxMapping bounds the mapping file; strictyaml bounds depth and aliases.
const maxMapping = 4 << 20

// readMapping loads, checks and tests a mapping file. Warnings come back beside a mapping that may be used.
func readMapping(path string) (*mapper.Mapping, strictyaml.Problems, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("the mapping file cannot be read; name it in scimbridge.yaml as mapping: %w", err)
	}
	if info.Size() > maxMapping {
		return nil, nil, fmt.Errorf("%s: the mapping file has %d bytes; at most %d are read", path, info.Size(), maxMapping)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("the mapping file cannot be read: %w", err)
	}
	m, problems := mapper.Parse(path, data)
	if err := problems.Err(); err != nil {
		return nil, problems, err
	}
	if m == nil {
		return nil, problems, errors.New(path + ": the mapping is empty")
	}
	for _, r := range m.RunTests() {
		problems = append(problems, r.Problems...)
	}
	problems = append(problems, doorProblems(m)...)
	problems.Sort()
	if err := problems.Err(); err != nil {
		return nil, problems, err
	}
	return m, problems, nil
}

// doorProblems are the mistakes in the vendors' sections that only the vendor door knows.
func doorProblems(m *mapper.Mapping) strictyaml.Problems {
	var vendors []*contractor.Vendor
	for _, name := range m.Vendors() {
		if v, ok := m.Vendor(name); ok {
			vendors = append(vendors, v)
		}
	}
	var problems strictyaml.Problems
	for _, mistake := range scim.CheckVendors(vendors) {
		at := append([]any{"vendors", mistake.Vendor}, mistake.Path...)
		if short := map[any]string{"startDate": "start", "endDate": "end"}; len(at) > 3 && !m.Says(at[:4]...) && short[at[3]] != "" {
			at[3] = short[at[3]]
		}
		problems = append(problems, m.Problem(at, mistake.Message))
	}
	return problems
}

// together are warnings about what the mapping wants and the configuration does not give.
func together(cfg *config.Config, m *mapper.Mapping) strictyaml.Problems {
	if cfg.TLS != nil && cfg.TLS.ClientCAFile != "" {
		return nil
	}
	var problems strictyaml.Problems
	for _, name := range m.Vendors() {
		if v, ok := m.Vendor(name); ok && len(v.SignIn.Certificates) > 0 {
			problems = append(problems, m.Warning([]any{"vendors", name, "sign_in", "certificates"},
				"scimbridge.yaml has no tls.client_ca_file, so that nobody is asked for a certificate; name the authorities' PEM file there"))
		}
	}
	return problems
}

// live is the mapping in force, swapped whole by a reload.
type live struct {
	m atomic.Pointer[mapper.Mapping]
}

func (l *live) get() *mapper.Mapping  { return l.m.Load() }
func (l *live) set(m *mapper.Mapping) { l.m.Store(m) }
