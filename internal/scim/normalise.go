package scim

import (
	"encoding/json"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"scimbridge/internal/contractor"
)

// Normalised is what the door understands of one resource that a vendor sent.
type Normalised struct {
	Record   contractor.Record
	Resource json.RawMessage // canonical: declared attributes by their declared names, without id, meta and what the bridge adds
	Aliases  []Alias         // values found under other names than the schema's
	Sources  []Source        // where each field of Record stands in what was sent
	Dates    []Date          // what the dates mean
	Unused   json.RawMessage // what was sent and nobody reads, by path; nil if nothing
	Test     bool            // a test user of the vendor: answered as SCIM, never sent to Entra
}

// Alias is a value that was read under a name of the vendor's own.
type Alias struct {
	Field string `json:"field"` // of the record
	Path  string `json:"path"`  // as sent
}

// Date is a date as sent and the instant it stands for.
type Date struct {
	Field string    `json:"field"`
	Sent  string    `json:"sent"`
	Means time.Time `json:"means,omitzero"` // UTC; zero: open ended
}

// Reader reads what one vendor sends, by its settings. It is pure: the same settings and body give the same answer, at any time.
type Reader struct {
	names *names
}

// NewReader compiles a vendor's settings. With an error (of the kind of CheckVendors), the Reader works by what of them can be used.
func NewReader(v *contractor.Vendor) (*Reader, error) {
	n, err := compileNames(userType(), v)
	return &Reader{n}, err
}

// Normalise reads a User as a vendor would POST it. An error is a *contractor.Error that the vendor would see; what was
// understood before it stands.
func Normalise(v *contractor.Vendor, body []byte) (Normalised, error) {
	r, _ := NewReader(v) // mistakes are CheckVendors' to tell
	return r.Normalise(body)
}

// Normalise reads a User as the vendor would POST it.
func (r *Reader) Normalise(body []byte) (Normalised, error) {
	sent, err := parseJSON(string(body), Limits{}.withDefaults().json())
	if err != nil {
		return Normalised{}, err
	}
	d, err := read(r.names, &sent)
	if err != nil {
		return Normalised{}, err
	}
	v := r.names.vendor
	out := Normalised{Record: d.record(), Resource: d.stored(""), Aliases: d.aliases, Sources: d.sources(nil), Unused: d.unusedJSON()}
	out.Test = v.IsTestUser(out.Record.UserName)
	out.Dates, err = dates(v, &out.Record)
	switch {
	case out.Test:
		return out, nil
	case err != nil:
		return out, err
	}
	return out, d.check(&out.Record)
}

// Rederive reads a stored engagement anew, after the vendor's settings changed: its Record and Test are what the settings now
// make of the resource, and of values that nobody read before and an alias now names. An error says why the vendor could not
// send this today; the engagement is filled in all the same.
func (r *Reader) Rederive(e contractor.Engagement) (contractor.Engagement, error) {
	d, err := recall(r.names, &e)
	if err != nil {
		return e, err
	}
	was := e.Record
	e.Record = d.record()
	e.Aliased = d.aliased(e.Aliased, &was, &e.Record)
	e.Test = r.names.vendor.IsTestUser(e.Record.UserName)
	if e.Test {
		return e, nil
	}
	if _, err := dates(r.names.vendor, &e.Record); err != nil {
		return e, err
	}
	return e, d.check(&e.Record)
}

// draft is a canonical resource on its way to the store.
type draft struct {
	n       *names
	root    value
	unused  value
	aliases []Alias
	active  bool // "active" was sent
	whole   bool // everything was sent, not a change of what is stored
}

// read takes a whole resource (POST, PUT).
func read(n *names, sent *value) (*draft, error) {
	if sent.kind != object {
		return nil, syntaxErrorf("the body must be a JSON object")
	}
	if err := rightSchemas(n.t, sent.fold("schemas")); err != nil {
		return nil, err
	}
	in := &intake{t: n.t, names: n, unused: value{kind: object}}
	root, err := in.object(n.t.root, sent, "")
	if err != nil {
		return nil, err
	}
	d := &draft{n: n, root: root, whole: true}
	d.root.drop("schemas")
	if err := d.adopt(in); err != nil {
		return nil, err
	}
	d.unused = in.unused
	d.active = d.root.get("active") != nil
	return d, d.keys()
}

