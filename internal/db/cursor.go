package db

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"crypto/sha256"

	"scimbridge/internal/contractor"
)

// position is the last row that a page showed: its sort key (nil: none), what decides among equals, and how many rows came up
// to it.
type position struct {
	key    any // int64, float64, string or nil
	tie    int64
	offset int
}

// maxCursorKey bounds the sort key that a cursor carries, since cursors travel in URLs. A longer key is read from its row again.
const maxCursorKey = 300

// fingerprint tells one query from another, without where its pages begin. It binds a cursor to its query and its vendor.
type fingerprint [sha256.Size]byte

func fingerprintOf(vendor string, where fragment, o order) (f fingerprint, err error) {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, part := range []any{vendor, where.sql, where.args, o.by().sql, o.by().args} {
		if err := enc.Encode(part); err != nil {
			return f, fmt.Errorf("read the query: %w", err)
		}
	}
	h.Sum(f[:0])
	return f, nil
}

func (s *Store) cursorCipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.cursorKey)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// sealCursor writes a position so that its reader learns nothing from it and cannot change it: a sort key may be a name.
func (s *Store) sealCursor(f fingerprint, p position) (string, error) {
	aead, err := s.cursorCipher()
	if err != nil {
		return "", fmt.Errorf("seal a cursor: %w", err)
	}
	var b []byte
	b = binary.AppendVarint(b, p.tie)
	b = binary.AppendVarint(b, int64(p.offset))
	switch key := p.key.(type) {
	case nil:
		b = append(b, 'n')
	case int64:
		b = binary.AppendVarint(append(b, 'i'), key)
	case string:
		if len(key) > maxCursorKey {
			b = append(b, 'r')
		} else {
			b = append(append(b, 's'), key...)
		}
	default: // a decimal: its row has it exactly
		b = append(b, 'r')
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("seal a cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, b, f[:])), nil
}

// rowKey stands for the key of a position that its row has to tell.
type rowKey struct{}

func errCursor() error {
	return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: "invalidCursor", Path: "cursor",
		Message: "the cursor does not belong to this query; begin again without one"}
}

// openCursor reads a cursor of this query. Anything else is refused with scimType invalidCursor (RFC 9865 section 2.1).
func (s *Store) openCursor(f fingerprint, cursor string) (p position, err error) {
	aead, err := s.cursorCipher()
	if err != nil {
		return p, fmt.Errorf("open a cursor: %w", err)
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(sealed) < aead.NonceSize() {
		return p, errCursor()
	}
	b, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], f[:])
	if err != nil {
		return p, errCursor()
	}
	return parsePosition(b)
}

func parsePosition(b []byte) (p position, err error) {
	var n int
	if p.tie, n = binary.Varint(b); n <= 0 {
		return p, errCursor()
	}
	b = b[n:]
	offset, n := binary.Varint(b)
	if n <= 0 || offset < 0 || len(b) == n {
		return p, errCursor()
	}
	p.offset = int(offset)
	switch kind, rest := b[n], b[n+1:]; kind {
	case 'n':
	case 'i':
		key, n := binary.Varint(rest)
		if n != len(rest) || n <= 0 {
			return p, errCursor()
		}
		p.key = key
	case 's':
		p.key = string(rest)
	case 'r':
		p.key = rowKey{}
	default:
		return p, errCursor()
	}
	return p, nil
}
