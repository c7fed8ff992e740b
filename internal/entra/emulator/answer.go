package emulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"
)

// answer is what a request gets, before it is written or put into a batch.
type answer struct {
	status int
	body   any    // JSON, or nil
	raw    []byte // instead of body: a body that is not OData JSON
	ctype  string // of raw
	header http.Header
	drop   bool // close the connection without an answer
}

func ok(body any) (answer, error)      { return answer{status: http.StatusOK, body: body}, nil }
func created(body any) (answer, error) { return answer{status: http.StatusCreated, body: body}, nil }
func noContent() (answer, error)       { return answer{status: http.StatusNoContent}, nil }

// BodyKind is the shape of an error body. Clients meet all of them.
type BodyKind string

// The shapes of error bodies.
const (
	BodyOData   BodyKind = ""         // {"error": {"code", "message", "innerError"}}
	BodyEmpty   BodyKind = "empty"    // no body at all
	BodyHTML    BodyKind = "html"     // a page of some proxy
	BodyNoError BodyKind = "no-error" // JSON without an error member
)

// errorAnswer shapes a refusal.
func (c *call) errorAnswer(e *graphError, kind BodyKind) answer {
	a := answer{status: e.status, header: e.header}
	switch kind {
	case BodyEmpty:
	case BodyHTML:
		a.ctype = "text/html"
		a.raw = []byte("<!DOCTYPE html><html><head><title>" + http.StatusText(e.status) +
			"</title></head><body><h2>Our services aren't available right now</h2></body></html>")
	case BodyNoError:
		a.body = map[string]any{"message": e.message}
	default:
		a.body = map[string]any{"error": map[string]any{
			"code": e.code, "message": e.message,
			"innerError": map[string]any{
				"date":              c.now.UTC().Format("2006-01-02T15:04:05"),
				"request-id":        c.requestID,
				"client-request-id": or(c.header.Get("client-request-id"), c.requestID),
			},
		}}
	}
	return a
}

// headers completes the header of an answer.
func (c *call) headers(a answer) http.Header {
	h := http.Header{}
	h.Set("Date", c.date.UTC().Format(http.TimeFormat))
	h.Set("request-id", c.requestID)
	h.Set("client-request-id", or(c.header.Get("client-request-id"), c.requestID))
	h.Set("x-ms-ags-diagnostic", `{"ServerInfo":{"DataCenter":"Emulator","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"EMU"}}`)
	if a.body != nil {
		h.Set("Content-Type", "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
		h.Set("OData-Version", "4.0")
	} else if a.ctype != "" {
		h.Set("Content-Type", a.ctype)
	}
	if c.op != nil && c.op.service == identity {
		h.Set("x-ms-resource-unit", itoa(c.ru))
	}
	for k, v := range a.header {
		h[http.CanonicalHeaderKey(k)] = v
	}
	return h
}

// write sends the answer. It must be called without the emulator's lock.
func (c *call) write(w http.ResponseWriter, a answer) {
	if a.drop {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), c.headers(a))
	body := a.raw
	if a.body != nil {
		var err error
		if body, err = json.Marshal(a.body); err != nil {
			http.Error(w, "emulator: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if len(body) > 0 {
		w.Header().Set("Content-Length", itoa(len(body)))
	}
	w.WriteHeader(a.status)
	w.Write(body) //nolint:errcheck // the caller has gone, nobody is left to tell
}

// context is the @odata.context of a body.
func (c *call) context(what string) string { return c.base + "/$metadata#" + what }

// with returns a copy of obj that says where it comes from.
func (c *call) with(what string, obj map[string]any) map[string]any {
	out := make(map[string]any, len(obj)+1)
	maps.Copy(out, obj)
	out["@odata.context"] = c.context(what)
	return out
}

// odataType writes #microsoft.graph.T.
func odataType(t string) string { return "#microsoft.graph." + t }

func lower(s string) string { return strings.ToLower(s) }

// stampOrNil writes the zero time as null.
func stampOrNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}
