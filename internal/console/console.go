package console

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"scimbridge/internal/contractor"
)

// Config of a Console.
type Config struct {
	Store  Store        // required
	Bridge Bridge       // required
	Logger *slog.Logger // required

	// BaseURL is how browsers reach the console, such as https://console.contoso.example or http://127.0.0.1:8443; no slash at its
	// end. Required. Requests that name another host are refused; with https, cookies are sent over TLS alone.
	BaseURL string

	// Entra lets people of the tenant sign in. Optional: without it only links of `scimbridge console` let in.
	Entra *Entra
}

// Console serves the pages. Run must run while it serves.
type Console struct {
	store    Store
	bridge   Bridge
	log      *slog.Logger
	base     *url.URL
	entra    *Entra
	sessions *sessions
	links    *oneTime[link]
	logins   *oneTime[login]

	discovering sync.Mutex
	provider    *oidc.Provider // the issuer's metadata, once it was read
	live        *hub
	pages       *pages
	counts      counts
	works       works
	verified    verified
	orphaned    orphaned
	handler     http.Handler
}

// New checks the configuration and the templates.
func New(cfg Config) (*Console, error) {
	switch {
	case cfg.Store == nil:
		return nil, errors.New("console: Config.Store is missing")
	case cfg.Bridge == nil:
		return nil, errors.New("console: Config.Bridge is missing")
	case cfg.Logger == nil:
		return nil, errors.New("console: Config.Logger is missing")
	}
	base, err := url.Parse(cfg.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.Path != "" {
		return nil, errors.New("console: Config.BaseURL is not the URL of a host, such as http://127.0.0.1:8443")
	}
	if err := cfg.Entra.check(); err != nil {
		return nil, err
	}
	p, err := parsePages()
	if err != nil {
		return nil, err
	}
	c := &Console{
		store: cfg.Store, bridge: cfg.Bridge, log: cfg.Logger, base: base, entra: cfg.Entra,
		sessions: newSessions(), links: newOneTime[link](maxLinks), logins: newOneTime[login](maxLogins), live: newHub(), pages: p, works: works{byKind: map[string]*work{}},
	}
	c.handler = c.protect(c.routes())
	return c, nil
}

// Handler serves the console from the root of its host.
func (c *Console) Handler() http.Handler { return c.handler }

// Run watches the journal for the pages' live updates until ctx ends.
func (c *Console) Run(ctx context.Context) error {
	defer c.works.parts.Wait()
	return c.live.run(ctx, c.store, c.log)
}

// Secure reports whether browsers reach the console over TLS.
func (c *Console) secure() bool { return c.base.Scheme == "https" }

// routes names every page and every action, with the right that it needs.
func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, h func(http.ResponseWriter, *http.Request, *session) error) {
		mux.Handle("GET "+pattern, c.signedIn(may(view), h))
	}
	action := func(pattern string, right right, h func(http.ResponseWriter, *http.Request, *session) error) {
		mux.Handle("POST "+pattern, c.signedIn(may(right), c.withToken(h)))
	}
	page("/{$}", c.today)
	page("/timeline", c.timeline)
	page("/contractors", c.contractors)
	page("/contractors/{person}", c.person)
	page("/contractors/{person}/explain", c.explain)
	for _, a := range personActions() {
		path := "/contractors/{person}/" + a.verb
		mux.Handle("GET "+path, c.signedIn(may(operate), c.askPerson(a)))
		action(path, operate, c.doPerson(a))
	}
	page("/holds", c.holds)
	action("/holds", operate, c.decideHolds)
	page("/alarms", c.alarms)
	action("/alarms/{alarm}", operate, c.acknowledge)
	page("/drift", c.drift)
	action("/drift/{person}", operate, c.settleDrift)
	page("/orphans", c.orphans)
	action("/orphans", operate, c.lookForOrphans)
	action("/orphans/{guest}", operate, c.leaveOrphan)
	page("/work/{kind}", c.progress)
	page("/attestations", c.attestations)
	page("/mapping", c.mapping)
	page("/mapping/{revision}", c.mapping)
	action("/mapping/plan", operate, c.makePlan)
	page("/mapping/plans/{plan}", c.plan)
	page("/policies", c.policies)
	page("/vendors", c.vendors)
	page("/vendors/{vendor}", c.vendor)
	action("/vendors/{vendor}/pause", operate, c.pauseVendor)
	page("/audit", c.audit)
	page("/audit/{event}", c.event)
	mux.Handle("GET /audit/export", c.signedIn(may(export), c.exportAudit))
	action("/audit/verify", export, c.verify)
	page("/keys", c.keys)
	mux.Handle("GET /live", c.signedIn(may(view), c.stream))
	action("/signout", view, c.signOut)
	mux.HandleFunc("GET /signin", c.signInPage)
	mux.HandleFunc("POST /signin", c.signIn)
	mux.HandleFunc("GET /signin/entra", c.toEntra)
	mux.HandleFunc("GET /signin/callback", c.fromEntra)
	mux.Handle("GET /static/", c.pages.static())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, contractor.Errorf(contractor.CodeNotFound, "There is no page %s.", r.URL.Path))
	})
	return mux
}

// hostAllowed reports whether a request names our host: what a rebound DNS name leads here is refused.
func (c *Console) hostAllowed(host string) bool {
	if host == c.base.Host {
		return true
	}
	// On loopback the port is what counts: localhost, 127.0.0.1 and [::1] are one machine.
	name, port, err := net.SplitHostPort(host)
	if err != nil || port != c.base.Port() || !loopback(c.base.Hostname()) {
		return false
	}
	return loopback(name)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// timeout bounds the reading of one page.
const timeout = 20 * time.Second
