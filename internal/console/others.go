package console

import (
	"net/http"
	"slices"
	"time"

	"scimbridge/internal/contractor"
)

type alarmsView struct {
	List     []contractor.Alarm
	Names    map[string]string
	All      bool
	Watching bool
}

const alarmsShown = 200

// gravest puts what is worst first, the newest first among equals.
func gravest(list []contractor.Alarm) {
	rank := func(s contractor.Severity) int {
		return slices.Index([]contractor.Severity{contractor.SeverityCritical, contractor.SeverityWarning, contractor.SeverityNotice}, s)
	}
	slices.SortStableFunc(list, func(a, b contractor.Alarm) int { return rank(a.Severity) - rank(b.Severity) })
}

func (c *Console) alarms(w http.ResponseWriter, r *http.Request, s *session) error {
	st, err := c.bridge.Status(r.Context())
	if err != nil {
		return err
	}
	v := alarmsView{All: r.FormValue("all") == "1", Names: map[string]string{}, Watching: st.Watching}
	if v.List, err = c.store.Alarms(r.Context(), contractor.AlarmQuery{All: v.All, Limit: alarmsShown}); err != nil {
		return err
	}
	gravest(v.List)
	for i := range v.List {
		c.nameOf(r, v.List[i].Person, v.Names)
	}
	return c.page(w, r, s, "alarms", "Alarms", v)
}

func (c *Console) acknowledge(w http.ResponseWriter, r *http.Request, s *session) error {
	note, err := reasonOf(r)
	if err != nil {
		return err
	}
	if _, err := c.store.AcknowledgeAlarm(r.Context(), s.actor(), r.PathValue("alarm"), note); err != nil {
		return err
	}
	s.tell("The alarm is acknowledged. If it happens again, it is raised anew.")
	http.Redirect(w, r, "/alarms", http.StatusSeeOther)
	return nil
}

type attestView struct {
	Waiting []contractor.Attestation // asked and not answered, or stopped
	Every   contractor.Span
	Grace   contractor.Span
	Mailing bool
	Cut     bool // there are more
}

const attestShown = 200

func (c *Console) attestations(w http.ResponseWriter, r *http.Request, s *session) error {
	rules := c.bridge.Mapping().Attest()
	v := attestView{Every: rules.Every, Grace: rules.Grace}
	st, err := c.bridge.Status(r.Context())
	if err != nil {
		return err
	}
	v.Mailing = st.Mailing
	if !rules.Every.IsZero() {
		if v.Waiting, err = c.store.WaitingAttestations(r.Context(), time.Now().UTC(), attestShown+1); err != nil {
			return err
		}
		if len(v.Waiting) > attestShown {
			v.Waiting, v.Cut = v.Waiting[:attestShown], true
		}
	}
	return c.page(w, r, s, "attestations", "Attestations", v)
}

func (c *Console) policies(w http.ResponseWriter, r *http.Request, s *session) error {
	list, err := c.bridge.Policies(r.Context())
	if err != nil {
		return err
	}
	alarms, err := c.store.Alarms(r.Context(), contractor.AlarmQuery{Limit: alarmsShown})
	if err != nil {
		return err
	}
	var drift []contractor.Alarm
	for _, a := range alarms {
		if a.Kind == contractor.AlarmPolicyChanged {
			drift = append(drift, a)
		}
	}
	return c.page(w, r, s, "policies", "Policies", struct {
		List  []Policy
		Drift []contractor.Alarm
	}{list, drift})
}

// keys lists what the keyboard does.
func (c *Console) keys(w http.ResponseWriter, r *http.Request, s *session) error {
	return c.page(w, r, s, "keys", "Keys", nil)
}
