package main

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"scimbridge/internal/mapper"
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
	if err := problems.Err(); err != nil {
		return nil, problems, err
	}
	return m, problems, nil
}

// live is the mapping in force, swapped whole by a reload.
type live struct {
	m atomic.Pointer[mapper.Mapping]
}

func (l *live) get() *mapper.Mapping  { return l.m.Load() }
func (l *live) set(m *mapper.Mapping) { l.m.Store(m) }
