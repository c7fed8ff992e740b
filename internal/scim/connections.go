package scim

import (
	linked "container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// connections bound what a client can hold open. A connection belongs to the vendor that signed in over it; one vendor has so
// many at most. Until then it is a stranger's: of strangers there are so many at most, and a new one takes the place of the
// oldest, so that clients who say nothing, or say it slowly, keep nobody out.
type connections struct {
	limits  Limits
	isProxy func(netip.Addr) bool

	mu        sync.Mutex
	open      map[net.Conn]*connection
	byVendor  map[string]int
	strangers linked.List // of *connection, the oldest first
}

type connection struct {
	conn   net.Conn
	proxy  bool            // carries many vendors' requests, and is the operator's
	vendor string          // who signed in; "": nobody yet
	place  *linked.Element // among the strangers
}

// connectionKey is where a request's context has its *connection.
type connectionKey struct{}

// Guard makes a server keep the door's bounds on connections. It must be called before the server serves.
func (d *Door) Guard(s *http.Server) {
	s.ConnContext = d.connections.accept
	s.ConnState = d.connections.changed
}

func (c *connections) accept(ctx context.Context, conn net.Conn) context.Context {
	n := &connection{conn: conn}
	if ap, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		n.proxy = c.isProxy(ap.Addr().Unmap())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open, c.byVendor = map[net.Conn]*connection{}, map[string]int{}
	}
	c.open[conn] = n
	n.place = c.strangers.PushBack(n)
	if c.strangers.Len() > c.limits.Strangers {
		oldest, _ := c.strangers.Remove(c.strangers.Front()).(*connection)
		oldest.place = nil
		go func() { _ = oldest.conn.Close() }() // TLS says good-bye first, which a client that does not read holds up
	}
	return context.WithValue(ctx, connectionKey{}, n)
}

func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.open[conn]
	if n == nil {
		return
	}
	delete(c.open, conn)
	c.leave(n)
}

// leave takes a connection from where it is counted.
func (c *connections) leave(n *connection) {
	if n.place != nil {
		c.strangers.Remove(n.place)
		n.place = nil
	}
	if n.vendor != "" {
		if c.byVendor[n.vendor]--; c.byVendor[n.vendor] == 0 {
			delete(c.byVendor, n.vendor)
		}
		n.vendor = ""
	}
}

// claim gives the connection of a request to the vendor that has signed in.
func (c *connections) claim(k *call) error {
	n, ok := k.context().Value(connectionKey{}).(*connection)
	if !ok { // another server, which keeps bounds of its own
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.vendor == k.vendor.Name || c.open[n.conn] == nil {
		return nil
	}
	if !n.proxy && c.byVendor[k.vendor.Name] >= c.limits.Connections {
		k.Response().Header().Set("Connection", "close")
		return &busyError{contractor.Errorf(contractor.CodeTooMany, "this vendor has more than %d connections open; use them again, or close them", c.limits.Connections), time.Second}
	}
	c.leave(n)
	if !n.proxy {
		n.vendor = k.vendor.Name
		c.byVendor[n.vendor]++
	}
	return nil
}
