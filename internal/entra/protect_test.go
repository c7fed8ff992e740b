package entra_test

import (
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
)

// pass lets seconds go by in a bubble.
func pass(t *testing.T, seconds int) {
	t.Helper()
	rest(time.Duration(seconds) * time.Second)
}

// rest lets time go by in a bubble, where that takes none.
func rest(d time.Duration) { <-time.After(d) }

// TestForeignAccounts: no write ever reaches an account that is not a plain guest.
func TestForeignAccounts(t *testing.T) {
	accounts := map[string]func(*graph, *entra.Config){
		"member": func(g *graph, _ *entra.Config) {
			g.on("GET /users/"+guestID, reply{status: 200, body: strings.Replace(guestBody, `"Guest"`, `"Member"`, 1)})
		},
		"user type unknown": func(g *graph, _ *entra.Config) {
			g.on("GET /users/"+guestID, reply{status: 200, body: strings.Replace(guestBody, `"Guest"`, `null`, 1)})
		},
		"role holder": func(g *graph, _ *entra.Config) {
			g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: `{"value":[{"@odata.type":"#microsoft.graph.directoryRole","id":"x","displayName":"User Administrator"}]}`})
		},
		"role-assignable group": func(g *graph, _ *entra.Config) {
			g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: `{"value":[{"@odata.type":"#microsoft.graph.group","id":"x","isAssignableToRole":true}]}`})
		},
		"break glass": func(_ *graph, c *entra.Config) {
			c.BreakGlass = func() []string { return []string{strings.ToUpper(guestID)} }
		},
	}
	for name, prepare := range accounts {
		for _, w := range writes() {
			if w.name == "invite" || w.name == "restore" || w.name == "reprocess package" {
				continue // they name no living account
			}
			t.Run(name+" "+w.name, func(t *testing.T) {
				var g *graph
				c, g := stage(t, w, func(c *entra.Config) { prepare(&graph{}, c) })
				prepare(g, &entra.Config{})
				g.on(w.request, w.success)
				_, err := w.do(t.Context(), c)
				wantVerdict(t, err, contractor.VerdictRefused)
				if writes := g.lines(true); len(writes) != 0 {
					t.Errorf("written all the same: %q", writes)
				}
			})
		}
	}
	t.Run("a deleted member is not restored", func(t *testing.T) {
		c, g := stage(t, write{name: "restore"})
		g.on("GET /directory/deletedItems/"+guestID, reply{status: 200, body: strings.Replace(guestBody, `"Guest"`, `"Member"`, 1)})
		_, err := c.RestoreGuest(t.Context(), guestID)
		wantVerdict(t, err, contractor.VerdictRefused)
	})
	t.Run("a role given later is noticed when the guest is read", func(t *testing.T) {
		c, g := script(t)
		g.on("PATCH /users/"+guestID, reply{status: 204})
		if _, err := c.SetEnabled(t.Context(), guestID, true); err != nil {
			t.Fatal(err)
		}
		g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: `{"value":[{"@odata.type":"#microsoft.graph.directoryRole","id":"x"}]}`})
		if _, err := c.Guest(t.Context(), guestID); err != nil {
			t.Fatal(err)
		}
		_, err := c.SetEnabled(t.Context(), guestID, false)
		wantVerdict(t, err, contractor.VerdictRefused)
	})
	t.Run("an id that is not an id reaches no address", func(t *testing.T) {
		c, g := script(t)
		for _, id := range []string{"", "..", "me", guestID + "/manager", "ada@v.example", strings.Repeat("a", 36)} {
			_, err := c.DeleteGuest(t.Context(), id)
			wantVerdict(t, err, contractor.VerdictPermanent)
			_, err = c.RemoveMember(t.Context(), groupID, id)
			wantVerdict(t, err, contractor.VerdictPermanent)
		}
		if len(g.lines(true)) != 0 {
			t.Errorf("%q", g.lines(true))
		}
	})
}

