package intake

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"

	"scimbridge/internal/contractor"
	"scimbridge/internal/strictyaml"
)

// Column is a column of a file and the record's field that it fills.
type Column struct {
	Header string `json:"header"`
	Field  string `json:"field"`
}

// columns is how the rows of one file become SCIM bodies.
type columns struct {
	fields []filled
	key    string   // field that names a row
	active []string // folded
	unused []string // headers that nobody reads
}

// filled is a field with the places of its columns.
type filled struct {
	field string
	path  string // in the SCIM body
	at    []int
}

// alike are headers, folded, that are understood besides the fields' own names: as vendors' exports spell them (SAP Fieldglass
// first).
func alike() map[string][]string {
	return map[string][]string{
		"userName":           {"login"},
		"email":              {"emailaddress", "mail", "workemail", "workeremail"},
		"givenName":          {"firstname", "forename", "vorname", "workerfirstname"},
		"familyName":         {"lastname", "surname", "nachname", "workerlastname"},
		"displayName":        {"name", "fullname", "workername"},
		"title":              {"jobtitle", "jobpostingtitle"},
		"active":             {"status", "workerstatus"},
		"startDate":          {"start", "contractstart", "validfrom", "workorderstartdate"},
		"endDate":            {"end", "contractend", "validto", "workorderenddate"},
		"lastWorkingDay":     {"lastdayofwork"},
		"engagementId":       {"workorderid", "assignmentid", "contractid"},
		"supplier":           {"suppliername", "vendorname", "agency"},
		"supplierId":         {"vendornumber", "suppliernumber"},
		"purchaseOrder":      {"ponumber"},
		"statementOfWork":    {"sow", "sowname"},
		"businessUnit":       {"businessunitname"},
		"hiringManagerEmail": {"manageremail", "workorderowneremail"},
		"site":               {"sitecode"},
		"costCenter":         {"costcentre", "costcentercode", "costcentrecode"},
		"country":            {"countrycode"},
	}
}

// foldHeader leaves letters and digits, small.
func foldHeader(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// layColumns finds out what each column of a header is. All mistakes are told at once.
func layColumns(header []string, l *contractor.CSVLayout, names []string, path func(string) string) (*columns, error) {
	c := &columns{}
	var mistakes []error
	taken := make([]bool, len(header))
	byField := map[string][]int{}
	for _, given := range sortedKeys(l.Columns) {
		field := longName(given)
		if path(field) == "" {
			mistakes = append(mistakes, fmt.Errorf("a record has no field %q%s", field, didYouMean(field, names)))
			continue
		}
		found := false
		for _, want := range l.Columns[given] {
			for i, h := range header {
				if strings.EqualFold(h, strings.TrimSpace(want)) || foldHeader(h) == foldHeader(want) && foldHeader(want) != "" {
					byField[field] = append(byField[field], i)
					taken[i], found = true, true
				}
			}
		}
		if !found {
			mistakes = append(mistakes, fmt.Errorf("the file has no column %s for %s%s", strings.Join(quoted(l.Columns[given]), " or "), field, didYouMean(l.Columns[given][0], header)))
		}
	}
	known := map[string]string{}
	for _, name := range names {
		known[foldHeader(name)] = name
	}
	for name, others := range alike() {
		for _, o := range others {
			known[o] = name
		}
	}
	guessed := map[string][]int{}
	for i, h := range header {
		field, ok := known[foldHeader(h)]
		if _, given := byField[field]; taken[i] || !ok || given {
			continue
		}
		guessed[field] = append(guessed[field], i)
		taken[i] = true
	}
	for field, at := range guessed {
		if len(at) > 1 {
			mistakes = append(mistakes, fmt.Errorf("the columns %q and %q could both be %s; say which with --column '%s=%s', or csv: {columns: {%s: [%q]}} in the mapping",
				header[at[0]], header[at[1]], field, field, header[at[0]], field, header[at[0]]))
		}
		byField[field] = at
	}
	for _, name := range names { // in a fixed order
		if at := byField[name]; len(at) > 0 {
			c.fields = append(c.fields, filled{name, path(name), at})
		}
	}
	for i, h := range header {
		if !taken[i] && h != "" {
			c.unused = append(c.unused, h)
		}
	}
	c.settings(l, header, &mistakes)
	sort.Slice(mistakes, func(i, j int) bool { return mistakes[i].Error() < mistakes[j].Error() })
	return c, errors.Join(mistakes...)
}

// settings checks the key, and what a row cannot be without.
func (c *columns) settings(l *contractor.CSVLayout, header []string, mistakes *[]error) {
	for _, a := range l.Active {
		c.active = append(c.active, strings.ToLower(strings.TrimSpace(a)))
	}
	if l.Key != "" {
		if c.has(l.Key) {
			c.key = l.Key
		} else {
			*mistakes = append(*mistakes, fmt.Errorf("the key is %s, and no column fills it", l.Key))
		}
		return
	}
	for _, name := range keyFields() {
		if c.has(name) {
			c.key = name
			break
		}
	}
	if !c.has("email") && !c.has("userName") {
		*mistakes = append(*mistakes, fmt.Errorf("no column is the e-mail address, by which a person is known; the file has %s; say which with --column email=HEADER, or csv: {columns: {email: [HEADER]}} in the mapping",
			strings.Join(quoted(header[:min(len(header), 12)]), ", ")))
	}
	if c.key == "" {
		*mistakes = append(*mistakes, errors.New("no column names a row: map externalId, workerId, engagementId or email"))
	}
}

// longName spells out the mapping file's short words for the two dates.
func longName(field string) string {
	switch field {
	case "start", "end":
		return field + "Date"
	}
	return field
}

// keyFields are the fields that may name a row, the best first.
func keyFields() []string {
	return []string{"externalId", "workerId", "engagementId", "userName", "email"}
}

func (c *columns) has(field string) bool {
	return slices.ContainsFunc(c.fields, func(f filled) bool { return f.field == field })
}

// list tells the columns that are used.
func (c *columns) list(header []string) []Column {
	var out []Column
	for i, h := range header {
		for _, f := range c.fields {
			if slices.Contains(f.at, i) {
				out = append(out, Column{h, f.field})
			}
		}
	}
	return out
}

func didYouMean(word string, candidates []string) string {
	if s := strictyaml.Suggest(word, candidates); s != "" {
		return fmt.Sprintf(" (did you mean %q?)", s)
	}
	return ""
}

func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
