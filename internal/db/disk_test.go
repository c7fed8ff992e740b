package db_test

import (
	"bufio"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"scimbridge/internal/db"
	"scimbridge/internal/faultdisk"
)

// migrateEnv makes the test binary a process that brings the database named in it to a schema one migration newer.
const migrateEnv = "SCIMBRIDGE_TEST_MIGRATES"

const rewriting = `ALTER TABLE engagements ADD COLUMN torture TEXT;
UPDATE engagements SET torture = id;
CREATE INDEX engagements_torture ON engagements (torture);`

// roundsOf is how many rounds a test under fire makes, and from which seed: few and a new one, or SCIMBRIDGE_ROUNDS and SCIMBRIDGE_SEED.
func roundsOf(t *testing.T, few int) (n int, seed uint64) {
	t.Helper()
	n, seed = few, uint64(time.Now().UnixNano())
	if testing.Short() {
		n = max(1, few/4)
	}
	for name, set := range map[string]func(uint64){"SCIMBRIDGE_ROUNDS": func(v uint64) { n = int(v) }, "SCIMBRIDGE_SEED": func(v uint64) { seed = v }} {
		if s := os.Getenv(name); s != "" {
			v, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(v)
		}
	}
	return n, seed
}

// rig is a disk that fails when it is told to, and the processes that work on it.
type rig struct {
	t      *testing.T
	disk   *faultdisk.Disk
	folder string
}

// mounted shows a disk as a folder; the test is left out where nobody may mount.
func mounted(t *testing.T, files map[string][]byte) (r *rig, unmount func()) {
	t.Helper()
	r = &rig{t: t, disk: faultdisk.New(files), folder: t.TempDir()}
	end, err := r.disk.Mount(r.folder)
	if errors.Is(err, faultdisk.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, func() {
		if err := end(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	}
}

func (r *rig) path() string { return filepath.Join(r.folder, "s.db") }

// run starts this binary as another process and yields the lines that it says until it ends; it is killed when it is struck.
func (r *rig) run(s strike, env ...string) (said []string) {
	r.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-s.struck:
		case <-time.After(20 * time.Second):
		case <-ended:
			return
		}
		_ = cmd.Process.Kill()
		if s.killed != nil {
			close(s.killed)
		}
	}()
	for lines := bufio.NewReader(stdout); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		said = append(said, strings.TrimSuffix(line, "\n"))
	}
	_ = cmd.Wait() // it was killed, or its disk was gone
	return said
}

// note keeps the last word of each row, and the backups.
func note(said []string, acknowledged map[string]string) {
	for _, line := range said {
		word, id, _ := strings.Cut(line, " ")
		acknowledged[id] = word
	}
}

