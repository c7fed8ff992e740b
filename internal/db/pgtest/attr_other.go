//go:build !linux

package pgtest

import "syscall"

// endWithParent does nothing where a process cannot ask for it: Stop ends the server.
func endWithParent(*syscall.SysProcAttr) {}
