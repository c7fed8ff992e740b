package console

import (
	"fmt"
	"net/http"
	"strconv"

	"scimbridge/internal/contractor"
)

// holdGroup is what of one vendor waits for one reason.
type holdGroup struct {
	Vendor string
	Kind   contractor.HoldKind
	Open   int
	Holds  []contractor.Hold // the first of them
	More   bool
}

// Title says what waits.
func (g holdGroup) Title() string {
	switch g.Kind {
	case contractor.HoldMassEnd:
		return "Sudden ends"
	case contractor.HoldDateMove:
		return "Ends moved far"
	case contractor.HoldMapping:
		return "Access taken by the mapping"
	}
	return "Held: " + string(g.Kind)
}

// Approve and Cancel say what a decision does.
func (g holdGroup) Approve() string {
	switch g.Kind {
	case contractor.HoldMassEnd:
		return "The contracts end now: sign-in disabled, sessions revoked, groups and packages taken back."
	case contractor.HoldDateMove:
		return "The later end counts: access goes on until then."
	case contractor.HoldMapping:
		return "What is listed is taken away now."
	}
	return "The change takes effect."
}

// Cancel says what cancelling does.
func (g holdGroup) Cancel() string {
	switch g.Kind {
	case contractor.HoldMassEnd:
		return "The end is ignored until the vendor sends another; the end that was in force before counts."
	case contractor.HoldDateMove:
		return "The move is ignored until the vendor sends another; the end that was in force before counts."
	case contractor.HoldMapping:
		return "These people keep it, until the next edit of the mapping takes it away."
	}
	return "The change is ignored until the vendor sends another."
}

// Undecided says what happens if nobody decides.
func (g holdGroup) Undecided() string {
	if g.Kind == contractor.HoldDateMove {
		return "Undecided, the later end is ignored"
	}
	return "Undecided, it takes effect"
}

const (
	holdsShown = 50
	maxDecided = 1000 // holds that one form decides
)

// holdGroups reads what waits, each group with its first holds.
func (c *Console) holdGroups(r *http.Request, shown int) ([]holdGroup, error) {
	list, err := c.store.HoldCounts(r.Context())
	if err != nil {
		return nil, err
	}
	var groups []holdGroup
	for _, n := range list {
		g := holdGroup{Vendor: n.Vendor, Kind: n.Kind, Open: n.Open}
		holds, err := c.store.Holds(r.Context(), contractor.HoldQuery{Vendor: n.Vendor})
		if err != nil {
			return nil, err
		}
		for _, h := range holds {
			if h.Kind == n.Kind && len(g.Holds) < shown {
				g.Holds = append(g.Holds, h)
			}
		}
		g.More = g.Open > len(g.Holds)
		groups = append(groups, g)
	}
	return groups, nil
}

type holdsView struct {
	Groups  []holdGroup
	Names   map[string]string // people's names by id
	People  []contractor.PersonSummary
	Next    string
	Decided []contractor.Hold
	Vendor  string
}

func (c *Console) holds(w http.ResponseWriter, r *http.Request, s *session) error {
	v := holdsView{Names: map[string]string{}}
	var err error
	if v.Groups, err = c.holdGroups(r, holdsShown); err != nil {
		return err
	}
	const perPage = 50
	if v.People, err = c.store.ListPersons(r.Context(), contractor.PersonQuery{Held: true, After: r.FormValue("after"), Limit: perPage}); err != nil {
		return err
	}
	if len(v.People) == perPage {
		v.Next = v.People[perPage-1].Person.ID
	}
	all, err := c.store.Holds(r.Context(), contractor.HoldQuery{All: true, Limit: 50})
	if err != nil {
		return err
	}
	for _, h := range all {
		if h.State != contractor.HoldOpen {
			v.Decided = append(v.Decided, h)
		}
	}
	for _, g := range v.Groups {
		for _, h := range g.Holds {
			c.nameOf(r, h.Person, v.Names)
		}
	}
	return c.page(w, r, s, "holds", "Holds", v)
}

// nameOf fills in a person's name for a list; the id stands where there is none.
func (c *Console) nameOf(r *http.Request, id string, names map[string]string) {
	if id == "" || names[id] != "" {
		return
	}
	names[id] = id
	if p, err := c.store.FindPerson(r.Context(), id); err == nil {
		names[id] = displayName(p)
	}
}

// decideHolds approves or cancels the ticked holds, or all of a vendor's of one kind.
func (c *Console) decideHolds(w http.ResponseWriter, r *http.Request, s *session) error {
	reason, err := reasonOf(r)
	if err != nil {
		return err
	}
	decision := r.PostFormValue("decision")
	if decision != "approve" && decision != "cancel" {
		return contractor.Errorf(contractor.CodeInvalid, "Say approve or cancel.")
	}
	ids, err := c.chosen(r)
	if err != nil {
		return err
	}
	done := 0
	for _, id := range ids {
		if _, err := c.store.DecideHold(whole(r), s.actor(), id, decision == "approve", reason); err != nil {
			if done > 0 {
				s.tell(fmt.Sprintf("%s decided; hold %d was not.", plural(done, "hold"), id))
				c.bridge.Wake()
			}
			return err
		}
		done++
	}
	c.bridge.Wake()
	word := "approved"
	if decision == "cancel" {
		word = "cancelled"
	}
	s.tell(fmt.Sprintf("%s %s.", plural(done, "hold"), word))
	http.Redirect(w, r, "/holds", http.StatusSeeOther)
	return nil
}

func (c *Console) chosen(r *http.Request) (ids []int64, err error) {
	if vendor := r.PostFormValue("all"); vendor != "" {
		holds, err := c.store.Holds(r.Context(), contractor.HoldQuery{Vendor: vendor, Limit: maxDecided})
		if err != nil {
			return nil, err
		}
		for _, h := range holds {
			if string(h.Kind) == r.PostFormValue("kind") {
				ids = append(ids, h.ID)
			}
		}
		return ids, nil
	}
	for _, text := range r.PostForm["hold"] {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, contractor.Errorf(contractor.CodeInvalid, "%q is not the number of a hold.", text)
		}
		ids = append(ids, id)
	}
	switch {
	case len(ids) == 0:
		return nil, contractor.Errorf(contractor.CodeInvalid, "Tick what the decision is about.")
	case len(ids) > maxDecided:
		return nil, contractor.Errorf(contractor.CodeInvalid, "One form decides at most %d holds.", maxDecided)
	}
	return ids, nil
}
