package entra_test

import (
	"testing"

	"scimbridge/internal/entra/emulator"
)

func TestAppID(t *testing.T) {
	run(t, "as the token says", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		if id, err := x.AppID(t.Context()); err != nil || id != emulator.DefaultClientID {
			t.Errorf("%q, %v", id, err)
		}
	})
	run(t, "a token that names nobody", func(t *testing.T) {
		c, _ := script(t)
		if id, err := c.AppID(t.Context()); err == nil {
			t.Errorf("%q", id)
		}
	})
}
