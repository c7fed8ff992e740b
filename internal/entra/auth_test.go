package entra_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/entra"
)

func TestTokenStaysAtGraph(t *testing.T) {
	for _, elsewhere := range []string{
		"https://graph.test.evil.example/v1.0/users?$skiptoken=1", "http://graph.test/v1.0/users", "https://graph.test:8443/v1.0/users",
		"https://evil.example/v1.0/users", "https://graph.test@evil.example/v1.0/users", "//evil.example/users", "file:///etc/passwd",
	} {
		t.Run(elsewhere, func(t *testing.T) {
			c, g := script(t)
			g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: `{"value":[],"@odata.nextLink":"` + elsewhere + `"}`})
			_, err := c.Guest(t.Context(), guestID)
			wantVerdict(t, err, contractor.VerdictPermanent)
			for _, line := range g.lines(false) {
				if !strings.HasPrefix(line, "GET /users/"+guestID) {
					t.Errorf("followed to %s", line)
				}
			}
		})
	}
	t.Run("a redirect is not followed", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users/"+guestID, reply{status: 307, header: map[string]string{"Location": "https://evil.example/"}})
		_, err := c.Guest(t.Context(), guestID)
		wantVerdict(t, err, contractor.VerdictPermanent)
		if len(g.lines(false)) != 2 {
			t.Errorf("%q", g.lines(false))
		}
	})
	t.Run("a link to Graph itself is followed as it is", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users/"+guestID+"/memberOf",
			reply{status: 200, body: `{"value":[],"@odata.nextLink":"HTTPS://graph.test:443/v1.0/users/` + guestID + `/memberOf?$skiptoken=a%2Bb"}`},
			reply{status: 200, body: none})
		if _, err := c.Guest(t.Context(), guestID); err != nil {
			t.Fatal(err)
		}
		if got := g.last("GET /users/" + guestID + "/memberOf").Query.Get("$skiptoken"); got != "a+b" {
			t.Errorf("skiptoken %q", got)
		}
	})
	t.Run("a list that leads back to itself ends", func(t *testing.T) {
		c, g := script(t)
		g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: `{"value":[],"@odata.nextLink":"` + root + `/users/` + guestID + `/memberOf?$skiptoken=1"}`})
		_, err := c.Guest(t.Context(), guestID)
		wantVerdict(t, err, contractor.VerdictPermanent)
	})
}

