package mapper

import "scimbridge/internal/contractor"

// fileDrift is defaults.drift: what is done about what somebody changed behind our back, by kind.
type fileDrift struct {
	Enabled   string `yaml:"enabled"`
	Disabled  string `yaml:"disabled"`
	Added     string `yaml:"member_added"`
	Removed   string `yaml:"member_removed"`
	Extended  string `yaml:"schedule_extended"`
	Shortened string `yaml:"schedule_shortened"`
	Deleted   string `yaml:"deleted"`
	Sponsor   string `yaml:"sponsor"`
	Property  string `yaml:"attributes"`
}

// Drift says what is done about a kind of drift.
func (m *Mapping) Drift(k contractor.DriftKind) contractor.DriftMode {
	if mode, ok := m.drift[k]; ok {
		return mode
	}
	return contractor.DefaultDrift(k)
}

func (b *builder) buildDrift() {
	d := &b.file.Defaults.Drift
	b.drift = map[contractor.DriftKind]contractor.DriftMode{}
	for k, word := range map[contractor.DriftKind]string{
		contractor.DriftEnabled: d.Enabled, contractor.DriftDisabled: d.Disabled, contractor.DriftAdded: d.Added, contractor.DriftRemoved: d.Removed,
		contractor.DriftExtended: d.Extended, contractor.DriftShortened: d.Shortened, contractor.DriftDeleted: d.Deleted,
		contractor.DriftSponsor: d.Sponsor, contractor.DriftProperty: d.Property,
	} {
		where := path("defaults", "drift", string(k))
		if word == "" || !b.enum(where, word, string(contractor.DriftReport), string(contractor.DriftRepair), string(contractor.DriftAdopt)) {
			continue
		}
		if contractor.DriftMustEnd(k) && word != string(contractor.DriftRepair) {
			b.at(where, "%s can only be repaired: left alone, access would outlive its contract", k)
			continue
		}
		b.drift[k] = contractor.DriftMode(word)
	}
}
