// Command scimbridge takes contractor records from vendors over SCIM 2.0 and keeps Microsoft Entra guests in step with them,
// each grant with an end.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // a contract's zone must be known on machines without zone files, too
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}