func TestGroupsThatCannotBeUsed(t *testing.T) {
	const g0 = `{"id":"` + groupID + `","displayName":"g","securityEnabled":true,`
	groups := map[string]string{
		"dynamic":        g0 + `"groupTypes":["DynamicMembership"]}`,
		"on-premises":    g0 + `"groupTypes":[],"onPremisesSyncEnabled":true}`,
		"role-assignabl": g0 + `"groupTypes":[],"isAssignableToRole":true}`,
		"restricted":     g0 + `"groupTypes":[],"isManagementRestricted":true}`,
		"mail-enabled":   g0 + `"groupTypes":[],"mailEnabled":true}`,
	}
	for reason, body := range groups {
		for _, w := range writes() {
			if !strings.Contains(w.name, "member") && !strings.Contains(w.name, "group") {
				continue
			}
			t.Run(reason+" "+w.name, func(t *testing.T) {
				c, g := stage(t, w)
				g.on("GET /groups/"+groupID, reply{status: 200, body: body})
				_, err := w.do(t.Context(), c)
				f := wantVerdict(t, err, contractor.VerdictRefused)
				if !strings.Contains(f.Message, reason) || !strings.Contains(f.Message, groupID) {
					t.Errorf("the message does not give the reason %q: %s", reason, f.Message)
				}
				if len(g.lines(true)) != 0 {
					t.Errorf("written all the same: %q", g.lines(true))
				}
			})
		}
	}
	t.Run("a Microsoft 365 group can", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /groups/"+groupID, reply{status: 200, body: g0 + `"groupTypes":["Unified"],"mailEnabled":true}`})
		if name, err := c.CheckGroup(t.Context(), groupID); err != nil || name != "g" {
			t.Errorf("%q, %v", name, err)
		}
	})
	t.Run("a missing group is the mapping's mistake, and holds nobody", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /groups/"+groupID, reply{status: 404})
		_, err := c.AddMember(t.Context(), groupID, guestID)
		wantVerdict(t, err, contractor.VerdictRefused)
		if r, err := c.RemoveMember(t.Context(), groupID, guestID); err != nil || !r.AlreadySo {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("a group that turned dynamic since is found out by the refusal", func(t *testing.T) {
		c, g := script(t)
		if _, err := c.CheckGroup(t.Context(), groupID); err != nil {
			t.Fatal(err)
		}
		g.on("GET /groups/"+groupID, reply{status: 200, body: groups["dynamic"]})
		g.on("POST /groups/"+groupID+"/members/$ref", reply{status: 400, body: graphError("Request_BadRequest", "Insufficient privileges to complete the operation on a dynamic group.")})
		_, err := c.AddMember(t.Context(), groupID, guestID)
		if f := wantVerdict(t, err, contractor.VerdictRefused); !strings.Contains(f.Message, "dynamic") {
			t.Error(f.Message)
		}
	})
	t.Run("facts are read once for many", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /groups/"+groupID+"/members/$ref", reply{status: 204})
		for range 5 {
			if _, err := c.AddMember(t.Context(), groupID, guestID); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(g.lines(false)) - len(g.lines(true)); n != 3 { // the group; the guest and its memberships
			t.Errorf("%d reads: %q", n, g.lines(false))
		}
	})
	t.Run("a guest that the group does not know is gone, a new one not yet there", func(t *testing.T) {
		run(t, "bubble", func(t *testing.T) {
			c, g := script(t)
			g.on("POST /groups/"+groupID+"/members/$ref", reply{status: 404})
			_, err := c.AddMember(t.Context(), groupID, guestID)
			wantVerdict(t, err, contractor.VerdictGone)
			g.on("POST /invitations", reply{status: 201, body: `{"invitedUser":{"id":"` + guestID + `"}}`})
			if _, err := c.Invite(t.Context(), contractor.Invitation{Email: "ada@v.example"}); err != nil {
				t.Fatal(err)
			}
			_, err = c.AddMember(t.Context(), groupID, guestID)
			wantVerdict(t, err, contractor.VerdictRetry)
		})
	})
}
