package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The first lines of the proof files.
const (
	eventProofHeader       = "c2sp.org/tlog-proof@v1"
	consistencyProofHeader = "scimbridge/journal-consistency@v1"
)

// MaxProof bounds a proof file, in bytes: the event is most of it.
const MaxProof = 4 << 20

// EventProof shows that one event is in the journal that a checkpoint is the head of (C2SP tlog-proof, with the event in the
// extra data).
type EventProof struct {
	Leaf       []byte
	Personal   []byte // nil: not shown
	Salt       []byte
	Path       []tlog.Hash // from the leaf's sibling up
	Checkpoint SignedCheckpoint
}

// shown is how personal fields stand in the extra data, on a line behind the leaf: both base64, since their bytes are hashed.
type shown struct {
	Personal []byte `json:"personal"`
	Salt     []byte `json:"salt"`
}

// ProveEvent makes the proof of a row against a checkpoint that covers it. tile reads the stored tiles.
func ProveEvent(r *Row, c SignedCheckpoint, tile func(level int, n int64) ([]byte, error)) (*EventProof, error) {
	if _, err := r.Check(); err != nil {
		return nil, err
	}
	if r.Seq > c.Size {
		return nil, fmt.Errorf("event %d is younger than the checkpoint, which covers events 1 to %d; take a newer one", r.Seq, c.Size)
	}
	path, err := tlog.ProveRecord(c.Size, r.Seq-1, hashReader(c.Checkpoint, tile))
	if err != nil {
		return nil, fmt.Errorf("the stored tree of the journal does not fit its checkpoint: %w; find out where with scimbridge audit verify", err)
	}
	p := &EventProof{Leaf: bytes.Clone(r.Leaf), Path: path, Checkpoint: c}
	if r.Personal != nil {
		p.Personal, p.Salt = bytes.Clone(r.Personal), bytes.Clone(r.Salt)
	}
	return p, p.check()
}

// check is the proof itself; the checkpoint's signature is for the caller.
func (p *EventProof) check() error {
	v, err := parseLeaf(p.Leaf)
	if err != nil {
		return err
	}
	c := p.Checkpoint.Checkpoint
	if v.seq < 1 || v.seq > c.Size {
		return fmt.Errorf("the checkpoint covers events 1 to %d and not event %d", c.Size, v.seq)
	}
	if err := tlog.CheckRecord(p.Path, c.Size, c.Root, v.seq-1, tlog.RecordHash(p.Leaf)); err != nil {
		return fmt.Errorf("event %d, as it stands in the proof, is not in the journal of this checkpoint", v.seq)
	}
	if p.Personal != nil && HashPersonal(p.Salt, p.Personal) != string(v.personalHash) {
		return fmt.Errorf("the personal fields are not those that event %d was sealed with", v.seq)
	}
	return nil
}