// check opens what a boot would find, on a disk that works, and holds it against what was acknowledged. It answers the files as the check left them.
func check(t *testing.T, found map[string][]byte, acknowledged map[string]string) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	for name, data := range found {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rows := map[string]string{}
	for id, word := range acknowledged {
		if word != "backup" {
			rows[id] = word
			continue
		}
		backup, err := db.Open(t.Context(), db.Config{Path: filepath.Join(dir, id)})
		if err != nil {
			t.Errorf("backup %s was made, and cannot be opened: %v", id, err)
			continue
		}
		if _, _, err := backup.VerifyJournal(t.Context()); err != nil {
			t.Errorf("backup %s: %v", id, err)
		}
		if err := backup.Close(); err != nil {
			t.Error(err)
		}
		delete(acknowledged, id)
	}
	path := filepath.Join(dir, "s.db")
	s, err := db.Open(t.Context(), db.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	checkAcknowledged(t, s, rows)
	if len(rows) > 0 {
		checkCounts(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left := map[string][]byte{}
	for _, name := range []string{"s.db", "s.db-wal"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			left[name] = b
		}
	}
	return left
}

// strike is something that happens at one operation of a disk.
type strike struct{ struck, killed chan struct{} }

// at ends the process that is at work at the nth operation from now on: it is killed with the operation neither answered nor, but for the verdict's sake,
// done, or its power is cut.
func (r *rig) at(n int, then faultdisk.Verdict) strike {
	s := strike{make(chan struct{}), make(chan struct{})}
	from, hit := r.disk.Ops(), false
	r.disk.Fault(func(op faultdisk.Op) faultdisk.Verdict {
		if hit || op.N-from < n {
			return faultdisk.Verdict{}
		}
		hit = true
		close(s.struck)
		if !then.Cut {
			<-s.killed // everything else that is asked of the disk waits, too
		}
		return then
	})
	return s
}

// some is how many operations to let go by: often few, sometimes thousands.
func some(dice *rand.Rand) int { return dice.IntN(64 << dice.IntN(7)) }

// killed is the verdict over the operation at which a process is killed: done, or not.
func killed(dice *rand.Rand) faultdisk.Verdict {
	if dice.IntN(2) == 0 {
		return faultdisk.Verdict{Errno: syscall.EIO}
	}
	return faultdisk.Verdict{}
}

// A process that is killed before any one of its writes, syncs, creations and removals, while it opens, migrates, writes and backs up, has lost nothing
// that it acknowledged, and the next goes on.
func TestKilledAtAnyWrite(t *testing.T) {
	t.Parallel()
	rounds, seed := roundsOf(t, 16)
	dice := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	var files map[string][]byte
	acknowledged := map[string]string{}
	total := 0
	for round := range rounds {
		if len(acknowledged) > 2000 { // begin anew with an empty disk
			files, acknowledged = nil, map[string]string{}
		}
		r, unmount := mounted(t, files)
		n := some(dice)
		said := r.run(r.at(n, killed(dice)), writerEnv+"="+r.path(), backupEnv+"=1")
		note(said, acknowledged)
		found := r.disk.Seen()
		unmount()
		total += len(said)
		files = check(t, found, acknowledged)
		if t.Failed() {
			t.Fatalf("round %d at operation %d; SCIMBRIDGE_SEED=%d", round, n, seed)
		}
	}
	t.Logf("%d rounds, %d acknowledgements", rounds, total)
}

// A loss of power at any write, with whatever syncs failed before it, loses nothing that was acknowledged, also where the process was restarted between a
// failed sync and the loss.
func TestPowerLost(t *testing.T) {
	t.Parallel()
	rounds, seed := roundsOf(t, 6)
	dice := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	var files map[string][]byte
	acknowledged := map[string]string{}
	total := 0
	for round := range rounds {
		if len(acknowledged) > 2000 {
			files, acknowledged = nil, map[string]string{}
		}
		r, unmount := mounted(t, files)
		if dice.IntN(2) == 0 { // a process whose syncs and writes fail, and that is killed
			failing, struck, left := rand.New(rand.NewPCG(seed, uint64(round))), make(chan struct{}), 300+dice.IntN(1500)
			from := r.disk.Ops() + 250 // let it open, and migrate
			r.disk.Fault(func(op faultdisk.Op) faultdisk.Verdict {
				if left <= 0 {
					return faultdisk.Verdict{}
				}
				left--
				v := faultdisk.Verdict{}
				switch {
				case op.N < from:
				case op.Kind == faultdisk.Sync && failing.IntN(10) == 0:
					v.Errno = syscall.EIO
					if failing.IntN(2) == 0 { // killed before it can mend what was not synced
						left = 0
					}
				case op.Kind == faultdisk.Write && failing.IntN(200) == 0:
					v.Errno, v.Bytes = syscall.EIO, failing.IntN(op.Len+1)
				}
				if left == 0 {
					close(struck)
				}
				return v
			})
			said := r.run(strike{struck: struck}, writerEnv+"="+r.path(), hardyEnv+"=1")
			note(said, acknowledged)
			total += len(said)
		}
		n := some(dice)
		cut := r.at(n, faultdisk.Verdict{Cut: true})
		said := r.run(cut, writerEnv+"="+r.path())
		note(said, acknowledged)
		total += len(said)
		found := r.disk.Power(dice)
		unmount()
		files = check(t, found, acknowledged)
		if t.Failed() {
			t.Fatalf("round %d at operation %d; SCIMBRIDGE_SEED=%d", round, n, seed)
		}
	}
	t.Logf("%d rounds, %d acknowledgements", rounds, total)
}

// A migration that is killed at any write, or loses its power there, has been done or has not, and the copy from before is whole where it stands under its
// name.
func TestKilledMigration(t *testing.T) {
	t.Parallel()
	rounds, seed := roundsOf(t, 8)
	dice := rand.New(rand.NewPCG(seed, 3))
	t.Logf("seed %d", seed)
	old, acknowledged := map[string][]byte{}, map[string]string{}
	for range 2 { // a database with a past
		r, unmount := mounted(t, old)
		note(r.run(r.at(600, killed(dice)), writerEnv+"="+r.path()), acknowledged)
		old = check(t, r.disk.Seen(), acknowledged)
		unmount()
	}
	whole, unmount := mounted(t, old)
	if said := whole.run(strike{}, migrateEnv+"="+whole.path()); len(said) != 1 {
		t.Fatal("the migration does not run")
	}
	ops := whole.disk.Ops()
	unmount()
	done := 0
	for round := range rounds {
		r, unmount := mounted(t, maps.Clone(old))
		n, cut := dice.IntN(ops+1), dice.IntN(2) == 0
		then := faultdisk.Verdict{Cut: true}
		if !cut {
			then = killed(dice)
		}
		said := r.run(r.at(n, then), migrateEnv+"="+r.path())
		found := r.disk.Seen()
		if cut {
			found = r.disk.Power(dice)
		}
		unmount()
		if checkMigration(t, found, acknowledged, len(said) > 0) {
			done++
		}
		if t.Failed() {
			t.Fatalf("round %d at operation %d of %d, power cut %v; SCIMBRIDGE_SEED=%d", round, n, ops, cut, seed)
		}
	}
	t.Logf("%d rounds of %d operations each, %d had migrated", rounds, ops, done)
}

func checkMigration(t *testing.T, found map[string][]byte, acknowledged map[string]string, said bool) (done bool) {
	t.Helper()
	dir := t.TempDir()
	kept := ""
	for name, data := range found {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if ok, _ := filepath.Match("s.db.before-????", name); ok {
			kept = name
		}
	}
	path := filepath.Join(dir, "s.db")
	reached, rows, err := db.ForgetMigrationForTest(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if said && reached < 0 || reached >= 0 && reached != rows {
		t.Errorf("the migration has reached %d of %d engagements, said done %v", reached, rows, said)
	}
	if kept == "" && reached >= 0 {
		t.Error("migrated without a copy from before")
	}
	for _, name := range []string{"s.db", kept} {
		if name == "" {
			continue
		}
		s, err := db.Open(t.Context(), db.Config{Path: filepath.Join(dir, name)})
		if err != nil {
			t.Fatal(err)
		}
		checkAcknowledged(t, s, acknowledged)
		checkCounts(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return reached >= 0
}
