package entra

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jsonserialization "github.com/microsoft/kiota-serialization-json-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"

	"scimbridge/internal/contractor"
)

func TestReadGraphError(t *testing.T) {
	tests := []struct {
		name    string
		body    string
		codes   []string
		message string
	}{
		{"OData", `{"error":{"code":"Request_BadRequest","message":"m","innerError":{"code":"deep","innerError":{"code":"deeper"}},"details":[{"code":"PropertyConflict","target":"x"}]}}`,
			[]string{"Request_BadRequest", "deep", "deeper", "PropertyConflict"}, "m"},
		{"innererror in lower case", `{"error":{"code":"a","innererror":{"code":"b"}}}`, []string{"a", "b"}, ""},
		{"message is an object", `{"error":{"code":"a","message":{"lang":"en","value":"said so"}}}`, []string{"a"}, "said so"},
		{"details is an object", `{"error":{"code":"a","details":{"code":"b"}}}`, []string{"a", "b"}, ""},
		{"without error", `{"message":"x"}`, nil, ""},
		{"error is text", `{"error":"invalid_request","error_description":"d"}`, nil, ""},
		{"error is null", `{"error":null}`, nil, ""},
		{"empty", ``, nil, ""},
		{"HTML", `<html><body>502 Bad Gateway</body></html>`, nil, ""},
		{"cut short", `{"error":{"code":"a","mess`, nil, ""},
		{"list", `[{"error":{"code":"a"}}]`, nil, ""},
		{"endless inner errors", `{"error":` + strings.Repeat(`{"code":"x","innerError":`, 50) + `{}` + strings.Repeat(`}`, 50) + `}`, []string{"x", "x", "x", "x", "x", "x", "x", "x"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := readGraphError(nil, []byte(tt.body))
			if tt.codes == nil && tt.message == "" {
				if g != nil {
					t.Fatalf("%+v", g)
				}
				return
			}
			if g == nil {
				t.Fatal("nothing read")
			}
			if d := cmp.Diff(tt.codes, g.codes); d != "" || g.message != tt.message {
				t.Errorf("codes (-want +got):\n%s\nmessage %q", d, g.message)
			}
		})
	}
	t.Run("falls back on what the SDK understood, without the panic of an ODataError that has no error", func(t *testing.T) {
		node, err := jsonserialization.NewJsonParseNode([]byte(`{"message":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		v, err := node.GetObjectValue(odataerrors.CreateODataErrorFromDiscriminatorValue)
		if err != nil {
			t.Fatal(err)
		}
		od, isError := v.(error)
		if !isError {
			t.Fatalf("%T", v)
		}
		if g := readGraphError(od, nil); g != nil {
			t.Errorf("%+v", g)
		}
	})
}

func FuzzParseGraphError(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"a","message":"b","innerError":{"code":"c"},"details":[{"code":"d"}]}}`))
	f.Add([]byte(`{"error":{"innererror":{"innererror":{}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := parseGraphError(b)
		if g != nil && (len(g.codes) > 16 || innermost(g) == "" && len(g.codes) > 0) {
			t.Errorf("%+v", g)
		}
	})
}

func TestHints(t *testing.T) {
	g := &graphError{message: "The invited user already exists in the directory as object ID: 2D9B6F1E-0f5a-4c7e-9a53-5b3c2f6f1d10. They can use that account to sign in to shared apps and resources."}
	if got := g.hintedID(); got != "2d9b6f1e-0f5a-4c7e-9a53-5b3c2f6f1d10" || !g.userExists() {
		t.Errorf("hint %q", got)
	}
	for message, want := range map[string]string{
		"Group email address is a verified domain of this directory":                "own domains",
		"This invitation is blocked by cross-tenant access settings.":               "cross-tenant",
		"The domain of the invited user is not in the allow list":                   "external collaboration",
		"but the account is blocked from signing in to this directory":              "blocked from signing in",
		"Another object with the same value for property proxyAddresses is present": "proxyAddresses",
		"something else": "",
	} {
		got := (&graphError{message: message}).blockedAddress()
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: %q", message, got)
		}
	}
}

func TestVerdictsByStatus(t *testing.T) {
	// For reads and idempotent changes, and for those that must not be repeated blindly (graph.md 6.4).
	want := map[int][2]contractor.Verdict{
		302: {contractor.VerdictPermanent, contractor.VerdictPermanent},
		400: {contractor.VerdictPermanent, contractor.VerdictPermanent},
		401: {contractor.VerdictRefused, contractor.VerdictRefused},
		403: {contractor.VerdictRefused, contractor.VerdictRefused},
		404: {contractor.VerdictGone, contractor.VerdictGone},
		408: {contractor.VerdictRetry, contractor.VerdictUnknown},
		409: {contractor.VerdictUnknown, contractor.VerdictUnknown},
		410: {contractor.VerdictGone, contractor.VerdictGone},
		412: {contractor.VerdictRetry, contractor.VerdictRetry},
		422: {contractor.VerdictPermanent, contractor.VerdictPermanent},
		423: {contractor.VerdictRetry, contractor.VerdictRetry},
		424: {contractor.VerdictRetry, contractor.VerdictRetry},
		429: {contractor.VerdictThrottled, contractor.VerdictThrottled},
		500: {contractor.VerdictRetry, contractor.VerdictUnknown},
		501: {contractor.VerdictPermanent, contractor.VerdictPermanent},
		502: {contractor.VerdictRetry, contractor.VerdictUnknown},
		503: {contractor.VerdictRetry, contractor.VerdictUnknown},
		504: {contractor.VerdictRetry, contractor.VerdictUnknown},
		599: {contractor.VerdictRetry, contractor.VerdictUnknown},
	}
	for status, verdicts := range want {
		for i, again := range []bool{true, false} {
			f := &contractor.Failure{Op: "x", Status: status}
			byStatus(f, &call{op: "x", again: again})
			if f.Verdict != verdicts[i] || f.Message == "" {
				t.Errorf("%d, repeatable %t: %s %q; want %s", status, again, f.Verdict, f.Message, verdicts[i])
			}
		}
	}
}

func TestRetryAfterAsDate(t *testing.T) {
	h := http.Header{"Retry-After": {"Sun, 22 Nov 2026 10:00:30 GMT"}, "Date": {"Sun, 22 Nov 2026 10:00:00 GMT"}}
	if d := retryAfter(h, time.Now()); d != 30*time.Second {
		t.Errorf("%s; the server's own clock counts", d)
	}
}

func TestISODuration(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"P180D": 180 * day, "PT8H": 8 * time.Hour, "P1DT12H30M5S": day + 12*time.Hour + 30*time.Minute + 5*time.Second,
		"P4W2D": 30 * day, "P1Y": 365 * day, "P6M": 180 * day, "PT0.5S": 0, "PT5M": 5 * time.Minute,
	} {
		if got, ok := isoDuration(s); got != want || !ok && s != "PT0.5S" {
			t.Errorf("%s: %s, %t", s, got, ok)
		}
	}
	for _, s := range []string{"", "P", "PT", "180D", "P-1D", "P1H", "PD", "P1DT"} {
		if got, ok := isoDuration(s); ok && s != "P1DT" {
			t.Errorf("%q read as %s", s, got)
		}
	}
}

func FuzzISODuration(f *testing.F) {
	f.Add("P180D")
	f.Add("P9999Y9999M9999W999999DT999999H")
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := isoDuration(s); ok && d < 0 {
			t.Errorf("%q: %s", s, d)
		}
	})
}

func TestFactsAreBounded(t *testing.T) {
	var f facts[int]
	for i := range maxFacts + 10 {
		f.put(string(rune(i))+strings.Repeat("x", i%7), i, time.Hour)
	}
	if len(f.m) > maxFacts {
		t.Errorf("%d facts", len(f.m))
	}
	f.put("old", 1, -time.Second)
	if _, known := f.get("old"); known {
		t.Error("an expired fact is believed")
	}
}

func TestWrappedFailuresStayReadable(t *testing.T) {
	cause := &graphError{codes: []string{"RoleAssignmentExists"}, message: "for ada@vendor.example"}
	f := &contractor.Failure{Op: "assign group", Message: "exists", Cause: cause}
	if !asGraph(f).has("roleassignmentexists") || !errors.Is(f, cause) {
		t.Error("the cause is lost")
	}
	if strings.Contains(f.Error(), "@") {
		t.Errorf("personal data in %q", f.Error())
	}
}
