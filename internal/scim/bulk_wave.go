package scim

import (
	"net/http"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"
)

// waveSize bounds the operations of one Bulk request that are done at once: the store commits them together, and other requests
// find a place between two waves.
const waveSize = 64

// wave counts the operations from i on that can be done at once and come out as if they had been done one after the other: all of them
// make Users, or all change Users; none refers to another by its bulkId; no two make Users of one name, or change the same one. Where
// failOnErrors could stop the request among them, there are no more than may still fail.
func (run *bulkRun) wave(i int) (n int) {
	most := waveSize
	if run.limit > 0 {
		most = min(most, run.limit-run.errors)
	}
	taken := map[string]bool{}
	for n < most && i+n < len(run.ops) {
		op := &run.ops[i+n]
		marks := run.marks(op)
		if marks == nil || (op.method == http.MethodPost) != (run.ops[i].method == http.MethodPost) {
			return n
		}
		for _, mark := range marks {
			if taken[mark] {
				return n
			}
			taken[mark] = true
		}
		n++
	}
	return n
}

// marks are what no other operation of a wave may have; nil: the operation is done by itself.
func (run *bulkRun) marks(op *bulkOp) []string {
	kind, id := run.target(op)
	if op.err != nil || op.state != 0 || !strings.EqualFold(kind, "Users") || len(run.references(op)) > 0 {
		return nil
	}
	name := func(attribute string) string {
		if v := op.data.fold(attribute); v != nil && v.kind == text {
			return strings.ToLower(norm.NFKC.String(v.text))
		}
		return ""
	}
	switch {
	case op.method == http.MethodPost:
		user := name("userName")
		if user == "" || id != "" {
			return nil // it comes under an alias, or not at all
		}
		if external := name("externalId"); external != "" {
			return []string{"userName " + user, "externalId " + external}
		}
		return []string{"userName " + user}
	case id == "", op.method == http.MethodPatch && (speaksOf(op.data, "username") || speaksOf(op.data, "externalid")):
		return nil
	}
	return []string{id}
}

// together does a wave. What came back as a conflict is done again, by itself and in order: the name that it wants may have become free by an
// operation before it.
func (run *bulkRun) together(i, n int) {
	var wg sync.WaitGroup
	for j := i; j < i+n; j++ {
		op := &run.ops[j]
		op.state = 1
		wg.Go(func() { op.err = run.do(op) })
	}
	wg.Wait()
	for j := i; j < i+n; j++ {
		op := &run.ops[j]
		if op.err != nil && op.method == http.MethodPut && toSCIM(op.err).Status == http.StatusConflict {
			op.err = run.do(op)
		}
		run.settle(op)
	}
}
