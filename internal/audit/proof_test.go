package audit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"scimbridge/internal/audit"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newKey(t testing.TB) *audit.Key {
	t.Helper()
	origin, err := audit.NewOrigin()
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.MakeKey(filepath.Join(t.TempDir(), "key"), origin, "")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func verifierOf(t testing.TB, key *audit.Key) note.Verifier {
	t.Helper()
	v, err := key.Verifier()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func signed(t testing.TB, key *audit.Key, c audit.Checkpoint) audit.SignedCheckpoint {
	t.Helper()
	c.Origin = key.Origin()
	s, err := key.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEventProof(t *testing.T) {
	key := newKey(t)
	l := ledgerOf(t, 700, "a")
	c := signed(t, key, l.head())
	marshal := func(t *testing.T, seq int) []byte {
		t.Helper()
		p, err := audit.ProveEvent(&l.rows[seq-1], c, l.tiles.tile)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Run("EveryEventIsProven", func(t *testing.T) {
		for seq := 1; seq <= 700; seq += 23 {
			p, err := audit.CheckProof(marshal(t, seq), verifierOf(t, key))
			if err != nil {
				t.Fatalf("event %d: %v", seq, err)
			}
			if p.Event.Seq != int64(seq) || p.New.Size != 700 || string(p.Event.Personal) != string(l.rows[seq-1].Personal) {
				t.Fatalf("event %d: proof %+v", seq, p)
			}
		}
	})
	t.Run("AnOlderCheckpointWillDo", func(t *testing.T) {
		old := signed(t, key, ledgerOf(t, 300, "a").head())
		p, err := audit.ProveEvent(&l.rows[199], old, l.tiles.tile)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.CheckProof(b, verifierOf(t, key)); err != nil {
			t.Error(err)
		}
		if _, err := audit.ProveEvent(&l.rows[300], old, l.tiles.tile); err == nil {
			t.Error("an event younger than the checkpoint was proven")
		}
	})
	t.Run("PersonalFieldsNeedNotBeShown", func(t *testing.T) {
		row := l.rows[9]
		row.Personal, row.Salt = nil, nil
		p, err := audit.ProveEvent(&row, c, l.tiles.tile)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := audit.CheckProof(b, verifierOf(t, key))
		if err != nil || got.Event.Personal != nil || bytes.Contains(b, []byte("x.example")) {
			t.Errorf("%+v, %v", got, err)
		}
	})

	good := marshal(t, 42)
	extra := strings.TrimPrefix(strings.Split(string(good), "\n")[1], "extra ")
	raw, err := base64.StdEncoding.DecodeString(extra)
	if err != nil {
		t.Fatal(err)
	}
	withEvent := func(old, with string) []byte {
		changed := bytes.Replace(raw, []byte(old), []byte(with), 1)
		return bytes.Replace(good, []byte(extra), []byte(base64.StdEncoding.EncodeToString(changed)), 1)
	}
	lines := strings.Split(string(good), "\n")
	swapped := append([]string(nil), lines...)
	swapped[3], swapped[4] = swapped[4], swapped[3]
	for name, bad := range map[string][]byte{
		"AChangedEvent":           withEvent(`"rule":"everyone"`, `"rule":"nobody01"`),
		"ChangedPersonalFields":   withEvent(base64.StdEncoding.EncodeToString(l.rows[41].Personal), base64.StdEncoding.EncodeToString([]byte(`{"email":"x"}`))),
		"AnotherIndex":            bytes.Replace(good, []byte("index 41\n"), []byte("index 42\n"), 1),
		"ASwappedPath":            []byte(strings.Join(swapped, "\n")),
		"AShorterPath":            []byte(strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), "\n")),
		"AnotherSize":             bytes.Replace(good, []byte("\n700\n"), []byte("\n701\n"), 1),
		"NoCheckpoint":            good[:bytes.Index(good, []byte("\n\n"))+1],
		"NoSignature":             good[:bytes.LastIndex(good, []byte("\n\n"))+2],
		"NoExtra":                 []byte(strings.Join(append([]string{lines[0]}, lines[2:]...), "\n")),
		"Nothing":                 nil,
		"ACheckpointOfAnother":    bytes.Replace(good, c.Note, signed(t, newKey(t), l.head()).Note, 1),
		"ACheckpointOfAnyoneElse": bytes.Replace(good, c.Note, signed(t, key, ledgerOf(t, 700, "b").head()).Note, 1),
	} {
		t.Run(name+"IsRefused", func(t *testing.T) {
			if bytes.Equal(bad, good) {
				t.Fatal("the case changes nothing")
			}
			if p, err := audit.CheckProof(bad, verifierOf(t, key)); err == nil {
				t.Errorf("accepted: %+v", p)
			}
		})
	}
}

func TestConsistencyProof(t *testing.T) {
	key := newKey(t)
	l := ledgerOf(t, 700, "a")
	now := signed(t, key, l.head())
	for _, size := range []int{1, 2, 255, 256, 257, 511, 699, 700} {
		before := signed(t, key, ledgerOf(t, size, "a").head())
		b, err := audit.ProveConsistency(before, now, l.tiles.tile)
		if err != nil {
			t.Fatalf("%d: %v", size, err)
		}
		p, err := audit.CheckProof(b, verifierOf(t, key))
		if err != nil || p.Old.Size != int64(size) || p.New.Size != 700 {
			t.Fatalf("%d: %+v, %v", size, p, err)
		}
		forged := bytes.Replace(b, before.Note, signed(t, key, audit.Checkpoint{Size: int64(size), Root: leafHash(1)}).Note, 1)
		if _, err := audit.CheckProof(forged, verifierOf(t, key)); err == nil && size != 700 {
			t.Errorf("%d: another history was accepted", size)
		}
	}
	var broken *audit.BrokenHistory
	other := signed(t, key, ledgerOf(t, 300, "b").head())
	if _, err := audit.ProveConsistency(other, now, l.tiles.tile); !errors.As(err, &broken) {
		t.Errorf("another history: %v", err)
	}
	longer := signed(t, key, ledgerOf(t, 701, "a").head())
	if _, err := audit.ProveConsistency(longer, now, l.tiles.tile); !errors.As(err, &broken) {
		t.Errorf("a longer one: %v", err)
	}
}

func TestCheckpoint(t *testing.T) {
	key := newKey(t)
	c := signed(t, key, ledgerOf(t, 10, "a").head())
	got, err := audit.OpenCheckpoint(c.Note, verifierOf(t, key))
	if err != nil || got.Checkpoint != c.Checkpoint {
		t.Fatalf("%+v, %v", got, err)
	}
	t.Run("SeveralStandInOneFile", func(t *testing.T) {
		d := signed(t, key, ledgerOf(t, 20, "a").head())
		for _, between := range []string{"", "\n", "\n\n"} {
			notes, err := audit.SplitNotes([]byte(between + string(c.Note) + between + string(d.Note) + between))
			if err != nil || len(notes) != 2 || !bytes.Equal(notes[0], c.Note) || !bytes.Equal(notes[1], d.Note) {
				t.Errorf("%q between: %q, %v", between, notes, err)
			}
		}
		if notes, err := audit.SplitNotes(append(bytes.Clone(c.Note), d.Note[:20]...)); err == nil || len(notes) != 1 {
			t.Errorf("cut off: %q, %v", notes, err)
		}
	})
	t.Run("AnUnknownKeyIsNamed", func(t *testing.T) {
		_, err := audit.OpenCheckpoint(c.Note, verifierOf(t, newKey(t)))
		if err == nil || !strings.Contains(err.Error(), key.Origin()+"+") {
			t.Errorf("got %v", err)
		}
	})
	for name, text := range map[string]string{
		"Empty": "", "TwoLines": "o\n1\n", "NoSize": "o\nx\nAAAA\n", "LeadingZero": "o\n01\n" + c.Root.String() + "\n",
		"Negative": "o\n-1\n" + c.Root.String() + "\n", "NoRoot": "o\n1\nx\n", "NoOrigin": "\n1\n" + c.Root.String() + "\n",
	} {
		t.Run(name+"IsRefused", func(t *testing.T) {
			if c, err := audit.ParseCheckpoint(text); err == nil {
				t.Errorf("read %+v", c)
			}
		})
	}
}

func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key, err := audit.MakeKey(path, "scimbridge/test", "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := audit.ReadKey(path)
	if err != nil || again.Public() != key.Public() {
		t.Errorf("read again: %v, %v", again, err)
	}
	if _, err := audit.MakeKey(path, "scimbridge/test", ""); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second key was made: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.ReadKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(key.String(), "PRIVATE") {
		t.Error("the key prints its private half")
	}
	if _, err := audit.ParseKey(string(secret[:len(secret)-9])); err == nil || strings.Contains(err.Error(), string(secret[30:60])) {
		t.Errorf("a damaged key: %v", err)
	}
}

func TestSealer(t *testing.T) {
	seal := func(t *testing.T) (*audit.Sealer, *ledger) {
		t.Helper()
		s := &audit.Sealer{Key: newKey(t), Last: filepath.Join(t.TempDir(), "last")}
		l := ledgerOf(t, 300, "a")
		if _, err := s.Seal(l.head(), l.tiles.tile); err != nil {
			t.Fatal(err)
		}
		return s, l
	}
	t.Run("SignsWhatContinues", func(t *testing.T) {
		s, _ := seal(t)
		l := ledgerOf(t, 301, "a")
		c, err := s.Seal(l.head(), l.tiles.tile)
		if err != nil || c.Size != 301 {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("GivesTheSameAgain", func(t *testing.T) {
		s, l := seal(t)
		a, err := s.Seal(l.head(), l.tiles.tile)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Seal(l.head(), l.tiles.tile)
		if err != nil || !bytes.Equal(a.Note, b.Note) {
			t.Errorf("%s\n%s\n%v", a.Note, b.Note, err)
		}
	})
	for name, l := range map[string]*ledger{"ARollback": ledgerOf(t, 299, "a"), "AnotherHistory": ledgerOf(t, 400, "b"), "TheSameSizeOfAnother": ledgerOf(t, 300, "b")} {
		t.Run("DoesNotSign"+name, func(t *testing.T) {
			s, _ := seal(t)
			var broken *audit.BrokenHistory
			if _, err := s.Seal(l.head(), l.tiles.tile); !errors.As(err, &broken) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("DoesNotSignWithAnotherKey", func(t *testing.T) {
		s, l := seal(t)
		s.Key = newKey(t)
		if _, err := s.Seal(l.head(), l.tiles.tile); err == nil || !strings.Contains(err.Error(), "rekey") {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzCheckProof(f *testing.F) {
	key := newKey(f)
	v := verifierOf(f, key)
	l := ledgerOf(f, 9, "a")
	c := signed(f, key, l.head())
	p, err := audit.ProveEvent(&l.rows[4], c, l.tiles.tile)
	if err != nil {
		f.Fatal(err)
	}
	b, err := p.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	if b, err = audit.ProveConsistency(signed(f, key, ledgerOf(f, 4, "a").head()), c, l.tiles.tile); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := audit.CheckProof(data, v)
		if err != nil {
			return
		}
		if p.Event != nil { // whatever the file looked like: the event it shows is the journal's
			leaf, err := p.Event.Leaf()
			if err != nil || !bytes.Equal(leaf, l.rows[p.Event.Seq-1].Leaf) {
				t.Errorf("proved an event that is not there: %s, %v", leaf, err)
			}
		}
	})
}
