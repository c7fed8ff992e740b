package entra

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	khttp "github.com/microsoft/kiota-http-go"
	jsonserialization "github.com/microsoft/kiota-serialization-json-go"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
	"go.opentelemetry.io/otel/trace"

	"scimbridge/internal/contractor"
)

// Config of a Client. GraphURL, Credential and Logger are required.
type Config struct {
	// GraphURL is the root of Graph v1.0: Cloud.GraphURL, or an emulator's. Plain http is refused off loopback.
	GraphURL   string
	Credential azcore.TokenCredential
	// Scope of the token. Default: the origin of GraphURL with /.default; the public cloud's for a loopback GraphURL.
	Scope string
	// Transport sends the requests. Default: NewTransport(CAFile).
	Transport http.RoundTripper
	// CAFile is a PEM file of further root certificates for the default transport.
	CAFile string
	Logger *slog.Logger

	// Limits are Graph's quotas. Zero fields take the documented figures.
	Limits Limits
	// InviteWindow is how long after an invitation or a restore of ours an object that Graph does not find may still be on its
	// way to all replicas. Default 10 min (graph.md 1.1).
	InviteWindow time.Duration
	// InviteSettle is how long the first write to a new guest is held back, so that it is not wasted on a replica that does not
	// know the guest yet. Default 2 s, negative: not at all.
	InviteSettle time.Duration
	// BreakGlass lists the object ids of emergency accounts, which are never touched. It is asked before every write, so that
	// a new mapping counts at once. Nil: none are known; members are refused anyway.
	BreakGlass func() []string
	// InitialDomain is the tenant's onmicrosoft.com domain. Where it is known, guests are also looked up by their exact UPN;
	// else by its beginning.
	InitialDomain string
	// OnCall, if not nil, is told about every request, from the goroutine that made it. It must not block.
	OnCall func(Call)
	// Tracer makes a span of each call. Nil: none.
	Tracer trace.Tracer
}

const (
	defaultInviteWindow = 10 * time.Minute
	defaultInviteSettle = 2 * time.Second
	// factTTL is how long what was read about groups and their PIM policies is believed. Where it changed meanwhile, Graph
	// refuses the write, and the fact is read anew.
	factTTL = time.Hour
	// heldTTL is how long the memberships that Guest read may serve the Access of the same pass.
	heldTTL = 2 * time.Second
	// vetTTL is how long a guest, once seen to be a plain guest, may be written to without being read again.
	vetTTL = 10 * time.Minute
	// maxFacts bounds each cache of the client.
	maxFacts = 50_000
)

// Client is the tenant in the bridge's words. It is safe for use by many goroutines.
type Client struct {
	graphURL string
	origin   *url.URL
	adapter  *core.GraphRequestAdapterBase
	auth     *authenticator
	budget   *budget
	clock    serverClock
	log      *slog.Logger
	onCall   func(Call)
	tracer   trace.Tracer // nil: calls are not traced

	inviteWindow  time.Duration
	inviteSettle  time.Duration
	breakGlass    func() []string
	initialDomain string

	born     facts[time.Time] // guests invited or restored by this client, and when
	vetted   facts[bool]      // guests seen to be plain guests
	groups   facts[*groupFacts]
	caps     facts[time.Duration]
	sponsors facts[string]       // reference -> object id
	kinds    facts[string]       // sponsor's object id -> "users" or "groups"
	assigned facts[time.Time]    // group and guest of PIM assignments of the last five minutes
	buried   facts[time.Time]    // guests deleted by this client
	contents facts[[]string]     // groups of access packages
	asked    facts[time.Time]    // guest and package of requests sent lately
	held     facts[[]membership] // memberships read a moment ago, for one use

	leaveDenied     atomic.Int64 // until when (Unix ns) the leave date is not tried, since its permission is missing
	deletedByFilter atomic.Bool  // deletedItems refused a filter: read it whole
	filtersApart    atomic.Bool  // users refused one filter over all places of an address
	deleted         deletedIndex
	// badRequestFilter marks the filters that assignmentRequests refused, see openRequests.
	badRequestFilter [2]atomic.Bool
	// targetFilter: the first of these filters has found a direct assignment, so the other is not needed.
	targetFilter atomic.Bool
}

