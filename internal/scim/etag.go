package scim

import (
	"net/http"
	"strings"

	"scimbridge/internal/contractor"
)

// condition is the If-Match and If-None-Match of a request (RFC 7232, RFC 7644 section 3.14). Tags compare weakly: SCIM's are
// versions, not bytes.
type conditions struct {
	match     []string // nil: no If-Match
	noneMatch []string
}

func conditionsOf(h http.Header) conditions {
	return conditions{match: tags(h.Values("If-Match")), noneMatch: tags(h.Values("If-None-Match"))}
}

// tags reads a list of entity tags. What is not one is kept, and matches nothing.
func tags(lines []string) []string {
	var all []string
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			if t = strings.TrimSpace(t); t != "" {
				all = append(all, bare(t))
			}
		}
	}
	return all
}

// bare is a tag without its weakness and quotes: clients echo meta.version in every spelling.
func bare(tag string) string {
	tag = strings.TrimPrefix(strings.TrimPrefix(tag, "W/"), "w/")
	return strings.Trim(strings.ReplaceAll(tag, `\"`, `"`), `"`)
}

func listed(list []string, version int64) bool {
	want := bare(etag(version))
	for _, t := range list {
		if t == "*" || t == want {
			return true
		}
	}
	return false
}

// unchanged reports whether a GET is answered with 304.
func (c conditions) unchanged(version int64) bool { return listed(c.noneMatch, version) }

// allow refuses a write whose condition does not hold.
func (c conditions) allow(version int64) error {
	if c.match != nil && !listed(c.match, version) {
		return &contractor.Error{Code: contractor.CodeVersion, Message: "the resource has changed since it was read: it is now " + etag(version) + "; read it again"}
	}
	if listed(c.noneMatch, version) {
		return &contractor.Error{Code: contractor.CodeVersion, Message: "the resource is what If-None-Match names"}
	}
	return nil
}
