package db

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pgUnacknowledged is how long what was sent to the server may stay unacknowledged by its kernel.
const pgUnacknowledged = 8 * time.Second

// userTimeout bounds how long sent data waits for its acknowledgement; without it, TCP goes on for a quarter of an hour.
func userTimeout(d time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		if network == "unix" {
			return nil
		}
		var err error
		if control := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		}); control != nil {
			return control
		}
		return err
	}
}
