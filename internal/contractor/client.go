package contractor

// Client is an authenticated SCIM client.
type Client struct {
	Vendor  string
	TokenID string // not secret
	Paused  bool   // the vendor is paused: reads work, writes are refused with a sentence
}

// Member is one member of a read-only SCIM Group.
type Member struct {
	ID      string // engagement
	Display string
}
