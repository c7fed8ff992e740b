//go:build !linux

package db

import "os"

// fdatasync puts a file on the disk.
func fdatasync(f *os.File) error { return f.Sync() }
