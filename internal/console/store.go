package console

import (
	"context"
	"io"
	"iter"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
	"scimbridge/internal/mapper"
)

// Store is what the pages read, and what their actions write; *db.Store fits. Its errors are *contractor.Error where a person can
// do something about them.
type Store interface {
	Stats(ctx context.Context, now time.Time, maxAge time.Duration) (contractor.Stats, error)
	Contracts(ctx context.Context, q contractor.ContractQuery) ([]contractor.Contract, error)
	EndsPerDay(ctx context.Context, from, to time.Time) ([]contractor.EndsOnDay, error)
	Sponsors(ctx context.Context, after string, limit int) ([]string, error)
	RuleCounts(ctx context.Context) ([]contractor.RuleCount, error)
	HeldFor(ctx context.Context, reasons []string) ([]int, error)
	Identity(ctx context.Context, p *contractor.Person) (contractor.Identity, error)
	HoldCounts(ctx context.Context) ([]contractor.HoldCount, error)
	Holds(ctx context.Context, q contractor.HoldQuery) ([]contractor.Hold, error)
	ListPersons(ctx context.Context, q contractor.PersonQuery) ([]contractor.PersonSummary, error)
	FindPerson(ctx context.Context, key string) (*contractor.Person, error)
	Activity(ctx context.Context, person string, before time.Time, limit int) ([]contractor.Activity, error)
	Alarms(ctx context.Context, q contractor.AlarmQuery) ([]contractor.Alarm, error)
	OpenAlarms(ctx context.Context) (map[contractor.Severity]int, error)
	WaitingAttestations(ctx context.Context, now time.Time, limit int) ([]contractor.Attestation, error)
	Drift(ctx context.Context, q contractor.DriftQuery, now time.Time) ([]contractor.Drift, error)
	ListVendors(ctx context.Context) ([]contractor.VendorState, error)
	Revisions(ctx context.Context, limit int) ([]contractor.MappingRevision, error)
	RevisionLike(ctx context.Context, prefix string) (contractor.MappingRevision, error)
	Journal(ctx context.Context, q contractor.JournalQuery) iter.Seq2[audit.Event, error]
	JournalHead(ctx context.Context) (int64, error)

	DecideHold(ctx context.Context, actor audit.Actor, id int64, approve bool, reason string) (contractor.Hold, error)
	BlockPerson(ctx context.Context, actor audit.Actor, person, reason string) error
	UnblockPerson(ctx context.Context, actor audit.Actor, person, reason string) error
	ExtendEngagement(ctx context.Context, actor audit.Actor, engagement string, until time.Time, reason string) error
	ConfirmPerson(ctx context.Context, actor audit.Actor, person, reason string) error
	MergePersons(ctx context.Context, actor audit.Actor, keep, other, reason string) (left string, err error)
	SplitEngagement(ctx context.Context, actor audit.Actor, engagement, reason string) (person string, err error)
	IgnoreOrphan(ctx context.Context, actor audit.Actor, guest, reason string, ignore bool) error
	AcknowledgeAlarm(ctx context.Context, actor audit.Actor, id, note string) (contractor.Alarm, error)
	AskRepair(ctx context.Context, actor audit.Actor, person, reason string) (int, error)
	AllowDrift(ctx context.Context, actor audit.Actor, o contractor.DriftOverride) error
	PauseVendor(ctx context.Context, actor audit.Actor, vendor string, paused bool, reason string) error
	AppendEvents(ctx context.Context, events ...audit.Event) error
}

// Bridge is the running daemon.
type Bridge interface {
	// Status is the daemon's own account of itself.
	Status(ctx context.Context) (Status, error)
	// Mapping is the mapping in force.
	Mapping() *mapper.Mapping
	// Wake makes the loop look now.
	Wake()
	// MakePlan computes and stores what a mapping would change for everybody; the mapping has no mistakes. told hears how many
	// people were looked at.
	MakePlan(ctx context.Context, actor audit.Actor, m *mapper.Mapping, told func(done, of int)) (id string, err error)
	// Plan reads a stored plan by its id or the beginning of it, with at most people of those whom it changes, behind skip.
	Plan(ctx context.Context, id string, skip, people int) (*Plan, error)
	// Explain writes what `scimbridge explain` prints about a person now.
	Explain(ctx context.Context, person string, w io.Writer) error
	// Verify walks the journal and holds it against every checkpoint. It takes seconds for a million events.
	Verify(ctx context.Context, told func(done, of int64)) (*audit.Report, error)
	// Orphans asks the tenant for all its guests and finds those that no record explains, the ones that are left alone, too, with
	// their last sign-ins if signIns. It takes minutes for a large tenant; told hears how far it is, of: 0 where unknown.
	Orphans(ctx context.Context, signIns bool, told func(what string, done, of int)) ([]contractor.Orphan, error)
	// Adoptable asks the tenant for the guest with the person's address. The error says why there is none that could be adopted.
	Adoptable(ctx context.Context, p *contractor.Person) (*contractor.Guest, error)
	// Adopt hands the guest to the bridge for the person, if it is still the one that Adoptable finds.
	Adopt(ctx context.Context, actor audit.Actor, p *contractor.Person, guest, reason string) error
	// Checkpoint is the checkpoint signed last; zero if none was.
	Checkpoint(ctx context.Context) (Checkpoint, error)
	// Policies are the conditional access policies that the mapping declares or that are ours in the tenant.
	Policies(ctx context.Context) ([]Policy, error)
}

// Status is the daemon's account of itself.
type Status struct {
	Version    string
	Started    time.Time
	Trouble    []string // sentences, each with what to do; empty: healthy
	File       string   // the mapping file
	Revision   string   // of the mapping in force
	Loaded     time.Time
	Refused    string // why the file on disk is not the one in force, a line each; "" if it is
	Passes     int64  // of the loop, since the start
	Lag        time.Duration
	GraphURL   string
	LastAnswer time.Time // of Graph; zero: none yet
	LastError  string    // of Graph; "" if the last call worked
	Skew       time.Duration
	Throttled  int64 // calls that Graph told to wait, since the start
	Writes     Quota // identity writes to Graph, in the current span of 150 s
	Waiting    int   // calls that wait for the quota
	Watching   bool  // the tenant's logs are read
	Mailing    bool  // sponsors are told by mail
}

// Quota is a budget and what of it is used.
type Quota struct{ Used, Allowed int }

// Plan is what an edit of the mapping was computed to change.
type Plan struct {
	ID        string
	Made      time.Time
	MadeBy    string
	Before    string // revision in force when it was made; "" none
	After     string
	Applied   time.Time // zero: not
	Looked    int       // people looked at
	Changed   int       // of them
	Kinds     map[mapper.ChangeKind]int
	Losing    map[string]int // people who lose access that they hold now, by vendor
	Rules     map[string]map[mapper.ChangeKind]int
	Exceeding []string // guards that would hold the removals
	People    []PlanPerson
	More      bool // people are left behind these
}

// PlanPerson is one person whom a plan changes.
type PlanPerson struct {
	Person  string
	Changes []mapper.Change
}

// Checkpoint is a signed head of the journal.
type Checkpoint struct {
	Size   int64 // events that it covers
	Made   time.Time
	Origin string
}

// Policy is one conditional access policy.
type Policy struct {
	Name     string
	Declared contractor.CAState // "": the mapping no longer declares it
	Written  contractor.CAState // as last written by us; "": never
	Words    string             // what it means, a sentence
	Line     int                // of the mapping; 0: not declared
	ID       string             // in Entra; "" unknown
	Changed  time.Time          // when we last wrote it
	Differs  bool               // what was written is not what is declared
}
