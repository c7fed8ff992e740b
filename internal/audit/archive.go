package audit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// archiveFormat is the first thing in an archive.
const archiveFormat = "scimbridge/journal-archive@v1"

// maxLine bounds a line of an archive, in bytes: an event is far smaller.
const maxLine = 16 << 20

// ArchiveHead is the first line of an archive: where it begins, in the chain and in the tree. A stranger builds the tree on from
// the subtrees; that they are the journal's shows at the end, when the root fits the signed checkpoint.
type ArchiveHead struct {
	Format   string      `json:"format"`
	Origin   string      `json:"origin"`
	First    int64       `json:"first"`
	Last     int64       `json:"last"`
	Prev     string      `json:"prev"`     // hash of the event before the first
	Subtrees []tlog.Hash `json:"subtrees"` // of the events before the first
}

// archiveFoot is its last line: the proof that the tree after the last event is the beginning of the one that was signed.
type archiveFoot struct {
	Hash       string      `json:"hash"` // of the last event
	Root       tlog.Hash   `json:"root"` // of the tree after it
	Path       []tlog.Hash `json:"consistency"`
	Checkpoint string      `json:"checkpoint"`
}

// ArchiveWriter writes events, a line each, between a head and a proof.
type ArchiveWriter struct {
	w    *bufio.Writer
	head ArchiveHead
	span Span
}

// NewArchiveWriter begins an archive of the events first to last. before is the tree of the events before them, prev the hash of
// the last of these (Genesis if there are none).
func NewArchiveWriter(w io.Writer, origin string, first, last int64, prev string, before *Tree) (*ArchiveWriter, error) {
	a := &ArchiveWriter{w: bufio.NewWriterSize(w, 1<<16), span: Span{First: first}}
	a.head = ArchiveHead{archiveFormat, origin, first, last, prev, before.Subtrees()}
	if a.head.Subtrees == nil {
		a.head.Subtrees = []tlog.Hash{}
	}
	return a, a.line(a.head)
}

func (a *ArchiveWriter) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = a.w.Write(append(b, '\n'))
	return err
}

// Add checks and writes the next event.
func (a *ArchiveWriter) Add(r *Row) error {
	if err := a.span.Add(r); err != nil {
		return err
	}
	if len(a.span.Records) == 1 && hex.EncodeToString(a.span.Prev[:]) != a.head.Prev {
		return &Fault{r.Seq, "it does not follow the event before it: events were removed, inserted or reordered"}
	}
	if _, err := a.w.Write(r.Leaf); err != nil {
		return err
	}
	return a.w.WriteByte('\n')
}

// Finish writes the proof against a checkpoint that covers the events. tile reads the stored tiles of its tree.
func (a *ArchiveWriter) Finish(c SignedCheckpoint, tile func(level int, n int64) ([]byte, error)) error {
	if a.span.Last() != a.head.Last {
		return fmt.Errorf("the archive was to hold events %d to %d and has them to %d", a.head.First, a.head.Last, a.span.Last())
	}
	root, err := RootAt(c.Checkpoint, a.head.Last, tile)
	if err != nil {
		return err
	}
	path, err := tlog.ProveTree(c.Size, a.head.Last, hashReader(c.Checkpoint, tile))
	if err != nil {
		return fmt.Errorf("the stored tree of the journal is damaged: %w", err)
	}
	foot := archiveFoot{Hash: hex.EncodeToString(a.span.Hash[:]), Root: root, Path: path, Checkpoint: string(c.Note)}
	if err := a.line(foot); err != nil {
		return err
	}
	return a.w.Flush()
}

// Archive is what CheckArchive found in an archive that holds.
type Archive struct {
	ArchiveHead
	Hash       string // of the last event
	Root       tlog.Hash
	Checkpoint SignedCheckpoint
}

// CheckArchive reads an archive and checks it with nothing but keys: the chain, the tree, the proof, the signature. each, if not
// nil, is given every event before the proof was seen; what it was given counts only if CheckArchive returns no error.
func CheckArchive(r io.Reader, each func(*Event) error, keys ...note.Verifier) (*Archive, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	var a Archive
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &a.ArchiveHead) != nil || a.Format != archiveFormat {
		return nil, errors.Join(fmt.Errorf("it is not an archive: its first line does not say %s", archiveFormat), lines.Err())
	}
	if a.First < 1 || a.Last < a.First {
		return nil, fmt.Errorf("it says to hold events %d to %d", a.First, a.Last)
	}
	tree, err := TreeFromSubtrees(a.First-1, a.Subtrees)
	if err != nil {
		return nil, err
	}
	if a.Hash, err = readArchive(lines, &a, tree, each); err != nil {
		return nil, err
	}
	var foot archiveFoot
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &foot) != nil || foot.Checkpoint == "" {
		return nil, errors.Join(errors.New("its last line, the proof, is missing or damaged: it was cut off"), lines.Err())
	}
	if lines.Scan() {
		return nil, errors.New("something was added behind its end")
	}
	if a.Checkpoint, err = OpenCheckpoint([]byte(foot.Checkpoint), keys...); err != nil {
		return nil, fmt.Errorf("its checkpoint: %w", err)
	}
	a.Root = tree.Root()
	c := a.Checkpoint.Checkpoint
	switch {
	case c.Origin != a.Origin:
		return nil, fmt.Errorf("it is of %s, but its checkpoint is of %s", a.Origin, c.Origin)
	case foot.Hash != a.Hash || len(foot.Path) > 2*maxPath || c.Size < a.Last || tlog.CheckTree(foot.Path, c.Size, c.Root, a.Last, a.Root) != nil:
		return nil, errors.New("its events are not those that were signed: it was changed")
	}
	return &a, nil
}

// readArchive walks the events of an archive and returns the hash of the last.
func readArchive(lines *bufio.Scanner, a *Archive, tree *Tree, each func(*Event) error) (string, error) {
	prev := a.Prev
	for seq := a.First; seq <= a.Last; seq++ {
		if !lines.Scan() {
			return "", errors.Join(fmt.Errorf("it ends before event %d: it was cut off", seq), lines.Err())
		}
		leaf := lines.Bytes()
		e, err := ParseLeaf(leaf)
		if err != nil {
			return "", &Fault{seq, err.Error()}
		}
		if e.Seq != seq || e.Prev != prev {
			return "", &Fault{seq, "it does not follow the event before it: events were removed, inserted or reordered"}
		}
		e.Hash = HashLeaf(leaf)
		prev = e.Hash
		tree.Append(tlog.RecordHash(leaf))
		if each != nil {
			if err := each(e); err != nil {
				return "", err
			}
		}
	}
	return prev, nil
}

// IsArchive reports whether a file that begins so is an archive.
func IsArchive(begin []byte) bool {
	return bytes.HasPrefix(begin, []byte(`{"format":"`+archiveFormat+`"`))
}
