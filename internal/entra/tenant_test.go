package entra_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
	"scimbridge/internal/entra/emulator"
)

// tenant is an emulated tenant and a client that reaches it in process, .
type tenant struct {
	*entra.Client
	t       *testing.T
	e       *emulator.Emulator
	sponsor string
	group   string // usable
	pack    string
	policy  string
}

// kindly is a tenant without bad luck, unkindly one with all of it.
func kindly(seed uint64) emulator.Config {
	return emulator.Config{Seed: seed, Lag: -1, Throttle: -1, ServerError: -1, EntitlementDelay: -1, ProvisioningDelay: -1, PageSize: 100}
}

func unkindly(seed uint64) emulator.Config { return emulator.Config{Seed: seed} }

func newTenant(t *testing.T, cfg emulator.Config, change ...func(*entra.Config)) *tenant {
	t.Helper()
	e, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	x := &tenant{t: t, e: e}
	if x.sponsor, err = e.AddUser(emulator.UserSeed{UPN: "boss@contoso.example", Name: "Boss"}); err != nil {
		t.Fatal(err)
	}
	if x.group, err = e.AddGroup(emulator.GroupSeed{Name: "ext-base"}); err != nil {
		t.Fatal(err)
	}
	inPack, err := e.AddGroup(emulator.GroupSeed{Name: "in-package"})
	if err != nil {
		t.Fatal(err)
	}
	if x.pack, x.policy, err = e.AddAccessPackage(emulator.PackageSeed{Name: "dev-basic", Groups: []string{inPack}}); err != nil {
		t.Fatal(err)
	}
	config := entra.Config{GraphURL: "https://" + emulator.GraphHost + "/v1.0", Scope: "https://graph.microsoft.com/.default", Credential: secretOf(t, e), Transport: e.Transport(), Logger: nopLogger()}
	for _, f := range change {
		f(&config)
	}
	if x.Client, err = entra.New(config); err != nil {
		t.Fatal(err)
	}
	return x
}

