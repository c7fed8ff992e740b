package audit_test

import (
	"encoding/json"
	"testing"
	"time"

	"scimbridge/internal/audit"
)

// likeJSON fails where a leaf is not what encoding/json makes of the event.
func likeJSON(t *testing.T, e *audit.Event) {
	t.Helper()
	want, wantErr := json.Marshal(e)
	got, err := e.Leaf()
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("got error %v, encoding/json %v", err, wantErr)
	}
	if err == nil && string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLeafIsWhatJSONWrites(t *testing.T) {
	e := full()
	if err := e.Seal(audit.Genesis); err != nil {
		t.Fatal(err)
	}
	likeJSON(t, &e)
	likeJSON(t, &audit.Event{})
	for name, change := range map[string]func(*audit.Event){
		"SpaceInDetail":       func(e *audit.Event) { e.Detail = json.RawMessage(` { "a" : [ 1 , "x y" ] } `) },
		"SpaceAtAStringsEdge": func(e *audit.Event) { e.Detail = json.RawMessage(`{"a":" x ","b":"{ }"}`) },
		"MarkupInDetail":      func(e *audit.Event) { e.Detail = json.RawMessage(`{"a":"<b>&"}`) },
		"SeparatorInDetail":   func(e *audit.Event) { e.Detail = json.RawMessage("{\"a\":\"\u2028\"}") },
		"DetailThatIsNoJSON":  func(e *audit.Event) { e.Detail = json.RawMessage(`{"a"`) },
		"InvalidUTF8":         func(e *audit.Event) { e.Reason = "a\xffb" },
		"Controls":            func(e *audit.Event) { e.Reason = "a\x00\b\f\n\r\t\x1f\x7fb" },
		"Separators":          func(e *audit.Event) { e.Reason = "a\u2028\u2029b" },
		"YearTooLarge":        func(e *audit.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"UntilTooLarge":       func(e *audit.Event) { e.Until = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		t.Run(name, func(t *testing.T) {
			e := full()
			change(&e)
			likeJSON(t, &e)
		})
	}
}

func FuzzLeaf(f *testing.F) {
	f.Add(int64(1), int64(1_800_000_000), "created", "acme", "why", "<p>", "e", 41, int64(0), []byte(`{"a":[1, 2]}`), "ff")
	f.Add(int64(-1), int64(-1), "", "\u2028", "\"\\", "é", "\x00", -1, int64(253402300800), []byte(" null "), "")
	f.Fuzz(func(t *testing.T, seq, at int64, kind, name, reason, person, entitlement string, line int, until int64, detail []byte, prev string) {
		e := audit.Event{
			Seq: seq, Time: time.Unix(at, 123456000).UTC(), Kind: kind, Actor: audit.Actor{Kind: audit.ActorVendor, Name: name}, Outcome: audit.Done,
			Reason: reason, Person: person, Engagement: name, Vendor: name, Entitlement: entitlement, Rule: reason, Line: line, Revision: person,
			RequestID: kind, ClientID: name, Detail: detail, PersonalHash: prev, Prev: prev,
		}
		if until != 0 {
			e.Until = time.Unix(until, 0).UTC()
		}
		likeJSON(t, &e)
	})
}

func BenchmarkSeal(b *testing.B) {
	e := full()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.SealLeaf(audit.Genesis); err != nil {
			b.Fatal(err)
		}
	}
}
