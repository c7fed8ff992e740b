package intake

import (
	"io"
	"sync/atomic"
)

// meter counts what was read.
type meter struct {
	r io.Reader
	n atomic.Int64
}

func newMeter(r io.Reader) *meter { return &meter{r: r} }

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n.Add(int64(n))
	return n, err
}

// allowance lets so much be read until it is renewed: encoding/csv takes a record of any length, and a quote that is never closed
// makes one of all the rest of the file.
type allowance struct {
	r    io.Reader
	left int
	gone bool
}

// Read implements io.Reader.
func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		a.gone = true
		return 0, errRecordTooLong
	}
	n, err := a.r.Read(p[:min(len(p), a.left)])
	a.left -= n
	return n, err
}
