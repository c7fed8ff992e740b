package entra

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	abs "github.com/microsoft/kiota-abstractions-go"
	"golang.org/x/sync/singleflight"
)

const (
	// renewEarly is how long before its end a token is replaced, while the old one still serves. azidentity hands out the
	// same token until five minutes before its end, so asking earlier would bring nothing new.
	renewEarly = 4 * time.Minute
	// renewPause is how long a failed early renewal is left alone.
	renewPause = 20 * time.Second
	// tokenTimeout bounds one request for a token, the SDK's own repeats included.
	tokenTimeout = 30 * time.Second
)

// tokenError says that no token could be had; the cause is azidentity's.
type tokenError struct{ cause error }

func (e *tokenError) Error() string { return "no token: " + e.cause.Error() }
func (e *tokenError) Unwrap() error { return e.cause }

// resetter is a credential that can forget its cached tokens, so that a refused one is not handed out again.
type resetter interface{ Reset() }

// authenticator puts the bearer token on requests to one origin, and refuses every other. (The SDK's own provider answers
// with an empty token and no error for a host it does not know.)
type authenticator struct {
	credential azcore.TokenCredential
	scope      string
	origin     *url.URL
	log        *slog.Logger

	flight singleflight.Group

	mu      sync.Mutex
	token   azcore.AccessToken
	had     time.Time // when token was received
	noRenew time.Time // no early renewal before this
}

// AuthenticateRequest implements the kiota AuthenticationProvider.
func (a *authenticator) AuthenticateRequest(ctx context.Context, request *abs.RequestInformation, more map[string]any) error {
	u, err := request.GetUri()
	if err != nil {
		return err
	}
	if !sameOrigin(u, a.origin) {
		return errForeignHost
	}
	claims := ""
	if raw, ok := more["claims"].(string); ok && raw != "" {
		if claims, err = decodeClaims(raw); err != nil {
			return &tokenError{err}
		}
	}
	token, err := a.current(ctx, claims)
	if err != nil {
		return err
	}
	request.Headers.Remove("Authorization")
	request.Headers.Add("Authorization", "Bearer "+token)
	return nil
}

// decodeClaims opens the base64 in which a challenge wraps its JSON.
func decodeClaims(raw string) (string, error) {
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(raw); err == nil {
			return string(b), nil
		}
	}
	return "", errors.New("the claims challenge is not base64")
}

// current is a token that is good now. Callers share one request for a new one; while the old one lives, nobody waits for it.
func (a *authenticator) current(ctx context.Context, claims string) (string, error) {
	if claims != "" {
		return a.fetch(ctx, claims, "")
	}
	now := time.Now()
	a.mu.Lock()
	t, had, noRenew := a.token, a.had, a.noRenew
	a.mu.Unlock()
	if t.Token == "" || !now.Before(t.ExpiresOn) {
		return a.fetch(ctx, "", t.Token)
	}
	// A short-lived token (an emulator's) is renewed in the last quarter of its life, not at once.
	early := min(renewEarly, t.ExpiresOn.Sub(had)/4)
	due := t.ExpiresOn.Add(-early)
	if !t.RefreshOn.IsZero() && t.RefreshOn.Before(due) {
		due = t.RefreshOn
	}
	if now.Before(due) || now.Before(noRenew) {
		return t.Token, nil
	}
	a.mu.Lock()
	a.noRenew = now.Add(renewPause)
	a.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	go func() {
		if _, err := a.fetch(ctx, "", t.Token); err != nil {
			a.log.Warn("the access token could not be renewed early; the old one still serves", "until", t.ExpiresOn, "error", err)
		}
	}()
	return t.Token, nil
}

// fetch asks the credential for a token to replace the one that the caller has seen. The request outlives a caller that gives
// up, since others wait for it too.
func (a *authenticator) fetch(ctx context.Context, claims, seen string) (string, error) {
	done := a.flight.DoChan("token "+claims, func() (any, error) {
		a.mu.Lock()
		t := a.token
		a.mu.Unlock()
		if claims == "" && t.Token != seen && t.Token != "" && time.Now().Before(t.ExpiresOn) {
			return t.Token, nil // another caller's request came back between this one's look and now
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTimeout)
		defer cancel()
		t, err := a.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{a.scope}, Claims: claims, EnableCAE: true})
		if err == nil && t.Token == "" {
			err = errors.New("the credential gave an empty token")
		}
		if err != nil {
			return "", &tokenError{err}
		}
		now := time.Now()
		a.mu.Lock()
		if t.Token != a.token.Token { // else the credential's own cache does not think it is time; noRenew stands
			a.token, a.had, a.noRenew = t, now, time.Time{}
		}
		a.mu.Unlock()
		return t.Token, nil
	})
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-done:
		if r.Err != nil {
			return "", r.Err
		}
		token, ok := r.Val.(string)
		if !ok {
			return "", fmt.Errorf("unexpected token of type %T", r.Val)
		}
		return token, nil
	}
}

// discard forgets the token after Graph refused it, so that the next call fetches a new one. bearer is the refused header: a
// token that another call has replaced meanwhile stays.
func (a *authenticator) discard(bearer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token.Token == "" || bearer != "Bearer "+a.token.Token {
		return
	}
	a.token, a.had, a.noRenew = azcore.AccessToken{}, time.Time{}, time.Time{}
	if r, ok := a.credential.(resetter); ok {
		r.Reset()
	}
}
