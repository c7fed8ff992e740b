package mapper

import (
	"time"

	"scimbridge/internal/contractor"
)

// Extend bounds what a sponsor may extend by the link in a mail.
func (m *Mapping) Extend() contractor.ExtendRules { return m.extend }

// Attest says how often a sponsor confirms a contractor.
func (m *Mapping) Attest() contractor.AttestRules { return m.attest }

// defaultGrace is how long an unanswered attestation waits where the file does not say.
const defaultGrace = 14

// buildSponsorWork checks what sponsors may and must do: extend and attest.
func (b *builder) buildSponsorWork(d *fileDefaults) {
	b.extend = contractor.ExtendRules{Max: d.Extend.Max, ApprovalOver: d.Extend.ApprovalOver}
	switch {
	case b.extend.Max.IsZero() && b.has("defaults", "extend"):
		b.atKey(path("defaults", "extend"), "extend needs max, the longest extension a sponsor may ask for, such as 90d")
	case b.extend.ApprovalOver.Approx() >= b.extend.Max.Approx() && !b.extend.ApprovalOver.IsZero():
		b.at(path("defaults", "extend", "approval_over"), "%s is not below max (%s), so nothing would ever wait; lower it, or leave it out", b.extend.ApprovalOver, b.extend.Max)
	}
	b.attest = contractor.AttestRules{Every: d.Attest.Every, Grace: d.Attest.Grace}
	if !b.has("defaults", "attest") {
		return
	}
	if b.attest.Grace.IsZero() {
		b.attest.Grace = contractor.Span{Days: defaultGrace}
	}
	switch {
	case b.attest.Every.IsZero():
		b.atKey(path("defaults", "attest"), "attest needs every, how often a contractor is confirmed, such as 90d")
	case b.attest.Every.Approx() < 7*24*time.Hour:
		b.at(path("defaults", "attest", "every"), "%s is too often; write at least 7d", b.attest.Every)
	case b.attest.Grace.Approx() < 24*time.Hour || b.attest.Grace.Approx() >= b.attest.Every.Approx():
		b.at(path("defaults", "attest", "grace"), "%s is not from 1d to less than every (%s)", b.attest.Grace, b.attest.Every)
	}
}
