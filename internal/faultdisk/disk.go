// Package faultdisk is a file system whose disk fails when it is told to: full, read-only, failing, silent, torn, or without power. For tests alone.
package faultdisk

import (
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
)

// Kind is what is done to the disk.
type Kind string

// The kinds. Reads never fail: what is read badly is told by SQLite's own checks.
const (
	Write    Kind = "write"
	Sync     Kind = "sync"
	Truncate Kind = "truncate"
	Create   Kind = "create"
	Open     Kind = "open" // for writing
	Remove   Kind = "remove"
	Rename   Kind = "rename"
	SyncDir  Kind = "syncdir"
)

// Op is one operation that changes the disk, before it is done.
type Op struct {
	N      int // how many came before it since the disk was made
	Kind   Kind
	Name   string // of the file; of SyncDir: ""
	Offset int64
	Len    int
}

// Verdict is what becomes of an operation.
type Verdict struct {
	Errno syscall.Errno // 0: it is done
	Bytes int           // of a Write that fails: how many were written all the same
	Cut   bool          // the power fails: neither this operation nor any after it is done; Power tells what is left
}

// Disk holds the files of one flat folder twice: as processes see them, and as they would be found after a loss of power.
type Disk struct {
	mu      sync.Mutex
	fault   func(Op) Verdict // nil: everything is done
	ops     int
	dead    bool
	files   map[string]*file
	durable map[string]*file // the folder as last synced
}

// page is what a disk writes back at once, sector what it writes whole.
const (
	page   = 4096
	sector = 512
)

// file is what is seen, and what is on the platter.
type file struct {
	name   string
	seen   []byte
	safe   []byte
	dirty  map[int64]bool // pages that were written since they were last on their way to the platter
	failed int            // syncs
	open   *fileNode
}

// New is an empty disk, or one with files on it.
func New(files map[string][]byte) *Disk {
	d := &Disk{files: map[string]*file{}, durable: map[string]*file{}}
	for name, data := range files {
		f := &file{name: name, seen: append([]byte(nil), data...), safe: append([]byte(nil), data...), dirty: map[int64]bool{}}
		d.files[name], d.durable[name] = f, f
	}
	return d
}

// Fault sets what decides over each operation from now on; nil: everything is done. It is called with the operation's process waiting, one operation at a
// time, and must not touch the disk.
func (d *Disk) Fault(fault func(Op) Verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// Ops counts the operations that changed the disk, or tried to.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// judge asks the fault about an operation. d.mu is held. SQLite's shared memory is no file to it: a loss of power empties it, and the
// kernel writes it back when it likes.
func (d *Disk) judge(op Op) Verdict {
	if d.dead {
		return Verdict{Errno: syscall.EIO}
	}
	if strings.HasSuffix(op.Name, "-shm") {
		return Verdict{}
	}
	op.N = d.ops
	d.ops++
	if d.fault == nil {
		return Verdict{}
	}
	v := d.fault(op)
	if v.Cut {
		d.dead, v = true, Verdict{Errno: syscall.EIO}
	}
	return v
}

// Power cuts the power: whatever is asked of the disk from now on fails. The files that the next boot finds hold all that was synced; of
// what was not, each page is there, is not there, or is torn, by the dice.
func (d *Disk) Power(dice *rand.Rand) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	names := maps.Clone(d.durable)
	if dice.IntN(2) == 0 { // the folder's change was on its way
		names = maps.Clone(d.files)
		for name, f := range d.durable {
			if _, kept := names[name]; !kept && dice.IntN(2) == 0 {
				names[name] = f
			}
		}
	}
	found := map[string][]byte{}
	for name, f := range names {
		if strings.HasSuffix(name, "-shm") {
			continue
		}
		found[name] = f.after(dice)
	}
	return found
}

// Seen are the files as processes see them now.
func (d *Disk) Seen() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := map[string][]byte{}
	for name, f := range d.files {
		seen[name] = append([]byte(nil), f.seen...)
	}
	return seen
}

// after is the file as the platter has it, with whatever of the unsynced pages got there.
func (f *file) after(dice *rand.Rand) []byte {
	b := append([]byte(nil), f.safe...)
	if len(f.seen) < len(f.safe) && dice.IntN(2) == 0 {
		b = b[:len(f.seen)]
	}
	for at := int64(0); at < int64(len(f.seen)); at += page {
		if !f.dirty[at] {
			continue
		}
		now := f.seen[at:min(at+page, int64(len(f.seen)))]
		switch dice.IntN(3) {
		case 0:
			continue
		case 1:
			now = now[:min(len(now), sector*(1+dice.IntN(page/sector-1)))]
		}
		if need := int(at) + len(now); need > len(b) {
			b = append(b, make([]byte, need-len(b))...)
		}
		copy(b[at:], now)
	}
	return b
}

func (f *file) write(data []byte, off int64) {
	if need := off + int64(len(data)); need > int64(len(f.seen)) {
		f.seen = append(f.seen, make([]byte, need-int64(len(f.seen)))...)
	}
	copy(f.seen[off:], data)
	for at := off / page * page; at < off+int64(len(data)); at += page {
		f.dirty[at] = true
	}
}

func (f *file) truncate(size int64) {
	if size > int64(len(f.seen)) {
		f.seen = append(f.seen, make([]byte, size-int64(len(f.seen)))...)
	}
	f.seen = f.seen[:size]
	for at := range f.dirty {
		if at >= size {
			delete(f.dirty, at)
		}
	}
}

// sync writes the dirty pages to the platter. One that fails does what Linux does: the pages count as clean, and are not on the platter.
func (f *file) sync(fails bool) {
	if fails {
		f.failed++
	} else {
		size := len(f.seen)
		if size < len(f.safe) {
			f.safe = f.safe[:size]
		}
		f.safe = append(f.safe, make([]byte, size-len(f.safe))...)
		for at := range f.dirty {
			copy(f.safe[at:], f.seen[at:min(at+page, int64(size))])
		}
	}
	clear(f.dirty)
}
