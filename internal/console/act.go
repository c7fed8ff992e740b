package console

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// personAction is something that can be done to a person: a page that says what will happen and asks for the reason, and the act.
type personAction struct {
	verb   string // of the URL
	title  string
	button string
	grave  bool // takes access away
	what   func(p *contractor.Person) []string
	look   func(ctx context.Context, c *Console, p *contractor.Person, v *askView) error // adds what must be looked up; nil: nothing
	do     func(ctx context.Context, c *Console, actor audit.Actor, p *contractor.Person, r *http.Request, reason string) (done, error)
}

// done is what became of an action.
type done struct {
	told   string
	person string // whose page is shown then; "" the same person's
}

// only tells, and stays with the person.
func only(told string, err error) (done, error) { return done{told: told}, err }

func personActions() []personAction {
	return []personAction{
		{
			verb: "end", title: "End access now", button: "End access now", grave: true,
			what: func(p *contractor.Person) []string {
				return []string{
					"Sign-in is disabled and sessions are revoked, ahead of everything else.",
					fmt.Sprintf("Everything held is taken back: %s.", plural(len(p.Holdings), "grant")),
					"The door stays closed, whatever vendors send, until somebody releases it. The guest is not deleted while it is stopped.",
					"A token that was issued already lives until it expires, an hour by default.",
				}
			},
			do: func(ctx context.Context, c *Console, actor audit.Actor, p *contractor.Person, _ *http.Request, reason string) (done, error) {
				return only("Stopped. The door is being closed.", c.store.BlockPerson(ctx, actor, p.ID, reason))
			},
		},
		{
			verb: "release", title: "Lift the stop", button: "Lift the stop",
			what: func(*contractor.Person) []string {
				return []string{"Records and rules decide again: where a contract is live, sign-in is enabled and what the rules grant is given back."}
			},
			do: func(ctx context.Context, c *Console, actor audit.Actor, p *contractor.Person, _ *http.Request, reason string) (done, error) {
				return only("The stop is lifted.", c.store.UnblockPerson(ctx, actor, p.ID, reason))
			},
		},
		{
			verb: "extend", title: "Extend a contract", button: "Extend",
			what: func(*contractor.Person) []string {
				return []string{
					"The contract ends at the last second of the day you choose, in the vendor's time zone, until its vendor sends another end.",
					"The limits of rules still hold: what is granted for 90 days at most stays so.",
				}
			},
			do: extend, look: extendable,
		},
		{
			verb: "confirm", title: "Confirm in the sponsor's place", button: "Confirm",
			what: func(*contractor.Person) []string {
				return []string{"The person counts as confirmed from now. If access was ended since nobody confirmed, it comes back."}
			},
			do: func(ctx context.Context, c *Console, actor audit.Actor, p *contractor.Person, _ *http.Request, reason string) (done, error) {
				return only("Confirmed.", c.store.ConfirmPerson(ctx, actor, p.ID, reason))
			},
		},
		{
			verb: "adopt", title: "Adopt the guest", button: "Adopt it", grave: true,
			what: func(*contractor.Person) []string {
				return []string{
					"From now on the guest is changed as records and rules say, and at the end its access is taken and the guest deleted.",
					"What somebody else gave it goes with the rest when the last contract ends.",
				}
			},
			look: adoptable, do: adopt,
		},
		{
			verb: "merge", title: "Merge with another record", button: "Make one of both", grave: true,
			what: func(*contractor.Person) []string {
				return []string{
					"Engagements of both count for one guest; later records with either address reach the same person.",
					"If both have a guest, the second one is closed at once and deleted thirty days later.",
				}
			},
			look: mergeable, do: merge,
		},
		{
			verb: "split", title: "Split off an engagement", button: "Split it off",
			what: func(*contractor.Person) []string {
				return []string{
					"The engagement is of another human than it was taken for. One that came here by a further address gets a person, and in the end a guest, of its own; one that waits for a doubt is let through.",
					"The two are not taken for one again.",
				}
			},
			look: extendable, do: split,
		},
	}
}

func extend(ctx context.Context, c *Console, actor audit.Actor, p *contractor.Person, r *http.Request, reason string) (done, error) {
	id := r.PostFormValue("engagement")
	for i := range p.Engagements {
		e := &p.Engagements[i]
		if e.ID != id || e.Deleted {
			continue
		}
		zone := time.UTC
		if v, ok := c.bridge.Mapping().Vendor(e.Vendor); ok && v.Zone != nil {
			zone = v.Zone
		}
		until, err := contractor.ParseDate(r.PostFormValue("until"), nil, zone, contractor.EndOfDay)
		if err != nil || !until.After(time.Now()) {
			return done{}, contractor.Errorf(contractor.CodeInvalid, "%q is not a day to come. Go back and choose one, such as %s.", r.PostFormValue("until"), time.Now().AddDate(0, 1, 0).Format("2006-01-02"))
		}
		return only("The contract of "+e.Vendor+" now ends "+until.UTC().Format("2006-01-02 15:04")+".", c.store.ExtendEngagement(ctx, actor, e.ID, until, reason))
	}
	return done{}, contractor.Errorf(contractor.CodeInvalid, "Choose the contract to extend.")
}

type askView struct {
	Action      personAction
	Verb        string
	Title       string
	Button      string
	Grave       bool
	What        []string
	Person      *contractor.Person
	Name        string
	Engagements []contractor.Engagement // to extend
	Chosen      string
	Tomorrow    string
	Facts       []field       // of a guest to adopt
	Others      []otherPerson // who may be the same human
	Other       string        // the one that was chosen
}

// otherPerson may be the same human.
type otherPerson struct {
	ID, Name, Email string
	Hints           []contractor.Hint
}

// askPerson says what an action does and asks for its reason.
func (c *Console) askPerson(a personAction) func(http.ResponseWriter, *http.Request, *session) error {
	return func(w http.ResponseWriter, r *http.Request, s *session) error {
		p, err := c.store.FindPerson(r.Context(), r.PathValue("person"))
		if err != nil {
			return err
		}
		v := askView{
			Action: a, Verb: a.verb, Title: a.title, Button: a.button, Grave: a.grave, What: a.what(p), Person: p, Name: displayName(p),
			Chosen: r.FormValue("engagement"), Tomorrow: time.Now().AddDate(0, 0, 1).Format("2006-01-02"),
		}
		v.Other = r.FormValue("other")
		if a.look != nil {
			if err := a.look(r.Context(), c, p, &v); err != nil {
				return err
			}
		}
		return c.page(w, r, s, "ask", a.title+": "+v.Name, v)
	}
}

func (c *Console) doPerson(a personAction) func(http.ResponseWriter, *http.Request, *session) error {
	return func(w http.ResponseWriter, r *http.Request, s *session) error {
		reason, err := reasonOf(r)
		if err != nil {
			return err
		}
		p, err := c.store.FindPerson(r.Context(), r.PathValue("person"))
		if err != nil {
			return err
		}
		then, err := a.do(r.Context(), c, s.actor(), p, r, reason)
		if err != nil {
			return err
		}
		c.bridge.Wake()
		s.tell(then.told)
		http.Redirect(w, r, "/contractors/"+orElse(then.person, p.ID), http.StatusSeeOther)
		return nil
	}
}
