package intake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// item is one row on its way to the door.
type item struct {
	seq    int
	line   int
	key    string
	body   []byte
	places map[string]int // by the SCIM path that a refusal names: the column in the line, in bytes
	wrong  *lineError     // the row cannot be sent
	blind  bool           // it is not known whom the row is about
}

// empty reports whether a row says nothing: spreadsheets leave such rows behind.
func (r *row) empty() bool {
	return !slices.ContainsFunc(r.values, func(v string) bool { return strings.TrimSpace(v) != "" })
}

// item makes the SCIM body of a row: an object whose names are paths, as the door takes them too. A row without userName has its
// key for one: addresses come twice where a person has two contracts.
func (c *columns) item(r *row) item {
	out := item{line: r.line, places: make(map[string]int, len(c.fields))}
	body := make(map[string]any, len(c.fields)+2)
	values := make(map[string]string, len(c.fields))
	for i := range c.fields {
		f := &c.fields[i]
		value, at := f.first(r)
		if value == "" {
			continue
		}
		values[f.field], out.places[f.path] = value, at
		switch f.field {
		case "active", "rehireEligible":
			b, err := c.truth(f.field, value)
			if err != nil {
				out.wrong = &lineError{r.line, at, err.Error()}
				continue
			}
			body[f.path] = b
		default:
			body[f.path] = value
		}
	}
	if out.key = values[c.key]; out.key == "" {
		at := 0
		for i := range c.fields {
			if f := &c.fields[i]; f.field == c.key {
				at = r.column(f.at[0])
			}
		}
		out.wrong = &lineError{r.line, at, "there is no " + c.key + ", which names the row"}
		return out
	}
	if values["externalId"] == "" && c.key != "userName" {
		body["externalId"] = out.key
	}
	if values["userName"] == "" {
		body["userName"] = out.key
	}
	for _, f := range c.fields {
		if f.field == c.key {
			out.places["externalId"], out.places["userName"] = cmp.Or(out.places["externalId"], out.places[f.path]), cmp.Or(out.places["userName"], out.places[f.path])
		}
	}
	b, err := json.Marshal(body)
	if err != nil {
		out.wrong = &lineError{r.line, 0, err.Error()}
	}
	out.body = b
	return out
}

// first is the first column of the field that has a value, and where it stands.
func (f *filled) first(r *row) (string, int) {
	for _, i := range f.at {
		if v := strings.TrimSpace(r.values[i]); v != "" {
			return v, r.column(i)
		}
	}
	return "", 0
}

// truth reads a yes or a no; of "active", the words of the vendor's status, too.
func (c *columns) truth(field, value string) (bool, error) {
	v := strings.ToLower(value)
	if field == "active" && len(c.active) > 0 {
		return slices.Contains(c.active, v), nil
	}
	switch v {
	case "true", "yes", "y", "1":
		return true, nil
	case "false", "no", "n", "0":
		return false, nil
	}
	if field == "active" {
		switch v {
		case "active", "activated", "pending", "open":
			return true, nil
		case "inactive", "closed", "terminated", "withdrawn", "ended", "cancelled":
			return false, nil
		}
		return false, fmt.Errorf("it is not clear whether %q means that the contract goes on; list the values that do: csv: {active: [Active]} or --active Active", value)
	}
	return false, fmt.Errorf("%q is neither yes nor no", value)
}
