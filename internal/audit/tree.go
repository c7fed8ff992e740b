package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TileHeight is the height of the tiles in which the Merkle tree is stored: 256 hashes of one level, 8 KiB (C2SP tlog-tiles).
const TileHeight = 8

const (
	tileWidth = 1 << TileHeight
	maxLevel  = 7 // a tree of 2^56 events and more does not happen
)

// Tile is a run of hashes of one tile level, as tlog.Tile names them: Data is W hashes, W from 1 to 256.
type Tile struct {
	Level int
	N     int64
	Data  []byte
}

// Tree is the right edge of the Merkle tree over the journal's leaves (RFC 6962): all that is needed to append to it and to
// know its root. Event seq is leaf seq-1.
type Tree struct {
	size  int64
	stack []tlog.Hash          // roots of the perfect subtrees, left to right
	edge  [maxLevel + 1][]byte // hashes of the tiles that are not full
	full  func(Tile)           // told each tile that became full; may be nil
	level [maxLevel + 1]int64  // tiles of each level that are full
}

// NewTree begins an empty tree. full, if not nil, is told every tile that became full.
func NewTree(full func(Tile)) *Tree { return &Tree{full: full} }

// ResumeTree goes on with a stored tree of the given size. tile returns the stored tile, which may hold more hashes than the
// tree had at that size.
func ResumeTree(size int64, tile func(level int, n int64) ([]byte, error), full func(Tile)) (*Tree, error) {
	t := &Tree{size: size, full: full}
	for l := maxLevel; l >= 0; l-- {
		count := size >> (TileHeight * l) // hashes of this level
		t.level[l] = count >> TileHeight
		width := int(count & (tileWidth - 1))
		if width == 0 {
			continue
		}
		data, err := tile(l, t.level[l])
		if err != nil {
			return nil, err
		}
		if len(data) < width*tlog.HashSize {
			return nil, fmt.Errorf("tile %d of level %d has %d hashes instead of %d", t.level[l], l, len(data)/tlog.HashSize, width)
		}
		t.edge[l] = append(make([]byte, 0, tileWidth*tlog.HashSize), data[:width*tlog.HashSize]...)
		hashes := tileHashes(t.edge[l])
		for bit := tileWidth / 2; bit > 0; bit /= 2 { // one perfect subtree for each bit of the width
			if width&bit != 0 {
				t.stack = append(t.stack, perfectRoot(hashes[:bit]))
				hashes = hashes[bit:]
			}
		}
	}
	return t, nil
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Append adds the next leaf's hash.
func (t *Tree) Append(record tlog.Hash) {
	t.emit(0, record)
	h := record
	for s, height := t.size, 1; s&1 == 1; s, height = s>>1, height+1 {
		h = tlog.NodeHash(t.stack[len(t.stack)-1], h)
		t.stack = t.stack[:len(t.stack)-1]
		if height%TileHeight == 0 {
			t.emit(height/TileHeight, h)
		}
	}
	t.stack = append(t.stack, h)
	t.size++
}

func (t *Tree) emit(level int, h tlog.Hash) {
	if t.edge[level] == nil {
		t.edge[level] = make([]byte, 0, tileWidth*tlog.HashSize)
	}
	t.edge[level] = append(t.edge[level], h[:]...)
	if len(t.edge[level]) < tileWidth*tlog.HashSize {
		return
	}
	if t.full != nil {
		t.full(Tile{level, t.level[level], t.edge[level]})
		t.edge[level] = nil // it is the other's now
	} else {
		t.edge[level] = t.edge[level][:0]
	}
	t.level[level]++
}

// Root is the hash of the whole tree; of the empty string for an empty tree, as RFC 6962 has it.
func (t *Tree) Root() tlog.Hash {
	if len(t.stack) == 0 {
		h, err := tlog.TreeHash(0, nil)
		if err != nil {
			return tlog.Hash{} // an empty tree reads nothing that could fail
		}
		return h
	}
	h := t.stack[len(t.stack)-1]
	for i := len(t.stack) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.stack[i], h)
	}
	return h
}

// Edge are the tiles that are not full, for storing.
func (t *Tree) Edge() []Tile {
	var tiles []Tile
	for l := range t.edge {
		if len(t.edge[l]) > 0 {
			tiles = append(tiles, Tile{l, t.level[l], t.edge[l]})
		}
	}
	return tiles
}

// Subtrees are the roots of the perfect subtrees, left to right: with them and the leaves that follow, the tree can be built on
// by somebody who does not have the leaves before.
func (t *Tree) Subtrees() []tlog.Hash { return append([]tlog.Hash(nil), t.stack...) }

// TreeFromSubtrees goes on from Subtrees. Its tiles are not complete and are not to be stored.
func TreeFromSubtrees(size int64, subtrees []tlog.Hash) (*Tree, error) {
	n := 0
	for s := size; s > 0; s &= s - 1 {
		n++
	}
	if size < 0 || len(subtrees) != n {
		return nil, fmt.Errorf("a tree of %d leaves has %d perfect subtrees, not %d", size, n, len(subtrees))
	}
	t := &Tree{size: size, stack: append([]tlog.Hash(nil), subtrees...)}
	for l := range t.level {
		t.level[l] = size >> (TileHeight * (l + 1))
	}
	return t, nil
}

// perfectRoot is the root over 2^k hashes.
func perfectRoot(hashes []tlog.Hash) tlog.Hash {
	for len(hashes) > 1 {
		next := make([]tlog.Hash, len(hashes)/2)
		for i := range next {
			next[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
		}
		hashes = next
	}
	return hashes[0]
}

func tileHashes(data []byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], data[i*tlog.HashSize:])
	}
	return hashes
}

// tiles lets tlog read stored tiles.
type tiles func(level int, n int64) ([]byte, error)

func (tiles) Height() int { return TileHeight }

func (read tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(want))
	for i, t := range want {
		b, err := read(t.L, t.N)
		if err != nil {
			return nil, err
		}
		if len(b) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("tile %d of level %d has %d hashes instead of %d", t.N, t.L, len(b)/tlog.HashSize, t.W)
		}
		data[i] = b[:t.W*tlog.HashSize]
	}
	return data, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// hashReader reads hashes of the tree with the given size and root from stored tiles. Each tile is checked against the root, so
// that a proof can only be of that tree.
func hashReader(c Checkpoint, tile func(level int, n int64) ([]byte, error)) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, tiles(tile))
}
