package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"scimbridge/internal/config"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/notify"
)

// startSponsors runs the weekly check of sponsors and, where notify: is configured, their mails. It returns the vendor door's
// handler with the links' page beside it, unless the page has a listener of its own.
func (d *daemon) startSponsors(ctx context.Context, door http.Handler) (http.Handler, error) {
	check, err := lifecycle.NewSponsorCheck(lifecycle.SponsorConfig{
		Store: d.store, Directory: d.graph, Logger: d.log.With("component", "sponsors"), Wake: d.loop.Wake,
		Rules: func() lifecycle.SponsorRules { return d.mapping.get() },
	})
	if err != nil {
		return nil, err
	}
	d.alone(ctx, "sponsor check", check.Run)
	n := d.config.Notify
	if n == nil {
		return door, nil
	}
	notifier, err := d.newNotifier(n)
	if err != nil {
		return nil, setupError(err)
	}
	d.alone(ctx, "mails", notifier.Run)
	if n.Listen != "" {
		return door, d.openPages(n, notifier.Handler())
	}
	pages := notifier.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/s/") {
			pages.ServeHTTP(w, r)
			return
		}
		door.ServeHTTP(w, r)
	}), nil
}

// background runs a part that stops when it is its turn.
func (d *daemon) background(ctx context.Context, name string, run func(context.Context) error) {
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	d.parts.Go(func() {
		defer close(done)
		if err := run(runCtx); err != nil {
			d.fail(fmt.Errorf("%s stopped: %w", name, err))
		}
	})
	d.stops.add(name, func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s did not finish: %w", name, ctx.Err())
		}
	})
}

// openPages opens the listener of the links' page, with the vendor door's certificate.
func (d *daemon) openPages(n *config.Notify, h http.Handler) error {
	l, err := d.sockets.listen("notify.listen", n.Listen, d.config.TLS != nil)
	if err != nil {
		return err
	}
	var certificate *tls.Config
	if d.config.TLS != nil {
		cert, err := loadKeyring(d.config.TLS.CertFile.Path(), d.config.TLS.KeyFile.Path(), "")
		if err != nil {
			_ = l.Close()
			return setupError(err)
		}
		certificate = cert.config()
	}
	d.server("sponsors' page", l, h, certificate, nil)
	return nil
}

func (d *daemon) newNotifier(n *config.Notify) (*notify.Notifier, error) {
	templates, err := notify.LoadTemplates(n.Templates)
	if err != nil {
		return nil, err
	}
	key, err := n.KeyFile.Read()
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(n.Timezone)
	if err != nil {
		return nil, err
	}
	sender, err := d.newSender(n)
	if err != nil {
		return nil, err
	}
	base := n.PublicURL
	if base == "" {
		base = d.baseURL
	}
	return notify.New(notify.Config{
		Store: d.store, Directory: d.graph, Sender: sender, Rules: func() notify.Rules { return d.mapping.get() }, Templates: templates,
		Logger: d.log.With("component", "notify"), Key: []byte(key.Reveal()), LinkBase: base, LinkLife: n.LinkLife, Wake: d.loop.Wake, ClockDoubt: d.loop.ClockDoubt,
		At: n.AtTime(), Zone: zone, Language: n.Language,
	})
}

func (d *daemon) newSender(n *config.Notify) (notify.Sender, error) {
	if n.Sender == config.SendGraph {
		return notify.NewGraph(d.graph, n.From)
	}
	c := notify.SMTPConfig{Address: n.SMTP.Host, Implicit: n.SMTP.Security == config.ImplicitTLS, From: n.From, Username: n.SMTP.Username}
	if host, err := os.Hostname(); err == nil {
		c.Hello = host
	}
	if !n.SMTP.PasswordFile.IsZero() {
		c.Password = func() (string, error) { // read at every mail, so that a new one needs no restart
			s, err := n.SMTP.PasswordFile.Read()
			return s.Reveal(), err
		}
	}
	if n.SMTP.CAFile != "" {
		pem, err := os.ReadFile(n.SMTP.CAFile)
		if err != nil {
			return nil, fmt.Errorf("notify.smtp.ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("notify.smtp.ca_file holds no certificate in PEM")
		}
		c.RootCAs = pool
	}
	return notify.NewSMTP(c)
}
