package contractor

import "net/netip"

// SignIn says how a vendor may sign in besides its bearer tokens, and from where.
type SignIn struct {
	// Basic admits HTTP Basic with the vendor's name as user and one of its tokens as password (SAP IPS has nothing else at
	// times).
	Basic bool

	// JWT admits access tokens of an OAuth2 issuer; nil: none.
	JWT *AccessTokens

	// Certificates admits TLS client certificates that the listener has verified, by subject ("CN=scim,O=Acme", RFC 4514) or
	// by a subject alternative name ("dns:scim.acme.example", "uri:spiffe://…", "email:…").
	Certificates []string

	// Networks are where the vendor may come from, whatever it signs in with; empty: from everywhere.
	Networks []netip.Prefix
}

// AccessTokens says which access tokens (JWT) a vendor may sign in with. Keys come from the issuer by OpenID Connect
// discovery, and are read again when a token names one that is not known (rotation).
type AccessTokens struct {
	Issuer   string            // exactly as in "iss"; https, or http on loopback
	Audience string            // one of "aud"; required
	Claims   map[string]string // further claims that the token must have: the value, or one of the list
}
