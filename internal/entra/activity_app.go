package entra

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"scimbridge/internal/contractor"
)

// AppID is the application id under which Entra knows this client, as its own access token says (appid): the one that the audit
// log names for what the bridge does, also where a managed identity has no id in the configuration.
func (c *Client) AppID(ctx context.Context) (string, error) {
	const op = "read own application id"
	token, err := c.auth.current(ctx, "")
	if err != nil {
		return "", &contractor.Failure{Op: op, Verdict: contractor.VerdictRetry, Message: "no access token could be fetched; trying again", Cause: err}
	}
	parts := strings.Split(token, ".")
	var claims struct {
		AppID string `json:"appid"`
		AZP   string `json:"azp"` // in tokens of version 2
	}
	if len(parts) == 3 {
		if raw, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(raw, &claims) // what cannot be read names nobody
		}
	}
	switch {
	case isGUID(claims.AppID):
		return strings.ToLower(claims.AppID), nil
	case isGUID(claims.AZP):
		return strings.ToLower(claims.AZP), nil
	}
	return "", wrong(op, "the access token does not name its application; set entra.client_id")
}
