package lifecycle_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
	"scimbridge/internal/lifecycle"
)

// TestModel tells random stories: feeds of two vendors, an admin, people in the portal, faults, outages, crashes, wrong clocks, and
// the years pass over a handful of contractors. After every event all the rules that always hold are checked (rules_test.go). A
// seed that fails prints the shortest story that it can find. SCIMBRIDGE_ROUNDS and SCIMBRIDGE_SEED as everywhere.
func TestModel(t *testing.T) {
	n, base := rounds(t, 8)
	for i := range n {
		seed := base + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			story := random(seed, 25)
			if failure, _ := told(t, seed, story, nil); failure != "" {
				t.Errorf("seed %d\n%s", seed, shortest(t, seed, story, nil))
			}
		})
	}
}

// TestModelFindsABrokenRule: with a bridge that only says that it takes plain memberships back, the model breaks the right rule, and
// the story it prints is short.
func TestModelFindsABrokenRule(t *testing.T) {
	liar := func(d lifecycle.Directory) lifecycle.Directory { return lying{d} }
	for seed := range uint64(40) {
		story := random(seed, 8)
		for i := range story {
			story[i].Span /= 40 // what is tried again and again for months takes its time here, too
		}
		if failure, _ := told(t, seed, story, liar); failure == "" {
			continue
		}
		short, failure := shrunk(t, seed, story, liar)
		if len(short) > 3 || !strings.HasPrefix(failure, "rule ") {
			t.Errorf("seed %d, shrunk to %d events: %s\n%v", seed, len(short), failure, short)
		}
		if text := printed(t, seed, short, failure, liar); !strings.Contains(text, string(hires)) || !strings.Contains(text, failure) {
			t.Errorf("the story as it is printed:\n%s", text)
		}
		return
	}
	t.Error("forty seeds, and no story fails")
}

// lying never takes anybody out of a group.
type lying struct{ lifecycle.Directory }

func (lying) RemoveMember(context.Context, string, string) (contractor.Receipt, error) {
	return contractor.Receipt{AlreadySo: true}, nil
}

// told tells a story in a world of its own. failure is the first broken rule, "" if none; text is the story with dates and the
// journal.
func told(t *testing.T, seed uint64, story []event, between func(lifecycle.Directory) lifecycle.Directory) (failure, text string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		v := &verdict{TB: t}
		v.of(func() { text = v.tell(seed, story, between) })
		failure = strings.Join(v.broken, "\n")
	})
	return failure, text
}

const modelDrift = "disabled: repair, member_added: repair"

func (v *verdict) tell(seed uint64, story []event, between func(lifecycle.Directory) lifecycle.Directory) string {
	mapping := strings.Replace(withGuard(withDrift(modelDrift)), "max_ends: 3,", "max_ends: 3, max_moves: 2,", 1)
	m := &model{world: newWorldBetween(v, emulator.Config{Seed: seed, Throttle: 0.05, ServerError: 0.03, Lag: 3 * time.Second}, mapping, between), ends: map[string]time.Time{}}
	defer func() { m.stopRun() }()
	_, err := m.tenant.AddUser(emulator.UserSeed{Guest: true, Mail: otherGuest, Name: "Somebody Else's"})
	must(v, err)
	must(v, m.tenant.DoAddMember(groupFin, m.guest(otherGuest).ID))
	_, err = m.tenant.AddUser(emulator.UserSeed{UPN: "p6@contoso.example", Mail: otherMember, Name: "A Member"})
	must(v, err)
	for _, e := range story {
		m.happen(e)
		m.pass(20 * time.Minute)
		m.askForDrift()
		m.pass(15 * time.Minute)
		m.checkRules()
		if v.Failed() {
			break
		}
	}
	return strings.Join(m.told, "\n") + "\n" + m.tell()
}

// shrunk is the shortest story that breaks the rule that a failing one breaks.
func shrunk(t *testing.T, seed uint64, story []event, between func(lifecycle.Directory) lifecycle.Directory) (short []event, failure string) {
	t.Helper()
	failure, _ = told(t, seed, story, between)
	rule, _, _ := strings.Cut(failure, ":")
	short = shrink(story, 120, func(s []event) bool {
		f, _ := told(t, seed, s, between)
		if strings.HasPrefix(f, rule+":") {
			failure = f
			return true
		}
		return false
	}, simpler)
	return short, failure
}

// shortest prints the shortest story that breaks the rule that a failing one breaks.
func shortest(t *testing.T, seed uint64, story []event, between func(lifecycle.Directory) lifecycle.Directory) string {
	t.Helper()
	story, failure := shrunk(t, seed, story, between)
	return printed(t, seed, story, failure, between)
}

func printed(t *testing.T, seed uint64, story []event, failure string, between func(lifecycle.Directory) lifecycle.Directory) string {
	t.Helper()
	_, text := told(t, seed, story, between)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nthe shortest story, of %d events:\n", failure, len(story))
	for _, e := range story {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	return b.String() + "\n" + text
}

// verdict stands in for a test whose failure is an answer: a story that is told to be shortened must not fail the test.
type verdict struct {
	testing.TB
	broken []string
}

// stopped is what a fatal failure panics with.
type stopped struct{}

func (v *verdict) of(f func()) {
	defer func() {
		if r := recover(); r != nil {
			if _, fatal := r.(stopped); !fatal {
				panic(r)
			}
		}
	}()
	f()
}

func (v *verdict) Failed() bool { return len(v.broken) > 0 }

func (v *verdict) Error(args ...any) { v.broken = append(v.broken, fmt.Sprint(args...)) }

func (v *verdict) Errorf(format string, args ...any) {
	v.broken = append(v.broken, fmt.Sprintf(format, args...))
}

func (v *verdict) Fatal(args ...any) {
	v.Error(args...)
	panic(stopped{})
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.Errorf(format, args...)
	panic(stopped{})
}
