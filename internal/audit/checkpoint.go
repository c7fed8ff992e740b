package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint says how many events the journal had and what they were: the head of its Merkle tree (C2SP tlog-checkpoint). Kept
// where the journal's keeper cannot change it, it proves every change to the events that it covers.
type Checkpoint struct {
	Origin string    // of the log
	Size   int64     // events covered: 1 to Size
	Root   tlog.Hash // of the Merkle tree over their leaves
}

// SignedCheckpoint is a checkpoint with its signatures.
type SignedCheckpoint struct {
	Checkpoint
	Note []byte // text and signatures, as it is stored, sent and kept
}

// maxNote bounds a checkpoint, in bytes. One with a dozen witnesses has a few thousand.
const maxNote = 64 << 10

// Text is what is signed.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

// ParseCheckpoint reads the text of a checkpoint. Extension lines are passed over.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" || lines[0] == "" {
		return Checkpoint{}, errors.New("it does not have the three lines of a checkpoint: origin, size, root")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%q is not a size", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%q is not a root hash", lines[2])
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}

// OpenCheckpoint reads a signed checkpoint and checks its signature by one of the keys given, whose name must be the origin.
func OpenCheckpoint(msg []byte, keys ...note.Verifier) (SignedCheckpoint, error) {
	if len(msg) > maxNote {
		return SignedCheckpoint{}, fmt.Errorf("it has %d bytes; a checkpoint has at most %d", len(msg), maxNote)
	}
	n, err := note.Open(msg, note.VerifierList(keys...))
	var unsigned *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unsigned):
		var names []string
		for _, s := range unsigned.Note.UnverifiedSigs {
			names = append(names, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
		}
		return SignedCheckpoint{}, fmt.Errorf("it is signed by %s, which is none of the keys given; give that key with --key", strings.Join(names, ", "))
	case err != nil:
		return SignedCheckpoint{}, fmt.Errorf("its signature is wrong or missing: %w", err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	for _, s := range n.Sigs {
		if s.Name == c.Origin {
			return SignedCheckpoint{c, bytes.Clone(msg)}, nil
		}
	}
	return SignedCheckpoint{}, fmt.Errorf("it is of %s and signed by %s only", c.Origin, n.Sigs[0].Name)
}

// SplitNotes takes apart a file into which signed notes were written one behind the other. Each note is its text, an empty line,
// and its signature lines.
func SplitNotes(data []byte) ([][]byte, error) {
	const dash = "— "
	var notes [][]byte
	var cur []byte
	signed := false
	for len(data) > 0 {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line = data[:i+1]
		}
		data = data[len(line):]
		isSignature := bytes.HasPrefix(line, []byte(dash))
		if signed && !isSignature {
			notes, cur, signed = append(notes, cur), nil, false
		}
		if len(cur) == 0 && len(bytes.TrimSpace(line)) == 0 {
			continue // between notes
		}
		cur = append(cur, line...)
		signed = signed || isSignature
	}
	if signed {
		return append(notes, cur), nil
	}
	if len(cur) > 0 {
		return notes, errors.New("it ends in a note without a signature")
	}
	return notes, nil
}

// PeekCheckpoint reads what a note says without checking its signature.
func PeekCheckpoint(msg []byte) (Checkpoint, error) {
	text, _, ok := bytes.Cut(msg, []byte("\n\n"))
	if !ok {
		return Checkpoint{}, errors.New("it is no signed note")
	}
	return ParseCheckpoint(string(text) + "\n")
}
