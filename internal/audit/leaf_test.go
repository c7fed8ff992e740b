package audit_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
)

// full is an event with every field, and with characters that JSON escapes.
func full() audit.Event {
	return audit.Event{
		Seq: 7, Time: time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC), Kind: "grant.added",
		Actor: audit.Actor{Kind: audit.ActorVendor, Name: `a"c\me <&> é 日本`}, Outcome: audit.Done, Reason: "line\nbreak\tand \\ \"quotes\"",
		Person: "p", Engagement: "e", Vendor: "acme", Entitlement: "group ext-base (3f0c)", Rule: "everyone", Line: 41, Revision: "abc",
		Until: time.Date(2027, 6, 30, 21, 59, 59, 0, time.UTC), RequestID: "r", ClientID: "c",
		Detail:   json.RawMessage(`{"a":["}",{"b":"\\\""}],"c":null,"d":1.5e3}`),
		Personal: json.RawMessage(`{"email":"a@x.example"}`), Salt: []byte("0123456789abcdef"),
	}
}

func sealed(t testing.TB, e audit.Event) []byte {
	t.Helper()
	if err := e.Seal(audit.Genesis); err != nil {
		t.Fatal(err)
	}
	leaf, err := e.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestParseLeaf(t *testing.T) {
	minimal := audit.Event{Seq: 1, Time: time.Unix(0, 0).UTC(), Kind: "k", Actor: audit.Actor{Kind: audit.ActorClock}, Outcome: audit.Failed}
	for name, e := range map[string]audit.Event{"Full": full(), "Minimal": minimal} {
		t.Run(name+"IsReadAsJSONReadsIt", func(t *testing.T) {
			leaf := sealed(t, e)
			var want audit.Event
			if err := json.Unmarshal(leaf, &want); err != nil {
				t.Fatal(err)
			}
			got, err := audit.ParseLeaf(leaf)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("-json +leaf:\n%s", diff)
			}
		})
	}
	leaf := string(sealed(t, full()))
	for name, broken := range map[string]string{
		"Empty":         "",
		"CutOff":        leaf[:len(leaf)-1],
		"TwoValues":     leaf + leaf,
		"SpaceBehind":   leaf + " ",
		"Twice":         strings.Replace(leaf, `,"rule":`, `,"rule":"x","rule":`, 1),
		"OtherCase":     strings.Replace(leaf, `"rule"`, `"Rule"`, 1),
		"OtherOrder":    strings.Replace(leaf, `"person":"p","engagement":"e"`, `"engagement":"e","person":"p"`, 1),
		"Unknown":       strings.Replace(leaf, `,"rule":`, `,"role":"x","rule":`, 1),
		"Spaced":        strings.Replace(leaf, `"seq":7`, `"seq": 7`, 1),
		"LeadingZero":   strings.Replace(leaf, `"seq":7`, `"seq":07`, 1),
		"PlusSign":      strings.Replace(leaf, `"seq":7`, `"seq":+7`, 1),
		"NoDetail":      strings.Replace(leaf, `,"detail":{`, `,"detail":,{`, 1),
		"DetailNotJSON": strings.Replace(leaf, `"c":null`, `"c":nul`, 1),
		"LineBreak":     strings.Replace(leaf, `acme`, "ac\nme", 1),
		"NotUTF8":       strings.Replace(leaf, `acme`, "ac\xffme", 1),
		"BadEscape":     strings.Replace(leaf, `\u003c`, `\u00zz`, 1),
		"NoPrev":        leaf[:strings.Index(leaf, `,"prev"`)] + "}",
	} {
		t.Run(name+"IsRefused", func(t *testing.T) {
			if broken == leaf {
				t.Fatal("the case changes nothing")
			}
			if e, err := audit.ParseLeaf([]byte(broken)); err == nil {
				t.Errorf("read %+v from %s", e, broken)
			}
		})
	}
}

// What is accepted is JSON, and says to a JSON reader what it says to us.
func FuzzParseLeaf(f *testing.F) {
	f.Add(sealed(f, full()))
	f.Add([]byte(`{"seq":1,"time":"1970-01-01T00:00:00Z","kind":"k","actor":{"kind":"clock"},"outcome":"failed","prev":""}`))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		got, err := audit.ParseLeaf(leaf)
		if err != nil {
			return
		}
		var want audit.Event
		if err := json.Unmarshal(leaf, &want); err != nil {
			t.Fatalf("accepted, but JSON says: %v", err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Fatalf("-json +leaf:\n%s", diff)
		}
	})
}
