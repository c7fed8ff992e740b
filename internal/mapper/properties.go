package mapper

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// property is one property of a guest that the mapping may write, with what Entra accepts in it.
type property struct {
	name  string
	max   int  // characters (UTF-16 units, as Entra counts); 0: no limit known
	must  bool // cannot be cleared
	check func(string) string
}

// properties lists what guest: may set, by the limits of Microsoft Graph's user reference (graph.md 1.3). costCenter and
// division stand in employeeOrgData, extensionAttribute1 to 15 in onPremisesExtensionAttributes.
func properties() []property {
	list := []property{
		{name: "displayName", max: 256, must: true},
		{name: "givenName", max: 64},
		{name: "surname", max: 64},
		{name: "jobTitle", max: 128},
		{name: "department", max: 64},
		{name: "companyName", max: 64},
		{name: "employeeId", max: 16},
		{name: "employeeType", max: 64},
		{name: "employeeHireDate", must: true, check: checkInstant},
		{name: "employeeLeaveDateTime", check: checkInstant}, // needs a permission of its own
		{name: "costCenter", max: 64},
		{name: "division", max: 64},
		{name: "mobilePhone", max: 64},
		{name: "faxNumber", max: 64},
		{name: "city", max: 128},
		{name: "country", max: 128},
		{name: "state", max: 128},
		{name: "streetAddress", max: 1024},
		{name: "postalCode", max: 40},
		{name: "officeLocation", max: 128},
		{name: "usageLocation", must: true, check: checkCountry},
		{name: "preferredLanguage", check: checkLanguage},
	}
	for i := 1; i <= 15; i++ {
		list = append(list, property{name: "extensionAttribute" + strconv.Itoa(i), max: 1024})
	}
	return list
}

var directoryExtension = regexp.MustCompile(`^extension_[0-9a-fA-F]{32}_[A-Za-z0-9_]{1,128}$`)

// findProperty looks a property up by name; directory extensions (extension_<app id>_<name>) are known by their form.
func findProperty(name string) (property, bool) {
	for _, p := range properties() {
		if p.name == name {
			return p, true
		}
	}
	if directoryExtension.MatchString(name) {
		return property{name: name, max: 256}, true
	}
	return property{}, false
}

// problem says why Entra would refuse the value, "" if it would not.
func (p property) problem(value string) string {
	if value == "" {
		return ""
	}
	if n := units(value); p.max > 0 && n > p.max {
		return fmt.Sprintf("%s has %d characters; Entra allows %d", p.name, n, p.max)
	}
	if p.check != nil {
		if problem := p.check(value); problem != "" {
			return p.name + " " + problem
		}
	}
	return ""
}

// units counts a text as Entra does.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

func checkCountry(s string) string {
	if len(s) == 2 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return ""
	}
	return "must be a country code of two capital letters, such as DE"
}

var languageTag = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)

func checkLanguage(s string) string {
	if languageTag.MatchString(s) {
		return ""
	}
	return "must be a language code such as de or de-DE"
}

func checkInstant(s string) string {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return "must be a time; write ${c.start} or ${c.end}"
	}
	return ""
}
