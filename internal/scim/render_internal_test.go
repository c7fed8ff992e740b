package scim

import (
	"bytes"
	"testing"
	"time"
)

func FuzzAppendTime(f *testing.F) {
	for _, n := range []int64{0, 1, -1, 1_000_000, 1_764_000_000_123_456, 253_402_300_799_999_999, 253_402_300_800_000_000, -62_167_219_200_000_001} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, micros int64) {
		at := time.UnixMicro(micros)
		want := at.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
		if got := string(appendTime(nil, at)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestLastIndex(t *testing.T) {
	for _, s := range []string{"", "x", `"a":`, `"a":1,"a":2`, `"a":"a":`, `x"a":y`} {
		if got, want := lastIndex([]byte(s), `"a":`), bytes.LastIndex([]byte(s), []byte(`"a":`)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}
