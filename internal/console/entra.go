package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"scimbridge/internal/contractor"
)

// Entra signs people of the tenant in with OpenID Connect. Who has none of the app roles viewer, operator and auditor is not let
// in.
type Entra struct {
	Issuer       string                 // https://login.microsoftonline.com/TENANT/v2.0. Required
	ClientID     string                 // of the app registration for the console. Required
	ClientSecret func() (string, error) // read at each sign-in, so that a renewed one counts. Required
	Client       *http.Client           // for calls to the issuer. Required
}

func (e *Entra) check() error {
	if e != nil && (e.Issuer == "" || e.ClientID == "" || e.ClientSecret == nil || e.Client == nil) {
		return errors.New("console: Config.Entra needs Issuer, ClientID, ClientSecret and Client")
	}
	return nil
}

const (
	loginLife = 10 * time.Minute
	maxLogins = 1000
	// loginCookie binds an answer of the issuer to the browser that asked.
	loginCookie = "scimbridge-signin"
	// issuerTimeout bounds a call to the issuer.
	issuerTimeout = 10 * time.Second
)

// login is a sign-in that was begun.
type login struct {
	nonce, verifier, to string
}

// discover reads the issuer's metadata once.
func (c *Console) discover(ctx context.Context) (*oidc.Provider, error) {
	c.discovering.Lock()
	defer c.discovering.Unlock()
	if c.provider != nil {
		return c.provider, nil
	}
	// The provider keeps the context for reading keys later: it must not end with this request.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), c.entra.Client), c.entra.Issuer)
	if err != nil {
		return nil, &contractor.Error{Code: contractor.CodeUnavailable, Message: "Entra's sign-in cannot be reached. Try again, or sign in with a link from: scimbridge console", Cause: err}
	}
	c.provider = p
	return p, nil
}

func (c *Console) oauth(p *oidc.Provider) (*oauth2.Config, error) {
	secret, err := c.entra.ClientSecret()
	if err != nil {
		return nil, &contractor.Error{Code: contractor.CodeUnavailable, Message: "The console's client secret cannot be read; see console.entra.secret_file.", Cause: err}
	}
	return &oauth2.Config{
		ClientID: c.entra.ClientID, ClientSecret: strings.TrimSpace(secret), Endpoint: p.Endpoint(),
		RedirectURL: c.base.String() + "/signin/callback", Scopes: []string{oidc.ScopeOpenID, "profile"},
	}, nil
}

func (c *Console) toEntra(w http.ResponseWriter, r *http.Request) {
	err := c.beginLogin(w, r)
	if err != nil {
		c.fail(w, r, err)
	}
}

func (c *Console) beginLogin(w http.ResponseWriter, r *http.Request) error {
	if c.entra == nil {
		return contractor.Errorf(contractor.CodeNotFound, "Sign-in by Entra is not configured; see docs/console.md, or use: scimbridge console")
	}
	p, err := c.discover(r.Context())
	if err != nil {
		return err
	}
	conf, err := c.oauth(p)
	if err != nil {
		return err
	}
	state, x := secret(), login{nonce: secret(), verifier: oauth2.GenerateVerifier(), to: ownPath(r.FormValue("to"))}
	now := time.Now()
	if !c.logins.add(keyOf(state), x, now.Add(loginLife), now) {
		return contractor.Errorf(contractor.CodeTooMany, "Too many sign-ins are under way. Try again in ten minutes, or use: scimbridge console")
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there is TLS; loopback may have none
		Name: loginCookie, Value: state, Path: "/signin", MaxAge: int(loginLife.Seconds()), Secure: c.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, conf.AuthCodeURL(state, oidc.Nonce(x.nonce), oauth2.S256ChallengeOption(x.verifier)), http.StatusSeeOther)
	return nil
}

func (c *Console) fromEntra(w http.ResponseWriter, r *http.Request) {
	name, roles, to, err := c.endLogin(r)
	if err != nil {
		c.fail(w, r, err)
		return
	}
	c.enter(w, r, name, roles, "Entra", to)
}

type claims struct {
	Nonce string   `json:"nonce"`
	Name  string   `json:"preferred_username"`
	OID   string   `json:"oid"`
	Roles []string `json:"roles"`
}

func (c *Console) endLogin(r *http.Request) (name string, roles []Role, to string, err error) {
	if c.entra == nil {
		return "", nil, "", contractor.Errorf(contractor.CodeNotFound, "Sign-in by Entra is not configured; use: scimbridge console")
	}
	state := r.FormValue("state")
	cookie, err := r.Cookie(loginCookie)
	if err != nil || cookie.Value == "" || cookie.Value != state {
		return "", nil, "", contractor.Errorf(contractor.CodeUnauthorized, "This browser did not begin the sign-in. Begin it again.")
	}
	x, ok := c.logins.take(keyOf(state), time.Now())
	if !ok {
		return "", nil, "", contractor.Errorf(contractor.CodeUnauthorized, "The sign-in took too long, or was used already. Begin it again.")
	}
	if code := r.FormValue("error"); code != "" {
		return "", nil, "", contractor.Errorf(contractor.CodeUnauthorized, "Entra refused the sign-in (%s). Ask for an app role of the console's enterprise application.", safeWord(code))
	}
	p, err := c.discover(r.Context())
	if err != nil {
		return "", nil, "", err
	}
	conf, err := c.oauth(p)
	if err != nil {
		return "", nil, "", err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), c.entra.Client), issuerTimeout)
	defer cancel()
	who, err := redeem(ctx, p, conf, r.FormValue("code"), &x)
	if err != nil {
		return "", nil, "", &contractor.Error{Code: contractor.CodeUnauthorized, Message: "Entra's answer cannot be trusted; the log says why. Begin the sign-in again.", Cause: err}
	}
	for _, word := range who.Roles {
		if role, known := RoleOf(word); known && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return "", nil, "", contractor.Errorf(contractor.CodeForbidden, "You have none of the app roles viewer, operator and auditor. Ask for one in Entra: enterprise application of the console, users and groups.")
	}
	name = who.Name
	if name == "" {
		name = who.OID
	}
	return name, roles, x.to, nil
}

// redeem takes the code for a token of the issuer, for us, for this sign-in.
func redeem(ctx context.Context, p *oidc.Provider, conf *oauth2.Config, code string, x *login) (claims, error) {
	var who claims
	token, err := conf.Exchange(ctx, code, oauth2.VerifierOption(x.verifier))
	if err != nil {
		return who, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return who, errors.New("the answer has no id_token")
	}
	id, err := p.Verifier(&oidc.Config{ClientID: conf.ClientID}).Verify(ctx, raw)
	if err != nil {
		return who, err
	}
	if err := id.Claims(&who); err != nil {
		return who, err
	}
	if who.Nonce != x.nonce {
		return who, errors.New("the token's nonce is of another sign-in")
	}
	if who.Name == "" && who.OID == "" {
		return who, errors.New("the token names nobody")
	}
	return who, nil
}

// safeWord keeps of an error code what belongs into one.
func safeWord(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s[:min(len(s), 40)])
}