// New checks the configuration and builds the client. It makes no call.
func New(c Config) (*Client, error) {
	origin, err := checkGraphURL(c.GraphURL)
	switch {
	case err != nil:
		return nil, err
	case c.Credential == nil, c.Logger == nil:
		return nil, errors.New("entra: Credential and Logger are required")
	case c.InviteWindow < 0:
		return nil, errors.New("entra: InviteWindow must not be negative")
	}
	c.Limits = c.Limits.withDefaults()
	if err := c.Limits.validate(); err != nil {
		return nil, err
	}
	if c.Transport == nil {
		if c.Transport, err = NewTransport(c.CAFile); err != nil {
			return nil, fmt.Errorf("entra: %w", err)
		}
	}
	if c.Scope == "" {
		c.Scope = origin.Scheme + "://" + origin.Host + "/.default"
		if loopback(origin.Hostname()) {
			c.Scope = "https://graph.microsoft.com/.default"
		}
	}
	if c.InviteWindow == 0 {
		c.InviteWindow = defaultInviteWindow
	}
	switch {
	case c.InviteSettle == 0:
		c.InviteSettle = defaultInviteSettle
	case c.InviteSettle < 0:
		c.InviteSettle = 0
	}
	log := c.Logger.With("component", "entra")
	client := &Client{
		graphURL: strings.TrimRight(c.GraphURL, "/"), origin: origin, log: log, onCall: c.OnCall, tracer: c.Tracer,
		auth:         &authenticator{credential: c.Credential, scope: c.Scope, origin: origin, log: log},
		budget:       newBudget(c.Limits),
		deleted:      deletedIndex{turn: make(chan struct{}, 1)},
		inviteWindow: c.InviteWindow, inviteSettle: c.InviteSettle,
		breakGlass: c.BreakGlass, initialDomain: c.InitialDomain,
	}
	// The pipeline is the SDK's, but of its handlers only telemetry remains: its retries would repeat POSTs, its compression
	// spoils the bodies of what it repeats, and it runs its handlers in random order. Redirects are answers, not followed.
	httpClient := &http.Client{
		Transport: khttp.NewCustomTransportWithParentTransport(&transport{base: c.Transport, origin: origin},
			core.NewGraphTelemetryHandler(&core.GraphClientOptions{})),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	client.adapter, err = core.NewGraphRequestAdapterBaseWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(
		client.auth, core.GraphClientOptions{}, jsonserialization.NewJsonParseNodeFactory(),
		jsonserialization.NewJsonSerializationWriterFactory(), httpClient)
	if err != nil {
		return nil, fmt.Errorf("entra: %w", err)
	}
	client.adapter.SetBaseUrl(client.graphURL)
	return client, nil
}

func checkGraphURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return nil, errors.New("entra: GraphURL is required")
	case err != nil:
		return nil, fmt.Errorf("entra: GraphURL: %w", err)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("entra: GraphURL %q must be scheme, host and path, such as https://graph.microsoft.com/v1.0", raw)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("entra: GraphURL %q must be https; plain http is for an emulator on this machine only", raw)
}

// guard refuses accounts that are never ours, by id.
func (c *Client) guard(op, id string) error {
	switch {
	case !isGUID(id):
		return wrong(op, "the guest's object id is not a GUID")
	case c.breakGlass != nil && slices.ContainsFunc(c.breakGlass(), func(b string) bool { return strings.EqualFold(b, id) }):
		return refused(op, "this is a break-glass account; scimbridge never touches it")
	}
	return nil
}

// isGUID reports whether s has the form of an object id, so that it cannot change a path or a filter.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		switch i {
		case 8, 13, 18, 23:
			if r != '-' {
				return false
			}
		default:
			if !strings.ContainsRune("0123456789abcdefABCDEF", r) {
				return false
			}
		}
	}
	return true
}

// fresh is how long ago this client made the guest, and whether that is within the window in which Graph may not find it.
func (c *Client) fresh(id string) (time.Duration, bool) {
	at, ok := c.born.get(strings.ToLower(id))
	if !ok {
		return 0, false
	}
	age := time.Since(at)
	return age, age < c.inviteWindow
}

// notYet turns a "not found" about an object that was made a moment ago into what it is: not replicated yet.
func (c *Client) notYet(err error, id string) error {
	var f *contractor.Failure
	if !errors.As(err, &f) || f.Verdict != contractor.VerdictGone {
		return err
	}
	age, fresh := c.fresh(id)
	if !fresh {
		return err
	}
	g := *f
	g.Verdict, g.Message = contractor.VerdictRetry, "the guest was made a moment ago and has not reached every part of Entra yet"
	g.RetryAfter = min(max(age, 2*time.Second), 30*time.Second)
	return &g
}
