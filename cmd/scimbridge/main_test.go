package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program, too: scripts call it by the name scimbridge, the crash test by asProgram.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
	}
	testscript.Main(m, map[string]func(){"scimbridge": main})
}

// asProgram is the variable that makes the test binary run as scimbridge.
const asProgram = "SCIMBRIDGE_TEST_AS_PROGRAM"

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// TestDemo is the README's first command.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("the story takes twenty seconds of real time")
	}
	t.Parallel()
	if code := run(t.Context(), []string{"demo", "--seed", "5"}, streams{nil, testWriter{t}, testWriter{t}}); code != exitOK {
		t.Errorf("the demo exited %d", code)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}
