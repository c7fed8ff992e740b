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
		out = append(out, field{name, k, i, slot(name)})
	}
	return append(out, field{fieldVendor, text, -1, slot(fieldVendor)}, field{fieldStart, instant, -1, slot(fieldStart)}, field{fieldEnd, instant, -1, slot(fieldEnd)})
}

// slot is the name under which a field stands in the environment of an expression. No identifier of the language can be
// spelled so, and a map look-up by a constant is the fastest access that the machine of expr has.
func slot(name string) string { return "c." + name }

// fillEnv puts an engagement into env, which holds slots. Times carry the engagement's zone, so that format and year read the
// calendar that its contract is written in.
// The vendor's fixed supplier stands in where the vendor sends none.
func (l *language) fillEnv(env map[string]any, e *contractor.Engagement, v *contractor.Vendor, p contractor.Period) {
	r := reflect.ValueOf(&e.Record).Elem()
	for i := range l.fields {
		f := &l.fields[i]
		if f.index < 0 {
			continue
		}
		value := r.Field(f.index)
		switch f.kind {
		case text:
			env[f.slot] = value.String()
		case truth:
			env[f.slot] = value.Bool()
		case maybe:
			if value.IsNil() {
				env[f.slot] = nil
			} else {
				env[f.slot] = value.Elem().Bool()
			}
		case texts:
			list, _ := value.Interface().([]string)
			env[f.slot] = list
		}
	}
	if e.Record.Supplier == "" {
		env[slot(fieldSupplier)] = v.Supplier
	}
	env[slot(fieldVendor)] = e.Vendor
	zone := p.Zone
	if zone == nil {
		zone = time.UTC
	}
	env[slot(fieldStart)] = p.Start.In(zone)
	env[slot(fieldEnd)] = p.End.In(zone)
}

func fieldNames(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return slices.Clip(names)
}
