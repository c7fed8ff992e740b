package scim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"scimbridge/internal/contractor"
)

const (
	urnBulkRequest = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkPrefix     = "bulkId:"
)

// bulkOp is one operation of a Bulk request (RFC 7644 section 3.7) and what became of it.
type bulkOp struct {
	method, path, bulkID, version string
	data                          *value
	err                           error // what is wrong with the operation itself

	id   string // of the User that a POST makes: chosen beforehand, so that operations can refer to each other in a circle
	loop []int  // operations that this one refers to and that were not done before it

	state    int // of a visit: 0 not begun, 1 under way, 2 done
	status   int
	location string
	etag     string
	response []byte
}

// bulkRun is one Bulk request.
type bulkRun struct {
	*call
	ops    []bulkOp
	byID   map[string]int
	errors int
	limit  int // failOnErrors; 0: none
}

func (k *call) bulk() error {
	if err := k.mayWrite(); err != nil {
		return err
	}
	sent, err := k.body(k.door.limits.BulkBody, k.door.limits.bulk())
	if err != nil {
		return err
	}
	run, err := k.bulkOf(&sent)
	if err != nil {
		return err
	}
	if err := k.gate.charge(len(run.ops)-1, k.now); err != nil {
		return err
	}
	run.all()
	return k.send(http.StatusOK, run.answer())
}

// bulkOf reads the request. What is wrong with one operation is that operation's own failure.
func (k *call) bulkOf(sent *value) (*bulkRun, error) {
	if sent.kind != object {
		return nil, syntaxErrorf("the body must be a JSON object")
	}
	if err := messageSchema(sent, urnBulkRequest); err != nil {
		return nil, err
	}
	ops := sent.fold("Operations")
	if ops == nil || ops.kind != list || len(ops.kids) == 0 {
		return nil, syntaxErrorf("the body has no Operations; send at least one")
	}
	if n := k.door.limits.BulkOps; len(ops.kids) > n {
		return nil, contractor.Errorf(contractor.CodeTooLarge, "the request has %d operations; send at most %d (maxOperations)", len(ops.kids), n)
	}
	run := &bulkRun{call: k, byID: map[string]int{}}
	var err error
	if run.limit, _, err = wholeOf(sent, "failOnErrors"); err != nil {
		return nil, err
	}
	for i := range ops.kids {
		op := bulkOpOf(&ops.kids[i].value)
		if op.bulkID != "" {
			if _, twice := run.byID[op.bulkID]; twice {
				return nil, syntaxErrorf("the bulkId %.40q is used by two operations", op.bulkID)
			}
			run.byID[op.bulkID] = i
		}
		run.ops = append(run.ops, op)
	}
	return run, nil
}

func bulkOpOf(v *value) bulkOp {
	op := bulkOp{id: uuid.NewString()}
	get := func(name string) string {
		if m := v.fold(name); m != nil {
			return m.text
		}
		return ""
	}
	op.method, op.path, op.bulkID, op.version = strings.ToUpper(get("method")), get("path"), get("bulkId"), get("version")
	op.data = v.fold("data")
	switch op.method {
	case http.MethodPost:
		if op.bulkID == "" {
			op.err = syntaxErrorf("a POST in a Bulk request needs a bulkId")
		}
	case http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		op.err = syntaxErrorf("the method of an operation must be POST, PUT, PATCH or DELETE")
	}
	if op.err == nil && op.method != http.MethodDelete && (op.data == nil || op.data.kind != object) {
		op.err = syntaxErrorf("the operation has no data")
	}
	return op
}

// all does the operations, as far as failOnErrors lets it.
func (run *bulkRun) all() {
	for i := 0; i < len(run.ops) && !run.stopped(); {
		if n := run.wave(i); n > 1 {
			run.together(i, n)
			i += n
			continue
		}
		run.visit(i)
		i++
	}
	run.mend()
}

func (run *bulkRun) stopped() bool { return run.limit > 0 && run.errors >= run.limit }

// visit does an operation, after those that it refers to.
func (run *bulkRun) visit(i int) {
	op := &run.ops[i]
	if op.state != 0 {
		return
	}
	op.state = 1
	for _, ref := range run.references(op) {
		j, known := run.byID[ref]
		switch {
		case !known:
			op.err = contractor.Invalid(bulkPrefix+ref, "no operation of this request has that bulkId")
		case run.ops[j].state == 0:
			run.visit(j)
		case run.ops[j].state == 1:
			op.loop = append(op.loop, j)
		}
		if known && run.ops[j].state == 2 && run.ops[j].status >= http.StatusBadRequest && op.err == nil {
			op.err = contractor.Errorf(contractor.CodeConflict, "the operation with bulkId %q, which this one refers to, failed", ref)
		}
		if run.stopped() {
			return
		}
	}
	if op.err == nil {
		if op.err = run.do(op); op.method != http.MethodDelete {
			run.note(op.err)
		}
	}
	run.settle(op)
}

// settle takes down what became of an operation.
func (run *bulkRun) settle(op *bulkOp) {
	op.state = 2
	if op.err != nil {
		e := toSCIM(op.err)
		op.status, op.response = e.Status, errorBody(e)
		run.errors++
		if e.Status >= http.StatusInternalServerError {
			run.door.log.ErrorContext(run.context(), "an operation of a Bulk request failed", "method", op.method, "error", op.err)
		}
	}
}

