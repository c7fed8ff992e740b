package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// KnownCheckpoint is a checkpoint to hold the journal against.
type KnownCheckpoint struct {
	SignedCheckpoint
	Source string // where it is kept, for the report
	Kept   bool   // elsewhere: it proves more than the database's own
}

// ArchiveRecord is what the store knows of an archive.
type ArchiveRecord struct {
	First    int64  `json:"first"`
	Last     int64  `json:"last"`
	Hash     string `json:"hash"`   // of the last event
	SHA256   string `json:"sha256"` // of the file
	File     string `json:"file"`
	Archived int64  `json:"archived"`          // event that tells of it
	Dropped  int64  `json:"dropped,omitempty"` // event that tells that its events left the journal; 0: they are there
}

// Report is what a whole walk found.
type Report struct {
	Events      int64            `json:"events"` // all that there ever were
	Stored      int64            `json:"stored"` // those that are not dropped into archives
	Head        string           `json:"head"`   // hash of the last
	Root        string           `json:"root"`   // of the Merkle tree over all, base64
	LastEvent   time.Time        `json:"lastEvent,omitzero"`
	Erased      int              `json:"erased"` // events whose personal fields were erased
	Checkpoints []CheckedAgainst `json:"checkpoints"`
	Archives    []ArchiveRecord  `json:"archives,omitempty"`
	Covered     int64            `json:"covered"` // events that a checkpoint kept elsewhere covers: these are proven
}

// CheckedAgainst is a checkpoint that the journal fits.
type CheckedAgainst struct {
	Source string `json:"source"`
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Kept   bool   `json:"keptElsewhere"`
}

// CheckpointFault says that the journal is not the one that a checkpoint was signed over.
type CheckpointFault struct {
	Checkpoint Checkpoint
	Source     string
	After      int64 // events 1 to After are those of an older checkpoint
	Events     int64 // that the journal has
}

func (f *CheckpointFault) Error() string {
	if f.Checkpoint.Size > f.Events {
		return fmt.Sprintf("the checkpoint of %s covers %d events, but the journal has %d: its end was cut off, or the database was rolled back",
			f.Source, f.Checkpoint.Size, f.Events)
	}
	return fmt.Sprintf("the journal is not the one that the checkpoint of %s was signed over: one of the events %d to %d was changed, removed or inserted, and the chain sealed anew",
		f.Source, f.After+1, f.Checkpoint.Size)
}

// Walk holds a journal, event after event, against its chain, its stored tree and checkpoints. It stops at the first fault.
type Walk struct {
	tree   *Tree
	hash   [32]byte // of the last event
	known  []KnownCheckpoint
	report Report
	next   int         // the next of known
	stored *storedTree // nil: not compared
	tiles  error       // the first difference from the stored tree
	signed error       // the first checkpoint that does not fit
}

type storedTree struct {
	size int64
	tile func(level int, n int64) ([]byte, error)
}

// NewWalk begins a walk. tile reads the stored tiles of a tree of the given size, which must come out of the events again; the
// events may be more. nil compares with no stored tree.
func NewWalk(known []KnownCheckpoint, size int64, tile func(level int, n int64) ([]byte, error)) *Walk {
	w := &Walk{known: slices.DeleteFunc(slices.Clone(known), func(k KnownCheckpoint) bool { return k.Size == 0 })} // says nothing
	slices.SortStableFunc(w.known, func(a, b KnownCheckpoint) int { return int(min(max(a.Size-b.Size, -1), 1)) })
	if tile != nil {
		w.stored = &storedTree{size, tile}
	}
	w.tree = NewTree(func(t Tile) { w.compare(t) })
	w.report.Checkpoints = []CheckedAgainst{}
	return w
}

// Dropped passes over the events of archives, in order, of which only the leaf hashes are left. hash is that of the last event.
func (w *Walk) Dropped(a ArchiveRecord, records []tlog.Hash) error {
	if a.First != w.tree.Size()+1 || int64(len(records)) != a.Last-a.First+1 {
		return fmt.Errorf("the record of archive %s does not follow the one before it", a.File)
	}
	for _, r := range records {
		w.append(r)
	}
	b, err := hex.DecodeString(a.Hash)
	if err != nil || len(b) != len(w.hash) {
		return fmt.Errorf("the record of archive %s is damaged", a.File)
	}
	copy(w.hash[:], b)
	return nil
}

