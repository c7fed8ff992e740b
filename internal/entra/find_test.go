package entra_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
)

const none = `{"value":[]}`

func TestFindGuest(t *testing.T) {
	filters := func(g *graph) []string {
		g.mu.Lock()
		defer g.mu.Unlock()
		var out []string
		for _, s := range g.calls {
			if f := s.Query.Get("$filter"); f != "" {
				out = append(out, strings.TrimPrefix(s.Path, "/directory")+" "+f)
			}
		}
		slices.Sort(out)
		return out
	}
	t.Run("looks by every property, and among the deleted", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users", reply{status: 200, body: none})
		g.on("GET /directory/deletedItems/microsoft.graph.user", reply{status: 200, body: none})
		got, err := c.FindGuest(t.Context(), "o'hara@vendor.example")
		if got != nil || err != nil {
			t.Fatalf("%+v, %v", got, err)
		}
		want := []string{
			"/deletedItems/microsoft.graph.user mail eq 'o''hara@vendor.example'",
			"/users mail eq 'o''hara@vendor.example' or otherMails/any(m:m eq 'o''hara@vendor.example') or " +
				"proxyAddresses/any(p:p eq 'smtp:o''hara@vendor.example') or proxyAddresses/any(p:p eq 'SMTP:o''hara@vendor.example') or " +
				"startswith(userPrincipalName,'o''hara_vendor.example#EXT#@')",
		}
		if d := cmp.Diff(want, filters(g)); d != "" {
			t.Errorf("filters (-want +got):\n%s", d)
		}
	})
	t.Run("knows the exact UPN where the domain is configured", func(t *testing.T) {
		c, g := script(t, func(c *entra.Config) { c.InitialDomain = "corp.onmicrosoft.com" })
		g.on("GET /users", reply{status: 200, body: none})
		g.on("GET /directory/deletedItems/microsoft.graph.user", reply{status: 200, body: none})
		if _, err := c.FindGuest(t.Context(), "ada@v.example"); err != nil {
			t.Fatal(err)
		}
		if got := filters(g)[1]; !strings.HasSuffix(got, " or userPrincipalName eq 'ada_v.example#EXT#@corp.onmicrosoft.com'") {
			t.Error(got)
		}
	})
	t.Run("the likeliest place that has a hit decides", func(t *testing.T) {
		other := `{"id":"` + bossID + `","userType":"Guest","userPrincipalName":"ada.byron_vendor.example#EXT#@corp.onmicrosoft.com"%s}`
		for name, more := range map[string]string{"upn": "", "proxy": `,"proxyAddresses":["SMTP:Ada.Byron@vendor.example"]`, "other mail": `,"otherMails":["ada.byron@vendor.example"]`} {
			t.Run("mail before "+name, func(t *testing.T) {
				c, g := script(t)
				g.on("GET /users", reply{status: 200, body: `{"value":[` + fmt.Sprintf(other, more) + `,` + guestBody + `]}`})
				g.on("GET /directory/deletedItems/microsoft.graph.user", reply{status: 200, body: `{"value":[{"id":"` + bossID + `"}]}`})
				got, err := c.FindGuest(t.Context(), "ada.byron@vendor.example")
				if err != nil || got == nil || got.ID != guestID || got.Deleted {
					t.Fatalf("%+v, %v", got, err)
				}
			})
		}
	})
	// apart is a tenant that refuses the one filter.
	apart := reply{status: 400, body: graphError("Request_UnsupportedQuery", "Unsupported Query.")}
	t.Run("looks place by place where the tenant refuses one filter, and remembers that", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users", reply{status: 200, body: `{"value":[{"id":"` + bossID + `"}]}`})
		g.on("GET /users ~mail eq", reply{status: 200, body: none})
		g.on("GET /users ~(m:m eq", reply{status: 200, body: `{"value":[` + guestBody + `]}`})
		g.on("GET /directory/deletedItems/microsoft.graph.user", reply{status: 200, body: none})
		g.on("GET /users ~ or ", apart)
		for range 2 {
			got, err := c.FindGuest(t.Context(), "ada.byron@vendor.example")
			if err != nil || got == nil || got.ID != guestID || got.Deleted {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		if n := len(filters(g)); n != 1+2*5+2 {
			t.Errorf("%d look-ups: %q", n, filters(g))
		}
	})
	t.Run("an address that Graph refuses in every form makes no rule for others", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users", apart)
		g.on("GET /directory/deletedItems/microsoft.graph.user", reply{status: 200, body: none})
		for range 2 {
			if _, err := c.FindGuest(t.Context(), "ada.byron@vendor.example"); err == nil {
				t.Fatal("no error")
			}
		}
		if n := len(filters(g)); n != 2*(1+5+1) {
			t.Errorf("%d look-ups: %q", n, filters(g))
		}
	})
	t.Run("a look that failed lets nothing further down be taken", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users", reply{status: 200, body: `{"value":[` + guestBody + `]}`})
		g.on("GET /users ~(m:m eq", reply{status: 403})
		g.on("GET /users ~mail eq", reply{status: 200, body: none})
		g.on("GET /directory/deletedItems/microsoft.graph.user", reply{status: 200, body: none})
		g.on("GET /users ~ or ", apart)
		_, err := c.FindGuest(t.Context(), "ada.byron@vendor.example")
		wantVerdict(t, err, contractor.VerdictRefused)
	})
	t.Run("refuses to choose between several", func(t *testing.T) {
		c, g := script(t)
		twin := strings.Replace(guestBody, guestID, bossID, 1)
		g.on("GET /users", reply{status: 200, body: `{"value":[` + guestBody + `],"@odata.nextLink":"` + root + `/users?$skiptoken=x&$filter=otherMails"}`}, reply{status: 200, body: `{"value":[` + twin + `]}`})
		g.on("GET /directory/deletedItems/microsoft.graph.user", reply{status: 200, body: none})
		_, err := c.FindGuest(t.Context(), "ada.byron@vendor.example")
		wantVerdict(t, err, contractor.VerdictRefused)
	})
	t.Run("reads the deleted whole where they cannot be filtered, and once for many", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users", reply{status: 200, body: none})
		bare := strings.ReplaceAll(guestID, "-", "")
		g.on("GET /directory/deletedItems/microsoft.graph.user",
			reply{status: 400, body: graphError("Request_UnsupportedQuery", "Unsupported Query.")},
			reply{status: 200, body: `{"value":[{"id":"` + bossID + `","mail":"x@y.example"}],"@odata.nextLink":"` + root + `/directory/deletedItems/microsoft.graph.user?$skiptoken=2"}`},
			reply{status: 200, body: `{"value":[{"id":"` + guestID + `","userType":"Guest","userPrincipalName":"` + bare + `Ada.Byron_vendor.example#EXT#@corp.onmicrosoft.com"}]}`})
		for range 3 {
			got, err := c.FindGuest(t.Context(), "ada.byron@vendor.example")
			if err != nil || got == nil || got.ID != guestID || !got.Deleted {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		n := 0
		for _, line := range g.lines(false) {
			if line == "GET /directory/deletedItems/microsoft.graph.user" {
				n++
			}
		}
		if n != 3 {
			t.Errorf("%d reads of the deleted", n)
		}
	})
	t.Run("wants an address", func(t *testing.T) {
		c, g := script(t)
		_, err := c.FindGuest(t.Context(), "ada")
		wantVerdict(t, err, contractor.VerdictPermanent)
		if len(g.lines(false)) != 0 {
			t.Error("asked Graph all the same")
		}
	})
}

