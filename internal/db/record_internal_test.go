package db

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

// Every field that a record has, now or later, comes back as it was stored.
func TestDecodeRecordReadsEveryField(t *testing.T) {
	yes, no := true, false
	for _, eligible := range []*bool{nil, &yes, &no} {
		var want contractor.Record
		v := reflect.ValueOf(&want).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.String:
				f.SetString(v.Type().Field(i).Name + " \"quoted\" \\ é \n</b> \u2028 {[,]}")
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Slice:
				f.Set(reflect.ValueOf([]string{"a@x.example", "b\"@x.example"}))
			case reflect.Pointer:
				f.Set(reflect.ValueOf(eligible))
			default:
				t.Fatalf("decodeRecord does not know the type of %s", v.Type().Field(i).Name)
			}
		}
		stored, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRecord("id", string(stored))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("error %v, difference:\n%s", err, diff)
		}
	}
}

// So does every field of a standing.
func TestDecodeStandingReadsEveryField(t *testing.T) {
	var want contractor.Standing
	v := reflect.ValueOf(&want).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case string, contractor.Status:
			f.SetString(v.Type().Field(i).Name + " \"quoted\" \\ é \n</b> \u2028 {[,]}")
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2027, 5, 31, 21, 59, 59, 123456000, time.UTC)))
		case []string:
			f.Set(reflect.ValueOf([]string{"ext-base", "a\"b"}))
		default:
			t.Fatalf("decodeStanding does not know the type of %s", v.Type().Field(i).Name)
		}
	}
	for name, standing := range map[string]contractor.Standing{"Full": want, "Empty": {}} {
		stored, err := json.Marshal(standing)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeStanding("id", string(stored))
		if diff := cmp.Diff(standing, got); diff != "" || err != nil {
			t.Errorf("%s: error %v, difference:\n%s", name, err, diff)
		}
	}
	for _, broken := range []string{``, `null`, `{"effectiveEnd":"soon"}`} {
		if _, err := decodeStanding("id", broken); err == nil {
			t.Errorf("%q was read", broken)
		}
	}
}

// The walk over JSON finds what encoding/json finds, and ends on anything.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":"x\"y","c":[1,{"d":null}],"e":{"f":[]}}`, ` { "a" : [ ] , "b" : -1.5e3 } `, `[true,false , "x"]`, `"\u00e9"`, `{"a":{"b":[[],{}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) {
			return
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(b, &want) == nil && want != nil {
			got := map[string]json.RawMessage{}
			members(string(b), func(name, value string) { got[name] = json.RawMessage(value) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("members of %s:\n%s", b, diff)
			}
			for name, value := range want {
				var s string
				if json.Unmarshal(value, &s) == nil && value[0] == '"' && text(string(value)) != s {
					t.Errorf("text of %s in %s is %q", name, b, text(string(value)))
				}
			}
		}
		var list []json.RawMessage
		if json.Unmarshal(b, &list) == nil && list != nil {
			got := []json.RawMessage{}
			elements(string(b), func(value string) { got = append(got, json.RawMessage(value)) })
			if diff := cmp.Diff(list, got); diff != "" {
				t.Errorf("elements of %s:\n%s", b, diff)
			}
		}
	})
}
