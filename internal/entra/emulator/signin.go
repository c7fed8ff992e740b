package emulator

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// SignIn is an attempt of a person to get in.
type SignIn struct {
	UserID    string `json:"userId"`
	AppID     string `json:"appId"`     // default a sample application
	App       string `json:"app"`       // its name
	Country   string `json:"country"`   // two letters, default DE
	IP        string `json:"ip"`        // default 203.0.113.7
	ClientApp string `json:"clientApp"` // Browser (default), Mobile Apps and Desktop clients, Exchange ActiveSync, Other clients
	MFA       bool   `json:"mfa"`       // the person can do multifactor authentication
	Risk      string `json:"risk"`      // sign-in risk: none (default), low, medium, high
}

// SignInResult says whether the person got in, and why not.
type SignInResult struct {
	Allowed   bool      `json:"allowed"`
	ErrorCode int       `json:"errorCode"` // AADSTS
	Reason    string    `json:"reason,omitempty"`
	Until     time.Time `json:"until"` // end of the access token that was issued
	LogID     string    `json:"logId"`
}

// AccessToken is a token that a person holds. Neither disabling nor revoking ends it:
// continuous access evaluation does not cover guests.
type AccessToken struct {
	UserID string    `json:"userId"`
	AppID  string    `json:"appId"`
	Issued time.Time `json:"issued"`
	Until  time.Time `json:"until"`
}

// guestTokenLife is the default lifetime of an access token.
const guestTokenLife = time.Hour

// SignIn plays an attempt, writes it to the sign-in log and says whether it would get
// in: the account must exist and be enabled, and conditional access must let it pass.
func (e *Emulator) SignIn(s SignIn) (SignInResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.settled()
	s.AppID, s.App = or(s.AppID, "00000002-0000-0ff1-ce00-000000000000"), or(s.App, "Sample application")
	s.Country, s.IP, s.ClientApp, s.Risk = or(s.Country, "DE"), or(s.IP, "203.0.113.7"), or(s.ClientApp, "Browser"), or(s.Risk, "none")
	u := t.users.byID[s.UserID]
	if u == nil {
		return SignInResult{ErrorCode: 50034, Reason: "The user account does not exist in the directory."}, nil
	}
	if net.ParseIP(s.IP) == nil {
		return SignInResult{}, fmt.Errorf("emulator: %q is not an IP address", s.IP)
	}
	r := SignInResult{LogID: t.dice.newID("sign-in", u.id)}
	var applied []any
	caStatus := "notApplied"
	switch {
	case !u.deleted.IsZero():
		r.ErrorCode, r.Reason = 50034, "The user account does not exist in the directory."
	case u.props["accountEnabled"] == false:
		r.ErrorCode, r.Reason = 50057, "The user account is disabled."
	default:
		applied, caStatus, r.ErrorCode, r.Reason = t.evaluate(u, s)
	}
	r.Allowed = r.ErrorCode == 0
	if r.Allowed {
		r.Until = t.present.Add(guestTokenLife)
		t.access = append(slices.DeleteFunc(t.access, func(a AccessToken) bool { return a.Until.Before(t.present) }),
			AccessToken{UserID: u.id, AppID: s.AppID, Issued: t.present, Until: r.Until})
	}
	t.logSignIn(u, s, r, applied, caStatus)
	return r, nil
}

// TokenAlive reports whether a person still holds a token for an application, and until
// when. It is what a service that only looks at the token would say.
func (e *Emulator) TokenAlive(userID, appID string) (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.settled()
	var until time.Time
	for _, a := range t.access {
		if a.UserID == userID && (appID == "" || a.AppID == appID) && a.Until.After(until) {
			until = a.Until
		}
	}
	return until, until.After(t.present)
}

func (t *tenant) logSignIn(u *user, s SignIn, r SignInResult, applied []any, caStatus string) {
	upn := or(text(u.props, "mail"), text(u.props, "userPrincipalName"))
	home := t.cfg.TenantID
	if text(u.props, "userType") == "Guest" {
		_, domain, _ := strings.Cut(upn, "@")
		home = newDice(0).newID("home tenant", lower(domain))
	}
	at := t.present
	failure := any("Other.")
	if r.Reason != "" {
		failure = r.Reason
	}
	t.logs.signIns.add(logEntry{r.LogID, at, at.Add(t.dice.upTo(t.cfg.AuditDelay, "sign-in", u.id)), func() map[string]any {
		return map[string]any{
			"id": r.LogID, "createdDateTime": stamp(at), "userId": u.id, "userPrincipalName": lower(upn), "userDisplayName": u.props["displayName"],
			"appId": s.AppID, "appDisplayName": s.App, "clientAppUsed": s.ClientApp, "ipAddress": s.IP, "isInteractive": true,
			"correlationId": r.LogID, "conditionalAccessStatus": caStatus, "appliedConditionalAccessPolicies": applied,
			"homeTenantId": home, "resourceTenantId": t.cfg.TenantID, "resourceDisplayName": s.App, "resourceId": s.AppID,
			"location":   map[string]any{"city": nil, "state": nil, "countryOrRegion": s.Country, "geoCoordinates": map[string]any{"altitude": nil, "latitude": nil, "longitude": nil}},
			"status":     map[string]any{"errorCode": r.ErrorCode, "failureReason": failure, "additionalDetails": nil},
			"riskDetail": "none", "riskLevelAggregated": s.Risk, "riskLevelDuringSignIn": s.Risk, "riskState": "none", "riskEventTypes": []any{}, "riskEventTypes_v2": []any{},
			"deviceDetail": map[string]any{"deviceId": "", "displayName": "", "operatingSystem": "Windows", "browser": "Edge", "isCompliant": false, "isManaged": false, "trustType": ""},
		}
	}})
	if t.logs.activity == nil {
		t.logs.activity = map[string]map[string]any{}
	}
	next := map[string]any{
		"lastSignInDateTime": stamp(at), "lastSignInRequestId": r.LogID,
		"lastNonInteractiveSignInDateTime": nil, "lastNonInteractiveSignInRequestId": nil,
		"lastSuccessfulSignInDateTime": nil, "lastSuccessfulSignInRequestId": nil,
	}
	if old := t.logs.activity[u.id]; old != nil {
		next["lastSuccessfulSignInDateTime"], next["lastSuccessfulSignInRequestId"] = old["lastSuccessfulSignInDateTime"], old["lastSuccessfulSignInRequestId"]
	}
	if r.Allowed {
		next["lastSuccessfulSignInDateTime"], next["lastSuccessfulSignInRequestId"] = stamp(at), r.LogID
	}
	t.logs.activity[u.id] = next
}
