package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra/emulator"
)

// waitForEnd waits until the tenant has no guest of the story any more.
func (st *stage) waitForEnd(ctx context.Context) error {
	for {
		left := 0
		for _, u := range st.tenant.State().Users {
			if u.Guest && u.Deleted == nil {
				left++
			}
		}
		stats, err := st.daemon.store.Stats(ctx, time.Now(), 0)
		if err != nil {
			return err
		}
		if left == 0 && stats.Phases[contractor.PhaseGone] == 3 {
			return nil
		}
		if err := sleepUntil(ctx, time.Now().Add(200*time.Millisecond)); err != nil {
			return fmt.Errorf("%w: %d guests are left; people %v", err, left, stats.Phases)
		}
	}
}

// claim is one line of the summary: what should hold, and what the tenant says.
type claim struct {
	holds bool
	text  string
}

// summary asks the emulator's own state and its record of calls, not the bridge's memory.
func (st *stage) summary(ctx context.Context, out io.Writer, ends map[string]time.Time) error {
	state, calls := st.tenant.State(), st.tenant.Calls()
	claims := []claim{
		guestsClaim(state), invitationsClaim(state), nothingLeft(state), sponsored(state),
		doorClaim(state, calls, "Ada", ada, ends["ada"]), doorClaim(state, calls, "Bo", bo, ends["bo"]), doorClaim(state, calls, "Cy", cy, ends["cy"]),
		unbroken(state, calls, cy), scheduledClaim(state, bo), orderClaim(state, calls),
	}
	events, head, err := st.daemon.store.VerifyJournal(ctx)
	claims = append(claims, claim{err == nil, fmt.Sprintf("the journal's %d events are whole, unchanged and in order (head %.12s…)", events, head)})

	fmt.Fprintf(out, "\nWhat the tenant says (not the bridge):\n\n")
	failed := 0
	for _, c := range claims {
		mark := "holds "
		if !c.holds {
			mark, failed = "FAILED", failed+1
		}
		fmt.Fprintf(out, "  %s  %s\n", mark, c.text)
	}
	writes, throttled, broken := 0, 0, 0
	for _, c := range calls {
		switch {
		case c.Status == 429:
			throttled++
		case c.Status >= 500:
			broken++
		case c.Method != http.MethodGet && c.Status < 300:
			writes++
		}
	}
	fmt.Fprintf(out, "\n%d calls to Graph, %d of them writes; %d answered 429 and %d 5xx by an emulator that is unkind on purpose. %.1f s in all.\n",
		len(calls), writes, throttled, broken, time.Since(st.started).Seconds())
	if failed > 0 {
		return fmt.Errorf("%d of %d things that should hold did not", failed, len(claims))
	}
	return nil
}

func guestOf(s emulator.State, mail string) *emulator.UserState {
	for i := range s.Users {
		if s.Users[i].Guest && strings.EqualFold(s.Users[i].Mail, mail) {
			return &s.Users[i]
		}
	}
	return nil
}

func guestsClaim(s emulator.State) claim {
	guests, live := 0, 0
	for _, u := range s.Users {
		if u.Guest {
			guests++
			if u.Deleted == nil {
				live++
			}
		}
	}
	return claim{guests == 3 && live == 0, fmt.Sprintf("%d guests for 3 people from 4 vendors (Ada came from two), %d of them left; the one without an end date never got one", guests, live)}
}

func invitationsClaim(s emulator.State) claim {
	per := map[string]int{}
	for _, i := range s.Invitations {
		per[strings.ToLower(i.Address)]++
	}
	most := 0
	for _, n := range per {
		most = max(most, n)
	}
	return claim{len(per) == 3 && most == 1, fmt.Sprintf("%d addresses invited, none more than once", len(per))}
}

func nothingLeft(s emulator.State) claim {
	left := 0
	for _, g := range s.Groups {
		left += len(g.Members)
	}
	for _, p := range s.Schedules {
		if p.Active {
			left++
		}
	}
	for _, a := range s.Assignments {
		if a.Expired == nil && a.State != "expired" {
			left++
		}
	}
	for _, u := range s.Users {
		if u.Guest {
			left += len(u.MemberOf)
		}
	}
	return claim{left == 0, fmt.Sprintf("%d memberships, schedules or package assignments are left, counting what a restored guest would have again", left)}
}

func sponsored(s emulator.State) claim {
	without := 0
	for _, u := range s.Users {
		if u.Guest && !slices.Contains(u.Sponsors, sponsorID) {
			without++
		}
	}
	return claim{without == 0, "every guest had its sponsor"}
}

// doorLimit is how late a door may be closed on a tenant that answers one call in thirty with "later".
const doorLimit = 10 * time.Second

// doorClaim is how long after the end sign-in was disabled.
func doorClaim(s emulator.State, calls []emulator.Call, name, mail string, end time.Time) claim {
	g := guestOf(s, mail)
	if g == nil || end.IsZero() {
		return claim{false, name + ": no guest was ever there"}
	}
	for _, c := range calls {
		if c.Method == http.MethodPatch && strings.HasSuffix(c.Path, "/users/"+g.ID) && c.Done && strings.Contains(c.Body, "accountEnabled") && strings.Contains(c.Body, "false") {
			late := c.Time.Sub(end)
			return claim{late >= 0 && late < doorLimit && !g.Enabled, fmt.Sprintf("%s: sign-in disabled %.1f s after the contract's end, and still", name, late.Seconds())}
		}
	}
	return claim{false, name + ": sign-in was never disabled"}
}

// unbroken says that the extension took nothing away: one grant of each group, removed once.
func unbroken(s emulator.State, calls []emulator.Call, mail string) claim {
	g := guestOf(s, mail)
	if g == nil {
		return claim{false, "Cy: no guest was ever there"}
	}
	adds := map[string]int{}
	for _, c := range calls {
		if c.Method == http.MethodPost && c.Done && strings.HasSuffix(c.Path, "/members/$ref") && strings.Contains(c.Body, g.ID) {
			adds[c.Path]++
		}
	}
	twice := 0
	for _, n := range adds {
		if n > 1 {
			twice++
		}
	}
	return claim{len(adds) == 2 && twice == 0, "Cy: extended without a group being taken away and given again"}
}

// scheduledClaim says that Entra itself knew when a long grant ends.
func scheduledClaim(s emulator.State, mail string) claim {
	g := guestOf(s, mail)
	for _, p := range s.Schedules {
		if g != nil && p.User == g.ID && p.Group == groupBase && p.End != nil {
			return claim{true, "Bo: the group for 30 days was a PIM schedule, which Entra would have ended without us"}
		}
	}
	return claim{false, "Bo: no PIM schedule with an end was made"}
}

// orderClaim says that for everybody the door was closed before anything was taken away.
func orderClaim(s emulator.State, calls []emulator.Call) claim {
	for _, u := range s.Users {
		if !u.Guest {
			continue
		}
		disabled := false
		for _, c := range calls {
			switch {
			case c.Done && c.Method == http.MethodPatch && strings.HasSuffix(c.Path, "/users/"+u.ID) && strings.Contains(c.Body, "accountEnabled"):
				disabled = true
			case c.Done && c.Method == http.MethodDelete && strings.HasSuffix(c.Path, "/users/"+u.ID) && !disabled:
				return claim{false, "a guest was deleted before its sign-in was disabled"}
			}
		}
	}
	return claim{true, "no guest was deleted before its sign-in was disabled"}
}