// Span takes the next events.
func (w *Walk) Span(s *Span) error {
	if s.First != w.tree.Size()+1 {
		return &Fault{w.tree.Size() + 1, fmt.Sprintf("the next event found is number %d: events were removed", s.First)}
	}
	if len(s.Records) == 0 {
		return nil
	}
	if s.Prev != w.hash {
		return &Fault{s.First, "it does not follow the event before it: events were removed, inserted or reordered"}
	}
	for _, r := range s.Records {
		w.append(r)
	}
	w.hash = s.Hash
	w.report.Stored += int64(len(s.Records))
	w.report.Erased += s.Erased
	w.report.LastEvent = s.Time
	return nil
}

// append takes the next leaf. The walk goes on after a checkpoint that does not fit: the stored tree may name the very event.
func (w *Walk) append(r tlog.Hash) {
	w.tree.Append(r)
	for ; w.next < len(w.known) && w.known[w.next].Size <= w.tree.Size(); w.next++ {
		k := w.known[w.next]
		if k.Size == w.tree.Size() && k.Root == w.tree.Root() {
			w.report.Checkpoints = append(w.report.Checkpoints, CheckedAgainst{k.Source, k.Origin, k.Size, k.Kept})
			if k.Kept {
				w.report.Covered = k.Size
			}
			continue
		}
		if w.signed == nil {
			w.signed = w.notSigned(k)
		}
	}
}

func (w *Walk) notSigned(k KnownCheckpoint) error {
	f := &CheckpointFault{Checkpoint: k.Checkpoint, Source: k.Source, Events: max(w.tree.Size(), k.Size)}
	if n := len(w.report.Checkpoints); n > 0 {
		f.After = w.report.Checkpoints[n-1].Size
	}
	return f
}

// compare holds a tile that came out of the events against the stored one.
func (w *Walk) compare(t Tile) {
	if w.stored == nil || w.tiles != nil {
		return
	}
	have := min(w.stored.size>>(TileHeight*t.Level)-t.N<<TileHeight, int64(len(t.Data)/tlog.HashSize))
	if have <= 0 {
		return // not stored yet
	}
	stored, err := w.stored.tile(t.Level, t.N)
	if err != nil {
		w.tiles = err
		return
	}
	for i := range have {
		at := i * tlog.HashSize
		if at+tlog.HashSize <= int64(len(stored)) && bytes.Equal(stored[at:at+tlog.HashSize], t.Data[at:at+tlog.HashSize]) {
			continue
		}
		if t.Level == 0 {
			w.tiles = &Fault{t.N<<TileHeight + i + 1, "it is not the event whose hash was put into the tree: it was changed, and the chain sealed anew"}
		} else {
			w.tiles = errors.New("the stored tree of the journal is damaged above its leaves; the events themselves fit it")
		}
		return
	}
}

// Finish ends the walk: what is left of the tree is compared, and no checkpoint may cover more than there is.
func (w *Walk) Finish(archives []ArchiveRecord) (*Report, error) {
	for _, t := range w.tree.Edge() {
		w.compare(t)
	}
	size := w.tree.Size()
	if w.tiles == nil && w.stored != nil && w.stored.size > size {
		w.tiles = &Fault{size + 1, fmt.Sprintf("it is missing, and so are all up to %d: the journal's end was cut off", w.stored.size)}
	}
	if w.signed == nil && w.next < len(w.known) {
		k := w.known[w.next]
		w.signed = &CheckpointFault{Checkpoint: k.Checkpoint, Source: k.Source, Events: size}
	}
	if err := errors.Join(w.tiles, w.signed); err != nil {
		return nil, err
	}
	w.report.Events = size
	w.report.Head = hex.EncodeToString(w.hash[:])
	w.report.Root = w.tree.Root().String()
	w.report.Archives = archives
	return &w.report, nil
}
