package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"scimbridge/internal/contractor"
)

// signIns is how everybody signs in.
type signIns struct {
	store   Store
	names   func() []string
	vendor  func(string) (*contractor.Vendor, bool)
	proxies []netip.Prefix
	http    http.RoundTripper

	mu      sync.Mutex
	issuers map[string]*issuer // by URL: those that have been asked for keys
}

func newSignIns(c *Config) *signIns {
	return &signIns{store: c.Store, names: c.Names, vendor: c.Vendors, proxies: c.Proxies, http: c.HTTP, issuers: map[string]*issuer{}}
}

// all goes over the vendors in the mapping in force.
func (s *signIns) all(yield func(*contractor.Vendor) bool) {
	for _, name := range s.names() {
		if v, ok := s.vendor(name); ok && !yield(v) {
			return
		}
	}
}

// signIn finds out which vendor calls.
func (k *call) signIn() error {
	d := k.door
	client, err := d.signIns.credentials(k)
	if err == nil {
		k.client = client
		k.vendor, err = d.signIns.admit(k, client.Vendor)
	}
	if e, ok := errors.AsType[*contractor.Error](err); ok && (e.Code == contractor.CodeUnauthorized || e.Code == contractor.CodeForbidden) {
		d.refused(k, client.Vendor, e)
	}
	if err != nil {
		return err
	}
	return d.connections.claim(k)
}

// admit checks that a vendor whose credentials are good may come in, and from where it comes.
func (s *signIns) admit(k *call, vendor string) (*contractor.Vendor, error) {
	v, ok := s.vendor(vendor)
	if !ok {
		return nil, contractor.Errorf(contractor.CodeForbidden, "the credentials are good, but the customer's mapping has no vendor of this name; ask the customer to add it")
	}
	if len(v.SignIn.Networks) == 0 {
		return v, nil
	}
	from := s.address(k.Request())
	for _, n := range v.SignIn.Networks {
		if n.Contains(from) {
			return v, nil
		}
	}
	return nil, contractor.Errorf(contractor.CodeForbidden, "the credentials are good, but this address may not use them; ask the customer to add it to the vendor's networks")
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
	if v, ok := s.vendor(client.Vendor); client.Vendor != user || ok && !v.SignIn.Basic {
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
	var found []string
	for v := range s.all {
		if slices.ContainsFunc(v.SignIn.Certificates, func(p string) bool { return certificateFits(leaf, p) }) {
			found = append(found, v.Name)
		}
	}
	if len(found) != 1 { // more than one: not unless the mapping changed between two look-ups (CheckVendors), and then nobody's
		return Client{}, contractor.Errorf(contractor.CodeUnauthorized, "no vendor has this certificate; ask the customer to name its subject")
	}
	return s.known(k.context(), found[0], "certificate")
}

// known makes the client of a vendor that signed in without a stored token.
func (s *signIns) known(ctx context.Context, vendor, by string) (Client, error) {
	paused, err := s.store.Paused(ctx, vendor)
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
