//go:build !linux

package db

import (
	"syscall"
	"time"
)

// pgUnacknowledged is how long what was sent to the server may stay unacknowledged by its kernel, where that can be said.
const pgUnacknowledged = 8 * time.Second

// userTimeout does nothing here: the keep-alives of the connection, and the patience of its statements, have to do.
func userTimeout(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
