package entra_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

func TestGuest(t *testing.T) {
	t.Run("is read with its attributes", func(t *testing.T) {
		c, g := script(t)
		got, err := c.Guest(t.Context(), guestID)
		if err != nil {
			t.Fatal(err)
		}
		want := &contractor.Guest{
			ID: guestID, UserPrincipalName: "ada.byron_vendor.example#EXT#@corp.onmicrosoft.com", Mail: "ada.byron@vendor.example",
			OtherMails: []string{}, Type: "Guest", Enabled: true, State: "Accepted", Created: time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC),
			Attributes: map[string]string{"displayName": "Ada Byron", "costCenter": "4711", "extensionAttribute1": "x"},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("guest (-want +got):\n%s", d)
		}
		if s := g.last("GET /users/" + guestID); s.Query.Get("$select") == "" {
			t.Error("accountEnabled and userType come only with $select")
		}
	})
	t.Run("with a directory role is privileged", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: `{"value":[{"@odata.type":"#microsoft.graph.directoryRole","id":"x"}]}`})
		got, err := c.Guest(t.Context(), guestID)
		if err != nil || !got.Privileged {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("in a role-assignable group on the second page is privileged", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users/"+guestID+"/memberOf",
			reply{status: 200, body: `{"value":[],"@odata.nextLink":"` + root + `/users/` + guestID + `/memberOf?$skiptoken=2"}`},
			reply{status: 200, body: `{"value":[{"@odata.type":"#microsoft.graph.group","id":"x","isAssignableToRole":true}]}`})
		got, err := c.Guest(t.Context(), guestID)
		if err != nil || !got.Privileged {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
