package scim

import (
	"net/http"
	"sync"
)

// largestKept is the size in bytes beyond which a body's memory is left to the garbage collector: a page of 500 large resources
// is rare, and would be held for ever.
const largestKept = 1 << 20

// bodies lend memory for answers, which are written and forgotten within a request.
type bodies struct{ pool sync.Pool }

// take lends an empty body with room for size bytes.
func (p *bodies) take(size int) *[]byte {
	b, ok := p.pool.Get().(*[]byte)
	if !ok || cap(*b) < size {
		fresh := make([]byte, 0, size)
		return &fresh
	}
	*b = (*b)[:0]
	return b
}

// give takes back what was lent to the answer of r. HTTP/2 may still be about to write a body whose stream the client has
// closed, and what another vendor is told next must not get there; HTTP/1 has written it when Write returns.
func (p *bodies) give(r *http.Request, b *[]byte) {
	if r.ProtoMajor == 1 && cap(*b) <= largestKept {
		p.pool.Put(b)
	}
}
