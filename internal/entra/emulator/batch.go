package emulator

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// maxBatch is how many requests one batch takes.
const maxBatch = 20

type batchItem struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

// batch serves a JSON batch: every item counts and fails by itself, answers come in any
// order, and what depends on a failure is answered 424.
func batch(c *call) (answer, error) {
	if c.inBatch {
		return answer{}, badRequest("A batch cannot hold a batch.")
	}
	var in struct {
		Requests []batchItem `json:"requests"`
	}
	if err := json.Unmarshal(c.raw, &in); err != nil {
		return answer{}, badRequest("Invalid batch payload format.")
	}
	if err := checkBatch(in.Requests); err != nil {
		return answer{}, err
	}
	status := map[string]int{}
	var out []any
	throttledItems := false
	for _, item := range in.Requests {
		var a answer
		var sub *call
		if failed := slices.ContainsFunc(item.DependsOn, func(id string) bool { return status[id] >= 400 }); failed {
			sub = c.item(item)
			sub.now, sub.date, sub.requestID = c.now, c.date, c.t.dice.newID("request", "424")
			a = sub.errorAnswer(refuse(http.StatusFailedDependency, "FailedDependency", "The request failed because a request that it depends on failed."), BodyOData)
		} else {
			sub, a = c.runItem(item)
		}
		status[item.ID] = a.status
		throttledItems = throttledItems || a.status == http.StatusTooManyRequests
		c.delay = max(c.delay, sub.delay)
		out = append(out, sub.itemAnswer(item.ID, a))
	}
	c.shuffle(out)
	code := http.StatusOK
	if throttledItems && c.t.cfg.Unknowns.BatchThrottled424 == Yes {
		code = http.StatusFailedDependency
	}
	return answer{status: code, body: map[string]any{"responses": out}}, nil
}

// checkBatch refuses what is no batch: too many or double ids, nesting, dependencies
// that are neither fully serial nor fully parallel.
func checkBatch(items []batchItem) error {
	if len(items) == 0 || len(items) > maxBatch {
		return badRequest("Number of batch request steps must be between 1 and %d.", maxBatch)
	}
	var seen []string
	dependent := 0
	for i, item := range items {
		switch {
		case item.ID == "" || slices.Contains(seen, item.ID):
			return badRequest("Request id is missing or not unique: '%s'.", item.ID)
		case item.Method == "" || item.URL == "":
			return badRequest("Request '%s' has no method or url.", item.ID)
		case len(item.DependsOn) > 1 || len(item.DependsOn) == 1 && (i == 0 || item.DependsOn[0] != items[i-1].ID && item.DependsOn[0] != items[0].ID):
			return badRequest("The dependencies of the batch are neither serial nor parallel.")
		case len(item.Body) > 0 && string(item.Body) != "null" && item.header().Get("Content-Type") == "":
			return badRequest("Write request id : %s does not contain Content-Type header or body.", item.ID)
		}
		dependent += len(item.DependsOn)
		seen = append(seen, item.ID)
	}
	if dependent != 0 && dependent != len(items)-1 {
		return badRequest("The dependencies of the batch are neither serial nor parallel.")
	}
	return nil
}

func (i batchItem) header() http.Header {
	h := http.Header{}
	for k, v := range i.Headers {
		h.Set(k, v)
	}
	return h
}

// item makes a call of its own out of one request of the batch.
func (c *call) item(i batchItem) *call {
	path, query, _ := strings.Cut(i.URL, "?")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return &call{
		e: c.e, t: c.t, method: strings.ToUpper(i.Method), path: "/v1.0" + path, base: c.base,
		header: i.header(), query: parseQuery(query), token: c.token, inBatch: true,
	}
}

func (c *call) runItem(i batchItem) (*call, answer) {
	sub := c.item(i)
	if len(i.Body) > 0 && string(i.Body) != "null" {
		sub.raw = i.Body
	}
	return sub, c.e.process(sub, nil)
}

// itemAnswer wraps an answer for the batch. Bodies that are not JSON travel as base64.
func (c *call) itemAnswer(id string, a answer) map[string]any {
	if a.drop {
		a = c.errorAnswer(failure(http.StatusGatewayTimeout), BodyOData)
	}
	headers := map[string]any{}
	for k, v := range c.headers(a) {
		if k != "Date" {
			headers[k] = strings.Join(v, ",")
		}
	}
	out := map[string]any{"id": id, "status": a.status, "headers": headers}
	switch {
	case a.body != nil:
		out["body"] = a.body
	case len(a.raw) > 0:
		out["body"] = base64.StdEncoding.EncodeToString(a.raw)
	}
	return out
}

// shuffle puts the answers into an order that the caller did not choose.
func (c *call) shuffle(list []any) {
	for i := len(list) - 1; i > 0; i-- {
		j := c.t.dice.pick(i+1, "batch order", "")
		list[i], list[j] = list[j], list[i]
	}
}
