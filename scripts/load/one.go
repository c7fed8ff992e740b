package main

import (
	"context"
	"fmt"
)

// one drives a server that runs already with one kind of request: for whoever looks into it with a profiler.
func (o *options) one(ctx context.Context, kind, base, token, store string) error {
	to, err := targetOf(base, token)
	if err != nil {
		return err
	}
	users, err := sample(ctx, store, 1)
	if err != nil {
		return err
	}
	get, byUserName, byExternalID := readWork(users)
	create := &work{want: 201}
	create.next = func(b []byte, n int) []byte { return create.to.build(b, "POST", "/Users", body(n)) }
	w := map[string]*work{"get": get, "userName": byUserName, "externalId": byExternalID, "list": listWork(""), "create": create, "patch": patchWork(users)}[kind]
	if w == nil {
		return fmt.Errorf("there is no kind of request %q", kind)
	}
	w.to = to
	for _, n := range o.clients {
		r, err := drive(ctx, w, n, o.each, freshNumber)
		if err != nil {
			return err
		}
		fmt.Printf("%s by %d: %s a second, p50 %s ms, p99 %s ms, longest %s ms\n", kind, n, rate(r.rate), ms(r.p50), ms(r.p99), ms(r.max))
	}
	return nil
}