// maxKey bounds, in bytes, the values that records are found by.
const maxKey = 1024

// keys checks the values that a record is found by.
func (d *draft) keys() error {
	if name := d.root.get("userName"); name == nil || strings.TrimSpace(name.text) == "" {
		return contractor.Invalid("userName", "is required")
	}
	for _, name := range [...]string{"userName", "externalId"} {
		if v := d.root.get(name); v != nil && len(v.text) > maxKey {
			return contractor.Invalid(name, fmt.Sprintf("is longer than %d bytes", maxKey))
		}
	}
	return nil
}

// rightSchemas accepts a list without extensions, and no list; not one of another resource type (RFC 7644 section 3.3).
func rightSchemas(t *resourceType, v *value) error {
	if v == nil || v.empty() {
		return nil
	}
	if v.kind != list {
		return syntaxErrorf("schemas must be a list of URNs")
	}
	for i := range v.kids {
		s := v.kids[i].value
		if s.kind != text {
			return syntaxErrorf("schemas must be a list of URNs")
		}
		if strings.EqualFold(s.text, t.urn) || slices.ContainsFunc(t.extensions, func(e string) bool { return strings.EqualFold(e, s.text) }) {
			return nil
		}
	}
	return syntaxErrorf("schemas names none of this resource type's; send %s", t.urn)
}

// adopt moves values found under aliases to where the schema keeps them, where they come first among the field's sources.
func (d *draft) adopt(in *intake) error {
	for i := range d.n.fields {
		f := &d.n.fields[i]
		src, ok := in.found[f.name]
		if !ok {
			continue
		}
		if f.target.read(&d.root) != "" && d.n.own(f.name) < src.rank {
			in.leave(src.path, src.value)
			continue
		}
		p := patcher{in: in, root: d.root}
		if err := p.run(opAdd, f.target, &src.value, true); err != nil {
			return err
		}
		d.root = p.root
		d.aliases = append(d.aliases, Alias{f.name, src.path})
	}
	return nil
}

// record reads the record out of the canonical resource.
func (d *draft) record() contractor.Record {
	r := contractor.Record{Active: true}
	for i := range d.n.fields {
		f := &d.n.fields[i]
		if f.to != nil {
			*f.to(&r) = d.first(f)
		}
	}
	r.UserName = norm.NFKC.String(strings.TrimSpace(r.UserName))
	if a := d.root.get("active"); a != nil {
		r.Active = a.flag
	}
	if e := at(&d.root, d.n.t.root.byName[urnContractor].byName["rehireEligible"]); e != nil {
		r.RehireEligible = &e.flag
	}
	if r.Supplier == "" {
		r.Supplier = d.n.vendor.Supplier
	}
	for _, s := range [...]string{r.ManagerID, r.ManagerName} {
		if r.ManagerEmail == "" && isAddress(s) {
			r.ManagerEmail = s
		}
	}
	d.addresses(&r)
	return r
}

func (d *draft) first(f *compiledField) string {
	for i := range f.targets {
		if s := f.targets[i].read(&d.root); s != "" {
			return s
		}
	}
	return ""
}

// addresses picks the one that identifies the person: primary, else work, else first, else the userName if it is one.
func (d *draft) addresses(r *contractor.Record) {
	r.Email = d.first(&d.n.fields[d.n.byName["email"]])
	if r.Email == "" && isAddress(r.UserName) {
		r.Email = r.UserName
	}
	r.Email = norm.NFKC.String(strings.TrimSpace(r.Email))
	emails := d.root.get("emails")
	if emails == nil {
		return
	}
	for i := range emails.kids {
		if v := emails.kids[i].value.get("value"); v != nil && !strings.EqualFold(norm.NFKC.String(strings.TrimSpace(v.text)), r.Email) {
			r.OtherEmails = append(r.OtherEmails, v.text)
		}
	}
}

