package console

import (
	"net/http"
	"slices"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

type vendorView struct {
	contractor.VendorState
	Declared  *contractor.Vendor // nil: the mapping does not know it
	Share     int                // of the quota, percent; 0 without one
	Health    string             // word for the feed
	Why       string
	Newest    time.Time // when the newest live token was made
	Soonest   time.Time // when the first live token expires; zero: none does
	LiveToken int
	Refused   []audit.Event
	Held      int
	Ends      int // within the next 30 days
}

const (
	// quiet is after how long a feed that is not paused is worth a look.
	quiet = 7 * 24 * time.Hour
	// tokenOld is the age at which a token should be rotated.
	tokenOld      = 180 * 24 * time.Hour
	refusedShown  = 50
	refusedLately = 24 * time.Hour
)

// health says how a feed is.
func (v *vendorView) judge(now time.Time) {
	switch {
	case v.Paused:
		v.Health, v.Why = "paused", "What it sends is refused until it is resumed."
	case v.Declared == nil:
		v.Health, v.Why = "unknown", "The mapping has no section for it: its records give no access."
	case v.LiveToken == 0:
		v.Health, v.Why = "no token", "Give it one: scimbridge vendor rotate "+v.Name
	case v.LastPush.IsZero():
		v.Health, v.Why = "silent", "It never sent anything. Send its engineer the base URL and the token."
	case now.Sub(v.LastPush) > quiet:
		v.Health, v.Why = "quiet", "No change for "+lasting(now.Sub(v.LastPush))+"."
	case !v.Soonest.IsZero() && v.Soonest.Before(now.AddDate(0, 0, 14)):
		v.Health, v.Why = "token expires", "A token expires "+relative(v.Soonest, now)+": scimbridge vendor rotate "+v.Name
	case now.Sub(v.Newest) > tokenOld:
		v.Health, v.Why = "old token", "The newest token is "+lasting(now.Sub(v.Newest))+" old: scimbridge vendor rotate "+v.Name
	case v.Share >= 90:
		v.Health, v.Why = "nearly full", "The quota is nearly used up."
	default:
		v.Health = "fine"
	}
}

func (c *Console) vendorViews(r *http.Request, now time.Time) ([]vendorView, error) {
	states, err := c.store.ListVendors(r.Context())
	if err != nil {
		return nil, err
	}
	m := c.bridge.Mapping()
	for _, name := range m.Vendors() { // declared, and never heard of
		if !slices.ContainsFunc(states, func(x contractor.VendorState) bool { return x.Name == name }) {
			states = append(states, contractor.VendorState{Name: name})
		}
	}
	slices.SortFunc(states, func(a, b contractor.VendorState) int { return compareText(a.Name, b.Name) })
	ends, err := c.store.EndsPerDay(r.Context(), now, now.AddDate(0, 0, 30))
	if err != nil {
		return nil, err
	}
	holds, err := c.store.HoldCounts(r.Context())
	if err != nil {
		return nil, err
	}
	var list []vendorView
	for _, st := range states {
		v := vendorView{VendorState: st}
		v.Declared, _ = m.Vendor(st.Name)
		if v.Declared != nil && v.Declared.Quota > 0 {
			v.Share = st.Live * 100 / v.Declared.Quota
		}
		for i := range st.Tokens {
			t := &st.Tokens[i]
			if !t.Live(now) {
				continue
			}
			v.LiveToken++
			if t.Created.After(v.Newest) {
				v.Newest = t.Created
			}
			if !t.Expires.IsZero() && (v.Soonest.IsZero() || t.Expires.Before(v.Soonest)) {
				v.Soonest = t.Expires
			}
		}
		for _, e := range ends {
			if e.Vendor == st.Name {
				v.Ends += e.Ends
			}
		}
		for _, h := range holds {
			if h.Vendor == st.Name {
				v.Held += h.Open
			}
		}
		v.judge(now)
		list = append(list, v)
	}
	return list, nil
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (c *Console) vendors(w http.ResponseWriter, r *http.Request, s *session) error {
	list, err := c.vendorViews(r, time.Now().UTC())
	if err != nil {
		return err
	}
	return c.page(w, r, s, "vendors", "Vendors", list)
}

func (c *Console) vendor(w http.ResponseWriter, r *http.Request, s *session) error {
	now := time.Now().UTC()
	list, err := c.vendorViews(r, now)
	if err != nil {
		return err
	}
	for _, v := range list {
		if v.Name != r.PathValue("vendor") {
			continue
		}
		for e, err := range c.store.Journal(r.Context(), contractor.JournalQuery{Kind: "client.refused", Vendor: v.Name, Descending: true, Limit: refusedShown}) {
			if err != nil {
				return err
			}
			v.Refused = append(v.Refused, e)
		}
		return c.page(w, r, s, "vendor", "Vendor "+v.Name, v)
	}
	return contractor.Errorf(contractor.CodeNotFound, "No vendor %s is known; add it with: scimbridge vendor add %s", r.PathValue("vendor"), r.PathValue("vendor"))
}

// pauseVendor refuses what a vendor sends, or takes it again.
func (c *Console) pauseVendor(w http.ResponseWriter, r *http.Request, s *session) error {
	reason, err := reasonOf(r)
	if err != nil {
		return err
	}
	name, pause := r.PathValue("vendor"), r.PostFormValue("pause") == "1"
	if err := c.store.PauseVendor(r.Context(), s.actor(), name, pause, reason); err != nil {
		return err
	}
	if pause {
		s.tell("Vendor " + name + " is paused: what it sends is refused. Contracts that it sent before go on, and end as they say.")
	} else {
		s.tell("Vendor " + name + " may send again.")
	}
	http.Redirect(w, r, "/vendors/"+name, http.StatusSeeOther)
	return nil
}
