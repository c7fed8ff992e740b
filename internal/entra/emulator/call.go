package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// call is one request on its way through the emulator, alone or as part of a batch.
type call struct {
	e      *Emulator
	t      *tenant
	method string
	path   string // below /v1.0, escaped
	base   string // https://host/v1.0
	url    string // of the whole request, for next links
	header http.Header
	query  query
	raw    []byte

	now       time.Time
	date      time.Time // of the answer's header
	requestID string
	op        *operation
	params    map[string]string
	body      map[string]any
	token     *token
	ru        int
	inBatch   bool

	used  string        // permission that allowed the call
	fault string        // fault or dice that changed the answer
	done  bool          // it took effect
	delay time.Duration // the answer is held back
}

func (e *Emulator) serveGraph(w http.ResponseWriter, r *http.Request) {
	c := e.newCall(r)
	raw, bodyErr := readBody(r)
	c.raw = raw
	a := func() answer {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.process(c, bodyErr)
	}()
	if c.delay > 0 {
		held := time.NewTimer(c.delay)
		defer held.Stop()
		select {
		case <-held.C:
		case <-r.Context().Done():
		}
	}
	c.write(w, a)
}

func (e *Emulator) newCall(r *http.Request) *call {
	c := &call{e: e, t: e.tenant, method: r.Method, header: r.Header}
	scheme := "http"
	if r.TLS != nil || r.URL.Scheme == "https" {
		scheme = "https"
	}
	c.base = scheme + "://" + r.Host + "/v1.0"
	c.path = r.URL.EscapedPath()
	c.query = parseQuery(r.URL.RawQuery)
	return c
}

// process works on one call. The caller holds mu.
func (e *Emulator) process(c *call, bodyErr error) answer {
	c.now = e.now()
	c.date = c.now.Add(e.skew)
	e.tenant.settle(c.now)
	sum := sha256.Sum256(c.raw)
	key := c.method + " " + c.path + "?" + c.query.raw + " " + hex.EncodeToString(sum[:8])
	c.requestID = e.dice.newID("request", key)
	a := e.decide(c, key, bodyErr)
	if !c.isBatch() || a.status != http.StatusOK {
		e.ledger.record(c, a)
	}
	return a
}

func (c *call) isBatch() bool { return c.op != nil && c.op.id == "batch" }

// decide finds the answer: first what has nothing to do with the request (outages,
// faults, limits), then the request itself.
func (e *Emulator) decide(c *call, key string, bodyErr error) answer {
	path, ok := strings.CutPrefix(c.path, "/v1.0/")
	if !ok {
		return c.errorAnswer(refuse(http.StatusBadRequest, "BadRequest", "Invalid version: only /v1.0 is emulated."), BodyOData)
	}
	c.path = "/" + path
	c.url = c.base + c.path
	op, params, routeErr := e.router.find(c.method, c.path)
	c.op, c.params = op, params
	if a, out := e.faults.outage(c); out {
		return a
	}
	if err := e.tokens.check(c); err != nil {
		return c.errorAnswer(err, BodyOData)
	}
	if routeErr != nil {
		return c.errorAnswer(asGraphError(routeErr), BodyOData)
	}
	c.ru = c.cost()
	f := e.faults.match(c)
	if f != nil && f.Mode == NotDone {
		return f.answer(c)
	}
	a := e.limited(c, key, f == nil, bodyErr)
	if f != nil && f.Mode == DoneThoughFailed {
		return f.answer(c)
	}
	return a
}

// limited applies the limits and, if lucky, the bad luck, and then serves the call.
func (e *Emulator) limited(c *call, key string, dice bool, bodyErr error) answer {
	pressure, err := e.quota.take(c, e.tenant.size())
	if err != nil {
		return c.errorAnswer(err, BodyOData)
	}
	var bad answer
	if dice {
		var done, hit bool
		if bad, done, hit = e.misfortune(c, key); hit && !done {
			return bad
		}
	}
	a := e.serve(c, bodyErr)
	if bad.status != 0 || bad.drop {
		return bad
	}
	if pressure >= 0.8 {
		if a.header == nil {
			a.header = http.Header{}
		}
		a.header.Set("x-ms-throttle-limit-percentage", formatPressure(pressure))
	}
	return a
}

