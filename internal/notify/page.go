package notify

import (
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// The states of a page; "" is the form.
const (
	stateGone      = "gone"      // no such link, or expired
	stateUsed      = "used"      // it worked once
	stateExtended  = "extended"  // done
	stateAsked     = "asked"     // waits for an admin
	stateEnded     = "ended"     // done
	stateConfirmed = "confirmed" // done
	stateBadDate   = "baddate"   // the date asked for is not possible
	stateForm      = "form"      // the page was open too long, or another page sent the form
	stateBusy      = "busy"      // too many requests
	stateError     = "error"
)

// pageView is what the template of the page gets.
type pageView struct {
	State     string
	Name      string
	Vendor    string
	End       time.Time
	Zone      string
	Token     string // of the form
	Min, Max  string // dates of an extension, YYYY-MM-DD
	Over      string // beyond this date an admin decides; "": nobody does
	Until     time.Time
	CanExtend bool
	Attest    bool
	Nonce     string // of the style element
}

const (
	// cookieName carries a random value that binds a form to the browser that opened the page. The prefix makes browsers refuse
	// it from anywhere but this host over TLS.
	cookieName = "__Host-scimbridge-form"
	maxForm    = 4 << 10
)

// Handler serves /s/LINK: a page on GET that changes nothing, and the sponsor's decision on POST.
func (n *Notifier) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /s/{link}", n.show)
	mux.HandleFunc("POST /s/{link}", n.act)
	cross := http.NewCrossOriginProtection() // the browser's own word on where a form comes from
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.limits.allow(remoteHost(r), time.Now()) {
			w.Header().Set("Retry-After", "60")
			n.answer(w, r, http.StatusTooManyRequests, &pageView{State: stateBusy})
			return
		}
		if cross.Check(r) != nil {
			n.answer(w, r, http.StatusForbidden, &pageView{State: stateForm})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// remoteHost is the address that is limited. Behind a proxy it is the proxy's, and the limit is everybody's together.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (n *Notifier) show(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	v, _, ok := n.open(w, r, now)
	if !ok {
		return
	}
	cookie := n.cookie(r)
	if cookie == "" {
		cookie = rand.Text()
		//nolint:gosec // Secure wherever the page is reached by https; plain http is for loopback only
		c := http.Cookie{Name: n.cookieName(), Value: cookie, Path: "/", HttpOnly: true, Secure: n.secure(), SameSite: http.SameSiteStrictMode, MaxAge: int(formLife / time.Second)}
		http.SetCookie(w, &c)
	}
	v.Token = n.keys.formToken(r.PathValue("link"), cookie, now)
	n.answer(w, r, http.StatusOK, v)
}

func (n *Notifier) secure() bool { return strings.HasPrefix(n.LinkBase, "https:") }

// cookieName without its prefix serves a test on plain http, where browsers refuse the prefix.
func (n *Notifier) cookieName() string {
	if n.secure() {
		return cookieName
	}
	return strings.TrimPrefix(cookieName, "__Host-")
}

func (n *Notifier) cookie(r *http.Request) string {
	c, err := r.Cookie(n.cookieName())
	if err != nil || len(c.Value) > 64 {
		return ""
	}
	return c.Value
}

// opened is what a valid link leads to.
type opened struct {
	hash       [32]byte
	link       contractor.Link
	engagement *contractor.Engagement
	period     contractor.Period
	max, over  time.Time // bounds of an extension; zero: none possible, and none waits
}

// open checks a link and works out what its page may offer; where it cannot, it has answered.
func (n *Notifier) open(w http.ResponseWriter, r *http.Request, now time.Time) (*pageView, *opened, bool) {
	no := func(status int, state string) (*pageView, *opened, bool) {
		n.answer(w, r, status, &pageView{State: state})
		return nil, nil, false
	}
	id, hash, err := n.keys.parse(r.PathValue("link"), now)
	if err != nil {
		return no(http.StatusNotFound, stateGone)
	}
	l, name, e, err := n.Store.LinkPage(r.Context(), hash)
	var ce *contractor.Error
	switch {
	case errors.As(err, &ce) && ce.Code == contractor.CodeNotFound:
		return no(http.StatusNotFound, stateGone)
	case err != nil:
		n.Logger.Error("a sponsor's page cannot be shown", "link", id, "error", err)
		return no(http.StatusServiceUnavailable, stateError)
	case !l.Used.IsZero():
		return no(http.StatusGone, stateUsed)
	}
	rules := n.Rules()
	vendor, ok := rules.Vendor(e.Vendor)
	if !ok {
		return no(http.StatusNotFound, stateGone)
	}
	period, err := e.Period(vendor)
	if err != nil || period.NoEnd || !now.Before(period.End) || !e.EndedAt.IsZero() {
		return no(http.StatusGone, stateGone) // it has ended: there is nothing to decide
	}
	o := &opened{hash: hash, link: l, engagement: e, period: period}
	v := &pageView{Name: name, Vendor: e.Vendor, End: period.End.In(period.Zone), Zone: period.Zone.String(), Attest: l.Attest}
	x := rules.Extend()
	if !x.Max.IsZero() {
		o.max = x.Max.After(period.End, period.Zone)
		if !vendor.MaxDuration.IsZero() {
			if limit := vendor.MaxDuration.After(period.Start, period.Zone); limit.Before(o.max) {
				o.max = limit
			}
		}
		if !x.ApprovalOver.IsZero() {
			o.over = x.ApprovalOver.After(period.End, period.Zone)
		}
		if v.CanExtend = o.max.After(period.End.Add(24 * time.Hour)); v.CanExtend {
			v.Min, v.Max = period.End.In(period.Zone).AddDate(0, 0, 1).Format(time.DateOnly), o.max.In(period.Zone).Format(time.DateOnly)
			if !o.over.IsZero() && o.over.Before(o.max) {
				v.Over = o.over.In(period.Zone).Format(time.DateOnly)
			}
		}
	}
	return v, o, true
}

// act does what a sponsor confirmed on the page.
func (n *Notifier) act(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	v, o, ok := n.open(w, r, now)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.ParseForm() != nil || !n.keys.formValid(r.PostForm.Get("token"), r.PathValue("link"), n.cookie(r), now) {
		n.answer(w, r, http.StatusForbidden, &pageView{State: stateForm})
		return
	}
	u := contractor.LinkUse{Hash: o.hash}
	var done string
	switch r.PostForm.Get("action") {
	case "end":
		u.Action, u.Reason, done = contractor.LinkEnd, "its sponsor ended it by a link", stateEnded
	case "confirm":
		u.Action, u.Reason, done = contractor.LinkConfirm, "its sponsor confirmed by a link that it is still needed", stateConfirmed
		if !o.link.Attest {
			n.answer(w, r, http.StatusBadRequest, &pageView{State: stateForm})
			return
		}
	case "extend":
		until, err := contractor.ParseDate(r.PostForm.Get("until"), nil, o.period.Zone, contractor.EndOfDay)
		last := o.max.In(o.period.Zone)
		if err != nil || !v.CanExtend || !until.After(o.period.End) || until.In(o.period.Zone).Format(time.DateOnly) > last.Format(time.DateOnly) {
			n.answer(w, r, http.StatusUnprocessableEntity, &pageView{State: stateBadDate, Min: v.Min, Max: v.Max})
			return
		}
		if until.After(o.max) {
			until = o.max // the last day, up to the limit's very second
		}
		v.Until = until.In(o.period.Zone)
		u.Action, u.Until, u.Reason, done = contractor.LinkExtend, until, "its sponsor extended it by a link", stateExtended
		if v.Over != "" && v.Until.Format(time.DateOnly) > v.Over {
			u.Action, u.Expires, done = contractor.LinkAsk, o.period.End, stateAsked
		}
	default:
		n.answer(w, r, http.StatusBadRequest, &pageView{State: stateForm})
		return
	}
	l, err := n.Store.UseLink(r.Context(), audit.Actor{Kind: ActorSponsor}, u)
	var ce *contractor.Error
	switch {
	case errors.As(err, &ce) && ce.Code == contractor.CodeConflict:
		n.answer(w, r, http.StatusGone, &pageView{State: stateUsed})
		return
	case err != nil:
		n.Logger.Error("a sponsor's decision could not be stored", "link", o.link.ID, "error", err)
		n.answer(w, r, http.StatusServiceUnavailable, &pageView{State: stateError})
		return
	}
	n.Logger.Info("a sponsor decided by a link", "action", string(u.Action), "engagement", l.Engagement, "person", l.Person)
	if n.Wake != nil {
		n.Wake()
	}
	v.State = done
	n.answer(w, r, http.StatusOK, v)
}

// answer writes a page that loads nothing, runs nothing, is kept nowhere and tells its address to nobody.
func (n *Notifier) answer(w http.ResponseWriter, r *http.Request, status int, v *pageView) {
	v.Nonce = rand.Text()
	body, err := n.Templates.page(n.Templates.language(r.Header.Get("Accept-Language"), n.Language), v)
	if err != nil {
		n.Logger.Error("the template of a page failed; check notify.templates", "error", err)
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+v.Nonce+"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if n.secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // html/template wrote it; the browser is gone: nobody to tell
}
