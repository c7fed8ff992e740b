package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// vendorClient speaks SCIM as one vendor's system does.
type vendorClient struct {
	name  string
	base  string // …/scim/v2
	token string
	mime  string
	http  *http.Client
}

// do sends one request and decodes the answer's JSON object, if there is one.
func (v *vendorClient) do(ctx context.Context, method, path, body string) (status int, doc map[string]any, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, v.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+v.token)
	if body != "" {
		req.Header.Set("Content-Type", v.mime)
	}
	req.Header.Set("Accept", "application/scim+json, application/json")
	resp, err := v.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return resp.StatusCode, nil, err
	}
	if len(data) == 0 {
		return resp.StatusCode, nil, nil
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return resp.StatusCode, nil, fmt.Errorf("%s %s answered %d with something that is no JSON object: %w", method, path, resp.StatusCode, err)
	}
	return resp.StatusCode, doc, nil
}

// create looks the user up first, as Okta, Entra and SAP IPS do, and posts it. It returns the SCIM id.
func (v *vendorClient) create(ctx context.Context, userName, body string) (string, error) {
	status, doc, err := v.do(ctx, http.MethodGet, "/Users?filter="+url.QueryEscape(`userName eq "`+userName+`"`), "")
	if err != nil {
		return "", err
	}
	if status != http.StatusOK || doc["totalResults"] != float64(0) {
		return "", fmt.Errorf("%s looked up %s: HTTP %d, %v results; nobody was expected", v.name, userName, status, doc["totalResults"])
	}
	status, doc, err = v.do(ctx, http.MethodPost, "/Users", body)
	if err != nil {
		return "", err
	}
	if status != http.StatusCreated {
		return "", fmt.Errorf("%s pushed %s: HTTP %d %v", v.name, userName, status, doc["detail"])
	}
	id, _ := doc["id"].(string)
	return id, nil
}

// expect sends a request and wants this status.
func (v *vendorClient) expect(ctx context.Context, want int, method, path, body string) (map[string]any, error) {
	status, doc, err := v.do(ctx, method, path, body)
	if err == nil && status != want {
		err = fmt.Errorf("%s: %s %s answered %d (%v), %d was expected", v.name, method, path, status, doc["detail"], want)
	}
	return doc, err
}

// The payloads below have the shapes that the real clients send: which schemas they name, where they put the dates, how they
// spell operations and Booleans.

// sapIPS writes a whole user with SAP's own extension, validity in Zulu form, as the Identity Provisioning service does.
func sapIPS(mail, given, family, title string, end time.Time) string {
	return fmt.Sprintf(`{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "urn:ietf:params:scim:schemas:extension:sap:2.0:User"],
  "userName": %q, "active": true, "title": %q, "userType": "contractor",
  "name": {"givenName": %q, "familyName": %q},
  "emails": [{"value": %q, "type": "work", "primary": true}],
  "addresses": [{"type": "work", "country": "DE", "locality": "Walldorf"}],
  "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "ACME-4711", "department": "Finance", "costCenter": "4711", "organization": "ACME Consulting", "manager": {"displayName": "sponsor@contoso.example"}},
  "urn:ietf:params:scim:schemas:extension:sap:2.0:User": {"userUuid": "5d0bb8a2-51b1-4f0f-8d2f-7b4d2a1c9e01", "validTo": %q}
}`, mail, title, given, family, mail, end.UTC().Format("20060102150405Z"))
}

// okta writes a user with its own id as externalId and dates in the contractor extension, mapped in the app's profile.
func okta(mail, given, family, title string, end time.Time) string {
	return fmt.Sprintf(`{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:contractor:2.0:User"],
  "userName": %q, "externalId": "00uj1y4nGd7uJ5rUQ0g4", "displayName": %q, "title": %q, "locale": "en-US", "groups": [], "active": true,
  "name": {"givenName": %q, "familyName": %q},
  "emails": [{"primary": true, "value": %q, "type": "work"}],
  "urn:ietf:params:scim:schemas:extension:contractor:2.0:User": {"supplier": "Kforce", "workerId": "KF-20017", "country": "US", "sponsorEmail": "sponsor@contoso.example", "endDate": %q}
}`, mail, given+" "+family, title, given, family, mail, end.UTC().Format("2006-01-02"))
}

// entraProvisioning writes a user the way the Entra provisioning service does: meta, an empty roles list, no URN for the
// extension whose attributes it sends.
func entraProvisioning(mail, given, family, title string, end time.Time) string {
	return fmt.Sprintf(`{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
  "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef", "userName": %q, "active": true, "displayName": %q, "title": %q,
  "emails": [{"primary": true, "type": "work", "value": %q}],
  "meta": {"resourceType": "User"}, "roles": [],
  "name": {"formatted": %q, "familyName": %q, "givenName": %q},
  "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Finance"},
  "urn:ietf:params:scim:schemas:extension:contractor:2.0:User": {"country": "DE", "supplier": "Northwind", "workerId": "NW-77", "sponsorEmail": "sponsor@contoso.example", "endDate": %q}
}`, mail, given+" "+family, title, mail, given+" "+family, family, given, end.UTC().Format(time.RFC3339))
}

// entraExtend moves the end as the Entra provisioning service does: capitalised op, full URN path.
func entraExtend(end time.Time) string {
	return fmt.Sprintf(`{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
  {"op": "Replace", "path": "urn:ietf:params:scim:schemas:extension:contractor:2.0:User:endDate", "value": %q}]}`, end.UTC().Format(time.RFC3339))
}

// oktaDeactivate ends a user as Okta does: no path, a Boolean in an object.
func oktaDeactivate() string {
	return `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "value": {"active": false}}]}`
}

// rippling writes core attributes and what its app maps into the contractor extension.
func rippling(mail, given, family, title string, end time.Time) string {
	return fmt.Sprintf(`{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
  "userName": %q, "active": true, "title": %q,
  "name": {"givenName": %q, "familyName": %q},
  "emails": [{"value": %q, "primary": true}],
  "urn:ietf:params:scim:schemas:extension:contractor:2.0:User": {"supplier": "Fabrikam Staffing", "workerId": "RP-9", "sponsorEmail": "sponsor@contoso.example", "endDate": %q}
}`, mail, title, given, family, mail, end.UTC().Format(time.RFC3339))
}
