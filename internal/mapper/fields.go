package mapper

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// kind is the type of an expression in the mapping file's own words.
type kind int

const (
	unknown kind = iota // a mistake was reported below: say no more
	text
	number
	truth
	maybe // true, false or not known: c.rehireEligible
	instant
	span
	texts
	numbers
)

func (k kind) String() string {
	return [...]string{"unknown", "text", "a number", "true or false", "true, false or unknown", "a time", "a duration", "a list of texts", "a list of numbers"}[k]
}

// field is one name that expressions may use after "c.".
type field struct {
	name  string
	kind  kind
	index int // in contractor.Record; -1 for what is worked out
	slot  string
	used  bool // an expression of the file mentions it
}

// What is worked out rather than sent.
const (
	fieldVendor = "vendor"
	fieldStart  = "start"
	fieldEnd    = "end"
)

// fieldSupplier is filled from the vendor's settings where the record has none.
const fieldSupplier = "supplier"

// recordFields lists the fields of a record by their JSON names, then the worked-out ones.
func recordFields() []field {
	t := reflect.TypeFor[contractor.Record]()
	out := make([]field, 0, t.NumField()+3)
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		k := text
		switch f.Type {
		case reflect.TypeFor[bool]():
			k = truth
		case reflect.TypeFor[*bool]():
			k = maybe
		case reflect.TypeFor[[]string]():
			k = texts
		}
		out = append(out, field{name: name, kind: k, index: i, slot: slot(name)})
	}
	return append(out, field{name: fieldVendor, kind: text, index: -1, slot: slot(fieldVendor)},
		field{name: fieldStart, kind: instant, index: -1, slot: slot(fieldStart)}, field{name: fieldEnd, kind: instant, index: -1, slot: slot(fieldEnd)})
}

// slot is the name under which a field stands in the environment of an expression. No identifier of the language can be
// spelled so, and a map look-up by a constant is the fastest access that the machine of expr has.
func slot(name string) string { return "c." + name }

// load puts an engagement into the machine; only fields that the file mentions are put into the environment. Times carry the
// engagement's zone, so that format and year read the calendar that its contract is written in. The vendor's fixed supplier
// stands in where the vendor sends none.
func (m *machine) load(l *language, e *contractor.Engagement, v *contractor.Vendor, p contractor.Period) {
	r := reflect.ValueOf(&e.Record).Elem()
	for i := range l.fields {
		f := &l.fields[i]
		if !f.used || f.index < 0 {
			continue
		}
		value := r.Field(f.index)
		switch f.kind {
		case text:
			s := value.String()
			if f.name == fieldSupplier && s == "" {
				s = v.Supplier
			}
			m.texts[i], m.env[f.slot] = s, s
		case truth:
			m.env[f.slot] = value.Bool()
		case maybe:
			if value.IsNil() {
				m.env[f.slot] = nil
			} else {
				m.env[f.slot] = value.Elem().Bool()
			}
		case texts:
			list, _ := reflect.TypeAssert[[]string](value)
			m.env[f.slot] = list
		}
	}
	m.texts[l.byName[fieldVendor]], m.env[slot(fieldVendor)] = e.Vendor, e.Vendor
	zone := p.Zone
	if zone == nil {
		zone = time.UTC
	}
	m.env[slot(fieldStart)], m.env[slot(fieldEnd)] = p.Start.In(zone), p.End.In(zone)
}

func fieldNames(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return slices.Clip(names)
}
