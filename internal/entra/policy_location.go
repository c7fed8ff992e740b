package entra

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"scimbridge/internal/contractor"
)

const (
	countryType = "#microsoft.graph.countryNamedLocation"
	rangesType  = "#microsoft.graph.ipNamedLocation"
)

type locationWire struct {
	Type           string   `json:"@odata.type"`
	ID             string   `json:"id"`
	Name           string   `json:"displayName"`
	Countries      []string `json:"countriesAndRegions"`
	IncludeUnknown bool     `json:"includeUnknownCountriesAndRegions"`
	Lookup         string   `json:"countryLookupMethod"`
	Trusted        bool     `json:"isTrusted"`
	Ranges         []struct {
		CIDR string `json:"cidrAddress"`
	} `json:"ipRanges"`
}

// location puts a location into our words; false for kinds that this program does not know.
func (w *locationWire) location() (contractor.NamedLocation, bool) {
	l := contractor.NamedLocation{ID: strings.ToLower(w.ID), Name: w.Name}
	switch w.Type {
	case countryType:
		l.Kind, l.Countries, l.IncludeUnknown, l.Lookup = contractor.LocationCountries, w.Countries, w.IncludeUnknown, w.Lookup
		if l.Lookup == "" {
			l.Lookup = "clientIpAddress"
		}
	case rangesType:
		l.Kind, l.Trusted = contractor.LocationRanges, w.Trusted
		for _, r := range w.Ranges {
			l.Ranges = append(l.Ranges, r.CIDR)
		}
	default:
		return l, false
	}
	return l, true
}

// locationBody is a location as it is sent. The type must be named, and cannot be changed.
func locationBody(l contractor.NamedLocation) object {
	if l.Kind == contractor.LocationCountries {
		countries := slices.Clone(l.Countries)
		slices.Sort(countries)
		if countries == nil {
			countries = []string{}
		}
		lookup := l.Lookup
		if lookup == "" {
			lookup = "clientIpAddress"
		}
		return object{"@odata.type": countryType, "displayName": l.Name, "countriesAndRegions": countries, "includeUnknownCountriesAndRegions": l.IncludeUnknown, "countryLookupMethod": lookup}
	}
	ranges := slices.Clone(l.Ranges)
	for i, r := range ranges {
		if p, err := netip.ParsePrefix(r); err == nil {
			ranges[i] = p.Masked().String()
		}
	}
	slices.Sort(ranges)
	list := make([]object, len(ranges))
	for i, r := range ranges {
		family := "#microsoft.graph.iPv4CidrRange"
		if strings.Contains(r, ":") {
			family = "#microsoft.graph.iPv6CidrRange"
		}
		list[i] = object{"@odata.type": family, "cidrAddress": r}
	}
	return object{"@odata.type": rangesType, "displayName": l.Name, "isTrusted": l.Trusted, "ipRanges": list}
}

func canonicalLocation(l contractor.NamedLocation) string {
	b, err := json.Marshal(locationBody(l))
	if err != nil {
		return err.Error() // strings and booleans cannot fail
	}
	return string(b)
}

// NamedLocations reads all named locations of the tenant, ours or not, but for kinds that this program does not know.
func (c *Client) NamedLocations(ctx context.Context) ([]contractor.NamedLocation, error) {
	all, err := list[locationWire](ctx, c, policyCall("read locations", http.MethodGet, "/namedLocations", nil))
	if err != nil {
		return nil, err
	}
	var out []contractor.NamedLocation
	for i := range all {
		if l, known := all[i].location(); known {
			out = append(out, l)
		}
	}
	return out, nil
}

// namedLocation reads one location; nil if it is not there.
func (c *Client) namedLocation(ctx context.Context, op, id string) (*contractor.NamedLocation, error) {
	var w locationWire
	_, err := c.do(ctx, policyCall(op, http.MethodGet, "/namedLocations/"+seg(id), nil), &w)
	if status(err) == http.StatusNotFound {
		return nil, nil //nolint:nilnil // absent is an answer
	}
	if err != nil {
		return nil, err
	}
	l, _ := w.location()
	return &l, nil
}

// CreateLocation makes a named location and reads it back; Handle is its id. It is not idempotent: after VerdictUnknown look
// for the name before it is made again.
func (c *Client) CreateLocation(ctx context.Context, l contractor.NamedLocation) (contractor.Receipt, error) {
	const op = "create location"
	if l.Name == "" {
		return contractor.Receipt{}, wrong(op, "a location needs a name")
	}
	var made objectID
	ex, err := c.do(ctx, policyCall(op, http.MethodPost, "/namedLocations", locationBody(l)), &made)
	if err != nil {
		return contractor.Receipt{}, err
	}
	r := receipt(ex)
	r.Handle = strings.ToLower(made.ID)
	return r, c.locationStands(ctx, op, made.ID, l)
}

// UpdateLocation writes a named location whole, and reads it back.
func (c *Client) UpdateLocation(ctx context.Context, l contractor.NamedLocation) (contractor.Receipt, error) {
	const op = "update location"
	if !isGUID(l.ID) {
		return contractor.Receipt{}, wrong(op, "the location's id is not a GUID")
	}
	ex, err := c.do(ctx, policyCall(op, http.MethodPatch, "/namedLocations/"+seg(l.ID), locationBody(l)), nil)
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), c.locationStands(ctx, op, l.ID, l)
}

func (c *Client) locationStands(ctx context.Context, op, id string, want contractor.NamedLocation) error {
	written := canonicalLocation(want)
	return c.stands(ctx, op, func() (bool, error) {
		have, err := c.namedLocation(ctx, op, id)
		return have != nil && canonicalLocation(*have) == written, err
	})
}

// DeleteLocation deletes a named location and sees it gone. A trusted one is first made untrusted, and that is read back:
// Entra refuses to delete it otherwise, and for a while after.
func (c *Client) DeleteLocation(ctx context.Context, id string) (contractor.Receipt, error) {
	const op = "delete location"
	if !isGUID(id) {
		return contractor.Receipt{}, wrong(op, "the location's id is not a GUID")
	}
	have, err := c.namedLocation(ctx, op, id)
	if err != nil {
		return contractor.Receipt{}, err
	}
	distrusted := have != nil && have.Trusted
	if distrusted {
		have.Trusted = false
		if _, err := c.UpdateLocation(ctx, *have); err != nil {
			return contractor.Receipt{}, err
		}
	}
	r, err := c.delete(ctx, op, "/namedLocations/"+seg(id))
	for try := 1; distrusted && status(err) == http.StatusBadRequest && try < maxAttempts+2; try++ {
		r, err = c.delete(ctx, op, "/namedLocations/"+seg(id)) // not every replica has heard that it is untrusted
	}
	if err != nil {
		if f, isFailure := asFailure(err); isFailure && f.Status == http.StatusBadRequest {
			f.Verdict = contractor.VerdictRefused
			f.Message = "Entra refuses to delete the location: a policy may still name it, or it is still trusted; look at it in the Entra admin center"
			return contractor.Receipt{}, f
		}
		return contractor.Receipt{}, err
	}
	return r, c.stands(ctx, op, func() (bool, error) {
		have, err := c.namedLocation(ctx, op, id)
		return have == nil, err
	})
}
