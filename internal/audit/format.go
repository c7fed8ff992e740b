package audit

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Exported is an event as it leaves the journal. Its JSON is stable: fields are added, never changed.
type Exported struct {
	Event
	Hash     string          `json:"hash"`
	Personal json.RawMessage `json:"personal,omitempty"`
}

// Export is the event for the outside, with its personal fields or without them.
func (e *Event) Export(personal bool) Exported {
	x := Exported{Event: *e, Hash: e.Hash}
	if personal {
		x.Personal = e.Personal
	}
	return x
}

// CSVHeader names the columns of CSVRecord.
func CSVHeader(personal bool) []string {
	h := []string{"seq", "time", "kind", "outcome", "actor_kind", "actor", "person", "engagement", "vendor", "entitlement", "rule", "line",
		"revision", "until", "reason", "request_id", "client_request_id", "detail", "hash"}
	if personal {
		h = append(h, "personal")
	}
	return h
}

// CSVRecord is the event as a line of a table.
func CSVRecord(e *Event, personal bool) []string {
	line := ""
	if e.Line != 0 {
		line = strconv.Itoa(e.Line)
	}
	r := []string{strconv.FormatInt(e.Seq, 10), e.Time.UTC().Format(time.RFC3339Nano), e.Kind, string(e.Outcome), string(e.Actor.Kind), e.Actor.Name,
		e.Person, e.Engagement, e.Vendor, e.Entitlement, e.Rule, line, e.Revision, stamp(e.Until), e.Reason, e.RequestID, e.ClientID, string(e.Detail), e.Hash}
	if personal {
		r = append(r, string(e.Personal))
	}
	for i := range r {
		r[i] = Cell(r[i])
	}
	return r
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Cell makes a text safe for spreadsheets, which run what looks like a formula: such a text is given an apostrophe in front.
func Cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// Severity is how much an event wants to be looked at, from 0 to 10 as CEF has it.
func (e *Event) Severity() int {
	switch {
	case e.Kind == "alarm.raised":
		return 8
	case e.Outcome == Held, strings.HasPrefix(e.Kind, "foreign."):
		return 7
	case e.Outcome == Failed:
		return 6
	case strings.HasPrefix(e.Kind, "journal."), strings.HasPrefix(e.Kind, "personal."), strings.HasPrefix(e.Kind, "token."):
		return 5
	}
	return 3
}

// CEF writes the event in ArcSight's Common Event Format, version 0, for a product of the given version. What has no key in its
// dictionary has one that begins with scimbridge.
func (e *Event) CEF(version string, personal bool) string {
	var b strings.Builder
	noun, verb, _ := strings.Cut(e.Kind, ".")
	name := noun + " " + strings.ReplaceAll(verb, "_", " ")
	fmt.Fprintf(&b, "CEF:0|scimbridge|scimbridge|%s|%s|%s|%d|", cefHeader(version), cefHeader(e.Kind), cefHeader(name), e.Severity())
	ext := cefExtension{b: &b}
	ext.add("rt", strconv.FormatInt(e.Time.UnixMilli(), 10))
	ext.add("externalId", strconv.FormatInt(e.Seq, 10))
	ext.add("cat", noun)
	ext.add("act", verb)
	ext.add("outcome", cefOutcome(e.Outcome))
	ext.add("reason", e.Reason)
	ext.add("suser", e.Actor.Name)
	ext.add("duid", e.Person)
	ext.label("cs1", "vendor", e.Vendor)
	ext.label("cs2", "rule", e.Rule)
	ext.label("cs3", "engagement", e.Engagement)
	ext.label("cs4", "entitlement", e.Entitlement)
	ext.label("cs5", "mappingRevision", e.Revision)
	ext.label("cs6", "hash", e.Hash)
	if e.Line != 0 {
		ext.label("cn1", "ruleLine", strconv.Itoa(e.Line))
	}
	if !e.Until.IsZero() {
		ext.label("deviceCustomDate1", "until", strconv.FormatInt(e.Until.UnixMilli(), 10))
	}
	ext.add("scimbridgeActorKind", string(e.Actor.Kind))
	ext.add("scimbridgeRequestId", e.RequestID)
	ext.add("scimbridgeClientRequestId", e.ClientID)
	ext.add("scimbridgeDetail", string(e.Detail))
	if personal {
		e.cefPersonal(&ext)
	}
	return b.String()
}

// CEF writes a checkpoint in the Common Event Format: the note in cs1, its line ends as \n.
func (c SignedCheckpoint) CEF(version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CEF:0|scimbridge|scimbridge|%s|checkpoint|journal checkpoint|3|", cefHeader(version))
	ext := cefExtension{b: &b}
	ext.label("cs1", "checkpoint", string(c.Note))
	ext.label("cs2", "origin", c.Origin)
	ext.label("cn1", "events", strconv.FormatInt(c.Size, 10))
	return b.String()
}

// cefPersonal gives names and addresses the keys that a SIEM looks for.
func (e *Event) cefPersonal(ext *cefExtension) {
	var fields map[string]any
	if json.Unmarshal(e.Personal, &fields) != nil {
		return
	}
	text := func(key string) string { s, _ := fields[key].(string); return s }
	ext.add("duser", text("email"))
	if a, err := netip.ParseAddr(text("address")); err == nil {
		if a.Unmap().Is4() {
			ext.add("src", a.Unmap().String())
		} else {
			ext.label("c6a2", "sourceAddress", a.String())
		}
	}
	ext.add("scimbridgePersonal", string(e.Personal))
}

func cefOutcome(o Outcome) string {
	switch o {
	case Done:
		return "success"
	case Failed:
		return "failure"
	}
	return string(o)
}

type cefExtension struct {
	b    *strings.Builder
	more bool
}

func (x *cefExtension) add(key, value string) {
	if value == "" {
		return
	}
	if x.more {
		x.b.WriteByte(' ')
	}
	x.more = true
	x.b.WriteString(key)
	x.b.WriteByte('=')
	x.b.WriteString(strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\r\n", `\n`, "\n", `\n`, "\r", `\r`).Replace(value))
}

// label adds one of the custom fields, which need to be told what they are.
func (x *cefExtension) label(key, label, value string) {
	if value != "" {
		x.add(key, value)
		x.add(key+"Label", label)
	}
}

func cefHeader(s string) string {
	return strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\r", " ", "\n", " ").Replace(s)
}
