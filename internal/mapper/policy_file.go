package mapper

import "scimbridge/internal/contractor"

// The types below are the shape of the section conditional_access.

type fileConditionalAccess struct {
	BreakGlass    fileBreakGlass          `yaml:"break_glass"`
	ReportOnlyFor *contractor.Span        `yaml:"report_only_for"`
	Tenants       map[string]fileTenant   `yaml:"tenants"`
	Locations     map[string]fileLocation `yaml:"locations"`
	Policies      []filePolicy            `yaml:"policies"`
}

type fileBreakGlass struct {
	Groups []string `yaml:"groups"`
	Users  []string `yaml:"users"`
}

type fileTenant struct {
	ID       string `yaml:"id"`
	TrustMFA *bool  `yaml:"trust_mfa"`
}

type fileLocation struct {
	Countries      []string `yaml:"countries"`
	IncludeUnknown bool     `yaml:"include_unknown"`
	IPRanges       []string `yaml:"ip_ranges"`
	Trusted        bool     `yaml:"trusted"`
}

type filePolicy struct {
	Name        string          `yaml:"name"`
	Description string          `yaml:"description"`
	State       string          `yaml:"state"`
	Scope       *filePolicyWho  `yaml:"scope"`
	Apps        *filePolicyApps `yaml:"apps"`
	ClientApps  []string        `yaml:"client_apps"`
	Locations   *filePolicyIn   `yaml:"locations"`
	Devices     *filePolicyOn   `yaml:"devices"`
	SignInRisk  []string        `yaml:"sign_in_risk"`
	Access      string          `yaml:"access"`
	Require     *filePolicyMust `yaml:"require"`
	Session     *fileSession    `yaml:"session"`
}

type filePolicyWho struct {
	Group   string   `yaml:"group"`
	Guests  []string `yaml:"guests"`
	Tenants []string `yaml:"tenants"`
}

type filePolicyApps struct {
	Include []string `yaml:"include"`
	Exclude []string `yaml:"exclude"`
}

type filePolicyIn struct {
	In      []string `yaml:"in"`
	Outside []string `yaml:"outside"`
}

type filePolicyOn struct {
	Matching    string `yaml:"matching"`
	NotMatching string `yaml:"not_matching"`
}

type filePolicyMust struct {
	MFA        bool     `yaml:"mfa"`
	Strength   string   `yaml:"strength"`
	TermsOfUse []string `yaml:"terms_of_use"`
}

type fileSession struct {
	SignInEvery       *contractor.Span `yaml:"sign_in_every"`
	PersistentBrowser string           `yaml:"persistent_browser"`
}
