package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"scimbridge/internal/audit"
)

type row struct {
	leaf           []byte
	hash           string
	personal, salt []byte
}

func chain(t testing.TB, n int) []row {
	t.Helper()
	prev := audit.Genesis
	var rows []row
	for i := range n {
		e := audit.Event{
			Seq: int64(i + 1), Time: time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC), Kind: "grant.added", Outcome: audit.Done,
			Actor: audit.Actor{Kind: audit.ActorBridge}, Person: "p", Rule: "everyone", Line: 40 + i,
			Personal: json.RawMessage(fmt.Sprintf(`{"email":"p%d@x.example"}`, i)), Salt: []byte("0123456789abcdef"),
		}
		if err := e.Seal(prev); err != nil {
			t.Fatal(err)
		}
		leaf, err := e.Leaf()
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{leaf, e.Hash, e.Personal, e.Salt})
		prev = e.Hash
	}
	return rows
}

func verify(rows []row) (*audit.Verifier, error) {
	var v audit.Verifier
	for _, r := range rows {
		if _, err := v.Check(r.leaf, r.hash, r.personal, r.salt); err != nil {
			return &v, err
		}
	}
	return &v, nil
}

func TestVerifier(t *testing.T) {
	t.Run("Whole", func(t *testing.T) {
		rows := chain(t, 5)
		v, err := verify(rows)
		if err != nil {
			t.Fatal(err)
		}
		if n, head := v.Head(); n != 5 || head != rows[4].hash {
			t.Errorf("head %d %s", n, head)
		}
	})
	t.Run("ErasedPersonalFieldsDoNotBreakIt", func(t *testing.T) {
		rows := chain(t, 5)
		rows[2].personal, rows[2].salt = nil, nil
		if _, err := verify(rows); err != nil {
			t.Error(err)
		}
	})
	for name, tamper := range map[string]func([]row) []row{
		"ChangedContent":  func(r []row) []row { r[2].leaf = append([]byte(nil), r[2].leaf...); r[2].leaf[9] ^= 1; return r },
		"ChangedPersonal": func(r []row) []row { r[2].personal = []byte(`{"email":"other@x.example"}`); return r },
		"Dropped":         func(r []row) []row { return append(r[:2:2], r[3:]...) },
		"Reordered":       func(r []row) []row { r[2], r[3] = r[3], r[2]; return r },
		"Inserted":        func(r []row) []row { return append(r[:3:3], append([]row{r[2]}, r[3:]...)...) },
		"Resealed": func(r []row) []row { // somebody who knows the format rewrites one event, hash and all
			e := audit.Event{}
			_ = json.Unmarshal(r[2].leaf, &e)
			e.Rule = "other"
			_ = e.Seal(e.Prev)
			r[2].leaf, _ = e.Leaf()
			r[2].hash = e.Hash
			return r
		},
	} {
		t.Run(name+"IsFound", func(t *testing.T) {
			_, err := verify(tamper(chain(t, 5)))
			var f *audit.Fault
			if !errors.As(err, &f) || f.Seq < 3 || f.Seq > 4 {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("LeafIsStable", func(t *testing.T) {
		rows := chain(t, 1)
		var e audit.Event
		if err := json.Unmarshal(rows[0].leaf, &e); err != nil {
			t.Fatal(err)
		}
		again, err := e.Leaf()
		if err != nil || string(again) != string(rows[0].leaf) {
			t.Errorf("read back and written again it differs:\n%s\n%s", rows[0].leaf, again)
		}
	})
}
