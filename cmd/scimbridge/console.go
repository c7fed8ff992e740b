package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"scimbridge/internal/config"
	"scimbridge/internal/console"
	"scimbridge/internal/entra"
)

func newConsole(io streams) *cobra.Command {
	var file, role string
	var open bool
	cmd := &cobra.Command{
		Use: "console", Short: "Print a link that signs you in to the console, once", Args: cobra.NoArgs,
		Long: `Print a link that signs you in to the running daemon's web console. It works once, for two minutes. Who you are is what the
kernel says of the admin socket's peer: root and the members of the group scimbridge may.

Roles: viewer reads; operator reads and acts (decides holds, ends, extends, confirms, pauses, plans); auditor reads, exports and
verifies the journal. Every sign-in and every action is journaled with your name.

Exit codes: 0 printed, 1 no daemon answers or it has no console, 64 there is no such role.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, known := console.RoleOf(role); !known {
				return &codeError{exitUsage, fmt.Errorf("--role %q is not viewer, operator or auditor", role)}
			}
			cfg, err := readConfig(file, io)
			if err != nil {
				return err
			}
			var answer struct{ URL string }
			if err := callAdmin(cmd.Context(), cfg.AdminSocket, "POST", "/v1/console?role="+url.QueryEscape(role), &answer); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(io.out, answer.URL); err != nil || !open {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			if err := exec.CommandContext(ctx, "xdg-open", answer.URL).Run(); err != nil { //nolint:gosec // the URL is the daemon's
				return fmt.Errorf("no browser could be started; open the link yourself: %w", err)
			}
			return nil
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&role, "role", string(console.Operator), "viewer, operator or auditor")
	cmd.Flags().BoolVar(&open, "open", false, "open it in the desktop's browser")
	return cmd
}

// errNoConsole says what to do where the daemon serves no console.
var errNoConsole = errors.New("the daemon serves no console; add to scimbridge.yaml: console: {listen: 127.0.0.1:8090}, and restart it")

// consoleLink answers the admin socket's /v1/console.
func (d *daemon) consoleLink(w http.ResponseWriter, r *http.Request) {
	p, _ := r.Context().Value(peerKey{}).(peer)
	role, known := console.RoleOf(r.URL.Query().Get("role"))
	if !known {
		writeJSON(w, nil, errors.New("there is no such role; write viewer, operator or auditor"))
		return
	}
	if d.console == nil {
		writeJSON(w, nil, errNoConsole)
		return
	}
	link, err := d.console.Link(p.name, role)
	writeJSON(w, map[string]string{"url": link}, err)
}

// openConsole opens the console's listener, where it is configured.
func (d *daemon) openConsole(ctx context.Context) error {
	c := d.config.Console
	if c == nil {
		return nil
	}
	var certificates *tls.Config
	if c.TLS != nil {
		keys, err := loadKeyring(c.TLS.CertFile.Path(), c.TLS.KeyFile.Path(), "")
		if err != nil {
			return setupError(fmt.Errorf("console: %w", err))
		}
		certificates = keys.config()
	}
	signIn, err := consoleSignIn(d.config)
	if err != nil {
		return setupError(err)
	}
	l, err := listen("console.listen", c.Listen)
	if err != nil {
		return err
	}
	pages, err := console.New(console.Config{
		Store: d.store, Bridge: &consoleBridge{d}, Logger: d.log.With("component", "console"), BaseURL: c.BaseURL(l.Addr()), Entra: signIn,
	})
	if err != nil {
		_ = l.Close()
		return err
	}
	d.console, d.consoleAddr = pages, l.Addr()
	d.server("console", l, pages.Handler(), certificates, nil)
	d.background(ctx, "console's live updates", pages.Run) // stops first, so that open streams end before the server waits for them
	d.log.Info("console", "url", c.BaseURL(l.Addr()))
	return nil
}

// consoleSignIn is how people of the tenant sign in; nil where it is not configured.
func consoleSignIn(cfg *config.Config) (*console.Entra, error) {
	e := cfg.Console.Entra
	if e == nil {
		return nil, nil
	}
	if _, err := e.SecretFile.Read(); err != nil {
		return nil, fmt.Errorf("console.entra.secret_file: %w", err)
	}
	transport, err := entra.NewTransport(cfg.Entra.CAFile)
	if err != nil {
		return nil, err
	}
	return &console.Entra{
		Issuer: cfg.Entra.LoginURL + "/" + cfg.Entra.TenantID + "/v2.0", ClientID: e.ClientID,
		ClientSecret: func() (string, error) {
			secret, err := e.SecretFile.Read()
			return secret.Reveal(), err
		},
		Client: &http.Client{Transport: transport, Timeout: 10 * time.Second},
	}, nil
}
