package audit_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/audit"
)

func TestCEF(t *testing.T) {
	e := full()
	e.Hash = "ab12"
	e.Actor.Name = `a=b|c\d`
	e.Personal = json.RawMessage(`{"email":"a@x.example","address":"192.0.2.7"}`)
	want := `CEF:0|scimbridge|scimbridge|1.2\|3|grant.added|grant added|3|rt=1795521600123 externalId=7 cat=grant act=added outcome=success ` +
		`reason=line\nbreak	and \\ "quotes" suser=a\=b|c\\d duid=p cs1=acme cs1Label=vendor cs2=everyone cs2Label=rule cs3=e cs3Label=engagement ` +
		`cs4=group ext-base (3f0c) cs4Label=entitlement cs5=abc cs5Label=mappingRevision cs6=ab12 cs6Label=hash cn1=41 cn1Label=ruleLine ` +
		`deviceCustomDate1=1814392799000 deviceCustomDate1Label=until scimbridgeActorKind=vendor scimbridgeRequestId=r scimbridgeClientRequestId=c ` +
		`scimbridgeDetail={"a":["}",{"b":"\\\\\\""}],"c":null,"d":1.5e3}`
	if diff := cmp.Diff(want, e.CEF("1.2|3", false)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	personal := e.CEF("1", true)
	for _, part := range []string{" duser=a@x.example ", " src=192.0.2.7 ", ` scimbridgePersonal={"email":"a@x.example"`} {
		if !strings.Contains(personal, part) {
			t.Errorf("%q is not in %s", part, personal)
		}
	}
	if strings.ContainsAny(personal, "\n\r") {
		t.Error("an event has more than one line")
	}
}

func TestSeverity(t *testing.T) {
	for want, e := range map[int]audit.Event{
		8: {Kind: "alarm.raised", Outcome: audit.Done}, 7: {Kind: "person.held", Outcome: audit.Held}, 6: {Kind: "pass.failed", Outcome: audit.Failed},
		5: {Kind: "token.added", Outcome: audit.Done}, 3: {Kind: "grant.added", Outcome: audit.Done},
	} {
		if got := e.Severity(); got != want {
			t.Errorf("%s %s: %d, want %d", e.Kind, e.Outcome, got, want)
		}
	}
}

func TestExport(t *testing.T) {
	e := full()
	if err := e.Seal(audit.Genesis); err != nil {
		t.Fatal(err)
	}
	for _, personal := range []bool{false, true} {
		b, err := json.Marshal(e.Export(personal))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if got["hash"] != e.Hash || got["kind"] != "grant.added" || (got["personal"] != nil) != personal || strings.Contains(string(b), "a@x.example") != personal {
			t.Errorf("personal %v: %s", personal, b)
		}
		if n := len(audit.CSVHeader(personal)); n != len(audit.CSVRecord(&e, personal)) {
			t.Errorf("%d columns are named, %d are written", n, len(audit.CSVRecord(&e, personal)))
		}
	}
}

func TestCell(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "a=b": "a=b"} {
		if got := audit.Cell(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
