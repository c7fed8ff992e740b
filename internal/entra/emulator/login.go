package emulator

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// assertionType is the only client_assertion_type there is (RFC 7523).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Login serves the token endpoint and the discovery documents of the tenant.
func (e *Emulator) Login() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", e.serveToken)
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", e.serveOpenID)
	mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", func(w http.ResponseWriter, _ *http.Request) {
		e.writeLogin(w, http.StatusOK, map[string]any{"keys": []any{}})
	})
	mux.HandleFunc("GET /common/discovery/instance", e.serveInstance)
	if e.cfg.ManagedIdentityHeader != "" {
		mux.HandleFunc("GET /msi/token", e.serveManagedIdentity)
	}
	return mux
}

func (e *Emulator) serveOpenID(w http.ResponseWriter, r *http.Request) {
	base := loginBase(r) + "/" + r.PathValue("tenant")
	e.writeLogin(w, http.StatusOK, map[string]any{
		"issuer":                                base + "/v2.0",
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
}

func (e *Emulator) serveInstance(w http.ResponseWriter, r *http.Request) {
	e.writeLogin(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": loginBase(r) + "/" + e.cfg.TenantID + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{
			"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host},
		}},
	})
}

func loginBase(r *http.Request) string { return "https://" + r.Host }

// oauthError is the answer of the token endpoint that says no (RFC 6749, 5.2, with
// the AADSTS codes that the service adds).
type oauthError struct {
	status int
	code   string
	sts    int
	text   string
}

func (e *Emulator) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		e.writeOAuth(w, &oauthError{http.StatusBadRequest, "invalid_request", 900144, "The request body is malformed."})
		return
	}
	e.mu.Lock()
	access, life, fail := e.grant(r)
	e.mu.Unlock()
	if fail != nil {
		e.writeOAuth(w, fail)
		return
	}
	e.writeLogin(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "access_token": access,
		"expires_in": int(life / time.Second), "ext_expires_in": int(life / time.Second),
	})
}

func (e *Emulator) grant(r *http.Request) (string, time.Duration, *oauthError) {
	o := &e.tokens
	form := r.PostForm
	tenant := r.PathValue("tenant")
	scope := form.Get("scope")
	resource, isDefault := defaultScope(scope)
	switch {
	case o.refuse > 0:
		o.refuse--
		return "", 0, &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again."}
	case !strings.EqualFold(tenant, o.cfg.TenantID) && !strings.EqualFold(tenant, o.cfg.InitialDomain):
		return "", 0, &oauthError{http.StatusBadRequest, "invalid_request", 90002, "Tenant '" + tenant + "' not found. Check to make sure you have the correct tenant ID."}
	case form.Get("grant_type") != "client_credentials":
		return "", 0, &oauthError{http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '" + form.Get("grant_type") + "'."}
	case !strings.EqualFold(form.Get("client_id"), o.cfg.ClientID):
		return "", 0, &oauthError{http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '" + form.Get("client_id") + "' was not found in the directory."}
	case !isDefault || resource == "":
		return "", 0, &oauthError{http.StatusBadRequest, "invalid_scope", 1002012, "The provided value for scope " + scope + " is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."}
	}
	if fail := o.authenticate(form.Get("client_secret"), form.Get("client_assertion_type"), form.Get("client_assertion"), loginBase(r)+r.URL.Path); fail != nil {
		return "", 0, fail
	}
	access, life := o.issue("https://sts.windows.net/"+o.cfg.TenantID+"/", resource, e.dice)
	return access, life, nil
}

// defaultScope returns the resource of the one scope that ends in /.default. The Azure
// library adds the scopes of OpenID Connect, which mean nothing here.
func defaultScope(scope string) (string, bool) {
	rest := slices.DeleteFunc(strings.Fields(scope), func(s string) bool {
		return s == "openid" || s == "offline_access" || s == "profile"
	})
	if len(rest) != 1 {
		return "", false
	}
	return strings.CutSuffix(rest[0], "/.default")
}

func (o *tokenOffice) authenticate(secret, kind, assertion, endpoint string) *oauthError {
	switch {
	case assertion != "" && secret != "":
		return &oauthError{http.StatusBadRequest, "invalid_request", 7000217, "More than one client credential was presented."}
	case assertion != "" && kind != assertionType:
		return &oauthError{http.StatusBadRequest, "invalid_request", 700213, "The client_assertion_type is not " + assertionType + "."}
	case assertion != "":
		if err := o.verifyAssertion(assertion, endpoint); err != nil {
			return &oauthError{http.StatusUnauthorized, "invalid_client", 700027, "Client assertion failed validation: " + err.Error()}
		}
		return nil
	case secret == "":
		return &oauthError{http.StatusUnauthorized, "invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}
	case subtle.ConstantTimeCompare([]byte(secret), []byte(o.cfg.ClientSecret)) != 1:
		return &oauthError{http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID."}
	}
	return nil
}

// serveManagedIdentity speaks the App Service protocol (api-version 2019-08-01), the
// only managed identity source whose address a client can be told.
func (e *Emulator) serveManagedIdentity(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Query().Get("resource")
	if r.Header.Get("X-IDENTITY-HEADER") != e.cfg.ManagedIdentityHeader || resource == "" {
		e.writeLogin(w, http.StatusBadRequest, map[string]any{"statusCode": 400, "message": "The identity header or the resource is wrong."})
		return
	}
	e.mu.Lock()
	access, life := e.tokens.issue("https://sts.windows.net/"+e.cfg.TenantID+"/", resource, e.dice)
	e.mu.Unlock()
	e.writeLogin(w, http.StatusOK, map[string]any{
		"access_token": access, "token_type": "Bearer", "resource": resource, "client_id": e.cfg.ClientID,
		"expires_on": itoa(int(e.cfg.Now().Add(life).Unix())),
	})
}

func (e *Emulator) writeOAuth(w http.ResponseWriter, f *oauthError) {
	e.writeLogin(w, f.status, map[string]any{
		"error": f.code, "error_description": fmt.Sprintf("AADSTS%d: %s", f.sts, f.text), "error_codes": []int{f.sts},
		"timestamp": e.cfg.Now().UTC().Format("2006-01-02 15:04:05Z"),
	})
}

func (e *Emulator) writeLogin(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Date", e.Now().Format(http.TimeFormat))
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the caller has gone, nobody is left to tell
}
