package scim

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// tokenPrefix lets people and secret scanners recognise a vendor's token.
const tokenPrefix = "scimbridge_"

// NewToken makes a bearer token: the prefix and 256 random bits in base64url. It is shown once; only its hash is stored.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashToken is what the store keeps of a token. A fast hash is enough: nobody guesses 256 bits. Tokens are looked up by it and
// never compared: how long a look-up takes may tell of stored hashes, whose tokens nobody can work out.
func HashToken(token string) [32]byte { return sha256.Sum256([]byte(token)) }
