package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"scimbridge/internal/audit"
)

// stored is a tree as a store keeps it.
type stored map[[2]int64][]byte

func (s stored) put(t audit.Tile) { s[[2]int64{int64(t.Level), t.N}] = bytes.Clone(t.Data) }

func (s stored) tile(level int, n int64) ([]byte, error) {
	if b, ok := s[[2]int64{int64(level), n}]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("no tile %d of level %d", n, level)
}

func leafHash(i int64) tlog.Hash { return tlog.RecordHash(fmt.Appendf(nil, "leaf %d", i)) }

// reference is tlog's own way to the same tree.
type reference []tlog.Hash

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = (*r)[x]
	}
	return out, nil
}

func (r *reference) add(t testing.TB, n int64) {
	t.Helper()
	h, err := tlog.StoredHashesForRecordHash(n, leafHash(n), r)
	if err != nil {
		t.Fatal(err)
	}
	*r = append(*r, h...)
}

// TestTree holds every size up to a few full tiles of level 1 against tlog, each reached by a tree that was stored and taken up
// again at an arbitrary size before.
func TestTree(t *testing.T) {
	const most = 70_000
	tiles := stored{}
	tree := audit.NewTree(tiles.put)
	var ref reference
	for n := range int64(most) {
		ref.add(t, n)
		tree.Append(leafHash(n))
		size := n + 1
		if size > 600 && size%997 != 0 && size%65536 > 2 {
			continue
		}
		want, err := tlog.TreeHash(size, &ref)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree.Root(); got != want || tree.Size() != size {
			t.Fatalf("size %d: root %s, want %s", tree.Size(), got, want)
		}
		for _, edge := range tree.Edge() {
			tiles.put(edge)
		}
		for _, tile := range tlog.NewTiles(audit.TileHeight, 0, size) {
			want, err := tlog.ReadTileData(tile, &ref)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tiles.tile(tile.L, tile.N); err != nil || !bytes.Equal(got[:len(want)], want) {
				t.Fatalf("size %d: tile %v is not tlog's (%v)", size, tile, err)
			}
		}
		if tree, err = audit.ResumeTree(size, tiles.tile, tiles.put); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if got := tree.Root(); got != want {
			t.Fatalf("size %d: taken up again, the root is %s, want %s", size, got, want)
		}
	}
}

