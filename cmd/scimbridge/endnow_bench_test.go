package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/config"
)

// BenchmarkEndNow measures an emergency stop as an admin knows it: from the start of the command to the arrival at the tenant of the call
// that disables sign-in, over a running daemon, one person after the other. It tells median and slowest in milliseconds.
func BenchmarkEndNow(b *testing.B) {
	const people = 100
	st := guideTenant(b)
	_, err := st.writeFiles()
	ok(b, err)
	replace(b, st, "console: {listen: 127.0.0.1:0}\n", "")
	cfg, problems := config.Load(st.configAt)
	ok(b, problems.Err())
	st.daemon, err = start(b.Context(), options{config: cfg, log: slog.New(slog.DiscardHandler)})
	ok(b, err)
	d := st.daemon
	b.Cleanup(func() { _ = d.stop(context.Background()) })
	ok(b, st.addVendors(b.Context()))
	self, err := os.Executable()
	ok(b, err)
	var waits []time.Duration
	for b.Loop() {
		for i := range people {
			mail := fmt.Sprintf("p%d.%d@kforce.example", len(waits), i)
			record := strings.NewReplacer("00uj1y4nGd7uJ5rUQ0g4", mail, "KF-20017", fmt.Sprint("KF-", len(waits), "-", i)).Replace(okta(mail, "Bo", "Diaz", "Developer", time.Now().AddDate(0, 0, 30)))
			_, err := st.vendors["okta"].create(b.Context(), mail, record)
			ok(b, err)
			eventually(b, time.Minute, "the guest is there", func() bool { return guestOf(st.tenant.State(), mail) != nil })
			guest := guestOf(st.tenant.State(), mail).ID
			cmd := exec.CommandContext(b.Context(), self, "contractor", "end", mail, "--now", "--yes", "--reason", "measured", "--config", filepath.Join(st.dir, "scimbridge.yaml"))
			cmd.Env = append(os.Environ(), asProgram+"=1")
			asked := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			eventually(b, time.Minute, "the door is shut", func() bool { return !guestOf(st.tenant.State(), mail).Enabled })
			for _, c := range slices.Backward(st.tenant.Calls()) {
				if c.Operation == "user.update" && c.Done && filepath.Base(c.Path) == guest {
					waits = append(waits, c.Time.Sub(asked))
					break
				}
			}
		}
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waits[len(waits)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(float64(len(waits)), "ends")
}
