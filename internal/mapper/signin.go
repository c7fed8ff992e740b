package mapper

import (
	"net/netip"
	"net/url"
	"slices"

	"scimbridge/internal/contractor"
)

// signIn reads how a vendor may sign in. What the subjects of certificates mean, and whether two vendors can be told apart, is
// the SCIM door's to say.
func (b *builder) signIn(vendor string, f *fileSignIn) contractor.SignIn {
	where := func(steps ...any) []any { return append(path("vendors", vendor, "sign_in"), steps...) }
	out := contractor.SignIn{Basic: f.Basic, Certificates: f.Certificates}
	for i, n := range f.Networks {
		switch {
		case !n.IsValid(): // not decoded, and reported there
		case slices.Contains(out.Networks, n.Prefix):
			b.warn(where("networks", i), "%q is in this list twice", n)
		default:
			out.Networks = append(out.Networks, n.Prefix)
		}
	}
	if len(f.Networks) == 0 && b.has("vendors", vendor, "sign_in", "networks") {
		b.at(where("networks"), "the list of networks is empty; leave networks out to let the vendor come from everywhere")
	}
	if j := f.JWT; j != nil {
		u, err := url.Parse(j.Issuer)
		switch {
		case j.Issuer == "":
			if !b.has("vendors", vendor, "sign_in", "jwt", "issuer") {
				b.atKey(where("jwt"), "jwt needs issuer, the address that the tokens name as iss")
			}
		case err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
			b.at(where("jwt", "issuer"), "%q is not an https address; write the issuer as the tokens name it in iss", j.Issuer)
		}
		if j.Audience == "" {
			b.atKey(where("jwt"), "jwt needs audience: without one, every token that the issuer ever gave to anybody would do")
		}
		for _, name := range sortedKeys(j.Claims) {
			if j.Claims[name] == "" {
				b.at(where("jwt", "claims", name), "the claim %q needs a value", name)
			}
		}
		out.JWT = &contractor.AccessTokens{Issuer: j.Issuer, Audience: j.Audience, Claims: j.Claims}
	}
	return out
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
