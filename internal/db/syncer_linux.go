package db

import (
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync puts a file's content on the disk, without its times.
func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