// Marshal writes the proof file.
func (p *EventProof) Marshal() ([]byte, error) {
	v, err := parseLeaf(p.Leaf)
	if err != nil {
		return nil, err
	}
	extra := bytes.Clone(p.Leaf)
	if p.Personal != nil {
		b, err := json.Marshal(shown{p.Personal, p.Salt})
		if err != nil {
			return nil, err
		}
		extra = append(append(extra, '\n'), b...)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", eventProofHeader, base64.StdEncoding.EncodeToString(extra), v.seq-1)
	writeHashes(&b, p.Path)
	b.WriteByte('\n')
	b.Write(p.Checkpoint.Note)
	return b.Bytes(), nil
}

// Proof is what CheckProof read out of a proof file that holds.
type Proof struct {
	Event *Event            // of an event's proof
	Old   *SignedCheckpoint // of a consistency proof: what New continues
	New   SignedCheckpoint
}

// CheckProof checks a proof file with nothing but keys. The error says what does not hold.
func CheckProof(data []byte, keys ...note.Verifier) (*Proof, error) {
	header, rest, _ := bytes.Cut(data, []byte("\n"))
	switch string(header) {
	case eventProofHeader:
		return checkEventProof(rest, keys)
	case consistencyProofHeader:
		return checkConsistencyProof(rest, keys)
	}
	return nil, fmt.Errorf("it is not a proof file: its first line is neither %s nor %s", eventProofHeader, consistencyProofHeader)
}

func checkEventProof(rest []byte, keys []note.Verifier) (*Proof, error) {
	head, msg, ok := bytes.Cut(rest, []byte("\n\n"))
	if !ok {
		return nil, errors.New("the proof has no checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	encoded, ok := strings.CutPrefix(lines[0], "extra ")
	if !ok || len(lines) < 2 {
		return nil, errors.New("the proof does not hold the event (its extra line is missing)")
	}
	extra, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("the proof's extra line is not base64")
	}
	index, ok := strings.CutPrefix(lines[1], "index ")
	if !ok {
		return nil, errors.New("the proof has no index line")
	}
	n, err := strconv.ParseInt(index, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != index {
		return nil, errors.New("the proof's index is not a number")
	}
	var p EventProof
	if p.Path, err = readHashes(lines[2:]); err != nil {
		return nil, err
	}
	if p.Checkpoint, err = OpenCheckpoint(msg, keys...); err != nil {
		return nil, fmt.Errorf("the proof's checkpoint: %w", err)
	}
	leaf, second, hasPersonal := bytes.Cut(extra, []byte("\n"))
	p.Leaf = leaf
	if hasPersonal {
		var s shown
		if err := json.Unmarshal(second, &s); err != nil {
			return nil, errors.New("the proof's personal fields cannot be read")
		}
		p.Personal, p.Salt = s.Personal, s.Salt
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	e, err := ParseLeaf(p.Leaf)
	if err != nil {
		return nil, err
	}
	if e.Seq != n+1 {
		return nil, fmt.Errorf("the proof's index is %d, but its event is number %d", n, e.Seq)
	}
	e.Personal, e.Salt = p.Personal, p.Salt
	return &Proof{Event: e, New: p.Checkpoint}, nil
}

// ProveConsistency makes the proof file that the journal of now begins with the journal of before. tile reads the stored tiles of
// now's tree.
func ProveConsistency(before, now SignedCheckpoint, tile func(level int, n int64) ([]byte, error)) ([]byte, error) {
	if before.Size < 1 {
		return nil, errors.New("a checkpoint over no event proves nothing; take one that covers some")
	}
	if err := Continues(before.Checkpoint, now.Checkpoint, tile); err != nil {
		return nil, err
	}
	path, err := tlog.ProveTree(now.Size, before.Size, hashReader(now.Checkpoint, tile))
	if err != nil {
		return nil, fmt.Errorf("the stored tree of the journal is damaged: %w", err)
	}
	b := bytes.NewBufferString(consistencyProofHeader + "\n")
	writeHashes(b, path)
	b.WriteByte('\n')
	b.Write(before.Note)
	b.WriteByte('\n')
	b.Write(now.Note)
	return b.Bytes(), nil
}

func checkConsistencyProof(rest []byte, keys []note.Verifier) (*Proof, error) {
	var head []byte
	if !bytes.HasPrefix(rest, []byte("\n")) {
		var ok bool
		if head, rest, ok = bytes.Cut(rest, []byte("\n\n")); !ok {
			return nil, errors.New("the proof has no checkpoints")
		}
	}
	var lines []string
	if len(head) > 0 {
		lines = strings.Split(string(head), "\n")
	}
	path, err := readHashes(lines)
	if err != nil {
		return nil, err
	}
	notes, err := SplitNotes(rest)
	if err != nil || len(notes) != 2 {
		return nil, errors.New("the proof does not hold two checkpoints")
	}
	older, err := OpenCheckpoint(notes[0], keys...)
	if err != nil {
		return nil, fmt.Errorf("the older checkpoint: %w", err)
	}
	newer, err := OpenCheckpoint(notes[1], keys...)
	if err != nil {
		return nil, fmt.Errorf("the newer checkpoint: %w", err)
	}
	if older.Origin != newer.Origin {
		return nil, fmt.Errorf("the checkpoints are of two logs, %s and %s", older.Origin, newer.Origin)
	}
	if older.Size < 1 || older.Size > newer.Size || tlog.CheckTree(path, newer.Size, newer.Root, older.Size, older.Root) != nil {
		return nil, fmt.Errorf("the journal with %d events does not begin with the journal that had %d", newer.Size, older.Size)
	}
	return &Proof{Old: &older, New: newer}, nil
}

func writeHashes(b *bytes.Buffer, hashes []tlog.Hash) {
	for _, h := range hashes {
		b.WriteString(h.String())
		b.WriteByte('\n')
	}
}

// maxPath bounds a Merkle path: no tree is higher.
const maxPath = 64

func readHashes(lines []string) ([]tlog.Hash, error) {
	if len(lines) > 2*maxPath {
		return nil, errors.New("the proof's path is longer than any tree is high")
	}
	hashes := make([]tlog.Hash, len(lines))
	for i, l := range lines {
		h, err := tlog.ParseHash(l)
		if err != nil {
			return nil, fmt.Errorf("%q is not a hash of the proof's path", l)
		}
		hashes[i] = h
	}
	return hashes, nil
}
