package emulator

import (
	"encoding/json"
	"iter"
	"maps"
	"time"
)

// logStore holds the audit log of the directory and the sign-in log.
type logStore struct {
	audits  journal
	signIns journal
	// activity is the signInActivity of each user.
	activity map[string]map[string]any
}

// logEntry can be read from a moment after what it tells. It is rendered when it is
// read: storms write far more than anybody reads.
type logEntry struct {
	id           string
	at, readable time.Time
	render       func() map[string]any
}

// journal keeps entries for the documented 30 days, and not more than maxLog of them.
type journal struct {
	first   int // position of entries[0]
	entries []logEntry
}

const (
	logRetention = 30 * 24 * time.Hour
	maxLog       = 100_000
)

func (j *journal) add(e logEntry) {
	old := 0
	for old < len(j.entries) && (len(j.entries)-old >= maxLog || e.at.Sub(j.entries[old].at) > logRetention) {
		old++
	}
	j.entries = append(j.entries[old:], e)
	j.first += old
}

// target describes a user or group in a log entry.
type target struct{ id, name, upn, typ string }

func (u *user) target() target {
	return target{u.id, text(u.props, "displayName"), text(u.props, "userPrincipalName"), "User"}
}

func (g *group) target() target {
	return target{id: g.id, name: text(g.props, "displayName"), typ: "Group"}
}

func (t *tenant) targetOf(id string) target {
	if u := t.users.byID[id]; u != nil {
		return u.target()
	}
	if g := t.groups.byID[id]; g != nil {
		return g.target()
	}
	return target{id: id, typ: "Other"}
}

// modified is one changed property; the values are JSON inside text, as the service writes them.
func modified(name string, before, after any) map[string]any {
	return map[string]any{"displayName": name, "oldValue": jsonText(before), "newValue": jsonText(after)}
}

func jsonText(v any) string {
	raw, err := json.Marshal([]any{v})
	if v == nil || err != nil {
		return "[]"
	}
	return string(raw)
}

// audit writes an entry. A nil token means the service itself did it.
func (t *tenant) audit(activity, category string, by *token, changed []any, targets ...target) {
	t.auditBy(serviceOf(activity), activity, category, by, changed, targets...)
}

func serviceOf(activity string) string {
	if activity == "Invite external user" {
		return "Invited Users"
	}
	return "Core Directory"
}

func (t *tenant) auditBy(service, activity, category string, by *token, changed []any, targets ...target) {
	app := map[string]any{"appId": nil, "displayName": "Microsoft Entra " + service, "servicePrincipalId": nil, "servicePrincipalName": nil}
	if by != nil {
		app = map[string]any{"appId": by.AppID, "displayName": appDisplayName, "servicePrincipalId": by.ObjectID, "servicePrincipalName": nil}
	}
	id, at := t.dice.newID("audit", activity), t.present
	t.logs.audits.add(logEntry{id, at, at.Add(t.dice.upTo(t.cfg.AuditDelay, "audit", activity)), func() map[string]any {
		return map[string]any{
			"id": id, "activityDateTime": stamp(at), "activityDisplayName": activity, "category": category, "correlationId": id,
			"loggedByService": service, "operationType": operationType(activity), "result": "success", "resultReason": "",
			"initiatedBy":     map[string]any{"app": app, "user": nil},
			"targetResources": targetResources(targets, changed), "additionalDetails": []any{},
		}
	}})
}

func targetResources(targets []target, changed []any) []any {
	var list []any
	for _, tg := range targets {
		r := map[string]any{
			"id": tg.id, "displayName": nilIfEmpty(tg.name), "type": tg.typ, "userPrincipalName": nilIfEmpty(tg.upn),
			"groupType": nil, "modifiedProperties": []any{},
		}
		if tg.typ == "Group" {
			r["groupType"] = "azureAD"
		}
		if len(list) == 0 && changed != nil {
			r["modifiedProperties"] = changed
		}
		list = append(list, r)
	}
	return list
}

func operationType(activity string) string {
	switch activity {
	case "Add user", "Invite external user":
		return "Add"
	case "Delete user", "Hard Delete user":
		return "Delete"
	case "Add member to group":
		return "Assign"
	case "Remove member from group":
		return "Unassign"
	}
	return "Update"
}

func nilIfEmpty(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// newestFirst yields readable entries, newest first, with a position that does not
// move when entries are added.
func (j *journal) newestFirst(now time.Time) func(int) iter.Seq[row] {
	return func(after int) iter.Seq[row] {
		start := len(j.entries) - 1
		if after >= 0 {
			start = after - j.first - 1
		}
		return func(yield func(row) bool) {
			for i := start; i >= 0; i-- {
				if j.entries[i].readable.After(now) {
					continue
				}
				if !yield(row{j.first + i, j.entries[i].render()}) {
					return
				}
			}
		}
	}
}

func listAudits(c *call) (answer, error) {
	return c.list(listing{
		context: "auditLogs/directoryAudits", typ: "directoryAudit", rows: c.t.logs.audits.newestFirst(c.now),
		project: func(o map[string]any) (map[string]any, error) { return c.selected(o, nil), nil },
	})
}

func listSignIns(c *call) (answer, error) {
	return c.list(listing{
		context: "auditLogs/signIns", typ: "signIn", rows: c.t.logs.signIns.newestFirst(c.now),
		project: func(o map[string]any) (map[string]any, error) {
			if !c.allowed("Policy.Read.All", "Policy.Read.ConditionalAccess", "Policy.ReadWrite.ConditionalAccess") {
				o = maps.Clone(o)
				o["appliedConditionalAccessPolicies"] = []any{}
			}
			return c.selected(o, nil), nil
		},
	})
}

func getAudit(c *call) (answer, error) {
	return c.logEntry(c.t.logs.audits, "auditLogs/directoryAudits")
}

func getSignIn(c *call) (answer, error) { return c.logEntry(c.t.logs.signIns, "auditLogs/signIns") }

func (c *call) logEntry(j journal, context string) (answer, error) {
	for _, e := range j.entries {
		if e.id == c.params["id"] && !e.readable.After(c.now) {
			return ok(c.with(context+"/$entity", c.selected(e.render(), nil)))
		}
	}
	return answer{}, notFound(c.params["id"])
}

// withActivity adds signInActivity, which is absent for users who never signed in.
func (l *logStore) withActivity(id string, props map[string]any) map[string]any {
	a := l.activity[id]
	if a == nil {
		return props
	}
	out := maps.Clone(props)
	out["signInActivity"] = a
	return out
}