func TestTreeOfNothing(t *testing.T) {
	want, err := tlog.TreeHash(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := audit.NewTree(nil).Root(); got != want {
		t.Errorf("root %s, want %s", got, want)
	}
}

func TestTreeFromSubtrees(t *testing.T) {
	for size := int64(0); size < 300; size += 7 {
		whole := audit.NewTree(nil)
		for n := range size {
			whole.Append(leafHash(n))
		}
		on, err := audit.TreeFromSubtrees(size, whole.Subtrees())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.TreeFromSubtrees(size, append(whole.Subtrees(), tlog.Hash{})); err == nil {
			t.Fatalf("size %d: a subtree too many was accepted", size)
		}
		for n := size; n < size+50; n++ {
			whole.Append(leafHash(n))
			on.Append(leafHash(n))
		}
		if on.Root() != whole.Root() {
			t.Fatalf("taken up at %d, the tree is another", size)
		}
	}
}

func TestResumeTreeRefusesATileThatIsTooShort(t *testing.T) {
	tiles := stored{}
	tree := audit.NewTree(tiles.put)
	for n := range int64(10) {
		tree.Append(leafHash(n))
	}
	for _, edge := range tree.Edge() {
		tiles.put(edge)
	}
	if _, err := audit.ResumeTree(11, tiles.tile, nil); err == nil {
		t.Error("a tree of eleven was taken up from ten hashes")
	}
	if _, err := audit.ResumeTree(300, tiles.tile, nil); err == nil {
		t.Error("a tree was taken up whose tile is missing")
	}
}

// ledger is a journal in memory, with its tree, as a store would keep them.
type ledger struct {
	rows  []audit.Row
	tiles stored
	tree  *audit.Tree
}

// ledgerOf makes a journal of n events that say what word says.
func ledgerOf(t testing.TB, n int, word string) *ledger {
	t.Helper()
	l := &ledger{tiles: stored{}}
	l.tree = audit.NewTree(l.tiles.put)
	for _, r := range chain(t, n) {
		l.add(t, r, word)
	}
	for _, edge := range l.tree.Edge() {
		l.tiles.put(edge)
	}
	return l
}

func (l *ledger) add(t testing.TB, r row, word string) {
	t.Helper()
	e, err := audit.ParseLeaf(r.leaf)
	if err != nil {
		t.Fatal(err)
	}
	e.Reason, e.Personal, e.Salt = word, r.personal, r.salt
	prev := audit.Genesis
	if n := len(l.rows); n > 0 {
		prev = audit.HashLeaf(l.rows[n-1].Leaf)
	}
	l.put(t, e, prev)
}

// put seals an event behind prev and appends it to rows and tree.
func (l *ledger) put(t testing.TB, e *audit.Event, prev string) {
	t.Helper()
	row := rowOf(t, e, prev)
	l.rows = append(l.rows, row)
	l.tree.Append(tlog.RecordHash(row.Leaf))
}

func rowOf(t testing.TB, e *audit.Event, prev string) audit.Row {
	t.Helper()
	if err := e.Seal(prev); err != nil {
		t.Fatal(err)
	}
	leaf, err := e.Leaf()
	if err != nil {
		t.Fatal(err)
	}
	return audit.Row{
		Seq: e.Seq, Time: e.Time.UnixMicro(), Kind: []byte(e.Kind), Person: []byte(e.Person), Engagement: []byte(e.Engagement), Vendor: []byte(e.Vendor),
		Hash: fromHex(t, e.Hash), Leaf: leaf, Personal: e.Personal, Salt: e.Salt,
	}
}

func (l *ledger) head() audit.Checkpoint {
	return audit.Checkpoint{Size: l.tree.Size(), Root: l.tree.Root()}
}

// walk verifies what a store would hold.
func (l *ledger) walk(known ...audit.KnownCheckpoint) (*audit.Report, error) {
	w := audit.NewWalk(known, l.tree.Size(), l.tiles.tile)
	for from := 0; from < len(l.rows); from += 4 {
		span := audit.Span{First: int64(from + 1)}
		for i := from; i < min(from+4, len(l.rows)); i++ {
			if err := span.Add(&l.rows[i]); err != nil {
				return nil, err
			}
		}
		if err := w.Span(&span); err != nil {
			return nil, err
		}
	}
	return w.Finish(nil)
}

func TestWalk(t *testing.T) {
	key := newKey(t)
	sign := func(c audit.Checkpoint) audit.KnownCheckpoint {
		c.Origin = key.Origin()
		signed, err := key.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return audit.KnownCheckpoint{SignedCheckpoint: signed, Source: "the auditor", Kept: true}
	}
	after300 := sign(ledgerOf(t, 300, "a").head())
	whole := sign(ledgerOf(t, 600, "a").head())

	t.Run("WholeJournalFitsItsCheckpoints", func(t *testing.T) {
		report, err := ledgerOf(t, 600, "a").walk(whole, after300)
		if err != nil {
			t.Fatal(err)
		}
		if report.Events != 600 || report.Covered != 600 || len(report.Checkpoints) != 2 || report.Checkpoints[0].Size != 300 {
			t.Errorf("report %+v", report)
		}
	})
	t.Run("AJournalThatWentOnFitsItsOldCheckpoint", func(t *testing.T) {
		report, err := ledgerOf(t, 600, "a").walk(after300)
		if err != nil || report.Covered != 300 {
			t.Errorf("%+v, %v", report, err)
		}
	})
	t.Run("EveryEventSealedAnewIsFoundByTheCheckpointAlone", func(t *testing.T) {
		forged := ledgerOf(t, 600, "b")
		if _, err := forged.walk(); err != nil {
			t.Fatalf("the forgery is not whole, so this proves nothing: %v", err)
		}
		_, err := forged.walk(after300)
		var f *audit.CheckpointFault
		if !errors.As(err, &f) || f.Checkpoint.Size != 300 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("TheEventsBetweenTwoCheckpointsAreNamed", func(t *testing.T) {
		forged := ledgerOf(t, 400, "a")
		for _, r := range chain(t, 600)[400:] {
			forged.add(t, r, "b")
		}
		for _, edge := range forged.tree.Edge() {
			forged.tiles.put(edge)
		}
		_, err := forged.walk(after300, whole)
		var f *audit.CheckpointFault
		if !errors.As(err, &f) || f.After != 300 || f.Checkpoint.Size != 600 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ARolledBackJournalIsFoundByTheCheckpointAlone", func(t *testing.T) {
		_, err := ledgerOf(t, 500, "a").walk(after300, whole)
		var f *audit.CheckpointFault
		if !errors.As(err, &f) || f.Events != 500 || f.Checkpoint.Size != 600 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("TheStoredTreeNamesTheEventThatWasSealedAnew", func(t *testing.T) {
		forged := ledgerOf(t, 600, "a")
		forged.reseal(t, 412)
		_, err := forged.walk(whole)
		var f *audit.Fault
		var c *audit.CheckpointFault
		if !errors.As(err, &f) || f.Seq != 412 || !errors.As(err, &c) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ATreeThatReachesFurtherThanTheJournalIsFound", func(t *testing.T) {
		l := ledgerOf(t, 600, "a")
		l.rows = l.rows[:590]
		_, err := l.walk()
		var f *audit.Fault
		if !errors.As(err, &f) || f.Seq != 591 {
			t.Errorf("got %v", err)
		}
	})
}

// reseal changes one event and seals it and all behind it, and leaves the tree as it was.
func (l *ledger) reseal(t testing.TB, seq int64) {
	t.Helper()
	for i := seq - 1; i < int64(len(l.rows)); i++ {
		e, err := l.rows[i].Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq == seq {
			e.Rule = "another"
		}
		l.rows[i] = rowOf(t, e, audit.HashLeaf(l.rows[i-1].Leaf))
	}
}
