package entra

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"scimbridge/internal/contractor"
)

const leaveDate = "employeeLeaveDateTime"

// leaveDeniedFor is how long the leave date is left alone after Graph forbade it.
const leaveDeniedFor = time.Hour

// attributeLimit is the longest value, in characters, of each user property that may be written (graph.md 1.3); 0: not known.
// What is not listed is not written: accountEnabled, userType, mail and the like are no attributes.
func attributeLimit(name string) (limit int, writable bool) {
	switch name {
	case "displayName":
		return maxDisplayName, true
	case "givenName", "surname", "companyName", "department", "mobilePhone", "faxNumber":
		return 64, true
	case "jobTitle", "city", "country", "state", "officeLocation":
		return 128, true
	case "employeeId":
		return 16, true
	case "postalCode":
		return 40, true
	case "streetAddress":
		return 1024, true
	case "usageLocation":
		return 2, true
	case "employeeType", "costCenter", "division":
		return 64, true
	case "employeeHireDate", leaveDate, "preferredLanguage":
		return 0, true
	}
	if _, ok := extensionAttribute(name); ok {
		return 1024, true
	}
	return 256, directoryExtension.MatchString(name)
}

var (
	extensionAttributeName = regexp.MustCompile(`^(?:onPremisesExtensionAttributes[./])?(extensionAttribute(?:[1-9]|1[0-5]))$`)
	directoryExtension     = regexp.MustCompile(`^extension_[0-9a-fA-F]{32}_[A-Za-z0-9_]{1,128}$`)
)

func extensionAttribute(name string) (string, bool) {
	m := extensionAttributeName.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// canonical gives an attribute its flat name: members of employeeOrgData and onPremisesExtensionAttributes may be written with
// their parent, by a dot or a slash, or alone.
func canonical(name string) string {
	if ext, ok := extensionAttribute(name); ok {
		return ext
	}
	switch strings.ReplaceAll(name, "/", ".") {
	case "employeeOrgData.costCenter":
		return "costCenter"
	case "employeeOrgData.division":
		return "division"
	}
	return name
}

// UpdateGuest writes user properties in one PATCH; an empty value clears a property by an explicit null. displayName and
// usageLocation cannot be cleared in Entra, and stay. employeeLeaveDateTime needs a permission of its own and goes in a PATCH
// of its own: where it is forbidden, that is logged and counted, and costs the rest nothing.
func (c *Client) UpdateGuest(ctx context.Context, id string, attributes map[string]string) (contractor.Receipt, error) {
	const op = "update guest"
	body, leave, err := patchBody(op, attributes)
	if err != nil {
		return contractor.Receipt{}, err
	}
	if len(body) == 0 && leave == nil {
		return contractor.Receipt{AlreadySo: true}, nil
	}
	if err := c.ours(ctx, op, id); err != nil {
		return contractor.Receipt{}, err
	}
	var r contractor.Receipt
	if len(body) > 0 {
		if r, err = c.patchUser(ctx, op, id, body, "User.ReadWrite.All", writeTimeout); err != nil {
			return contractor.Receipt{}, err
		}
	}
	if leave == nil || len(body) > 0 && time.Now().UnixNano() < c.leaveDenied.Load() {
		return r, nil
	}
	second, err := c.patchUser(ctx, "update leave date", id, leave, "User-LifeCycleInfo.ReadWrite.All and User.Read.All", writeTimeout)
	switch {
	case err == nil && len(body) == 0:
		return second, nil
	case status(err) == http.StatusForbidden && len(body) > 0:
		c.leaveDenied.Store(time.Now().Add(leaveDeniedFor).UnixNano())
		c.log.WarnContext(ctx, "the leave date of guests is not written: the application needs User-LifeCycleInfo.ReadWrite.All; grant it, or take employeeLeaveDateTime out of the mapping", "error", err)
		return r, nil
	case err != nil:
		return contractor.Receipt{}, err
	}
	return r, nil
}

// patchBody turns flat attributes into Graph's nested ones.
func patchBody(op string, attributes map[string]string) (body, leave map[string]any, err error) {
	body = map[string]any{}
	var mistakes []error
	nest := func(parent, name string, value any) {
		m, ok := body[parent].(map[string]any)
		if !ok {
			m = map[string]any{}
			body[parent] = m
		}
		m[name] = value
	}
	names := make([]string, 0, len(attributes))
	for name := range attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, given := range names {
		name := canonical(given)
		value, mistake := attributeValue(name, attributes[given])
		switch ext, isExt := extensionAttribute(name); {
		case mistake != nil:
			mistakes = append(mistakes, mistake)
		case value == nil && (name == "displayName" || name == "usageLocation"):
			// not nullable in Entra
		case name == leaveDate:
			leave = map[string]any{leaveDate: value}
		case isExt:
			nest("onPremisesExtensionAttributes", ext, value)
		case name == "costCenter", name == "division":
			nest("employeeOrgData", name, value)
		default:
			body[name] = value
		}
	}
	if len(mistakes) > 0 {
		return nil, nil, wrong(op, errors.Join(mistakes...).Error())
	}
	return body, leave, nil
}

// attributeValue checks a value and puts it into Graph's form; nil clears. Errors name the property, never the value.
func attributeValue(name, value string) (any, error) {
	limit, writable := attributeLimit(name)
	switch {
	case !writable:
		return nil, fmt.Errorf("%s is not a user property that scimbridge writes", name)
	case value == "":
		return nil, nil
	case limit > 0 && len(utf16.Encode([]rune(value))) > limit: // as Entra counts
		return nil, fmt.Errorf("%s is longer than the %d characters that Entra takes; shorten it in the mapping", name, limit)
	}
	if name != "employeeHireDate" && name != leaveDate {
		return value, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil {
			return graphTime(t), nil
		}
	}
	return nil, fmt.Errorf("%s is not a date; write 2006-01-02 or RFC 3339", name)
}

// graphTime writes an instant as Graph reads it, cut to the second: an end is never put later than it is.
func graphTime(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// patchUser sends one PATCH. A guest that was made a moment ago may not be known to the replica that gets it (404, 500 or 503
// are seen): it is tried again a few times before that goes back to the caller.
func (c *Client) patchUser(ctx context.Context, op, id string, body any, needs string, timeout time.Duration) (contractor.Receipt, error) {
	k := write(op, http.MethodPatch, "/users/"+seg(id), body, needs)
	k.timeout = timeout
	ex, err := c.soon(ctx, id, k, nil)
	if err != nil {
		return contractor.Receipt{}, err
	}
	return receipt(ex), nil
}

// soon sends a call about a guest, and repeats it for some seconds where the guest is new and not found.
func (c *Client) soon(ctx context.Context, id string, k *call, out any) (*exchange, error) {
	for wait := time.Second; ; wait *= 2 {
		ex, err := c.do(ctx, k, out)
		if err == nil {
			return ex, nil
		}
		if _, fresh := c.fresh(id); !fresh || status(err) != http.StatusNotFound {
			return ex, err
		}
		if wait > maxSoon {
			return ex, c.notYet(err, id)
		}
		if err := sleep(ctx, wait); err != nil {
			return ex, err
		}
	}
}

// maxSoon is the longest pause of soon: 1, 2 and 4 seconds, then it is the caller's turn.
const maxSoon = 4 * time.Second

func asFailure(err error) (*contractor.Failure, bool) {
	var f *contractor.Failure
	if !errors.As(err, &f) {
		return nil, false
	}
	g := *f
	return &g, true
}
