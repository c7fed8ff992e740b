package entra

import (
	"context"
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// reportsTimeout bounds one page of a log: a thousand sign-ins take Graph up to half a minute.
const reportsTimeout = 60 * time.Second

type signIn struct {
	ID         string    `json:"id"`
	Created    time.Time `json:"createdDateTime"`
	UserID     string    `json:"userId"`
	AppID      string    `json:"appId"`
	AppName    string    `json:"appDisplayName"`
	ClientApp  string    `json:"clientAppUsed"`
	IPAddress  string    `json:"ipAddress"`
	HomeTenant string    `json:"homeTenantId"`
	RiskLevel  string    `json:"riskLevelDuringSignIn"`
	Status     struct {
		ErrorCode     int    `json:"errorCode"`
		FailureReason string `json:"failureReason"`
	} `json:"status"`
	Location struct {
		Country string `json:"countryOrRegion"`
	} `json:"location"`
	Device struct {
		DeviceID        string `json:"deviceId"`
		DisplayName     string `json:"displayName"`
		OperatingSystem string `json:"operatingSystem"`
		TrustType       string `json:"trustType"`
		IsCompliant     *bool  `json:"isCompliant"`
	} `json:"deviceDetail"`
	Policies []struct {
		ID     string `json:"id"`
		Result string `json:"result"`
	} `json:"appliedConditionalAccessPolicies"`
}

type directoryAudit struct {
	ID          string    `json:"id"`
	At          time.Time `json:"activityDateTime"`
	What        string    `json:"activityDisplayName"`
	Service     string    `json:"loggedByService"`
	Result      string    `json:"result"`
	Reason      string    `json:"resultReason"`
	InitiatedBy struct {
		User *struct {
			ID   string `json:"id"`
			Name string `json:"userPrincipalName"`
			IP   string `json:"ipAddress"`
		} `json:"user"`
		App *struct {
			AppID string `json:"appId"`
			Name  string `json:"displayName"`
		} `json:"app"`
	} `json:"initiatedBy"`
	Targets []struct {
		ID         string `json:"id"`
		Type       string `json:"type"`
		Properties []struct {
			Name string `json:"displayName"`
		} `json:"modifiedProperties"`
	} `json:"targetResources"`
}

// Activity reads one page of a log, newest first, as far as Graph tells it by now (entries come minutes late, and not in
// order): everything between the two instants, both to the second and inclusive, or what follows where more is the link that the
// page before gave. guest narrows the page to one user; "" is everybody, since the logs cannot be filtered by user type. An entry
// may come more than once; its ID tells.
//
// The reports service takes five requests in ten seconds; the budget spaces them.
func (c *Client) Activity(ctx context.Context, log contractor.ActivityLog, from, to time.Time, guest, more string) (entries []contractor.Activity, next string, err error) {
	k := &call{method: http.MethodGet, again: true, needs: "AuditLog.Read.All", timeout: reportsTimeout, cost: cost{lane: laneReports}, link: more}
	between := func(property string) string {
		return property + " ge " + graphTime(from) + " and " + property + " le " + graphTime(to.Add(time.Second-time.Nanosecond))
	}
	if guest != "" && !isGUID(guest) {
		return nil, "", wrong("read log", "the guest's object id is not a GUID")
	}
	switch log {
	case contractor.LogSignIns:
		k.op = "read sign-ins"
		filter := between("createdDateTime")
		if guest != "" {
			filter += " and userId eq " + quote(guest)
		}
		if more == "" {
			k.path, k.query = "/auditLogs/signIns", query("$filter", filter)
		}
		return page(ctx, c, k, (*signIn).activity)
	case contractor.LogAudits:
		k.op = "read audit log"
		filter := between("activityDateTime")
		if guest != "" {
			filter += " and targetResources/any(t:t/id eq " + quote(guest) + ")"
		}
		if more == "" {
			k.path, k.query = "/auditLogs/directoryAudits", query("$filter", filter)
		}
		return page(ctx, c, k, (*directoryAudit).activity)
	}
	return nil, "", wrong("read log", "there is no log "+string(log))
}

// page reads one page of a log and puts it into our words.
func page[T any](ctx context.Context, c *Client, k *call, word func(*T) contractor.Activity) ([]contractor.Activity, string, error) {
	var answer struct {
		Value    []T    `json:"value"`
		NextLink string `json:"@odata.nextLink"`
	}
	if _, err := c.do(ctx, k, &answer); err != nil {
		return nil, "", err
	}
	entries := make([]contractor.Activity, len(answer.Value))
	for i := range answer.Value {
		entries[i] = word(&answer.Value[i])
	}
	return entries, answer.NextLink, nil
}

func (s *signIn) activity() contractor.Activity {
	a := contractor.Activity{
		Log: contractor.LogSignIns, ID: s.ID, At: s.Created.UTC(), Guest: strings.ToLower(s.UserID), What: s.AppName,
		OK: s.Status.ErrorCode == 0, Code: s.Status.ErrorCode, Reason: s.Status.FailureReason,
		AppID: s.AppID, ClientApp: s.ClientApp, IP: s.IPAddress, Country: s.Location.Country, HomeTenant: strings.ToLower(s.HomeTenant),
		Risk: s.RiskLevel, Platform: platform(s.Device.OperatingSystem),
	}
	if a.OK {
		a.Reason = "" // "Other." and the like
	}
	if d := s.Device; d.DeviceID != "" {
		a.Device = map[string]string{"deviceId": d.DeviceID, "displayName": d.DisplayName, "operatingSystem": d.OperatingSystem, "trustType": d.TrustType}
		if d.IsCompliant != nil {
			a.Device["isCompliant"] = "False"
			if *d.IsCompliant {
				a.Device["isCompliant"] = "True"
			}
		}
	}
	for _, p := range s.Policies {
		if p.Result == "" || p.Result == "notApplied" || p.Result == "notEnabled" || p.Result == "reportOnlyNotApplied" {
			continue
		}
		if a.Policies == nil {
			a.Policies = map[string]string{}
		}
		a.Policies[strings.ToLower(p.ID)] = p.Result
	}
	return a
}

// platform turns the log's operating system ("Windows 10", "Ios 17.1") into conditional access's word; "" if it has none.
func platform(system string) string {
	s := strings.ToLower(strings.ReplaceAll(system, " ", ""))
	switch {
	case strings.HasPrefix(s, "windowsphone"):
		return "windowsPhone"
	case strings.HasPrefix(s, "windows"):
		return "windows"
	case strings.HasPrefix(s, "ios"), strings.HasPrefix(s, "ipados"):
		return "iOS"
	case strings.HasPrefix(s, "macos"), strings.HasPrefix(s, "osx"):
		return "macOS"
	case strings.HasPrefix(s, "android"):
		return "android"
	case strings.HasPrefix(s, "linux"), strings.HasPrefix(s, "ubuntu"):
		return "linux"
	}
	return ""
}

func (d *directoryAudit) activity() contractor.Activity {
	a := contractor.Activity{
		Log: contractor.LogAudits, ID: d.ID, At: d.At.UTC(), What: d.What, OK: strings.EqualFold(d.Result, "success"), Reason: d.Reason, Service: d.Service,
	}
	seen := map[string]bool{}
	for _, t := range d.Targets {
		id := strings.ToLower(t.ID)
		a.Targets = append(a.Targets, id)
		if a.Guest == "" && strings.EqualFold(t.Type, "User") {
			a.Guest = id
		}
		for _, p := range t.Properties {
			if p.Name != "" && !seen[p.Name] {
				seen[p.Name] = true
				a.Changed = append(a.Changed, p.Name)
			}
		}
	}
	switch by := d.InitiatedBy; {
	case by.User != nil && by.User.ID != "":
		a.By, a.IP = contractor.Doer{Kind: "user", ID: strings.ToLower(by.User.ID), Name: by.User.Name}, by.User.IP
	case by.App != nil && by.App.AppID != "":
		a.By = contractor.Doer{Kind: "app", ID: strings.ToLower(by.App.AppID), Name: by.App.Name}
	case by.App != nil:
		a.By = contractor.Doer{Kind: "service", Name: by.App.Name}
	}
	return a
}
