package main

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// inherited are the listeners that systemd opened for the daemon (socket activation), by the key of scimbridge.yaml that the
// socket unit names in FileDescriptorName=. They stay open while the daemon restarts: vendors wait instead of being refused.
type inherited map[string]net.Listener

func inheritListeners() (inherited, error) {
	byName, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("systemd's sockets cannot be taken over: %w", err)
	}
	sockets := inherited{}
	for name, list := range byName {
		if len(list) != 1 || list[0] == nil {
			return nil, setupError(fmt.Errorf("the socket unit gives %d stream sockets named %q; give one, and name it after a key of scimbridge.yaml: FileDescriptorName=listen", len(list), name))
		}
		sockets[name] = list[0]
	}
	return sockets, nil
}

// listen takes the socket that systemd opened under this key, or opens one at addr.
func (s inherited) listen(key, addr string, encrypted bool) (net.Listener, error) {
	l, ok := s[key]
	if !ok {
		return listen(key, addr)
	}
	delete(s, key)
	// scimbridge.yaml was checked for its own address, not for the socket unit's.
	if tcp, ok := l.Addr().(*net.TCPAddr); !encrypted && (!ok || !tcp.IP.IsLoopback()) {
		return nil, setupError(fmt.Errorf("the socket unit opens %s at %s, which other machines reach, and there is no tls section; add one, or listen on 127.0.0.1", key, l.Addr()))
	}
	return l, nil
}

// rest refuses sockets that no part of the daemon asked for: a name that is mistyped would leave a door that never answers.
func (s inherited) rest() error {
	if len(s) == 0 {
		return nil
	}
	return setupError(fmt.Errorf("the socket unit opens %s, which scimbridge.yaml does not use; FileDescriptorName= is a key of it: listen, notify.listen or metrics.listen", strings.Join(slices.Sorted(maps.Keys(s)), ", ")))
}
