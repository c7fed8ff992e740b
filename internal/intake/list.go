package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// page is one answer of a server's list (RFC 7644 section 3.4.2, RFC 9865 for cursors).
type page struct {
	total     int // -1: not said
	start     int // 0: not said
	next      string
	resources []resource
}

// resource is one User of a server, as far as a reading has to know it.
type resource struct {
	id       string
	modified time.Time // meta.lastModified; zero: not said
	body     []byte    // as the vendor would POST it
}

// parseList reads a ListResponse. Where the server numbers its Users or gives them no externalId, their id is one; byID says that
// it always is.
func parseList(body []byte, byID bool) (*page, error) {
	var list struct {
		TotalResults *int
		StartIndex   *int
		NextCursor   *string
		Resources    *[]json.RawMessage
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("it is no SCIM list: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("it is no SCIM list: something follows the JSON document")
	}
	if list.Resources == nil && list.TotalResults == nil {
		return nil, errors.New("it is no SCIM list: it has neither totalResults nor Resources")
	}
	p := &page{total: -1}
	if list.TotalResults != nil {
		if p.total = *list.TotalResults; p.total < 0 {
			return nil, fmt.Errorf("it is no SCIM list: totalResults is %d", p.total)
		}
	}
	if list.StartIndex != nil {
		p.start = *list.StartIndex
	}
	if list.NextCursor != nil {
		p.next = *list.NextCursor
	}
	if list.Resources == nil {
		return p, nil
	}
	for i, raw := range *list.Resources {
		r, err := parseResource(raw, byID)
		if err != nil {
			return nil, fmt.Errorf("its resource number %d %w", i+1, err)
		}
		p.resources = append(p.resources, r)
	}
	return p, nil
}

func parseResource(raw json.RawMessage, byID bool) (resource, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return resource{}, errors.New("is not an object")
	}
	r := resource{body: raw}
	external := ""
	for name, v := range fields {
		switch strings.ToLower(name) {
		case "id":
			r.id = word(v)
		case "externalid":
			external = word(v)
			if byID || external == "" {
				delete(fields, name)
			}
		case "meta":
			var meta struct{ LastModified string }
			if json.Unmarshal(v, &meta) == nil {
				r.modified, _ = time.Parse(time.RFC3339, meta.LastModified) // what is no time says nothing
			}
		}
	}
	if r.id == "" {
		return r, errors.New("has no id")
	}
	if external != "" && !byID {
		return r, nil
	}
	id, err := json.Marshal(r.id)
	if err != nil {
		return r, err
	}
	fields["externalId"] = id
	r.body, err = json.Marshal(fields)
	return r, err
}

// word is a string, or a number as it is written; "" for anything else.
func word(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(v, &n) == nil {
		return n.String()
	}
	return ""
}

// abilities are what a server says it can, as far as a reading uses it (ServiceProviderConfig).
type abilities struct {
	filter, sort, cursor bool
	maxResults           int // 0: not said
}

func parseAbilities(body []byte) (a abilities, err error) {
	var c struct {
		Filter     *struct{ Supported, MaxResults any }
		Sort       *struct{ Supported any }
		Pagination *struct{ Cursor any }
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return a, err
	}
	if c.Filter != nil {
		a.filter = c.Filter.Supported == true
		if n, ok := c.Filter.MaxResults.(float64); ok && n >= 1 && n < 1e6 {
			a.maxResults = int(n)
		}
	}
	a.sort = c.Sort != nil && c.Sort.Supported == true
	a.cursor = c.Pagination != nil && c.Pagination.Cursor == true
	return a, nil
}
