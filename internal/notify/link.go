package notify

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"scimbridge/internal/contractor"
)

// A link's last segment is base64url of 16 random bytes, the expiry (Unix seconds, 8 bytes) and the first 24 bytes of an
// HMAC-SHA256 over both. It can be made again from its id, so that a mail sent twice carries the same link, and nothing that
// opens a page is stored: the store has a hash of it.
const (
	idBytes   = 16
	timeBytes = 8
	macBytes  = 24
	linkBytes = idBytes + timeBytes + macBytes
)

// MinKey is the least length of a key file, in bytes.
const MinKey = 32

var errLink = errors.New("this is no link of ours, or it has expired")

// keys signs links and forms.
type keys struct{ key []byte }

func (k keys) mac(domain string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k.key)
	h.Write([]byte("scimbridge " + domain + "\x00"))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// newLink makes a link that expires at a second, and the hash to store.
func (k keys) newLink(expires time.Time) (contractor.Link, [32]byte) {
	id := make([]byte, idBytes)
	rand.Read(id)
	l := contractor.Link{ID: hex.EncodeToString(id), Expires: expires.UTC().Truncate(time.Second)}
	return l, hashLink(k.text(l))
}

// text is the last segment of a link's address.
func (k keys) text(l contractor.Link) string {
	raw := make([]byte, idBytes, linkBytes)
	if n, err := hex.Decode(raw, []byte(l.ID)); err != nil || n != idBytes {
		return ""
	}
	raw = binary.BigEndian.AppendUint64(raw, uint64(l.Expires.Unix())) //nolint:gosec // after 1970
	return base64.RawURLEncoding.EncodeToString(append(raw, k.mac("link", raw)[:macBytes]...))
}

// parse checks a link's form, signature and expiry, without the store.
func (k keys) parse(text string, now time.Time) (id string, hash [32]byte, err error) {
	if len(text) != base64.RawURLEncoding.EncodedLen(linkBytes) {
		return "", hash, errLink
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != linkBytes {
		return "", hash, errLink
	}
	signed, mac := raw[:idBytes+timeBytes], raw[idBytes+timeBytes:]
	if subtle.ConstantTimeCompare(mac, k.mac("link", signed)[:macBytes]) != 1 {
		return "", hash, errLink
	}
	if expires := binary.BigEndian.Uint64(signed[idBytes:]); now.Unix() < 0 || uint64(now.Unix()) >= expires { //nolint:gosec // not negative
		return "", hash, errLink
	}
	return hex.EncodeToString(raw[:idBytes]), hashLink(text), nil
}

func hashLink(text string) [32]byte { return sha256.Sum256([]byte("scimbridge link\x00" + text)) }

// formLife is how long a page may stay open before its buttons stop working.
const formLife = time.Hour

// formToken binds a form to the link and to the browser's cookie, so that no other page can send it.
func (k keys) formToken(link, cookie string, now time.Time) string {
	at := binary.BigEndian.AppendUint64(nil, uint64(now.Unix())) //nolint:gosec // after 1970
	return base64.RawURLEncoding.EncodeToString(append(at, k.mac("form", at, []byte(link), []byte{0}, []byte(cookie))[:macBytes]...))
}

func (k keys) formValid(token, link, cookie string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != timeBytes+macBytes || cookie == "" {
		return false
	}
	at := time.Unix(int64(binary.BigEndian.Uint64(raw)), 0) //nolint:gosec // signed below
	mac := k.mac("form", raw[:timeBytes], []byte(link), []byte{0}, []byte(cookie))[:macBytes]
	return subtle.ConstantTimeCompare(raw[timeBytes:], mac) == 1 && !now.Before(at.Add(-time.Minute)) && now.Before(at.Add(formLife))
}
