package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// adminGroup is the group whose members may use the admin socket, besides root and the daemon's own user.
const adminGroup = "scimbridge"

type peerKey struct{}

// peer is who is at the other end of the admin socket, as the kernel says.
type peer struct {
	uid  uint32
	name string
}

// withPeer puts the socket's peer into the context of its requests.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	p, err := peerOf(conn)
	if err != nil {
		return ctx // no peer in the context: every request is refused
	}
	return context.WithValue(ctx, peerKey{}, p)
}

func peerOf(conn net.Conn) (peer, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return peer{}, errors.New("not a unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return peer{}, err
	}
	if credErr != nil {
		return peer{}, credErr
	}
	name := "uid " + strconv.FormatUint(uint64(cred.Uid), 10)
	if u, err := user.LookupId(strconv.FormatUint(uint64(cred.Uid), 10)); err == nil {
		name = u.Username
	}
	return peer{cred.Uid, name}, nil
}

// mayAdmin reports whether the peer is root, the daemon's own user, or a member of the admin group.
func mayAdmin(p peer, self int) error {
	if p.uid == 0 || int64(p.uid) == int64(self) {
		return nil
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.uid), 10))
	if err != nil {
		return fmt.Errorf("uid %d is unknown on this machine", p.uid)
	}
	g, err := user.LookupGroup(adminGroup)
	if err == nil {
		if ids, err := u.GroupIds(); err == nil && slices.Contains(ids, g.Gid) {
			return nil
		}
	}
	return fmt.Errorf("user %s is not in the group %s; add it (usermod -aG %s %s) or use root", p.name, adminGroup, adminGroup, p.name)
}
