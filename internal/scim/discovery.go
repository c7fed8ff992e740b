package scim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/elimity-com/scim/schema"

	"scimbridge/internal/contractor"
)

// discovery is what the door says about itself (RFC 7644 section 4), rendered once but for the address.
type discovery struct {
	config    json.RawMessage // without authenticationSchemes
	ways      [4]json.RawMessage
	schemas   []described
	resources []described
}

// described is one Schema or ResourceType without its meta.
type described struct {
	id   string // also the last part of its address
	body json.RawMessage
}

type supported struct {
	Supported bool `json:"supported"`
}

func newDiscovery(d *Door) (*discovery, error) {
	out := &discovery{}
	var err error
	if out.config, err = json.Marshal(d.config()); err != nil {
		return nil, fmt.Errorf("scim: service provider configuration: %w", err)
	}
	for w, body := range ways() {
		if out.ways[w], err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("scim: authentication scheme: %w", err)
		}
	}
	for _, t := range []*resourceType{d.users, d.group} {
		for _, s := range t.schemas {
			b, err := json.Marshal(schemaBody(s))
			if err != nil {
				return nil, fmt.Errorf("scim: schema %s: %w", s.ID, err)
			}
			out.schemas = append(out.schemas, described{s.ID, b})
		}
		b, err := json.Marshal(typeBody(t))
		if err != nil {
			return nil, fmt.Errorf("scim: resource type %s: %w", t.name, err)
		}
		out.resources = append(out.resources, described{t.name, b})
	}
	return out, nil
}

func (d *Door) config() map[string]any {
	l := d.limits
	return map[string]any{
		"schemas":        []string{"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"},
		"patch":          supported{true},
		"bulk":           map[string]any{"supported": true, "maxOperations": l.BulkOps, "maxPayloadSize": l.BulkBody},
		"filter":         map[string]any{"supported": true, "maxResults": l.MaxPage},
		"changePassword": supported{false},
		"sort":           supported{true},
		"etag":           supported{true},
		"pagination": map[string]any{ // RFC 9865 section 4
			"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": l.Page, "maxPageSize": l.MaxPage,
		},
	}
}

// The ways to sign in.
const (
	byToken       = iota // alone
	byAccessToken        // or by a token of ours
	byBasic
	byCertificate
)

// ways describes each.
func ways() [4]map[string]any {
	bearer := func(description string) map[string]any {
		return map[string]any{
			"type": "oauthbearertoken", "name": "Bearer token", "primary": true, "specUri": "https://www.rfc-editor.org/info/rfc6750", "description": description,
		}
	}
	return [4]map[string]any{
		byToken:       bearer("The token that the customer gave to the vendor, in the Authorization header."),
		byAccessToken: bearer("The token that the customer gave to the vendor, or an access token of the issuer agreed on, in the Authorization header."),
		byBasic: {
			"type": "httpbasic", "name": "HTTP Basic", "primary": false, "specUri": "https://www.rfc-editor.org/info/rfc7617",
			"description": "The vendor's name as user, its token as password, where the customer has agreed to it.",
		},
		byCertificate: {
			"type": "tls", "name": "TLS client certificate", "primary": false, "specUri": "https://www.rfc-editor.org/info/rfc8446",
			"description": "A client certificate whose subject the customer has named.",
		},
	}
}

// withWays adds how somebody can sign in here, by the mapping in force; which way one vendor may use, the customer tells it.
func (d *Door) withWays(b []byte) []byte {
	bearer, basic, certificate := byToken, false, false
	for v := range d.signIns.all {
		if v.SignIn.JWT != nil {
			bearer = byAccessToken
		}
		basic = basic || v.SignIn.Basic
		certificate = certificate || len(v.SignIn.Certificates) > 0
	}
	b = append(b, d.shown.config[:len(d.shown.config)-1]...)
	b = append(append(b, `,"authenticationSchemes":[`...), d.shown.ways[bearer]...)
	if basic {
		b = append(append(b, ','), d.shown.ways[byBasic]...)
	}
	if certificate {
		b = append(append(b, ','), d.shown.ways[byCertificate]...)
	}
	return append(b, ']', '}')
}

func schemaBody(s schema.Schema) map[string]any {
	m := s.ToMap()
	m["schemas"] = []string{"urn:ietf:params:scim:schemas:core:2.0:Schema"}
	return m
}

func typeBody(t *resourceType) map[string]any {
	ext := []map[string]any{}
	for _, urn := range t.extensions {
		ext = append(ext, map[string]any{"schema": urn, "required": false})
	}
	return map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"},
		"id":      t.name, "name": t.name, "endpoint": t.endpoint, "schema": t.urn, "schemaExtensions": ext,
		"description": t.schemas[0].Description.Value(),
	}
}

// withMeta adds meta behind a rendered object.
func withMeta(b, body []byte, kind, location string) []byte {
	b = append(b, body[:len(body)-1]...)
	b = appendString(append(b, `,"meta":{"resourceType":`...), kind)
	return append(appendString(append(b, `,"location":`...), location), '}', '}')
}

// refuseFilter is RFC 7644 section 4: discovery takes no filter; other parameters of a search are ignored.
func (k *call) refuseFilter() error {
	if k.QueryParam("filter") != "" {
		return contractor.Errorf(contractor.CodeForbidden, "discovery cannot be filtered; read it whole")
	}
	return nil
}

func (k *call) providerConfig() error {
	if err := k.refuseFilter(); err != nil {
		return err
	}
	return k.send(http.StatusOK, withMeta(nil, k.door.withWays(nil), "ServiceProviderConfig", k.door.baseURL(k.Request())+"/ServiceProviderConfig"))
}

func (k *call) schemas() error { return k.describe(k.door.shown.schemas, "Schema", "/Schemas/") }
func (k *call) resourceTypes() error {
	return k.describe(k.door.shown.resources, "ResourceType", "/ResourceTypes/")
}

func (k *call) describe(all []described, kind, place string) error {
	if err := k.refuseFilter(); err != nil {
		return err
	}
	b := listHead(nil, len(all), 1, len(all), &query{}, "")
	for i, s := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = withMeta(b, s.body, kind, k.door.baseURL(k.Request())+place+s.id)
	}
	return k.send(http.StatusOK, append(b, ']', '}'))
}

func (k *call) schema() error { return k.describeOne(k.door.shown.schemas, "Schema", "/Schemas/") }
func (k *call) resourceTypeByName() error {
	return k.describeOne(k.door.shown.resources, "ResourceType", "/ResourceTypes/")
}

func (k *call) describeOne(all []described, kind, place string) error {
	for _, s := range all {
		if strings.EqualFold(s.id, k.Param("id")) {
			return k.send(http.StatusOK, withMeta(nil, s.body, kind, k.door.baseURL(k.Request())+place+s.id))
		}
	}
	return contractor.Errorf(contractor.CodeNotFound, "there is no %s %q", kind, k.Param("id"))
}
