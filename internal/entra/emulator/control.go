package emulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// control serves /_emulator/: what a person or a test in another process can see and
// do. Requests of web pages are refused, since it has no password.
func (e *Emulator) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_emulator/{$}", func(w http.ResponseWriter, _ *http.Request) { writeControl(w, e.overview()) })
	mux.HandleFunc("GET /_emulator/state", func(w http.ResponseWriter, _ *http.Request) { writeControl(w, e.State()) })
	mux.HandleFunc("GET /_emulator/calls", func(w http.ResponseWriter, _ *http.Request) { writeControl(w, e.Calls()) })
	mux.HandleFunc("GET /_emulator/report", func(w http.ResponseWriter, _ *http.Request) { writeControl(w, e.Report()) })
	mux.HandleFunc("GET /_emulator/operations", func(w http.ResponseWriter, _ *http.Request) { writeControl(w, served()) })
	mux.HandleFunc("GET /_emulator/clock", func(w http.ResponseWriter, _ *http.Request) {
		writeControl(w, map[string]any{"now": e.Now()})
	})
	mux.HandleFunc("POST /_emulator/clock", controlled(func(in struct{ Advance text2duration }) (any, error) {
		err := e.AdvanceClock(time.Duration(in.Advance))
		return map[string]any{"now": e.Now()}, err
	}))
	mux.HandleFunc("POST /_emulator/faults", controlled(func(in faultRequest) (any, error) { return nil, e.Fail(in.fault()) }))
	mux.HandleFunc("DELETE /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		e.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /_emulator/outage", controlled(func(in struct {
		For    text2duration
		Status int
	}) (any, error) {
		e.Outage(time.Duration(in.For), in.Status)
		return nil, nil
	}))
	mux.HandleFunc("POST /_emulator/tokens/revoke", controlled(func(in struct{ Challenge bool }) (any, error) {
		e.RevokeTokens(in.Challenge)
		return nil, nil
	}))
	mux.HandleFunc("POST /_emulator/permissions", controlled(func(in struct{ Permissions []string }) (any, error) {
		e.SetPermissions(in.Permissions...)
		return nil, nil
	}))
	mux.HandleFunc("POST /_emulator/signin", controlled(func(in SignIn) (any, error) { return e.SignIn(in) }))
	mux.HandleFunc("POST /_emulator/users", controlled(func(in UserSeed) (any, error) {
		id, err := e.AddUser(in)
		return map[string]string{"id": id}, err
	}))
	mux.HandleFunc("POST /_emulator/groups", controlled(func(in GroupSeed) (any, error) {
		id, err := e.AddGroup(in)
		return map[string]string{"id": id}, err
	}))
	mux.HandleFunc("POST /_emulator/packages", controlled(func(in PackageSeed) (any, error) {
		pkg, policy, err := e.AddAccessPackage(in)
		return map[string]string{"id": pkg, "policyId": policy}, err
	}))
	mux.HandleFunc("POST /_emulator/roles", controlled(func(in struct {
		Name  string
		Users []string
	}) (any, error) {
		id, err := e.AddDirectoryRole(in.Name, in.Users...)
		return map[string]string{"id": id}, err
	}))
	mux.HandleFunc("POST /_emulator/do", controlled(func(in drift) (any, error) { return nil, e.drift(in) }))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			http.Error(w, "emulator: the control endpoints do not serve web pages", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (e *Emulator) overview() any {
	c := e.Config()
	return map[string]any{
		"tenantId": c.TenantID, "clientId": c.ClientID, "initialDomain": c.InitialDomain, "verifiedDomains": c.VerifiedDomains,
		"seed": c.Seed, "now": e.Now(), "pageSize": c.PageSize, "lag": c.Lag.String(), "unknowns": c.Unknowns,
		"endpoints": []string{
			"GET state", "GET calls", "GET report", "GET operations", "GET clock", "POST clock", "POST faults", "DELETE faults", "POST outage",
			"POST tokens/revoke", "POST permissions", "POST signin", "POST users", "POST groups", "POST packages", "POST roles", "POST do",
		},
	}
}

// served lists the operations with the permissions that allow them.
func served() []map[string]any {
	var out []map[string]any
	for _, op := range operations() {
		out = append(out, map[string]any{
			"id": op.id, "method": op.method, "path": op.path, "permissions": op.permissions, "delegatedOnly": op.delegated, "success": op.success,
		})
	}
	return out
}

// drift is a change behind the bridge's back, named as the Do methods are.
type drift struct {
	Action     string            `json:"action"`
	User       string            `json:"user"`
	Group      string            `json:"group"`
	Request    string            `json:"request"`
	Assignment string            `json:"assignment"`
	Package    string            `json:"package"`
	End        time.Time         `json:"end"`
	Approve    bool              `json:"approve"`
	Failures   []DeliveryFailure `json:"failures"`
	Properties map[string]any    `json:"properties"`
}

func (e *Emulator) drift(d drift) error {
	switch d.Action {
	case "redeem":
		return e.DoRedeem(d.User)
	case "update":
		return e.DoUpdate(d.User, d.Properties)
	case "enable":
		return e.DoEnable(d.User)
	case "disable":
		return e.DoDisable(d.User)
	case "addMember":
		return e.DoAddMember(d.Group, d.User)
	case "removeMember":
		return e.DoRemoveMember(d.Group, d.User)
	case "extendSchedule":
		return e.DoExtendSchedule(d.Group, d.User, d.End)
	case "delete":
		return e.DoDelete(d.User)
	case "restore":
		return e.DoRestore(d.User)
	case "purge":
		return e.DoPurge(d.User)
	case "deleteGroup":
		return e.DoDeleteGroup(d.Group)
	case "setGroup":
		return e.DoSetGroup(d.Group, d.Properties)
	case "failDeliveries":
		return e.DoFailDeliveries(d.Package, d.Failures...)
	case "decide":
		return e.DoDecide(d.Request, d.Approve)
	case "endAssignment":
		return e.DoEndAssignment(d.Assignment)
	}
	return errors.New("emulator: the action \"" + d.Action + "\" is unknown; docs/emulator.md lists them")
}

// text2duration reads Go durations ("90m") in JSON.
type text2duration time.Duration

func (d *text2duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = text2duration(v)
	return err
}

// faultRequest is a Fault whose durations are text.
type faultRequest struct {
	Match, Code, Message string
	Mode                 FaultMode
	Status, Times, After int
	Body                 BodyKind
	RetryAfter, Delay    text2duration
}

func (f faultRequest) fault() Fault {
	return Fault{
		Match: f.Match, Mode: f.Mode, Status: f.Status, Body: f.Body, Code: f.Code, Message: f.Message,
		RetryAfter: time.Duration(f.RetryAfter), Delay: time.Duration(f.Delay), Times: f.Times, After: f.After,
	}
}

// controlled turns a function into a handler of a JSON body; unknown members are refused.
func controlled[T any](do func(T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in T
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			http.Error(w, "emulator: "+err.Error(), http.StatusBadRequest)
			return
		}
		out, err := do(in)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		case out == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeControl(w, out)
		}
	}
}

func writeControl(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(body) //nolint:errcheck // the caller has gone, nobody is left to tell
}