// isAddress reports whether a value is a plain mail address.
func isAddress(s string) bool {
	if strings.IndexByte(s, '@') < 1 {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

// check refuses what no record of the vendor may be, new or not.
func (d *draft) check(r *contractor.Record) error {
	v := d.n.vendor
	if v.IsTestUser(r.UserName) {
		return nil
	}
	if err := checkEmail(v, r.Email); err != nil {
		return err
	}
	if v.MissingEnd == contractor.MissingEndReject && r.Active {
		end, err := lastDate(v, r)
		if err != nil {
			return err
		}
		if end.IsZero() {
			return contractor.Invalid(urnContractor+":endDate", "is required: the customer takes no contract without an end")
		}
	}
	return nil
}

// refusedByEntra are the characters that an invitation's address must not have (graph.md 1.1).
const refusedByEntra = "~!#$%^&*()+=[]{}\\/|;:\"'<>?,"

// checkEmail refuses an address that Entra could not invite or that is not the vendor's to name.
func checkEmail(v *contractor.Vendor, email string) error {
	bad := func(why string) error { return contractor.Invalid("emails", why) }
	if email == "" {
		return bad("a contractor needs an e-mail address: send one as primary or of type work")
	}
	local, domain, ok := strings.Cut(email, "@")
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || len(email) > 254 {
		return bad("the address that identifies the contractor is not an e-mail address")
	}
	for _, c := range email {
		if c <= ' ' || c == 0x7f || strings.ContainsRune(refusedByEntra, c) {
			return bad(fmt.Sprintf("the address that identifies the contractor has the character %q, which Entra does not accept in an invitation", c))
		}
	}
	if first, last := local[0], local[len(local)-1]; first == '.' || first == '-' || last == '.' || last == '-' {
		return bad("the part before @ begins or ends with a dot or a hyphen, which Entra does not accept in an invitation")
	}
	if !v.AllowsEmail(email) {
		return bad("the address is in none of the domains that this vendor may send people from; send another, or ask the customer to add the domain")
	}
	return nil
}

// dates reads the record's dates, in its zone.
func dates(v *contractor.Vendor, r *contractor.Record) ([]Date, error) {
	zone := v.Zone
	if r.TimeZone != "" {
		z, err := v.ZoneOf(r.TimeZone)
		if err != nil {
			return nil, contractor.Invalid(urnContractor+":timeZone", err.Error())
		}
		zone = z
	}
	var out []Date
	for _, f := range [...]struct {
		field, sent string
		edge        contractor.Edge
	}{
		{"startDate", r.StartDate, contractor.StartOfDay},
		{"endDate", r.EndDate, contractor.EndOfDay},
		{"lastWorkingDay", r.LastWorkingDay, contractor.EndOfDay},
	} {
		if f.sent == "" {
			continue
		}
		t, err := contractor.ParseDate(f.sent, v.DateLayouts, zone, f.edge)
		if err != nil {
			return out, contractor.Invalid(urnContractor+":"+f.field, err.Error())
		}
		out = append(out, Date{f.field, f.sent, t})
	}
	return out, nil
}

// lastDate is the end that the record itself names; zero if it names none.
func lastDate(v *contractor.Vendor, r *contractor.Record) (time.Time, error) {
	all, err := dates(v, r)
	var end time.Time
	for _, d := range all {
		if d.Field != "startDate" && (end.IsZero() || !d.Means.IsZero() && d.Means.Before(end)) {
			end = d.Means
		}
	}
	return end, err
}

// unusedLimit bounds what is kept of what nobody reads, in bytes.
const unusedLimit = 16 << 10

// unusedJSON is what was sent and not read; where that is too much, only its names.
func (d *draft) unusedJSON() json.RawMessage {
	if len(d.unused.kids) == 0 {
		return nil
	}
	b := d.unused.appendTo(nil)
	if len(b) <= unusedLimit {
		return b
	}
	left := value{kind: list}
	size := 0
	for i := range d.unused.kids {
		if size += len(d.unused.kids[i].name) + 3; size > unusedLimit {
			break
		}
		left.kids = append(left.kids, member{"", stringValue(d.unused.kids[i].name)})
	}
	short := value{kind: object, kids: []member{{"tooLong", left}}}
	return short.appendTo(nil)
}
