package emulator

import (
	"errors"
	"time"
)

// LoggedChange is what somebody did in the portal, as the audit log tells it. The Do
// methods change the tenant and leave entries of the service itself; this leaves the
// entry of a person and changes nothing.
type LoggedChange struct {
	Activity string        // such as "Update user"
	Category string        // default UserManagement
	Service  string        // default Core Directory
	UserID   string        // who did it
	UserUPN  string        // default admin@ and the initial domain
	Targets  []string      // object ids
	Late     time.Duration // until the entry can be read, besides Config.AuditDelay
}

// LogChange writes the entry and returns its id.
func (e *Emulator) LogChange(c LoggedChange) (string, error) {
	id := ""
	err := e.do(func(t *tenant) error {
		if c.Activity == "" || c.UserID == "" {
			return errors.New("a logged change needs an activity and a user")
		}
		var targets []target
		for _, target := range c.Targets {
			targets = append(targets, t.targetOf(canonical(target)))
		}
		service, category := or(c.Service, "Core Directory"), or(c.Category, "UserManagement")
		by := map[string]any{"id": c.UserID, "displayName": nil, "userPrincipalName": or(c.UserUPN, "admin@"+t.cfg.InitialDomain), "ipAddress": "198.51.100.9"}
		at := t.present
		id = t.dice.newID("audit", c.Activity)
		t.logs.audits.add(logEntry{id, at, at.Add(c.Late + t.dice.upTo(t.cfg.AuditDelay, "audit", c.Activity)), func() map[string]any {
			return map[string]any{
				"id": id, "activityDateTime": stamp(at), "activityDisplayName": c.Activity, "category": category, "correlationId": id,
				"loggedByService": service, "operationType": operationType(c.Activity), "result": "success", "resultReason": "",
				"initiatedBy": map[string]any{"app": nil, "user": by}, "targetResources": targetResources(targets, nil), "additionalDetails": []any{},
			}
		}})
		return nil
	})
	return id, err
}
