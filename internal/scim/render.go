package scim

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// The stored form is a resource ready to be sent but for what changes without the vendor: it begins with "schemas" and "id",
// has no "meta", and ends with the contractor extension, so that the bridge's values are spliced in behind it as bytes:
//
//	{"schemas":[…],"id":"…",…,"urn:…:contractor:2.0:User":{…}}
//
// The one attribute of it that is only returned on request, securityId, is found and cut out as bytes too.

// stored writes the stored form. id "": without id.
func (d *draft) stored(id string) []byte {
	root := d.n.t.root
	b := make([]byte, 0, 1024)
	b = append(b, `{"schemas":["`+urnUser+`"`...)
	if d.root.get(urnEnterprise) != nil {
		b = append(b, `,"`+urnEnterprise+`"`...)
	}
	b = append(b, `,"`+urnContractor+`"]`...)
	if id != "" {
		b = appendString(append(b, `,"id":`...), id)
	}
	for i := range d.root.kids {
		m := &d.root.kids[i]
		if a := root.byName[m.name]; a.mutability == readOnly || a.mutability == immutable || m.name == urnContractor {
			continue
		}
		b = m.value.appendTo(append(appendString(append(b, ','), m.name), ':'))
	}
	b = append(b, `,"`+urnContractor+`":`...)
	if ext := d.root.get(urnContractor); ext != nil {
		b = ext.appendTo(b)
	} else {
		b = append(b, '{', '}')
	}
	return append(b, '}')
}

// recall reads a stored form back. Values that nobody read when they came and that an alias names since are taken in.
func recall(n *names, e *contractor.Engagement) (*draft, error) {
	root, err := parseJSON(string(e.Resource), jsonLimits{depth: 64, values: 1 << 20})
	if err != nil {
		return nil, contractor.Errorf(contractor.CodeInternal, "the stored resource of engagement %s cannot be read: %v", e.ID, err)
	}
	root.drop("schemas")
	root.drop("id")
	d := &draft{n: n, root: root, unused: value{kind: object}}
	if len(e.Unused) == 0 {
		return d, nil
	}
	unused, err := parseJSON(string(e.Unused), jsonLimits{depth: 64, values: 1 << 20})
	if err != nil {
		return nil, contractor.Errorf(contractor.CodeInternal, "the unused values of engagement %s cannot be read: %v", e.ID, err)
	}
	in := &intake{t: n.t, names: n, unused: value{kind: object}}
	for i := range unused.kids {
		in.foreign(unused.kids[i].name, &unused.kids[i].value)
	}
	if err := d.adopt(in); err != nil {
		return nil, err
	}
	d.unused = in.unused
	return d, nil
}

// renderer writes resources for one request.
type renderer struct {
	base    string                          // absolute URL of the door: https://host/scim/v2
	groups  func() []contractor.Entitlement // the catalog, for the names of what a contractor holds
	secret  bool                            // securityId was asked for, or written by this request
	summary bool                            // accessSummary was asked for
	project *projection                     // nil: everything that is returned by default
}

// underID is a stored form under an id: the store revives an engagement under the id that it had before. Ids are of one length.
func underID(stored []byte, id string) []byte {
	at := bytes.Index(stored, []byte(`],"id":"`)) + len(`],"id":"`)
	if at+len(id) > len(stored) || !bytes.HasSuffix(stored, []byte("}}")) { // not of the door's making: it has what every User has
		return []byte(`{"schemas":["` + urnUser + `","` + urnContractor + `"],"id":"` + id + `","` + urnContractor + `":{}}`)
	}
	if string(stored[at:at+len(id)]) == id {
		return stored
	}
	return slices.Concat(stored[:at], []byte(id), stored[at+len(id):])
}

// securityID opens the value that is not returned by default. A string's own quotes are escaped: the sequence cannot occur
// inside a value.
const securityID = `"securityId":"`

