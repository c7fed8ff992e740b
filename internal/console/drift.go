package console

import (
	"net/http"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

type driftView struct {
	List  []contractor.Drift
	Names map[string]string
	All   bool
	Soon  string // the day that an override is proposed to end
}

const (
	driftShown = 200
	// maxAllowed bounds how long an override may last: it is for an exception, and the mapping for a rule.
	maxAllowed = 366 * 24 * time.Hour
)

func (c *Console) drift(w http.ResponseWriter, r *http.Request, s *session) error {
	now := time.Now().UTC()
	v := driftView{All: r.FormValue("all") == "1", Names: map[string]string{}, Soon: now.AddDate(0, 0, 14).Format("2006-01-02")}
	var err error
	if v.List, err = c.store.Drift(r.Context(), contractor.DriftQuery{All: v.All, Limit: driftShown}, now); err != nil {
		return err
	}
	for i := range v.List {
		c.nameOf(r, v.List[i].Person, v.Names)
	}
	return c.page(w, r, s, "drift", "Drift", v)
}

// settleDrift asks for the repair of what somebody changed about a person, or lets one piece of it stand until a day.
func (c *Console) settleDrift(w http.ResponseWriter, r *http.Request, s *session) error {
	reason, err := reasonOf(r)
	if err != nil {
		return err
	}
	p, err := c.store.FindPerson(r.Context(), r.PathValue("person"))
	if err != nil {
		return err
	}
	switch r.PostFormValue("decision") {
	case "repair":
		if _, err := c.store.AskRepair(r.Context(), s.actor(), p.ID, reason); err != nil {
			return err
		}
		s.tell("The repair is asked for: Entra is made as the mapping has it.")
	case "allow":
		until, err := contractor.ParseDate(r.PostFormValue("until"), nil, time.UTC, contractor.EndOfDay)
		now := time.Now()
		if err != nil || !until.After(now) || until.Sub(now) > maxAllowed {
			return contractor.Errorf(contractor.CodeInvalid, "%q is not a day within a year from now.", r.PostFormValue("until"))
		}
		err = c.store.AllowDrift(r.Context(), s.actor(), contractor.DriftOverride{
			Person: p.ID, Kind: contractor.DriftKind(r.PostFormValue("kind")), Object: objectID(r.PostFormValue("object")), Until: until, At: now.UTC(), By: s.actor().Name, Reason: reason,
		})
		if err != nil {
			return err
		}
		s.tell("It may stand until " + until.Format("2006-01-02") + ".")
	default:
		return contractor.Errorf(contractor.CodeInvalid, "Say repair or allow.")
	}
	c.bridge.Wake()
	http.Redirect(w, r, "/drift", http.StatusSeeOther)
	return nil
}

// objectID is the Entra id in a drift's object, "group ext-base (3f0c…)".
func objectID(object string) string {
	_, id, ok := strings.Cut(object, "(")
	if !ok {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(id, ")"))
}
