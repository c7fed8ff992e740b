package mapper_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

func TestSponsorWork(t *testing.T) {
	m := mapping(t, "{extend: {max: 90d, approval_over: 30d}, attest: {every: 90d}}", everyone)
	if diff := cmp.Diff(contractor.ExtendRules{Max: contractor.Span{Days: 90}, ApprovalOver: contractor.Span{Days: 30}}, m.Extend()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(contractor.AttestRules{Every: contractor.Span{Days: 90}, Grace: contractor.Span{Days: 14}}, m.Attest()); diff != "" {
		t.Error(diff)
	}
	for bad, want := range map[string]string{
		"{extend: {approval_over: 30d}}":               "extend needs max",
		"{extend: {max: 30d, approval_over: 30d}}":     "nothing would ever wait",
		"{attest: {grace: 14d}}":                       "attest needs every",
		"{attest: {every: 1d}}":                        "too often",
		"{attest: {every: 14d, grace: 14d}}":           "not from 1d to less than every",
		"{attest: {every: 90d, grace: 1d, often: 3d}}": "often",
	} {
		_, problems := mapper.Parse("m.yaml", []byte("version: 1\ndefaults: "+bad+"\n"))
		if err := problems.Err(); err == nil || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, problems, want)
		}
	}
}