func secretOf(t *testing.T, e *emulator.Emulator) *entra.Credential {
	t.Helper()
	credential, err := entra.NewCredential(entra.CredentialConfig{
		TenantID: emulator.DefaultTenantID, ClientID: emulator.DefaultClientID, Kind: entra.KindSecret, File: write0(t, "secret", []byte(emulator.DefaultClientSecret)),
		LoginURL: "https://" + emulator.LoginHost, Transport: e.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

// until repeats what the loop would repeat: a step whose failure says that it may come right by itself.
func (x *tenant) until(what string, step func() (done bool, err error)) {
	x.t.Helper()
	for range 1000 {
		done, err := step()
		if done && err == nil {
			return
		}
		wait := time.Second
		var f *contractor.Failure
		switch {
		case err == nil:
		case !errors.As(err, &f):
			x.t.Fatalf("%s: %v", what, err)
		case f.Verdict == contractor.VerdictPermanent || f.Verdict == contractor.VerdictRefused:
			x.t.Fatalf("%s: %v: %v", what, f, f.Cause)
		default:
			wait = max(wait, f.RetryAfter)
		}
		rest(wait) // fake time
	}
	x.t.Fatalf("%s: not done after 1000 tries", what)
}

func (x *tenant) change(what string, step func() (contractor.Receipt, error)) (r contractor.Receipt) {
	x.t.Helper()
	x.until(what, func() (bool, error) {
		var err error
		r, err = step()
		return true, err
	})
	return r
}

// life takes one contractor through everything the loop does, looking before it repeats what may have happened.
func (x *tenant) life(ctx context.Context, email string) {
	t := x.t
	t.Helper()
	var id string
	sponsor := ""
	x.until("find sponsor", func() (bool, error) {
		var err error
		sponsor, err = x.FindSponsor(ctx, "boss@contoso.example")
		return sponsor != "", err
	})
	var asked time.Time
	x.until("invite", func() (bool, error) {
		g, err := x.FindGuest(ctx, email)
		if err != nil {
			return false, err
		}
		if g != nil && !g.Deleted {
			id = g.ID
			return true, nil
		}
		if !asked.IsZero() && time.Since(asked) < time.Minute {
			return false, nil
		}
		asked = time.Now()
		r, err := x.Invite(ctx, contractor.Invitation{Email: email, DisplayName: "Ada Byron", SponsorIDs: []string{sponsor}})
		id = r.Handle
		return true, err
	})
	x.change("update", func() (contractor.Receipt, error) {
		return x.UpdateGuest(ctx, id, map[string]string{"companyName": "Vendor", "employeeId": "VND-1", "costCenter": "4711", "extensionAttribute3": "x", "employeeLeaveDateTime": "2030-01-01"})
	})
	x.change("sponsors", func() (contractor.Receipt, error) { return x.SetSponsors(ctx, id, []string{sponsor}) })
	end := time.Now().Add(90 * 24 * time.Hour)
	a := contractor.Assignment{GuestID: id, GroupID: x.group, End: end, Justification: "test"}
	x.change("assign", func() (contractor.Receipt, error) { return x.AssignGroup(ctx, a) })
	p := contractor.Assignment{GuestID: id, PackageID: x.pack, PolicyID: x.policy, End: end, Justification: "test"}
	x.until("package", func() (bool, error) {
		access, err := x.Access(ctx, id, true, true)
		if err != nil {
			return false, err
		}
		if len(access.Packages) > 0 {
			if access.Packages[0].State != "delivered" {
				return false, nil
			}
			p.AssignmentID = access.Packages[0].AssignmentID
			return p.AssignmentID != "", nil
		}
		_, err = x.AssignPackage(ctx, p)
		return false, err
	})
	x.until("access is seen", func() (bool, error) {
		access, err := x.Access(ctx, id, true, true)
		if err != nil {
			return false, err
		}
		for _, g := range access.Groups {
			if g.GroupID == x.group && g.ScheduleID != "" && g.Member {
				if !g.ScheduleEnd.Equal(end.UTC().Truncate(time.Second)) {
					t.Fatalf("the schedule ends at %s, not %s", g.ScheduleEnd, end)
				}
				return true, nil
			}
		}
		return false, nil
	})
	a.End = end.Add(24 * time.Hour)
	p.End = a.End
	x.change("extend group", func() (contractor.Receipt, error) { return x.MoveGroup(ctx, a) })
	x.change("extend package", func() (contractor.Receipt, error) { return x.MovePackage(ctx, p) })
	x.change("disable", func() (contractor.Receipt, error) { return x.SetEnabled(ctx, id, false) })
	x.change("revoke", func() (contractor.Receipt, error) { return x.RevokeSessions(ctx, id) })
	x.until("empty", func() (bool, error) {
		access, err := x.Access(ctx, id, true, true)
		if err != nil || access.Empty() {
			return access.Empty(), err
		}
		for _, g := range access.Groups {
			switch {
			case g.ScheduleID != "":
				_, err = x.UnassignGroup(ctx, contractor.Assignment{GuestID: id, GroupID: g.GroupID})
			case g.DisplayName != "in-package":
				_, err = x.RemoveMember(ctx, g.GroupID, id)
			}
			if err != nil {
				return false, err
			}
		}
		for _, q := range access.Packages {
			if _, err := x.UnassignPackage(ctx, contractor.Assignment{GuestID: id, PackageID: q.PackageID, AssignmentID: q.AssignmentID}); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	x.change("delete", func() (contractor.Receipt, error) { return x.DeleteGuest(ctx, id) })
	x.until("gone", func() (bool, error) {
		g, err := x.Guest(ctx, id)
		return err == nil && (g == nil || g.Deleted), err
	})
	x.checkGone(email, id)
}

func (x *tenant) checkGone(email, id string) {
	x.t.Helper()
	s := x.e.State()
	n := 0
	for _, u := range s.Users {
		if u.Mail == email {
			n++
			if u.ID != id || u.Deleted == nil {
				x.t.Errorf("user %+v", u)
			}
		}
	}
	if n != 1 {
		x.t.Errorf("%d users with the address; want one, deleted", n)
	}
}

func TestLife(t *testing.T) {
	t.Run("in a kind tenant, without a wasted call", func(t *testing.T) {
		run(t, "bubble", func(t *testing.T) {
			cfg := kindly(1)
			cfg.Unknowns.DeletedFilters = emulator.Yes // else finding that out costs one refusal
			x := newTenant(t, cfg)
			x.life(t.Context(), "ada@vendor.example")
			r := x.e.Report()
			for status, n := range r.ByStatus {
				if status >= 400 {
					t.Errorf("%d answers %d", n, status)
				}
			}
			t.Logf("%d calls, %d identity writes, %d RU", r.Calls, r.Writes, r.RU)
		})
	})
	for seed := range seeds(t) {
		run(t, fmt.Sprintf("in an unkind tenant, seed %d", seed), func(t *testing.T) {
			x := newTenant(t, unkindly(seed))
			x.life(t.Context(), "ada@vendor.example")
		})
	}
}

// seeds is how many unkind tenants are tried; SCIMBRIDGE_SEEDS asks for more.
func seeds(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(cmp.Or(os.Getenv("SCIMBRIDGE_SEEDS"), "20"), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLifeWithPairedFaults lets every operation of a life fail once, in both ways: not done, and done though it failed.
func TestLifeWithPairedFaults(t *testing.T) {
	var operations []string
	run(t, "what a life calls", func(t *testing.T) {
		x := newTenant(t, kindly(1))
		x.life(t.Context(), "ada@vendor.example")
		for op := range x.e.Report().ByOperation {
			operations = append(operations, op)
		}
		slices.Sort(operations)
	})
	if len(operations) < 12 {
		t.Fatalf("only %v", operations)
	}
	for _, op := range operations {
		for _, mode := range []emulator.FaultMode{emulator.NotDone, emulator.DoneThoughFailed} {
			for _, status := range []int{0, 500, 503, 504} {
				run(t, fmt.Sprintf("%s %s %d", op, mode, status), func(t *testing.T) {
					x := newTenant(t, kindly(1))
					// More often than one call repeats itself: the verdict reaches the caller.
					if err := x.e.Fail(emulator.Fault{Match: op, Mode: mode, Status: status, Times: 4}); err != nil {
						t.Fatal(err)
					}
					x.life(t.Context(), "ada@vendor.example")
				})
			}
		}
	}
}
