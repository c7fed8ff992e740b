package strictyaml

import (
	"fmt"
	"net/netip"
)

// Network is an IP network, or one address as the network of itself, written as text.
type Network struct{ netip.Prefix }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		n.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not an address or a network; write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32", s)
	case p.Addr().Is4In6():
		return fmt.Errorf("%q is an IPv4 network in IPv6 dress; write it as IPv4, such as 203.0.113.0/24", s)
	case p != p.Masked():
		return fmt.Errorf("%q has bits set behind its length; write %s", s, p.Masked())
	case p.Bits() == 0:
		return fmt.Errorf("%q is the whole Internet; write the networks that are meant", s)
	}
	n.Prefix = p
	return nil
}
