package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"scimbridge/internal/contractor"
)

// SignIn says how a vendor may sign in besides its bearer tokens, and from where.
type SignIn struct {
	// Basic admits HTTP Basic with the vendor's name as user and one of its tokens as password (SAP IPS has nothing else at
	// times).
	Basic bool

	// JWT admits access tokens of an OAuth2 issuer; nil: none.
	JWT *JWT

	// Certificates admits TLS client certificates that the listener has verified, by subject ("CN=acme,O=Acme") or by a
	// subject alternative name ("dns:scim.acme.example", "uri:spiffe://…", "email:…").
	Certificates []string

	// Networks are where the vendor may come from, whatever it signs in with; empty: from everywhere.
	Networks []netip.Prefix
}

// signIns is how everybody signs in.
type signIns struct {
	store   Store
	vendors map[string]SignIn
	issuers map[string]*issuer // by URL
	paused  func(ctx context.Context, vendor string) (bool, error)
	proxies []netip.Prefix
}

// newSignIns refuses settings under which two vendors could not be told apart.
func newSignIns(c *Config) (*signIns, error) {
	s := &signIns{store: c.Store, vendors: c.SignIn, issuers: map[string]*issuer{}, paused: c.Paused, proxies: c.Proxies}
	certificates := map[string]string{}
	for name, v := range c.SignIn {
		if (v.JWT != nil || len(v.Certificates) > 0) && c.Paused == nil {
			return nil, errors.New("scim: vendors that sign in without a stored token need Paused")
		}
		for _, p := range v.Certificates {
			if other, taken := certificates[p]; taken {
				return nil, fmt.Errorf("scim: the certificate %q is given to both %s and %s", p, other, name)
			}
			certificates[p] = name
		}
		if v.JWT == nil {
			continue
		}
		if err := v.JWT.check(); err != nil {
			return nil, fmt.Errorf("scim: vendor %s: %w", name, err)
		}
		i := s.issuers[v.JWT.Issuer]
		if i == nil {
			i = newIssuer(v.JWT.Issuer, c.HTTP)
			s.issuers[v.JWT.Issuer] = i
		}
		i.vendors = append(i.vendors, audienceOf{name, v.JWT})
	}
	for _, i := range s.issuers {
		if err := i.check(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// signIn finds out which vendor calls.
func (k *call) signIn() error {
	d := k.door
	client, err := d.signIns.identify(k)
	if err != nil {
		if e, ok := errors.AsType[*contractor.Error](err); ok && (e.Code == contractor.CodeUnauthorized || e.Code == contractor.CodeForbidden) {
			d.refused(k, client.Vendor, e)
		}
		return err
	}
	v, ok := d.vendors(client.Vendor)
	if !ok {
		err := contractor.Errorf(contractor.CodeForbidden, "the credentials are good, but the customer's mapping has no vendor of this name; ask the customer to add it")
		d.refused(k, client.Vendor, err)
		return err
	}
	k.client, k.vendor = client, v
	return nil
}

// identify reads the credentials of a request, and checks where it comes from.
func (s *signIns) identify(k *call) (Client, error) {
	client, err := s.credentials(k)
	if err != nil {
		return client, err
	}
	networks := s.vendors[client.Vendor].Networks
	if len(networks) == 0 {
		return client, nil
	}
	from := s.address(k.Request())
	for _, n := range networks {
		if n.Contains(from) {
			return client, nil
		}
	}
	return client, contractor.Errorf(contractor.CodeForbidden, "the credentials are good, but this address may not use them; ask the customer to add it to the vendor's networks")
}

func (s *signIns) credentials(k *call) (Client, error) {
	r := k.Request()
	header := r.Header.Get("Authorization")
	if header == "" {
		return s.certificate(k)
	}
	scheme, cred, _ := strings.Cut(header, " ")
	cred = strings.TrimSpace(cred)
	switch {
	case strings.EqualFold(scheme, "bearer") && looksLikeJWT(cred):
		return s.jwt(k, cred)
	case strings.EqualFold(scheme, "bearer") && cred != "":
		return s.store.Authenticate(k.context(), HashToken(cred), k.now)
	case strings.EqualFold(scheme, "basic"):
		return s.basic(k)
	}
	return Client{}, contractor.Errorf(contractor.CodeUnauthorized, "this way of signing in is not offered; send the vendor's token as Authorization: Bearer …")
}

func (s *signIns) basic(k *call) (Client, error) {
	user, password, ok := k.Request().BasicAuth()
	if !ok {
		return Client{}, contractor.Errorf(contractor.CodeUnauthorized, "the Basic credentials are malformed")
	}
	client, err := s.store.Authenticate(k.context(), HashToken(password), k.now)
	if err != nil {
		return client, err
	}
	if client.Vendor != user || !s.vendors[client.Vendor].Basic {
		return Client{}, contractor.Errorf(contractor.CodeUnauthorized, "user and password are the vendor's name and its token, where the customer has set basic for the vendor")
	}
	return client, nil
}

// certificate signs in by the client certificate, if the listener asked for one and verified it.
func (s *signIns) certificate(k *call) (Client, error) {
	none := contractor.Errorf(contractor.CodeUnauthorized, "no credentials; send the vendor's token as Authorization: Bearer …")
	state := k.Request().TLS
	if state == nil || len(state.VerifiedChains) == 0 {
		return Client{}, none
	}
	leaf := state.VerifiedChains[0][0]
	has := map[string]bool{leaf.Subject.String(): true}
	for _, n := range leaf.DNSNames {
		has["dns:"+n] = true
	}
	for _, u := range leaf.URIs {
		has["uri:"+u.String()] = true
	}
	for _, e := range leaf.EmailAddresses {
		has["email:"+e] = true
	}
	for name, v := range s.vendors {
		for _, p := range v.Certificates {
			if has[p] {
				return s.known(k.context(), name, "certificate")
			}
		}
	}
	return Client{}, contractor.Errorf(contractor.CodeUnauthorized, "no vendor has this certificate; ask the customer to name its subject")
}

// known makes the client of a vendor that signed in without a stored token.
func (s *signIns) known(ctx context.Context, vendor, by string) (Client, error) {
	paused, err := s.paused(ctx, vendor)
	if err != nil {
		return Client{}, fmt.Errorf("whether vendor %s is paused: %w", vendor, err)
	}
	return Client{Vendor: vendor, TokenID: by, Paused: paused}, nil
}

// address is where a request comes from. A proxy's word is taken only from a proxy that the operator named.
func (s *signIns) address(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	at := ap.Addr().Unmap()
	var hops []string
	for _, line := range r.Header.Values("X-Forwarded-For") {
		hops = append(hops, strings.Split(line, ",")...)
	}
	for i := len(hops) - 1; i >= 0 && s.isProxy(at); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return netip.Addr{}
		}
		at = hop.Unmap()
	}
	return at
}

func (s *signIns) isProxy(a netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