// user writes one User: the stored bytes, with the bridge's values and meta spliced in.
func (r *renderer) user(b []byte, e *contractor.Engagement) []byte {
	if r.project != nil {
		full := renderer{base: r.base, groups: r.groups, secret: true, summary: true}
		return r.project.apply(b, full.user(nil, e))
	}
	body, begin := underID(e.Resource, e.ID), len(b)
	body = body[:len(body)-2] // the braces of the extension and of the resource
	if at := lastIndex(body, securityID); at > 0 && !r.secret {
		end := at + len(securityID)
		for body[end] != '"' {
			if body[end] == '\\' {
				end++
			}
			end++
		}
		end++
		if body[at-1] == ',' {
			at--
		} else if end < len(body) && body[end] == ',' {
			end++
		}
		b = append(append(b, body[:at]...), body[end:]...)
	} else {
		b = append(b, body...)
	}
	if b = r.standing(b, e); b[len(b)-1] == '{' { // a test user without any of it
		b = withoutExtension(b, begin)
	} else {
		b = append(b, '}')
	}
	b = r.memberships(b, e)
	b = append(b, `,"meta":{"resourceType":"User","created":"`...)
	b = appendTime(b, e.Created)
	b = append(b, `","lastModified":"`...)
	b = appendTime(b, e.Modified)
	b = append(b, `","location":`...)
	b = appendString(b, r.base+"/Users/"+e.ID)
	b = append(b, `,"version":"W/\"`...)
	b = strconv.AppendInt(b, e.Version, 10)
	return append(b, `\""}}`...)
}

// withoutExtension takes back the contractor extension that nothing was written into, and its URN.
func withoutExtension(b []byte, begin int) []byte {
	b = bytes.TrimSuffix(b, []byte(`,"`+urnContractor+`":{`))
	urn := []byte(`,"` + urnContractor + `"`)
	if at := bytes.Index(b[begin:], urn); at > 0 {
		b = append(b[:begin+at], b[begin+at+len(urn):]...)
	}
	return b
}

// standing writes the read-only values of the extension behind the vendor's own.
func (r *renderer) standing(b []byte, e *contractor.Engagement) []byte {
	comma := func() {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
	}
	str := func(name, v string) {
		if v != "" {
			comma()
			b = appendString(append(appendString(b, name), ':'), v)
		}
	}
	when := func(name string, t time.Time) {
		if !t.IsZero() {
			comma()
			b = append(appendTime(append(appendString(b, name), ':', '"'), t), '"')
		}
	}
	s := &e.Standing
	str("status", string(s.Status))
	str("statusReason", s.Reason)
	when("extendedFrom", e.PrevEnd)
	when("effectiveStart", s.EffectiveStart)
	when("effectiveEnd", s.EffectiveEnd)
	str("entraObjectId", s.EntraObjectID)
	str("entraUserState", s.EntraUserState)
	if r.summary {
		str("accessSummary", strings.Join(s.Access, ", "))
	}
	return b
}

// memberships writes the User's groups: those entries of the catalog that the contractor holds.
func (r *renderer) memberships(b []byte, e *contractor.Engagement) []byte {
	if len(e.Standing.Access) == 0 {
		return b
	}
	first, catalog := true, r.groups()
	for _, name := range e.Standing.Access {
		for _, g := range catalog {
			if g.Name != name {
				continue
			}
			if first {
				b = append(b, `,"groups":[`...)
			} else {
				b = append(b, ',')
			}
			first = false
			id := groupID(g.Key())
			b = append(append(b, `{"value":"`...), id...)
			b = appendString(append(b, `","$ref":`...), r.base+"/Groups/"+id)
			b = appendString(append(b, `,"display":`...), g.Name)
			b = append(b, `,"type":"direct"}`...)
			break
		}
	}
	if !first {
		b = append(b, ']')
	}
	return b
}

// lastIndex is bytes.LastIndex, which walks a resource a byte at a time where Index goes by the width of a register.
func lastIndex(b []byte, part string) int {
	last := -1
	for {
		at := bytes.Index(b[last+1:], []byte(part))
		if at < 0 {
			return last
		}
		last += 1 + at
	}
}

// appendTime writes an instant as SCIM's dateTime (RFC 7643 section 2.3.5), UTC, to the microsecond: what AppendFormat writes, for a fifth of
// the time.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, "2006-01-02T15:04:05.999999Z07:00")
	}
	hour, minute, second := t.Clock()
	const digit = "0123456789"
	two := func(mark byte, n int) { b = append(b, mark, digit[n/10], digit[n%10]) }
	b = append(b, digit[year/1000], digit[year/100%10], digit[year/10%10], digit[year%10])
	two('-', int(month))
	two('-', day)
	two('T', hour)
	two(':', minute)
	two(':', second)
	if micros := t.Nanosecond() / 1000; micros != 0 {
		b = append(b, '.')
		for unit := 100_000; micros > 0; unit /= 10 {
			b = append(b, digit[micros/unit])
			micros %= unit
		}
	}
	return append(b, 'Z')
}

// etag is the version as a weak entity tag: the bytes differ by base URL and projection.
func etag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }
