package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

const (
	linkLife = 2 * time.Minute
	maxLinks = 100
)

// link is what a one-time link lets somebody in as.
type link struct {
	name  string
	roles []Role
}

// Link makes a link that signs somebody in once, within two minutes: for those whom the admin socket knows. name goes into the
// journal.
func (c *Console) Link(name string, role Role) (string, error) {
	code := secret()
	now := time.Now()
	if !c.links.add(keyOf(code), link{name, []Role{role}}, now.Add(linkLife), now) {
		return "", contractor.Errorf(contractor.CodeTooMany, "%d links wait to be opened; open one of them, or wait two minutes", maxLinks)
	}
	u := *c.base
	u.Path = "/signin"
	u.RawQuery = url.Values{"code": {code}}.Encode()
	return u.String(), nil
}

// askToSignIn sends a reader to the sign-in, and back afterwards; anything but a page gets 401.
func (c *Console) askToSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path == "/live" || r.Header.Get(liveHeader) != "" {
		c.fail(w, r, contractor.Errorf(contractor.CodeUnauthorized, "You are not signed in, or your session is over. Sign in and repeat."))
		return
	}
	q := url.Values{}
	if r.URL.Path != "/" {
		q.Set("to", r.URL.RequestURI())
	}
	to := "/signin"
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

type signInView struct {
	Code  string
	To    string
	Entra bool
}

// signInPage asks for nothing: it shows how to get in. A link's code is used by the form it fills, not by the page, so that what
// merely looks at a link does not use it up.
func (c *Console) signInPage(w http.ResponseWriter, r *http.Request) {
	if c.sessions.of(r, time.Now()) != nil && r.FormValue("code") == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	c.show(w, r, nil, http.StatusOK, "signin", "Sign in", signInView{Code: r.FormValue("code"), To: ownPath(r.FormValue("to")), Entra: c.entra != nil})
}

// ownPath is a place of this console to go to after the sign-in, never one elsewhere.
func ownPath(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n") {
		return "/"
	}
	return to
}

func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	if err := parseForm(r); err != nil {
		c.fail(w, r, err)
		return
	}
	x, ok := c.links.take(keyOf(r.PostFormValue("code")), time.Now())
	if !ok {
		c.fail(w, r, contractor.Errorf(contractor.CodeUnauthorized, "The link was used already, or is older than two minutes. Get another with: scimbridge console"))
		return
	}
	c.enter(w, r, x.name, x.roles, "link", ownPath(r.PostFormValue("to")))
}

// enter begins a session, journals it and goes on.
func (c *Console) enter(w http.ResponseWriter, r *http.Request, name string, roles []Role, by, to string) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	s := &session{Name: name, Roles: roles}
	err := c.store.AppendEvents(ctx, audit.Event{
		Kind: "console.signed_in", Actor: s.actor(), Outcome: audit.Done, Reason: "by " + by + ", as " + s.RoleNames(),
	})
	if err != nil {
		c.fail(w, r, err) // nobody is let in whom the journal does not know
		return
	}
	_, value := c.sessions.begin(name, roles, by, time.Now())
	http.SetCookie(w, c.cookie(value, sessionLife))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (c *Console) signOut(w http.ResponseWriter, r *http.Request, s *session) error {
	c.sessions.end(s)
	http.SetCookie(w, c.cookie("", -time.Second))
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
	return nil
}
