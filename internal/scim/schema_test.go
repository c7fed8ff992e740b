package scim

import "testing"

func TestNoComplexValueDeclaresMoreThan64Parts(t *testing.T) {
	var check func(a *attribute)
	check = func(a *attribute) {
		if len(a.subs) > 64 {
			t.Errorf("%s declares %d parts: (*intake).object counts them in 64 bits", a.path(), len(a.subs))
		}
		for _, s := range a.subs {
			check(s)
		}
	}
	check(userType().root)
	check(groupType().root)
}
