package mapper

import (
	"fmt"
	"strings"
	"time"
)

// secretField is never shown, not even to admins (record.go).
const secretField = "securityId"

// whyMissed says which part of a rule's condition did not hold, with the values that it read.
func (m *Mapping) whyMissed(part int, machine *machine) string {
	x := &m.conjuncts[part].expression
	return x.source + " is false: " + m.language.values(x, machine)
}

// maxShown is how many characters of a value an explanation repeats.
const maxShown = 60

// values writes what the expression read: c.country is "FR", c.title was not sent.
func (l *language) values(x *expression, machine *machine) string {
	var parts []string
	for _, name := range x.uses.fields {
		v := machine.env[slot(name)]
		switch v := v.(type) {
		case time.Time:
			parts = append(parts, fmt.Sprintf("c.%s is %s", name, v.Format(time.RFC3339)))
			continue
		case nil:
			parts = append(parts, "c."+name+" is not known")
			continue
		case string:
			switch {
			case v == "":
				parts = append(parts, "c."+name+" was not sent")
			case name == secretField:
				parts = append(parts, "c."+name+" was sent (not shown)")
			default:
				if r := []rune(v); len(r) > maxShown {
					v = string(r[:maxShown]) + "…"
				}
				parts = append(parts, fmt.Sprintf("c.%s is %q", name, v))
			}
			continue
		}
		parts = append(parts, fmt.Sprintf("c.%s is %v", name, v))
	}
	if len(parts) == 0 {
		return "it does not depend on the record"
	}
	return strings.Join(parts, ", ")
}
