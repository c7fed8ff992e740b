package console

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// policy of the pages' content: our own files, no inline script or style, no frames, no other origin.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types scimbridge"

// maxForm bounds what a form may send: a mapping file and little else.
const maxForm = 5 << 20

// protect gives every answer its headers, and refuses what names another host or comes from another site.
func (c *Console) protect(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, contractor.Errorf(contractor.CodeForbidden, "The request came from another site and was refused. Go back to the console and try again there."))
	}))
	checked := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store") // pages name people
		if c.secure() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !c.hostAllowed(r.Host) {
			c.fail(w, r, contractor.Errorf(contractor.CodeForbidden, "The console is served as %s and under no other name; set console.public_url if browsers reach it by another.", c.base))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		checked.ServeHTTP(w, r)
	})
}

// right is what a page or an action needs.
type right string

// The rights: to read; to decide, end, extend, confirm, pause and plan; to take the journal away and verify it.
const (
	view    right = "view"
	operate right = "operate"
	export  right = "export"
)

// Role is what somebody may do. A person may have several.
type Role string

// The roles, as the app roles of the Entra application are named.
const (
	Viewer   Role = "viewer"   // reads
	Operator Role = "operator" // reads and acts
	Auditor  Role = "auditor"  // reads, exports and verifies the journal
)

// RoleOf reads a role's name.
func RoleOf(name string) (Role, bool) {
	switch r := Role(strings.ToLower(name)); r {
	case Viewer, Operator, Auditor:
		return r, true
	}
	return "", false
}

func (r Role) has(x right) bool {
	switch x {
	case view:
		return true
	case operate:
		return r == Operator
	case export:
		return r == Auditor
	}
	return false
}

func may(x right) func(*session) error {
	return func(s *session) error {
		if s.May(string(x)) {
			return nil
		}
		role := Operator
		if x == export {
			role = Auditor
		}
		return contractor.Errorf(contractor.CodeForbidden, "This needs the role %s, and you have %s.", role, s.RoleNames())
	}
}

// signedIn lets only sessions with the right through; others are sent to sign in.
func (c *Console) signedIn(check func(*session) error, h func(http.ResponseWriter, *http.Request, *session) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := c.sessions.of(r, time.Now())
		if s == nil {
			c.askToSignIn(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		err := check(s)
		if err == nil {
			err = h(w, r.WithContext(context.WithValue(ctx, wholeKey{}, r.Context())), s)
		}
		if err != nil {
			c.failFor(w, r, s, err)
		}
	})
}

type wholeKey struct{}

// whole is the request's context without the deadline of a page, for what may take longer.
func whole(r *http.Request) context.Context {
	if ctx, ok := r.Context().Value(wholeKey{}).(context.Context); ok {
		return ctx
	}
	return r.Context()
}

// withToken lets a form through that carries the session's own token.
func (c *Console) withToken(h func(http.ResponseWriter, *http.Request, *session) error) func(http.ResponseWriter, *http.Request, *session) error {
	return func(w http.ResponseWriter, r *http.Request, s *session) error {
		if err := parseForm(r); err != nil {
			return err
		}
		if subtle.ConstantTimeCompare([]byte(r.PostFormValue("token")), []byte(s.Token)) != 1 {
			return contractor.Errorf(contractor.CodeForbidden, "The form is of another session. Go back, load the page again and repeat.")
		}
		return h(w, r, s)
	}
}

func parseForm(r *http.Request) error {
	var err error
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		err = r.ParseMultipartForm(maxForm) //nolint:gosec // the body is bounded by protect
	} else {
		err = r.ParseForm()
	}
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return contractor.Errorf(contractor.CodeTooLarge, "The form is larger than %d MB.", maxForm>>20)
	case err != nil:
		return contractor.Errorf(contractor.CodeInvalid, "The form cannot be read. Go back and send it again.")
	}
	return nil
}

// reasonOf is the reason that an action carries.
func reasonOf(r *http.Request) (string, error) {
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	switch {
	case reason == "":
		return "", contractor.Errorf(contractor.CodeInvalid, "An action needs a reason: it goes into the journal. Go back and write one.")
	case len(reason) > 1000:
		return "", contractor.Errorf(contractor.CodeInvalid, "The reason has %d bytes; at most 1000 are kept. Go back and shorten it.", len(reason))
	}
	return reason, nil
}
