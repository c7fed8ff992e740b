package contractor

import "time"

// GuestNote is what the store knows of a guest.
type GuestNote struct {
	Person  string // that has it
	Phase   Phase
	Ignored string // why it is left alone, though no record explains it
}

// Orphan is a guest of the tenant that no record explains.
type Orphan struct {
	ID       string    `json:"id"`
	Mail     string    `json:"mail"`
	Created  time.Time `json:"created"`
	Enabled  bool      `json:"enabled"`
	State    string    `json:"state,omitempty"`      // externalUserState
	LastSeen time.Time `json:"lastSignIn,omitzero"`  // last successful sign-in; zero: never, or not readable
	Unread   string    `json:"unreadable,omitempty"` // why the last sign-in could not be read
	Person   string    `json:"person,omitempty"`     // has this address and waits for a guest: contractor adopt
	Ignored  string    `json:"ignored,omitempty"`
}
