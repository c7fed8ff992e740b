package emulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// service says which limits and headers apply to an operation.
type service int

const (
	identity   service = iota // users, groups, directory: resource units and writes
	reports                   // auditLogs
	conditions                // conditional access
	governance                // PIM, entitlement management, other policies: no published limit
)

// operation is one row of the table of what is served.
type operation struct {
	id     string
	method string
	path   string // below /v1.0, {name} stands for one segment
	// permissions lists alternatives; "A+B" needs both. Empty: any valid token.
	permissions []string
	delegated   bool   // never allowed for an application
	body        string // type of the body, "(reference)", or "" for none
	inline      []string
	ru          int
	service     service
	success     int
	serve       func(*call) (answer, error)
}

func (op *operation) write() bool {
	return op.method != http.MethodGet && op.id != "batch" && !op.readsByPOST()
}

// readsByPOST marks actions that change nothing.
func (op *operation) readsByPOST() bool {
	return strings.Contains(op.path, "/checkMember") || strings.Contains(op.path, "/getMember") || strings.Contains(op.path, "/getByIds")
}

type router struct{ routes []route }

type route struct {
	op     *operation
	segs   []segment
	params int
}

// segment is a literal, or prefix{name}suffix.
type segment struct{ literal, prefix, name, suffix string }

func newRouter(ops []*operation) *router {
	r := &router{}
	for _, op := range ops {
		rt := route{op: op}
		for part := range strings.SplitSeq(strings.TrimPrefix(op.path, "/"), "/") {
			open, end := strings.IndexByte(part, '{'), strings.IndexByte(part, '}')
			if open < 0 {
				rt.segs = append(rt.segs, segment{literal: bare(part)})
				continue
			}
			rt.params++
			rt.segs = append(rt.segs, segment{prefix: part[:open], name: part[open+1 : end], suffix: part[end+1:]})
		}
		r.routes = append(r.routes, rt)
	}
	slices.SortStableFunc(r.routes, func(a, b route) int { return a.params - b.params })
	return r
}

// bare drops what the service lets a caller write in two ways: the namespace of a
// cast or function, and the parentheses of a function without arguments.
func bare(seg string) string {
	seg = strings.TrimSuffix(seg, "()")
	if s, ok := strings.CutPrefix(seg, "microsoft.graph."); ok {
		return s
	}
	return strings.TrimPrefix(seg, "graph.")
}

// find returns the operation for a path below /v1.0, or why there is none.
func (r *router) find(method, path string) (*operation, map[string]string, error) {
	var segs []string
	for s := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		u, err := url.PathUnescape(s)
		if err != nil {
			return nil, nil, refuse(http.StatusBadRequest, "BadRequest", "The URL is malformed.")
		}
		segs = append(segs, u)
	}
	known := false
	for _, rt := range r.routes {
		params, ok := rt.match(segs)
		if !ok {
			continue
		}
		if rt.op.method == method {
			return rt.op, params, nil
		}
		known = true
	}
	if known {
		return nil, nil, refuse(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	}
	return nil, nil, refuse(http.StatusBadRequest, "BadRequest", "Resource not found for the segment '%s'.", segs[len(segs)-1])
}

func (rt *route) match(segs []string) (map[string]string, bool) {
	if len(segs) != len(rt.segs) {
		return nil, false
	}
	var params map[string]string
	for i, s := range rt.segs {
		if s.name == "" {
			if bare(segs[i]) != s.literal {
				return nil, false
			}
			continue
		}
		v, ok := strings.CutPrefix(segs[i], s.prefix)
		if !ok {
			return nil, false
		}
		if v, ok = strings.CutSuffix(v, s.suffix); !ok || v == "" || strings.HasPrefix(v, "$") {
			return nil, false
		}
		if params == nil {
			params = map[string]string{}
		}
		params[s.name] = canonical(v)
	}
	return params, true
}

// canonical writes GUIDs in lower case, so that ids compare as the service compares them.
func canonical(id string) string {
	if _, err := uuid.Parse(id); err == nil && len(id) == 36 {
		return strings.ToLower(id)
	}
	return id
}