// references lists the bulkIds that an operation's path and data name.
func (run *bulkRun) references(op *bulkOp) []string {
	var refs []string
	if at := strings.Index(op.path, bulkPrefix); at >= 0 {
		refs = append(refs, op.path[at+len(bulkPrefix):])
	}
	var look func(*value)
	look = func(v *value) {
		if ref, ok := strings.CutPrefix(v.text, bulkPrefix); ok && v.kind == text {
			refs = append(refs, ref)
		}
		for i := range v.kids {
			look(&v.kids[i].value)
		}
	}
	if op.data != nil {
		look(op.data)
	}
	return refs
}

// resolved is the operation's data with ids for bulkIds.
func (run *bulkRun) resolved(v value) value {
	if ref, ok := strings.CutPrefix(v.text, bulkPrefix); ok && v.kind == text {
		if j, known := run.byID[ref]; known {
			return stringValue(run.ops[j].id)
		}
	}
	if v.kids != nil {
		kids := make([]member, len(v.kids))
		for i := range v.kids {
			kids[i] = member{v.kids[i].name, run.resolved(v.kids[i].value)}
		}
		v.kids = kids
	}
	return v
}

// target is the endpoint and the id that an operation names.
func (run *bulkRun) target(op *bulkOp) (kind, id string) {
	path := strings.Trim(strings.TrimPrefix(op.path, run.door.baseURL(run.Request())), "/")
	kind, id, _ = strings.Cut(path, "/")
	return kind, id
}

// do runs one operation as the endpoint would.
func (run *bulkRun) do(op *bulkOp) error {
	kind, id := run.target(op)
	if ref, ok := strings.CutPrefix(id, bulkPrefix); ok {
		id = run.ops[run.byID[ref]].id
	}
	var data value
	if op.data != nil {
		data = run.resolved(*op.data)
	}
	switch {
	case op.method == http.MethodPost && id != "", op.method != http.MethodPost && id == "", strings.Contains(id, "/"):
		return syntaxErrorf("the path %.80q does not go with %s", op.path, op.method)
	case strings.EqualFold(kind, "Groups"):
		status, _, err := run.ignoreGroup(op.method, id, func() (value, error) { return data, nil })
		op.status = status
		return err
	case !strings.EqualFold(kind, "Users"):
		return contractor.Errorf(contractor.CodeNotFound, "there is no endpoint %.80q; the resource types are at /ResourceTypes", op.path)
	}
	if id != "" {
		op.location = run.door.baseURL(run.Request()) + "/Users/" + id
	}
	return run.doUser(op, id, &data)
}

func (run *bulkRun) doUser(op *bulkOp, id string, data *value) error {
	var cond conditions
	if op.version != "" {
		cond.match = []string{bare(op.version)}
	}
	var e contractor.Engagement
	var err error
	op.status = http.StatusOK
	switch op.method {
	case http.MethodPost:
		if e, err = run.create(run.context(), op.id, data); err == nil {
			op.id, op.status = e.ID, http.StatusCreated
			op.location = run.door.baseURL(run.Request()) + "/Users/" + e.ID
		}
	case http.MethodPut:
		e, err = run.update(run.context(), id, cond, kindReplaced, run.replacing(id, data))
	case http.MethodPatch:
		var apply change
		if apply, err = run.patching(id, data); err == nil {
			e, err = run.update(run.context(), id, cond, kindPatched, apply)
		}
	case http.MethodDelete:
		op.status = http.StatusNoContent
		return run.remove(run.context(), id, cond)
	}
	if err != nil {
		return err
	}
	op.etag = etag(e.Version)
	return nil
}

// mend repairs references made in a circle to Users that the store revived under another id than the one chosen.
func (run *bulkRun) mend() {
	for i := range run.ops {
		op := &run.ops[i]
		if len(op.loop) == 0 || op.err != nil || op.method != http.MethodPost {
			continue
		}
		data := run.resolved(*op.data)
		e, err := run.update(run.context(), op.id, conditions{}, kindReplaced, run.replacing(op.id, &data))
		if err != nil {
			op.err = fmt.Errorf("resolve the references in a circle: %w", err)
			e := toSCIM(err)
			op.status, op.response = e.Status, errorBody(e)
			continue
		}
		op.etag = etag(e.Version)
	}
}

// answer writes the BulkResponse: every operation that was tried, in the request's order.
func (run *bulkRun) answer() []byte {
	b := append(make([]byte, 0, 256*len(run.ops)+128), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],"Operations":[`...)
	first := true
	for i := range run.ops {
		op := &run.ops[i]
		if op.state != 2 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(append(b, `{"method":`...), op.method)
		for _, f := range [...]struct{ name, v string }{{"bulkId", op.bulkID}, {"location", op.location}, {"version", op.etag}} {
			if f.v != "" {
				b = appendString(append(append(append(b, `,"`...), f.name...), `":`...), f.v)
			}
		}
		b = append(strconv.AppendInt(append(b, `,"status":"`...), int64(op.status), 10), '"')
		if op.response != nil {
			b = append(append(b, `,"response":`...), op.response...)
		}
		b = append(b, '}')
	}
	return append(b, ']', '}')
}