func TestGuestThatIsNotThere(t *testing.T) {
	gone := reply{status: 404, body: graphError("Request_ResourceNotFound", "Resource '"+guestID+"' does not exist or one of its queried reference-property objects are not present.")}
	t.Run("is nil", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users/"+guestID, gone)
		if got, err := c.Guest(t.Context(), guestID); got != nil || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("is found among the deleted, whatever select that takes", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users/"+guestID, gone)
		g.on("GET /directory/deletedItems/"+guestID, reply{status: 400, body: graphError("BadRequest", "Could not find a property named 'mail'")}, reply{status: 200, body: guestBody})
		got, err := c.Guest(t.Context(), guestID)
		if err != nil || got == nil || !got.Deleted {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("is not called gone while it may be on its way", func(t *testing.T) {
		run(t, "bubble", func(t *testing.T) {
			c, g := script(t)
			g.on("POST /invitations", reply{status: 201, body: `{"invitedUser":{"id":"` + guestID + `"}}`})
			g.on("GET /users/"+guestID, gone)
			if _, err := c.Invite(t.Context(), contractor.Invitation{Email: "ada@v.example"}); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Guest(t.Context(), guestID); got != nil || err != nil {
				t.Errorf("at once: %+v, %v", got, err)
			}
			pass(t, 40)
			_, err := c.Guest(t.Context(), guestID)
			wantVerdict(t, err, contractor.VerdictRetry)
			pass(t, 600)
			if got, err := c.Guest(t.Context(), guestID); got != nil || err != nil {
				t.Errorf("after the window: %+v, %v", got, err)
			}
		})
	})
}

// wantVerdict checks a failure's verdict and that it says something.
func wantVerdict(t *testing.T, err error, want contractor.Verdict) *contractor.Failure {
	t.Helper()
	var f *contractor.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %v is no failure", err)
	}
	if f.Verdict != want || f.Message == "" || f.Op == "" {
		t.Fatalf("failure %+v; want verdict %s", f, want)
	}
	if strings.Contains(f.Error(), "@") {
		t.Errorf("the message holds an address: %s", f)
	}
	return f
}

// Who waits for another's reading of the whole list of deleted users can be called off: closing a door interrupts what opens one.
func TestFindGuestCanBeCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users", reply{status: 200, body: none})
		g.on("GET /directory/deletedItems/microsoft.graph.user", reply{status: 400, body: `{"error":{"code":"Request_UnsupportedQuery"}}`}, reply{hang: true})
		first, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		readers.Go(func() {
			if _, err := c.FindGuest(first, "ada@v.example"); err == nil {
				t.Error("the list was read")
			}
		})
		synctest.Wait()
		second, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := c.FindGuest(second, "bob@v.example"); err == nil || time.Since(begin) > 2*time.Second {
			t.Errorf("called off after a second, it went on for %s: %v", time.Since(begin), err)
		}
		stop()
		readers.Wait()
	})
}
