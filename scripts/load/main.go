// Command load measures scimbridge, and what it is to be compared with, on the machine that it runs on; scripts/bench calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what every part is told.
type options struct {
	dir        string        // where stores are kept from run to run
	scimbridge string        // the program under test
	each       time.Duration // of one measurement
	rounds     int           // how often each is repeated; the median counts
	rows       []int         // sizes of store
	clients    []int
}

const usage = `load PART measures one part and prints a table.

  ceiling      what the disk, SQLite and Echo can do
  scim         the vendor door: read, look up, list, patch, create
  crowd        the vendor door with a thousand connections
  daemon       a whole daemon: start, memory, idle, load
  soak         a whole daemon under load for as long as -each says
  self         the vendor door over an empty store, measured as a peer is
  peer NAME URL TOKEN   another SCIM server, by the same generator
  one KIND URL TOKEN STORE   one kind of request against a server that runs, for profiles
  fill         builds the stores that the others read, and keeps them

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "child-") {
		return child(ctx, args)
	}
	var o options
	var rows, clients string
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.dir, "dir", filepath.Join(os.TempDir(), "scimbridge-bench"), "where the stores are kept")
	f.StringVar(&o.scimbridge, "scimbridge", "", "the program under test, for the part daemon")
	f.DurationVar(&o.each, "each", 4*time.Second, "how long one measurement takes")
	f.IntVar(&o.rounds, "rounds", 3, "how often each is repeated; the median is printed")
	f.StringVar(&rows, "rows", "1000,100000", "sizes of the stores")
	f.StringVar(&clients, "clients", "1,16,64", "how many clients at once")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	var err error
	if o.rows, err = numbers(rows); err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	if o.clients, err = numbers(clients); err != nil {
		return fmt.Errorf("-clients: %w", err)
	}
	if o.rounds < 1 || o.each < time.Second {
		return errors.New("-rounds is at least 1 and -each at least 1s")
	}
	if err := os.MkdirAll(o.dir, 0o750); err != nil {
		return err
	}
	switch part := f.Arg(0); part {
	case "ceiling":
		return o.ceiling(ctx)
	case "scim":
		return o.scim(ctx)
	case "crowd":
		return o.crowd(ctx)
	case "daemon":
		return o.daemon(ctx)
	case "soak":
		return o.soak(ctx)
	case "fill":
		return o.fill(ctx)
	case "one":
		if f.NArg() != 5 {
			return errors.New("one wants a kind of request, a base URL, a token and the path of the store behind it")
		}
		return o.one(ctx, f.Arg(1), f.Arg(2), f.Arg(3), f.Arg(4))
	case "self":
		return o.self(ctx)
	case "peer":
		if f.NArg() != 4 {
			return errors.New("peer wants a name, a base URL and a token (\"\": none)")
		}
		return o.peer(ctx, f.Arg(1), f.Arg(2), f.Arg(3))
	default:
		f.Usage()
		return fmt.Errorf("there is no part %q", part)
	}
}

func numbers(list string) (all []int, err error) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number from 1", s)
		}
		all = append(all, n)
	}
	return all, nil
}
