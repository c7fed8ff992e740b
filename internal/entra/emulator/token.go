package emulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// graphAppID is the application id of Microsoft Graph in every cloud.
const graphAppID = "00000003-0000-0000-c000-000000000000"

// tokenOffice issues access tokens and judges them. Tokens are JWTs that only the
// emulator can check (HS256), since no client may look inside.
type tokenOffice struct {
	cfg    Config
	key    []byte
	roles  []string
	epoch  int    // tokens of an earlier epoch are revoked
	claims string // challenge that goes with the revocation, or ""
	refuse int    // token requests that will fail
	issued int
	spOID  string
	// known are tokens that were checked before; a client sends the same one a
	// thousand times.
	known map[string]*token
}

// maxKnown bounds the tokens that are remembered.
const maxKnown = 64

// token is what an access token says.
type token struct {
	Audience  string   `json:"aud"`
	Issuer    string   `json:"iss"`
	AppID     string   `json:"appid"`
	TenantID  string   `json:"tid"`
	ObjectID  string   `json:"oid"`
	Roles     []string `json:"roles"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
	Epoch     int      `json:"xms_epoch"`
	ID        string   `json:"uti"`
}

func newTokenOffice(cfg Config, d *dice) tokenOffice {
	key := make([]byte, 32)
	for i := range 4 {
		binary.LittleEndian.PutUint64(key[i*8:], d.draw("token key", itoa(i)))
	}
	return tokenOffice{cfg: cfg, key: key, roles: slices.Clone(cfg.Permissions), spOID: d.newID("servicePrincipal", cfg.ClientID)}
}

// issue makes a token with the permissions consented at this moment. Its life runs by
// the unmoved clock.
func (o *tokenOffice) issue(issuer, audience string, d *dice) (string, time.Duration) {
	now := o.cfg.Now()
	o.issued++
	t := token{
		Audience: audience, Issuer: issuer, AppID: o.cfg.ClientID, TenantID: o.cfg.TenantID, ObjectID: o.spOID,
		Roles: o.roles, NotBefore: now.Unix(), Expires: now.Add(o.cfg.TokenLifetime).Unix(), Epoch: o.epoch,
		ID: d.newID("token", ""),
	}
	payload, err := json.Marshal(t)
	if err != nil {
		return "", 0 // a struct of strings and numbers always marshals
	}
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(`{"typ":"JWT","alg":"HS256","kid":"emulator"}`)) + "." + enc.EncodeToString(payload)
	return signed + "." + enc.EncodeToString(o.sign(signed)), o.cfg.TokenLifetime
}

func (o *tokenOffice) sign(s string) []byte {
	m := hmac.New(sha256.New, o.key)
	m.Write([]byte(s))
	return m.Sum(nil)
}

// check reads the bearer token of a call.
func (o *tokenOffice) check(c *call) *graphError {
	if c.token != nil { // item of a batch
		return nil
	}
	bearer, ok := strings.CutPrefix(c.header.Get("Authorization"), "Bearer ")
	if !ok || bearer == "" {
		return o.unauthorized("Access token is empty.", "")
	}
	t, why := o.read(bearer)
	if why != "" {
		return o.unauthorized(why, "")
	}
	switch {
	case o.cfg.Now().Unix() >= t.Expires:
		return o.unauthorized("Lifetime validation failed, the token is expired.", "")
	case t.Epoch != o.epoch:
		return o.unauthorized("Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp", o.claims)
	}
	c.token = t
	return nil
}

func (o *tokenOffice) read(bearer string) (*token, string) {
	if t := o.known[bearer]; t != nil {
		return t, ""
	}
	signed, sig, ok := cutLast(bearer, ".")
	mac, err := base64.RawURLEncoding.DecodeString(sig)
	if !ok || err != nil || !hmac.Equal(mac, o.sign(signed)) {
		return nil, "Invalid token: the signature is invalid."
	}
	_, payload, _ := strings.Cut(signed, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	var t token
	if err != nil || json.Unmarshal(raw, &t) != nil {
		return nil, "Invalid token: the payload is malformed."
	}
	if o.known == nil || len(o.known) >= maxKnown {
		o.known = map[string]*token{}
	}
	o.known[bearer] = &t
	return &t, ""
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (o *tokenOffice) unauthorized(why, claims string) *graphError {
	e := refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "%s", why)
	challenge := `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="` + graphAppID + `"`
	if claims != "" {
		e.code = "TokenCreatedWithOutdatedPolicies"
		challenge += `, error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(claims)) + `"`
	}
	e.header = http.Header{"Www-Authenticate": {challenge}}
	return e
}

// holds returns the first alternative that the token satisfies; "A+B" needs both.
func (t *token) holds(alternatives ...string) (string, bool) {
	for _, alt := range alternatives {
		all := true
		for p := range strings.SplitSeq(alt, "+") {
			all = all && slices.Contains(t.Roles, p)
		}
		if all {
			return alt, true
		}
	}
	return "", false
}

// SetPermissions changes what the application has consent for. Tokens issued before
// keep what they say, as real ones do.
func (e *Emulator) SetPermissions(permissions ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tokens.roles = slices.Clone(permissions)
}

// RevokeTokens makes every token issued so far invalid. With a challenge the 401 asks
// for a new token by a claims challenge, as continuous access evaluation does.
func (e *Emulator) RevokeTokens(challenge bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tokens.epoch++
	e.tokens.claims = ""
	if challenge {
		e.tokens.claims = `{"access_token":{"nbf":{"essential":true,"value":"` + itoa(int(e.cfg.Now().Unix())) + `"}}}`
	}
}

// RefuseTokenRequests lets the next n requests for a token fail with 503.
func (e *Emulator) RefuseTokenRequests(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tokens.refuse = n
}
