package emulator

import (
	"time"
)

// tenant is the directory and the services around it. All of it is guarded by
// Emulator.mu.
type tenant struct {
	cfg    Config
	schema *schema
	dice   *dice
	timers timers
	// present is the time of the event that is being worked on: the request's, or that of a
	// timer that came due.
	present time.Time

	users  userStore
	groups groupStore
	roles  map[string]*directoryRole // by role id
	pim    pimStore
	ent    entitlementStore
	policy policyStore
	logs   logStore
	delta  deltaStore
	mails  []Mail
	invits []InvitationState
	access []AccessToken

	contacts  map[string]bool // addresses of mail contacts, lower case
	principal string          // object id of the application's service principal
}

func newTenant(cfg Config, s *schema, d *dice) *tenant {
	t := &tenant{
		cfg: cfg, schema: s, dice: d, present: cfg.Now().UTC(),
		roles: map[string]*directoryRole{}, contacts: map[string]bool{},
	}
	t.users.init()
	t.groups.init()
	t.pim.init()
	t.ent.init()
	t.policy.init(cfg, d)
	return t
}

// settle lets happen what has become due by now.
func (t *tenant) settle(now time.Time) {
	t.timers.settle(now)
	t.present = now
}

// later asks for do at the given time.
func (t *tenant) later(at time.Time, do func()) {
	t.timers.at(at, func(at time.Time) {
		t.present = at
		do()
	})
}

// lag draws a replication delay.
func (t *tenant) lag(kind, key string) time.Duration { return t.dice.upTo(t.cfg.Lag, "lag "+kind, key) }

// size is the number of users, deleted ones left out; it decides the limits.
func (t *tenant) size() int { return t.users.live }

// flap is the chance that a read within the replication delay meets a replica that
// has not heard yet (or, for lists, one that has).
const flap = 0.35
