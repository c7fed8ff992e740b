package scim

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

// Mistake is something in a vendor's settings that the door cannot work with.
type Mistake struct {
	Vendor  string
	Path    []any  // below the vendor's section of the mapping file: keys (string) and indexes (int)
	Message string // a sentence that says what to write
}

// Mistakes are all that were found.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i := range m {
		lines[i] = "vendor " + m[i].Vendor + ": " + m[i].Message
	}
	return strings.Join(lines, "\n")
}

// err is nil where there are none.
func (m Mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

// CheckVendors finds what the door could not work with in the vendors' settings: aliases of fields that do not exist, paths that
// cannot be read, malformed test user patterns, an unknown profile, ways to sign in that cannot be used, or under which two
// vendors could not be told apart. nil: nothing.
func CheckVendors(vendors []*contractor.Vendor) Mistakes {
	var all Mistakes
	t := userType()
	for _, v := range vendors {
		add := func(message string, path ...any) { all = append(all, Mistake{v.Name, path, message}) }
		if _, err := compileNames(t, v); err != nil {
			if found, ok := errors.AsType[Mistakes](err); ok {
				all = append(all, found...)
			} else {
				add(err.Error())
			}
		}
		for i, p := range v.TestUsers {
			if _, err := path.Match(p, ""); err != nil {
				add(fmt.Sprintf("test user pattern %q is malformed; write a name with * and ?, such as scim-test-*", p), "test_users", i)
			}
		}
		if _, ok := profileOf(v.Profile); !ok {
			add(fmt.Sprintf("there is no profile %q; use entra, okta, sap-ips, jumpcloud, pingfederate, rippling, or none", v.Profile), "profile")
		}
	}
	return append(all, checkSignIns(vendors)...)
}

// checkSignIns looks at the vendors' ways to sign in, each and together.
func checkSignIns(vendors []*contractor.Vendor) Mistakes {
	var all Mistakes
	certificates := map[string]string{} // whose
	for i, v := range vendors {
		add := func(message string, path ...any) {
			all = append(all, Mistake{v.Name, append([]any{"sign_in"}, path...), message})
		}
		for n, setting := range v.SignIn.Certificates {
			canonical, err := checkCertificate(setting)
			if err != nil {
				add(err.Error(), "certificates", n)
				continue
			}
			if other, taken := certificates[canonical]; taken {
				add(fmt.Sprintf("the certificate %q is given to %s, too: nobody could sign in with it", setting, other), "certificates", n)
			}
			certificates[canonical] = v.Name
		}
		if v.SignIn.JWT == nil {
			continue
		}
		for _, other := range vendors[:i] {
			if other.SignIn.JWT != nil && overlap(v.SignIn.JWT, other.SignIn.JWT) {
				add(fmt.Sprintf("an access token could fit both %s and %s, and would be refused; tell them apart by audience, or by different values of one claim", other.Name, v.Name), "jwt")
			}
		}
	}
	return all
}

// overlap reports whether one token could fit both, by what the settings say: the same issuer, and no claim that both want with
// different values. A token may have several audiences and lists for claims, so that only an issuer's word keeps those apart.
func overlap(a, b *contractor.AccessTokens) bool {
	if a.Issuer != b.Issuer || a.Audience != b.Audience {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(a.Claims)) {
		if want, both := b.Claims[name]; both && want != a.Claims[name] {
			return false
		}
	}
	return true
}
