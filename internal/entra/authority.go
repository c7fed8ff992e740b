package entra

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// authority makes the Azure identity library content with any token endpoint that speaks the client credentials grant, where
// Config.LoginURL names one: the library insists on an OpenID discovery document, and asks for OpenID scopes that have no
// meaning in this grant and that a strict server refuses. Microsoft's own login services are never behind it.
type authority struct{ base http.RoundTripper }

const (
	discoveryPath = "/v2.0/.well-known/openid-configuration"
	tokenPath     = "/oauth2/v2.0/token" //nolint:gosec // a path, no credential
	maxDiscovery  = 1 << 20
)

// RoundTrip implements http.RoundTripper.
func (a authority) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, discoveryPath):
		return a.discover(req)
	case req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, tokenPath) && req.Body != nil:
		return a.token(req)
	}
	return a.base.RoundTrip(req)
}

// discover passes a discovery document on, and writes one where the server has none.
func (a authority) discover(req *http.Request) (*http.Response, error) {
	resp, err := a.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDiscovery))
	resp.Body.Close() //nolint:errcheck // read as far as it goes
	var doc struct {
		Authorize string `json:"authorization_endpoint"`
		Token     string `json:"token_endpoint"`
		Issuer    string `json:"issuer"`
	}
	if err == nil && resp.StatusCode == http.StatusOK && json.Unmarshal(body, &doc) == nil && doc.Authorize != "" && doc.Token != "" && doc.Issuer != "" {
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp, nil
	}
	tenant := req.URL.Scheme + "://" + req.URL.Host + strings.TrimSuffix(req.URL.EscapedPath(), discoveryPath)
	body, err = json.Marshal(map[string]string{
		"issuer": tenant + "/v2.0", "authorization_endpoint": tenant + "/oauth2/v2.0/authorize", "token_endpoint": tenant + tokenPath,
	})
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)), Request: req,
	}, nil
}

// token reduces the scope to the resource's own.
func (a authority) token(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxSecretFile))
	req.Body.Close() //nolint:errcheck // read as far as it goes
	if err != nil {
		return nil, err
	}
	if form, err := url.ParseQuery(string(body)); err == nil {
		for scope := range strings.FieldsSeq(form.Get("scope")) {
			if strings.HasSuffix(scope, "/.default") {
				form.Set("scope", scope)
				body = []byte(form.Encode())
				break
			}
		}
	}
	out := req.Clone(req.Context())
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.ContentLength = int64(len(body))
	out.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return a.base.RoundTrip(out)
}
