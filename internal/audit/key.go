package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/mod/sumdb/note"
)

// Key signs checkpoints (Ed25519, C2SP signed-note). However it is printed, it shows its public half.
type Key struct {
	signer note.Signer
	public string
}

// ParseKey reads a private key as note.GenerateKey writes it.
func ParseKey(text string) (*Key, error) {
	text = strings.TrimSpace(text)
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, errors.New("it is not a signing key (PRIVATE+KEY+…)") // the cause would quote it
	}
	fields := strings.SplitN(text, "+", 5) // PRIVATE, KEY, name, hash, base64: only the last may hold a plus
	b, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(b) != 1+ed25519.SeedSize {
		return nil, errors.New("it is not an Ed25519 signing key")
	}
	public, ok := ed25519.NewKeyFromSeed(b[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("it is not an Ed25519 signing key")
	}
	vkey, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, err
	}
	return &Key{signer, vkey}, nil
}

// Origin is the name of the log that the key signs.
func (k *Key) Origin() string { return k.signer.Name() }

// Public is the public key in the form that note.NewVerifier reads and auditors are given.
func (k *Key) Public() string { return k.public }

// String implements fmt.Stringer.
func (k *Key) String() string { return k.public }

// Verifier checks what the key signed.
func (k *Key) Verifier() (note.Verifier, error) { return note.NewVerifier(k.public) }

// Sign signs a checkpoint as it is. Sealer.Seal is for the log's own: it does not sign two histories.
func (k *Key) Sign(c Checkpoint) (SignedCheckpoint, error) {
	msg, err := note.Sign(&note.Note{Text: c.Text()}, k.signer)
	if err != nil {
		return SignedCheckpoint{}, fmt.Errorf("sign a checkpoint: %w", err)
	}
	return SignedCheckpoint{c, msg}, nil
}

// NewOrigin makes up the name of a new log: unique, and telling nothing about the machine.
func NewOrigin() (string, error) {
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return "scimbridge/" + hex.EncodeToString(b), nil
}

// maxKey bounds a key file, in bytes.
const maxKey = 4 << 10

// ReadKey reads a private key file. fs.ErrNotExist says that there is none. A file that others may read is refused.
func ReadKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the journal's key cannot be read; use root or the service's user: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && os.Getenv("CREDENTIALS_DIRECTORY") != filepath.Dir(path) {
		return nil, fmt.Errorf("the journal's key %s can be read by others; run chmod 600 %s, and scimbridge audit rekey if they may have done so", path, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return nil, fmt.Errorf("read the journal's key: %w", err)
	}
	key, err := ParseKey(string(b))
	if err != nil {
		return nil, fmt.Errorf("the journal's key %s: %w", path, err)
	}
	return key, nil
}

// MakeKey makes a private key in a file with mode 0600, owned by the owner of the file like (the database): a command that root
// runs first must not keep the service from its key. It never replaces a file: fs.ErrExist.
func MakeKey(path, origin, like string) (*Key, error) {
	secret, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("make the journal's key: %w", err)
	}
	key, err := ParseKey(secret)
	if err != nil {
		return nil, err
	}
	// Written whole beside its place and then linked there: nobody reads half a key, and of two makers one wins.
	tmp, err := writeBeside(path, []byte(secret+"\n"), like)
	if err != nil {
		return nil, fmt.Errorf("make the journal's key: %w", err)
	}
	err = os.Link(tmp, path)
	err = errors.Join(err, os.Remove(tmp))
	if err != nil {
		return nil, fmt.Errorf("make the journal's key %s: %w", path, err)
	}
	return key, nil
}

// replaceFile writes a file so that a crash leaves the old one or the new one.
func replaceFile(path string, data []byte, like string) error {
	tmp, err := writeBeside(path, data, like)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// writeBeside writes data to a new file, mode 0600, on disk when it returns.
func writeBeside(path string, data []byte, like string) (tmp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	if err := ownLike(f, like); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// ownLike gives a file that root made to the owner of another.
func ownLike(f *os.File, like string) error {
	if like == "" || os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(like)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(st.Uid), int(st.Gid))
	}
	return nil
}

// NewVerifier reads a public key as Key.Public writes it.
func NewVerifier(public string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(public))
	if err != nil {
		return nil, errors.New("it is not a public key in the form name+hash+base64; scimbridge audit key prints it")
	}
	return v, nil
}
