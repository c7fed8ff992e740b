package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// requestTimeout bounds one request: a server that hangs ends the measurement.
const requestTimeout = 30 * time.Second

// target is a server that requests go to.
type target struct {
	addr  string // host:port
	path  string // prefix of every path
	token string // of Authorization: Bearer; "": none
}

// targetOf reads a base URL, which is plain http.
func targetOf(base, token string) (target, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return target{}, fmt.Errorf("%q is not an http URL with a port", base)
	}
	return target{u.Host, u.Path, token}, nil
}

// request writes the nth request of a measurement behind b.
type request func(b []byte, n int) []byte

// build writes one HTTP request.
func (t *target) build(b []byte, method, path string, body []byte) []byte {
	b = append(append(append(b, method...), ' '), t.path...)
	b = append(append(b, path...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, t.addr...), "\r\nAccept: application/scim+json\r\n"...)
	if t.token != "" {
		b = append(append(append(b, "Authorization: Bearer "...), t.token...), "\r\n"...)
	}
	if body != nil {
		b = append(b, "Content-Type: application/scim+json\r\nContent-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	}
	return append(append(b, "\r\n"...), body...)
}

// client is one kept connection. Its own reader of answers takes a tenth of what net/http's client does: on a machine that the
// server shares, the client is to cost little.
type client struct {
	addr  string
	conn  net.Conn
	last  bool      // the server closes the connection behind this answer
	until time.Time // nothing is waited for beyond; zero: for as long as a request may take
	in    *bufio.Reader
	out   []byte
	body  []byte // of the last answer
}

func dial(ctx context.Context, addr string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{addr: addr, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// do sends what out holds and reads the answer's status and body.
func (c *client) do() (status int, err error) {
	if c.last {
		fresh, err := dial(context.Background(), c.addr)
		if err != nil {
			return 0, err
		}
		_ = c.conn.Close() // the server has closed it
		c.conn, c.in, c.last = fresh.conn, fresh.in, false
	}
	deadline := time.Now().Add(requestTimeout)
	if !c.until.IsZero() && c.until.Before(deadline) {
		deadline = c.until
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return 0, err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 {
		return 0, fmt.Errorf("no status line: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("no status line: %q", line)
	}
	c.last = bytes.HasPrefix(line, []byte("HTTP/1.0"))
	length, chunked := -1, false
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case bytes.EqualFold(name, []byte("connection")):
			c.last = c.last || bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		}
	}
	c.body = c.body[:0]
	switch {
	case status == 204 || status == 304:
		return status, nil
	case chunked:
		return status, c.chunks()
	case length < 0:
		return 0, errors.New("an answer without a length")
	}
	return status, c.take(length)
}

// take reads n bytes of the body.
func (c *client) take(n int) error {
	at := len(c.body)
	if cap(c.body)-at < n {
		c.body = append(make([]byte, 0, 2*(at+n)), c.body...)
	}
	c.body = c.body[:at+n]
	_, err := io.ReadFull(c.in, c.body[at:])
	return err
}

func (c *client) chunks() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return err
		}
		if err := c.take(int(n)); err != nil {
			return err
		}
		if _, err := c.in.Discard(2); err != nil || n == 0 {
			return err
		}
	}
}

// work is one kind of request.
type work struct {
	to    target
	next  request
	want  int                  // status
	or    int                  // another status that will do; 0: none
	check func(b []byte) error // of the first answer of each client; nil: none
	limit int                  // requests at most; 0: as many as fit into the time
	bound time.Duration        // how long answers may be waited for; 0: for ever
}

// errBound is the end of a measurement whose answers do not come.
var errBound = errors.New("the bound on a measurement was reached")

// drive sends requests by n clients for a time, each waiting for its answer before it sends the next. first is the number of the
// first request; no number is sent twice.
func drive(ctx context.Context, w *work, n int, each time.Duration, first int) (*result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	clients := make([]*client, n)
	for i := range clients {
		c, err := dial(ctx, w.to.addr)
		if err != nil {
			return nil, err
		}
		defer c.conn.Close() //nolint:errcheck // it was read
		if w.bound > 0 {
			c.until = time.Now().Add(w.bound)
		}
		clients[i] = c
	}
	var next atomic.Int64
	next.Store(int64(first) - 1)
	took := make([][]time.Duration, n)
	var wg sync.WaitGroup
	begun := time.Now()
	for i, c := range clients {
		wg.Go(func() {
			for seen := false; ctx.Err() == nil && time.Since(begun) < each; seen = true {
				k := int(next.Add(1))
				if w.limit > 0 && k >= first+w.limit {
					return
				}
				c.out = w.next(c.out[:0], k)
				sent := time.Now()
				status, err := c.do()
				if err != nil && !c.until.IsZero() && !time.Now().Before(c.until) {
					err = errBound
				}
				took[i] = append(took[i], time.Since(sent))
				if err == nil && status != w.want && status != w.or {
					err = fmt.Errorf("status %d, not %d: %.300s", status, w.want, c.body)
				}
				if err == nil && !seen && w.check != nil {
					err = w.check(c.body)
				}
				if err != nil {
					cancel(fmt.Errorf("%w (%.120q)", err, c.out))
					return
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	r := newResult(took, time.Since(begun))
	r.last = int(next.Load())
	return r, nil
}