// serve checks permission and body and runs the operation.
func (e *Emulator) serve(c *call, bodyErr error) answer {
	a, err := func() (answer, error) {
		if err := c.permit(); err != nil {
			return answer{}, err
		}
		if bodyErr != nil {
			return answer{}, bodyErr
		}
		if err := c.readOptions(); err != nil {
			return answer{}, err
		}
		if err := c.parse(); err != nil {
			return answer{}, err
		}
		return c.op.serve(c)
	}()
	if err != nil {
		return c.errorAnswer(asGraphError(err), BodyOData)
	}
	c.done = true
	return a
}

// parse reads and checks the body.
func (c *call) parse() error {
	switch c.op.body {
	case "":
		return nil
	case "(any)":
		var err error
		c.body, err = parseBody(c.raw, c.header.Get("Content-Type"))
		return err
	}
	body, err := parseBody(c.raw, c.header.Get("Content-Type"))
	if err != nil {
		return err
	}
	c.body = body
	if c.op.body == "(reference)" {
		return nil // reference reads it
	}
	return c.t.schema.check(c.op.body, body, c.op.inline...)
}

// reference returns the id that a reference body points to, and the entity set it
// names (users, groups, directoryObjects, ...).
func (c *call) reference() (set, id string, err error) {
	target, ok := c.body["@odata.id"].(string)
	if !ok || len(c.body) != 1 {
		return "", "", badRequest("A reference body holds '@odata.id' and nothing else.")
	}
	return c.parseReference(target)
}

func (c *call) parseReference(target string) (set, id string, err error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || !strings.HasPrefix(u.Path, "/v1.0/") {
		return "", "", badRequest("Invalid URL format specified in the @odata.id or @odata.bind annotation: '%s'.", target)
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/v1.0/"), "/")
	if len(parts) != 2 || parts[1] == "" {
		return "", "", badRequest("Invalid URL format specified in the @odata.id or @odata.bind annotation: '%s'.", target)
	}
	switch parts[0] {
	case "users", "groups", "directoryObjects", "servicePrincipals":
		return parts[0], canonical(parts[1]), nil
	}
	return "", "", badRequest("Unsupported resource type '%s' in a reference.", parts[0])
}

// permit checks the token's permissions against the operation.
func (c *call) permit() error {
	if c.op.delegated {
		return denied()
	}
	if len(c.op.permissions) == 0 {
		return nil
	}
	used, ok := c.token.holds(c.op.permissions...)
	if !ok {
		return denied()
	}
	c.used = used
	return c.licensed()
}

// licensed refuses what the tenant has not bought.
func (c *call) licensed() error {
	have := c.e.cfg.Licence
	switch area, rest, _ := strings.Cut(c.op.id, "."); {
	case (area == "pim" || area == "em") && have != LicenceP2:
		return refuse(http.StatusForbidden, "AadPremiumLicenseRequired", "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license.")
	case area == "ca" && have == LicenceFree:
		return refuse(http.StatusForbidden, "AccessDenied", "Your directory does not have a license that includes Conditional Access.")
	case area == "audit" && strings.HasPrefix(rest, "signIns") && have == LicenceFree:
		return refuse(http.StatusForbidden, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "Neither tenant is B2C or tenant doesn't have premium license")
	}
	return nil
}

// allowed reports whether the token also holds one of these alternatives.
func (c *call) allowed(alternatives ...string) bool {
	_, ok := c.token.holds(alternatives...)
	return ok
}

func asGraphError(err error) *graphError {
	if ge, ok := err.(*graphError); ok { //nolint:errorlint // refusals are never wrapped
		return ge
	}
	return refuse(http.StatusInternalServerError, "InternalServerError", "%s", err.Error())
}