func TestGraphURL(t *testing.T) {
	for url, good := range map[string]bool{
		"https://graph.microsoft.com/v1.0": true, "http://127.0.0.1:9009/v1.0": true, "http://localhost:1/v1.0": true, "http://[::1]:1/v1.0": true,
		"http://graph.microsoft.com/v1.0": false, "http://10.0.0.1/v1.0": false, "": false, "graph.microsoft.com": false,
		"https://user:pass@graph.microsoft.com/v1.0": false, "ftp://127.0.0.1/": false, "http://127.0.0.1.evil.example/": false,
	} {
		_, err := entra.New(entra.Config{GraphURL: url, Credential: &token{}, Logger: nopLogger()})
		if (err == nil) != good {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestClaimsChallenge(t *testing.T) {
	claims := `{"access_token":{"nbf":{"essential":true,"value":"1"}}}`
	challenge := func(c string) reply {
		return reply{status: 401, body: graphError("InvalidAuthenticationToken", "Continuous access evaluation"), header: map[string]string{
			"WWW-Authenticate": `Bearer realm="", authorization_uri="https://login.test/", error="insufficient_claims", claims=` + c}}
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(claims))
	t.Run("is answered once", func(t *testing.T) {
		k := &token{}
		c, g := script(t, func(c *entra.Config) { c.Credential = k })
		g.on("POST /users/"+guestID+"/revokeSignInSessions", challenge(`"`+encoded+`"`), reply{status: 204})
		if _, err := c.RevokeSessions(t.Context(), guestID); err != nil {
			t.Fatal(err)
		}
		if last := k.seen[len(k.seen)-1]; last.Claims != claims || !last.EnableCAE {
			t.Errorf("token asked with %+v", last)
		}
	})
	t.Run("that is repeated ends", func(t *testing.T) {
		c, g := script(t)
		g.on("POST /users/"+guestID+"/revokeSignInSessions", challenge(`"`+encoded+`"`))
		_, err := c.RevokeSessions(t.Context(), guestID)
		wantVerdict(t, err, contractor.VerdictRefused)
		if n := len(g.lines(true)); n > 4 {
			t.Errorf("%d attempts", n)
		}
	})
	for _, broken := range []string{"abc", `"`, `""`, `"***"`, "", `abc,x="y"`} {
		t.Run("broken "+broken+" is a refusal, not a panic", func(t *testing.T) {
			c, g := script(t)
			bad := challenge(broken)
			g.on("POST /users/"+guestID+"/revokeSignInSessions", bad, reply{status: 401, header: map[string]string{"WWW-Authenticate": "bearer claims=" + broken}})
			_, err := c.RevokeSessions(t.Context(), guestID)
			if _, isFailure := errors.AsType[*contractor.Failure](err); !isFailure {
				t.Fatalf("%v", err)
			}
		})
	}
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	k := &token{}
	c, g := script(t, func(c *entra.Config) { c.Credential = k })
	g.on("POST /invitations", reply{status: 401}, reply{status: 201, body: `{"invitedUser":{"id":"` + guestID + `"}}`})
	if _, err := c.Invite(t.Context(), contractor.Invitation{Email: "ada@v.example"}); err != nil {
		t.Fatal(err) // a 401 did not happen: even an invitation may be sent again
	}
	if got := g.last("POST /invitations").Header.Get("Authorization"); got != "Bearer token-2" {
		t.Errorf("repeated with %q", got)
	}
}

func TestTokenIsSharedAndRenewedEarly(t *testing.T) {
	run(t, "bubble", func(t *testing.T) {
		k := &token{life: time.Hour}
		c, g := script(t, func(c *entra.Config) { c.Credential = k })
		read := func() {
			t.Helper()
			if _, err := c.Guest(t.Context(), guestID); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(read)
		}
		all.Wait()
		if k.count() != 1 {
			t.Errorf("%d tokens for 20 calls at once", k.count())
		}
		pass(t, 50*60)
		read()
		if k.count() != 1 {
			t.Errorf("renewed ten minutes early")
		}
		pass(t, 7*60)
		read() // starts the renewal, and does not wait for it
		pass(t, 1)
		read()
		if k.count() != 2 || g.last("GET /users/"+guestID).Header.Get("Authorization") != "Bearer token-2" {
			t.Errorf("%d tokens, three minutes before the end", k.count())
		}
	})
	run(t, "the old one serves while the login service is down", func(t *testing.T) {
		k := &token{life: time.Hour}
		c, _ := script(t, func(c *entra.Config) { c.Credential = k })
		if _, err := c.Guest(t.Context(), guestID); err != nil {
			t.Fatal(err)
		}
		k.mu.Lock()
		k.err = errors.New("connection refused")
		k.mu.Unlock()
		pass(t, 58*60)
		if _, err := c.Guest(t.Context(), guestID); err != nil {
			t.Fatal(err)
		}
		pass(t, 3*60)
		_, err := c.Guest(t.Context(), guestID)
		wantVerdict(t, err, contractor.VerdictRetry)
	})
}

func TestClockSkew(t *testing.T) {
	run(t, "bubble", func(t *testing.T) {
		c, g := script(t)
		if _, known := c.ClockSkew(); known {
			t.Error("known before any answer")
		}
		g.on("GET /users/"+guestID, reply{status: 200, body: guestBody, header: map[string]string{"Date": time.Now().Add(-10 * time.Minute).UTC().Format(http.TimeFormat)}})
		g.on("GET /users/"+guestID+"/memberOf", reply{status: 200, body: none, header: map[string]string{"Date": time.Now().Add(-10 * time.Minute).UTC().Format(http.TimeFormat)}})
		if _, err := c.Guest(t.Context(), guestID); err != nil {
			t.Fatal(err)
		}
		if ahead, known := c.ClockSkew(); !known || (ahead-10*time.Minute).Abs() > time.Second {
			t.Errorf("%s, %t", ahead, known)
		}
		pass(t, 600)
		if _, known := c.ClockSkew(); known {
			t.Error("an old answer still tells the time")
		}
	})
}
