package mapper

import (
	"scimbridge/internal/contractor"
	"scimbridge/internal/strictyaml"
)

// The types below are the shape of the mapping file. schema.json says the same to editors; a test holds the two together.
// Pointers are values that can be absent and then come from the defaults.

type mappingFile struct {
	Version    int                    `yaml:"version"`
	Defaults   fileDefaults           `yaml:"defaults"`
	Guard      *fileGuard             `yaml:"guard"`
	Catalog    fileCatalog            `yaml:"catalog"`
	Vendors    map[string]*fileVendor `yaml:"vendors"`
	Invitation fileInvitation         `yaml:"invitation"`
	Guest      map[string]string      `yaml:"guest"`
	Lists      map[string][]string    `yaml:"lists"`
	Conditions map[string]string      `yaml:"conditions"`
	Rules      []fileRule             `yaml:"rules"`
	Tests      []fileTest             `yaml:"tests"`

	ConditionalAccess fileConditionalAccess `yaml:"conditional_access"`
}

type fileDefaults struct {
	Timezone      string          `yaml:"timezone"`
	MaxDuration   contractor.Span `yaml:"max_duration"`
	MaxMove       contractor.Span `yaml:"max_move"`
	Drift         fileDrift       `yaml:"drift"`
	MissingEnd    string          `yaml:"missing_end"`
	EndInPast     string          `yaml:"end_in_past"`
	ActivateEarly contractor.Span `yaml:"activate_early"`
	Guard         *fileGuard      `yaml:"guard"`
	Offboarding   fileOffboarding `yaml:"offboarding"`
	Sponsor       fileSponsor     `yaml:"sponsor"`
	Notify        fileNotify      `yaml:"notify"`
	Extend        fileExtend      `yaml:"extend"`
	Attest        fileAttest      `yaml:"attest"`
	Rate          float64         `yaml:"rate"`
	Quota         *int            `yaml:"quota"`
}

type fileGuard struct {
	MaxEnds         int              `yaml:"max_ends"`
	MaxEndsPercent  int              `yaml:"max_ends_percent"`
	MaxMoves        *int             `yaml:"max_moves"`
	MaxMovesPercent *int             `yaml:"max_moves_percent"`
	MaxRefused      *int             `yaml:"max_refused"`
	OnRefused       string           `yaml:"on_refused"`
	Window          *contractor.Span `yaml:"window"`
}

type fileOffboarding struct {
	DeleteAfter    *contractor.Span `yaml:"delete_after"` // nil: 30d, or defaults.offboarding's
	UnsponsorAfter *contractor.Span `yaml:"remove_sponsor_after"`
}

type fileSponsor struct {
	Required bool     `yaml:"required"`
	From     []string `yaml:"from"`
	OnLeave  string   `yaml:"on_leave"`
	Fallback string   `yaml:"fallback"`
	Manager  bool     `yaml:"as_manager"`
}

type fileNotify struct {
	BeforeEnd []contractor.Span `yaml:"before_end"`
}

type fileExtend struct {
	Max          contractor.Span `yaml:"max"`
	ApprovalOver contractor.Span `yaml:"approval_over"`
}

type fileAttest struct {
	Every contractor.Span `yaml:"every"`
	Grace contractor.Span `yaml:"grace"`
}

type fileCatalog struct {
	Groups         map[string]fileGroup   `yaml:"groups"`
	AccessPackages map[string]filePackage `yaml:"access_packages"`
}

type fileGroup struct {
	ID          string `yaml:"id"`
	Expiry      string `yaml:"expiry"`
	Description string `yaml:"description"`
}

type filePackage struct {
	ID          string `yaml:"id"`
	Policy      string `yaml:"policy"`
	Description string `yaml:"description"`
}

type fileVendor struct {
	Description  string              `yaml:"description"`
	EmailDomains []string            `yaml:"email_domains"`
	Quota        *int                `yaml:"quota"`
	Guard        *fileGuard          `yaml:"guard"`
	Dates        fileDates           `yaml:"dates"`
	TestUsers    []string            `yaml:"test_users"`
	Aliases      map[string][]string `yaml:"aliases"`
	Profile      string              `yaml:"profile"`
	Supplier     string              `yaml:"supplier"`
	Groups       string              `yaml:"groups"`
	Rate         *float64            `yaml:"rate"`
	MissingEnd   string              `yaml:"missing_end"`
	MaxDuration  *contractor.Span    `yaml:"max_duration"`
	Offboarding  *fileOffboarding    `yaml:"offboarding"`
	SignIn       fileSignIn          `yaml:"sign_in"`
	CSV          *fileCSV            `yaml:"csv"`
}

type fileSignIn struct {
	Basic        bool                 `yaml:"basic"`
	JWT          *fileJWT             `yaml:"jwt"`
	Certificates []string             `yaml:"certificates"`
	Networks     []strictyaml.Network `yaml:"networks"`
}

type fileJWT struct {
	Issuer   string            `yaml:"issuer"`
	Audience string            `yaml:"audience"`
	Claims   map[string]string `yaml:"claims"`
}

type fileCSV struct {
	Columns   map[string][]string `yaml:"columns"`
	Key       string              `yaml:"key"`
	Delimiter string              `yaml:"delimiter"`
	Encoding  string              `yaml:"encoding"`
	Active    []string            `yaml:"active"`
}

type fileDates struct {
	Layouts  []string `yaml:"layouts"`
	Timezone string   `yaml:"timezone"`
}

type fileInvitation struct {
	SendMail    bool   `yaml:"send_mail"`
	Language    string `yaml:"language"`
	RedirectURL string `yaml:"redirect_url"`
}

type fileRule struct {
	Name        string           `yaml:"name"`
	Description string           `yaml:"description"`
	Owner       string           `yaml:"owner"`
	When        string           `yaml:"when"`
	Grant       *fileNames       `yaml:"grant"`
	Deny        string           `yaml:"deny"`
	MaxDuration *contractor.Span `yaml:"max_duration"`
	Until       string           `yaml:"until"`
	Sponsor     *fileRuleSponsor `yaml:"sponsor"`
}

type fileNames struct {
	Groups         []string `yaml:"groups"`
	AccessPackages []string `yaml:"access_packages"`
}

type fileRuleSponsor struct {
	Required bool     `yaml:"required"`
	From     []string `yaml:"from"`
}

type fileTest struct {
	Name   string     `yaml:"name"`
	Vendor string     `yaml:"vendor"`
	At     string     `yaml:"at"`
	Record fileRecord `yaml:"record"`
	Want   fileWant   `yaml:"want"`
}

type fileWant struct {
	Status         string            `yaml:"status"`
	Reason         string            `yaml:"reason"`
	Groups         []string          `yaml:"groups"`
	AccessPackages []string          `yaml:"access_packages"`
	Ends           map[string]string `yaml:"ends"`
	Rules          []string          `yaml:"rules"`
	Guest          map[string]string `yaml:"guest"`
	Sponsors       []string          `yaml:"sponsors"`
}
