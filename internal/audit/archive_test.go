package audit_test

import (
	"bytes"
	"strings"
	"testing"

	"scimbridge/internal/audit"
)

// archiveOf writes events first to last of a journal of n.
func archiveOf(t testing.TB, l *ledger, c audit.SignedCheckpoint, first, last int64) []byte {
	t.Helper()
	before := audit.NewTree(nil)
	prev := audit.Genesis
	for seq := int64(1); seq < first; seq++ {
		link, err := l.rows[seq-1].Check()
		if err != nil {
			t.Fatal(err)
		}
		before.Append(link.Record)
		prev = audit.HashLeaf(l.rows[seq-1].Leaf)
	}
	var b bytes.Buffer
	w, err := audit.NewArchiveWriter(&b, c.Origin, first, last, prev, before)
	if err != nil {
		t.Fatal(err)
	}
	for seq := first; seq <= last; seq++ {
		if err := w.Add(&l.rows[seq-1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(c, l.tiles.tile); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchive(t *testing.T) {
	key := newKey(t)
	l := ledgerOf(t, 400, "a")
	c := signed(t, key, l.head())
	for _, span := range [][2]int64{{1, 1}, {1, 400}, {1, 256}, {257, 300}, {2, 399}, {400, 400}} {
		b := archiveOf(t, l, c, span[0], span[1])
		var seen []int64
		a, err := audit.CheckArchive(bytes.NewReader(b), func(e *audit.Event) error { seen = append(seen, e.Seq); return nil }, verifierOf(t, key))
		if err != nil {
			t.Fatalf("%v: %v", span, err)
		}
		if a.First != span[0] || a.Last != span[1] || int64(len(seen)) != span[1]-span[0]+1 || seen[0] != span[0] || !audit.IsArchive(b[:200]) {
			t.Errorf("%v: %+v, events %v", span, a, seen)
		}
		if strings.Contains(string(b), "x.example") {
			t.Errorf("%v: the archive has personal fields", span)
		}
	}

	good := archiveOf(t, l, c, 100, 200)
	lines := bytes.SplitAfter(good, []byte("\n"))
	join := func(parts ...[][]byte) []byte {
		var b []byte
		for _, p := range parts {
			b = append(b, bytes.Join(p, nil)...)
		}
		return b
	}
	forged := ledgerOf(t, 400, "a")
	forged.reseal(t, 150)
	for name, bad := range map[string][]byte{
		"AChangedEvent":      bytes.Replace(good, []byte(`"line":160`), []byte(`"line":161`), 1),
		"AMissingEvent":      join(lines[:50], lines[51:]),
		"ADoubledEvent":      join(lines[:50], lines[49:]),
		"EventsSealedAnew":   sealedAnew(t, lines, forged),
		"AnotherBeginning":   bytes.Replace(good, []byte(`"first":100`), []byte(`"first":101`), 1),
		"ACutOffArchive":     join(lines[:60]),
		"NoProof":            join(lines[:len(lines)-2]),
		"SomethingBehind":    append(bytes.Clone(good), lines[5]...),
		"AnotherCheckpoint":  bytes.Replace(good, []byte(`\n400\n`), []byte(`\n401\n`), 1),
		"Nothing":            nil,
		"SomethingElse":      []byte("{}\n"),
		"AnotherOrigin":      bytes.Replace(good, []byte(`"origin":"scimbridge/`), []byte(`"origin":"scimbridgf/`), 1),
		"OtherSubtrees":      bytes.Replace(good, []byte(`"subtrees":["`), []byte(`"subtrees":["A`), 1),
		"ForgedSubtreesHash": swapSubtrees(lines),
	} {
		t.Run(name+"IsRefused", func(t *testing.T) {
			if bytes.Equal(bad, good) {
				t.Fatal("the case changes nothing")
			}
			if a, err := audit.CheckArchive(bytes.NewReader(bad), nil, verifierOf(t, key)); err == nil {
				t.Errorf("accepted: %+v", a)
			}
		})
	}
	t.Run("AnotherKeyIsRefused", func(t *testing.T) {
		if _, err := audit.CheckArchive(bytes.NewReader(good), nil, verifierOf(t, newKey(t))); err == nil {
			t.Error("accepted")
		}
	})
}

// sealedAnew has the events of another journal between head and foot, the hash in the foot fitted to them.
func sealedAnew(t testing.TB, lines [][]byte, l *ledger) []byte {
	t.Helper()
	var b []byte
	b = append(b, lines[0]...)
	for seq := 100; seq <= 200; seq++ {
		b = append(append(b, l.rows[seq-1].Leaf...), '\n')
	}
	foot := string(lines[len(lines)-2])
	old, _, _ := strings.Cut(strings.TrimPrefix(foot, `{"hash":"`), `"`)
	return append(b, strings.Replace(foot, old, audit.HashLeaf(l.rows[199].Leaf), 1)...)
}

// swapSubtrees exchanges two hashes in the head.
func swapSubtrees(lines [][]byte) []byte {
	head := string(lines[0])
	_, list, _ := strings.Cut(head, `"subtrees":[`)
	list, _, _ = strings.Cut(list, "]")
	hashes := strings.Split(list, ",")
	hashes[0], hashes[1] = hashes[1], hashes[0]
	out := []byte(strings.Replace(head, list, strings.Join(hashes, ","), 1))
	for _, l := range lines[1:] {
		out = append(out, l...)
	}
	return out
}
