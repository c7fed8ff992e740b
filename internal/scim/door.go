package scim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"scimbridge/internal/contractor"
)

// Base is the path that the door answers under.
const Base = "/scim/v2"

// Config is what a Door needs.
type Config struct {
	Store   Store                                        // required
	Vendors func(name string) (*contractor.Vendor, bool) // required: the vendor's settings in the mapping in force
	Names   func() []string                              // required: the names of the vendors in the mapping in force
	Groups  func() []contractor.Entitlement              // required: the catalog of the mapping in force
	Wake    func()                                       // required: called after each committed write; must not block
	Logger  *slog.Logger                                 // required

	// PublicURL is the door's address as vendors see it, without Base: https://scim.contoso.example. "": taken from each
	// request, which is right where no proxy stands in between.
	PublicURL string
	Limits    Limits

	// Refused, if given, is called for each failed sign-in, with the vendor if it is known and the mapping has it.
	Refused func(vendor string, why contractor.Code)

	// Spoiled, if given, is called when a vendor's records have been refused so many times in a row as its guard has it, with what is
	// wrong with the last one; and again after as many. It is called within the request.
	Spoiled func(ctx context.Context, vendor string, inRow int, why *contractor.Error)

	// Proxies are the reverse proxies whose X-Forwarded-For is believed.
	Proxies []netip.Prefix

	// HTTP is how issuers of access tokens are called; nil: http.DefaultTransport.
	HTTP http.RoundTripper
}

// Door is the SCIM service provider.
type Door struct {
	store   Store
	vendors func(string) (*contractor.Vendor, bool)
	groups  func() []contractor.Entitlement
	wake    func()
	log     *slog.Logger
	public  string
	limits  Limits

	users  *resourceType
	group  *resourceType
	shown  *discovery
	gates  gates
	locks  [256]sync.Mutex // for writers of one engagement that lost a race (write.go)
	router *echo.Echo
	bodies bodies

	signIns     *signIns
	refusals    refusals
	connections connections
	onRefused   func(string, contractor.Code)
	streaks     streaks
}

// New makes a Door. It refuses missing parts and a malformed PublicURL.
func New(c Config) (*Door, error) {
	switch {
	case c.Store == nil:
		return nil, errors.New("scim: no Store")
	case c.Vendors == nil:
		return nil, errors.New("scim: no Vendors")
	case c.Names == nil:
		return nil, errors.New("scim: no Names")
	case c.Groups == nil:
		return nil, errors.New("scim: no Groups")
	case c.Wake == nil:
		return nil, errors.New("scim: no Wake")
	case c.Logger == nil:
		return nil, errors.New("scim: no Logger")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, fmt.Errorf("scim: public URL %q is not an http or https URL", c.PublicURL)
		}
	}
	d := &Door{
		store: c.Store, vendors: c.Vendors, groups: c.Groups, wake: c.Wake, log: c.Logger,
		public: strings.TrimSuffix(strings.TrimSuffix(c.PublicURL, "/"), Base), limits: c.Limits.withDefaults(),
		users: userType(), group: groupType(),
	}
	shown, err := newDiscovery(d)
	if err != nil {
		return nil, err
	}
	d.shown = shown
	d.signIns = newSignIns(&c)
	d.connections.limits, d.connections.isProxy = d.limits, d.signIns.isProxy
	d.refusals.rate = rate.NewLimiter(rate.Every(refusalEvery), refusalBurst)
	if d.onRefused = c.Refused; d.onRefused == nil {
		d.onRefused = func(string, contractor.Code) {}
	}
	d.gates.limits = d.limits
	d.streaks.spoiled = c.Spoiled
	d.router = d.routes()
	return d, nil
}

// Handler answers everything under Base.
func (d *Door) Handler() http.Handler { return d.router }

func (d *Door) routes() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = d.fail
	e.Pre(trimSlash)
	e.Use(traced, survive)
	g := e.Group(Base)
	read := func(path string, h echo.HandlerFunc) { // HEAD is GET without its body, which the server leaves out
		g.GET(path, h)
		g.HEAD(path, h)
	}

	read("/ServiceProviderConfig", d.open((*call).providerConfig)) // public: it says how to sign in (RFC 7643 section 5)
	read("/Schemas", d.vendor((*call).schemas))
	read("/Schemas/:id", d.vendor((*call).schema))
	read("/ResourceTypes", d.vendor((*call).resourceTypes))
	read("/ResourceTypes/:id", d.vendor((*call).resourceTypeByName))

	read("/Users", d.vendor((*call).listUsers))
	g.POST("/Users", d.vendor(noted((*call).postUser)))
	read("/Users/:id", d.vendor((*call).getUser))
	g.PUT("/Users/:id", d.vendor(noted((*call).putUser)))
	g.PATCH("/Users/:id", d.vendor(noted((*call).patchUser)))
	g.DELETE("/Users/:id", d.vendor((*call).deleteUser))

	g.POST("/Users/.search", d.vendor((*call).searchUsers))

	read("/Groups", d.vendor((*call).listGroups))
	read("/Groups/:id", d.vendor((*call).getGroup))
	g.POST("/Groups", d.vendor((*call).writeGroup))
	g.PUT("/Groups/:id", d.vendor((*call).writeGroup))
	g.PATCH("/Groups/:id", d.vendor((*call).writeGroup))
	g.DELETE("/Groups/:id", d.vendor((*call).writeGroup))
	g.POST("/Groups/.search", d.vendor((*call).searchGroups))

	read("", d.vendor((*call).listAll))
	g.POST("/.search", d.vendor((*call).searchAll))
	g.POST("/Bulk", d.vendor((*call).bulk))

	g.Any("/Me", d.vendor(me))
	return e
}

// survive keeps one broken request from taking the process down.
func survive(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return next(c)
	}
}

// trimSlash takes /Users/ for /Users.
func trimSlash(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if u := c.Request().URL; len(u.Path) > 1 && strings.HasSuffix(u.Path, "/") {
			u.Path = strings.TrimRight(u.Path, "/")
			u.RawPath = strings.TrimRight(u.RawPath, "/")
		}
		return next(c)
	}
}

// me is not offered: a client here is a system, not a person (RFC 7644 section 3.11).
func me(*call) error {
	return echo.NewHTTPError(http.StatusNotImplemented, "/Me is not offered: a vendor's system is not a User")
}

// baseURL is the absolute address of the door for one request.
func (d *Door) baseURL(r *http.Request) string {
	if d.public != "" {
		return d.public + Base
	}
	if r.TLS != nil {
		return "https://" + r.Host + Base
	}
	return "http://" + r.Host + Base
}
