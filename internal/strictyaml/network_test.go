package strictyaml_test

import (
	"strings"
	"testing"

	"scimbridge/internal/strictyaml"
)

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "203.0.113.0/24": "203.0.113.0/24", "2001:db8::/32": "2001:db8::/32", "::1": "::1/128", "::ffff:203.0.113.7": "203.0.113.7/32",
		"host.example": "is not an address", "203.0.113.7/24": "write 203.0.113.0/24", "0.0.0.0/0": "whole Internet", "::ffff:203.0.113.0/120": "write it as IPv4", "fe80::1%eth0": "is not an address", "": "is not an address",
	} {
		var n strictyaml.Network
		err := n.UnmarshalText([]byte(text))
		got := n.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
