package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"scimbridge/internal/contractor"
)

// syncer puts what was committed on the disk, and then answers those who wrote it. SQLite would do so inside each commit
// (synchronous=FULL), and the writer would wait. Here a commit ends when its pages are handed to the system (synchronous=NORMAL), and
// while the disk works the writer is at the next batch. Nobody is told of a write, and no read is answered that may have seen it,
// before it is on the disk: for everybody outside, it is as if the sync were part of the commit.
type syncer struct {
	sync  func() error // puts all that was committed on the disk
	queue chan *committed
	ended chan struct{}

	waiting atomic.Int64  // batches that were handed over and are not on the disk
	rest    chan struct{} // told when waiting has fallen
	begun   atomic.Uint64 // number of the last commit that began: what a read may have seen
	durable atomic.Uint64 // number of the last commit that is on the disk

	mu    sync.Mutex
	moved chan struct{} // closed when durable grows
	err   error         // why nothing can be promised until the log was written once more

	failed func(error) // told of a sync that failed
}

// committed is a batch that the writer is done with.
type committed struct {
	number  uint64 // of its commit; 0: it wrote nothing
	items   []*work
	results []error
}

// syncQueue bounds the batches that wait for the disk; the writer waits beyond.
const syncQueue = 4

func startSyncer(sync func() error, failed func(error)) *syncer {
	y := &syncer{
		sync:   sync,
		failed: failed,
		queue:  make(chan *committed, syncQueue),
		ended:  make(chan struct{}),
		rest:   make(chan struct{}, 1),
		moved:  make(chan struct{}),
	}
	go y.loop()
	return y
}

// close waits until all that was handed over is answered. The writer calls it, once.
func (y *syncer) close() {
	close(y.queue)
	<-y.ended
}

// begin numbers a commit, before it can be seen. The writer calls it.
func (y *syncer) begin() uint64 { return y.begun.Add(1) }

// put hands a batch over. Where nothing else waits for the disk, nor for the writer, it is done here and now: two goroutines less
// to wake.
func (y *syncer) put(b *committed, idle bool) {
	if y.waiting.Add(1) == 1 && idle {
		y.finish([]*committed{b})
		return
	}
	y.queue <- b
}

func (y *syncer) loop() {
	defer close(y.ended)
	batches := make([]*committed, 0, syncQueue+1)
	for first := range y.queue {
		batches = append(batches[:0], first)
		for len(y.queue) > 0 { // nobody else takes from it
			batches = append(batches, <-y.queue)
		}
		y.finish(batches)
		clear(batches)
	}
}

// finish makes batches durable with one sync, and answers everybody in them.
func (y *syncer) finish(batches []*committed) {
	var last uint64
	for _, b := range batches {
		last = max(last, b.number)
	}
	err := y.broken()
	if err == nil && last > 0 {
		err = y.reach(last)
	}
	for _, b := range batches {
		for i, item := range b.items {
			if b.results[i] == nil {
				b.results[i] = err
			}
			item.done <- b.results[i]
		}
	}
	y.waiting.Add(-int64(len(batches)))
	select {
	case y.rest <- struct{}{}:
	default: // it is told already
	}
}

// reach syncs, and lets those go who wait for a commit up to number. A sync that failed is not tried again: the system may have dropped
// what it could not write, and would call the next one a success.
func (y *syncer) reach(number uint64) error {
	err := y.sync()
	y.mu.Lock()
	defer y.mu.Unlock()
	if err != nil {
		y.err = &contractor.Error{Code: contractor.CodeUnavailable, Message: diskFailed,
			Cause: fmt.Errorf("sync the write-ahead log: %w", err)}
		y.failed(y.err)
	} else {
		y.durable.Store(number)
	}
	close(y.moved)
	y.moved = make(chan struct{})
	return y.err
}

// mended takes back that nothing can be promised: all that was committed has been written once more, and is on the disk.
func (y *syncer) mended() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.err = nil
	y.durable.Store(y.begun.Load())
	close(y.moved)
	y.moved = make(chan struct{})
}

// broken is why nothing can be written now; nil: it can.
func (y *syncer) broken() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.err
}

// settle waits until everything that a read may have seen, which has just ended, is on the disk.
func (y *syncer) settle(ctx context.Context) error {
	seen := y.begun.Load()
	for y.durable.Load() < seen {
		y.mu.Lock()
		moved, err := y.moved, y.err
		y.mu.Unlock()
		if err != nil {
			return err
		}
		if y.durable.Load() >= seen {
			break
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// walFile syncs the write-ahead log of a database file through a descriptor of its own.
type walFile struct {
	path string
	file *os.File // nil until the first sync
}

// sync is called by one goroutine at a time. Where there is no log, whoever closed the file last moved all of it into the database and
// synced that.
func (f *walFile) sync() error {
	if f.path == "" { // PostgreSQL syncs within the commit
		return nil
	}
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.close()
	}
	if err != nil {
		return err
	}
	if f.file != nil {
		open, err := f.file.Stat()
		if err != nil {
			return err
		}
		if !os.SameFile(info, open) { // it was deleted and made again
			if err := f.close(); err != nil {
				return err
			}
		}
	}
	if f.file == nil {
		if f.file, err = os.OpenFile(f.path, os.O_RDWR, 0); err != nil {
			return err
		}
	}
	return fdatasync(f.file)
}

func (f *walFile) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
