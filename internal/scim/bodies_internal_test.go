package scim

import (
	"net/http"
	"testing"
)

func TestBodies(t *testing.T) {
	var p bodies
	one, two := &http.Request{ProtoMajor: 1}, &http.Request{ProtoMajor: 2}
	b := p.take(100)
	if len(*b) != 0 || cap(*b) < 100 {
		t.Fatalf("lent %d of %d bytes; want none of 100 at least", len(*b), cap(*b))
	}
	*b = append(*b, "secret of acme"...)
	p.give(one, b)
	if again := p.take(10); len(*again) != 0 {
		t.Errorf("a body is lent with %q in it", *again)
	}
	h2 := p.take(1 << 10)
	p.give(two, h2)
	for range 10 {
		if got := p.take(1); &(*got)[:1][0] == &(*h2)[:1][0] {
			t.Fatal("a body that HTTP/2 may still write is lent again")
		}
	}
	large := p.take(largestKept + 1)
	p.give(one, large)
	for range 10 {
		if got := p.take(1); cap(*got) > largestKept {
			t.Fatal("a very large body is kept")
		}
	}
}
