package console

import (
	"context"
	"net/http"
	"strings"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// extendable lists the engagements to choose from.
func extendable(_ context.Context, _ *Console, p *contractor.Person, v *askView) error {
	for i := range p.Engagements {
		if !p.Engagements[i].Deleted {
			v.Engagements = append(v.Engagements, p.Engagements[i])
		}
	}
	return nil
}

// adoptable shows what the tenant says of the guest, so that somebody can tell whether it is this human's.
func adoptable(ctx context.Context, c *Console, p *contractor.Person, v *askView) error {
	g, err := c.bridge.Adoptable(ctx, p)
	if err != nil {
		return err
	}
	able := "yes"
	if !g.Enabled {
		able = "no"
	}
	v.Chosen = g.ID
	for _, f := range []field{
		{"guest", g.ID}, {"sign-in name", g.UserPrincipalName}, {"mail", g.Mail}, {"other addresses", strings.Join(g.OtherMails, ", ")},
		{"made", g.Created.UTC().Format("2006-01-02 15:04")}, {"can sign in", able}, {"invitation", g.State}, {"display name", g.Attributes["displayName"]},
	} {
		if f.Value != "" {
			v.Facts = append(v.Facts, f)
		}
	}
	return nil
}

func adopt(ctx context.Context, c *Console, actor audit.Actor, p *contractor.Person, r *http.Request, reason string) (done, error) {
	guest := r.PostFormValue("guest")
	if guest == "" {
		return done{}, contractor.Errorf(contractor.CodeInvalid, "The form names no guest. Go back, and look at it again.")
	}
	if err := c.bridge.Adopt(ctx, actor, p, guest, reason); err != nil {
		return done{}, err
	}
	c.orphaned.forget(guest)
	return only("The guest is scimbridge's now.", nil)
}

// mergeable names who may be the same human, and why.
func mergeable(ctx context.Context, c *Console, p *contractor.Person, v *askView) error {
	id, err := c.store.Identity(ctx, p)
	if err != nil {
		return err
	}
	for _, m := range id.Matches {
		o := otherPerson{ID: m.Person, Name: m.Person, Hints: m.Hints}
		if x, err := c.store.FindPerson(ctx, m.Person); err == nil {
			o.Name, o.Email = displayName(x), x.Email
		}
		v.Others = append(v.Others, o)
	}
	if v.Other == "" && len(v.Others) == 1 {
		v.Other = v.Others[0].ID
	}
	return nil
}

func merge(ctx context.Context, c *Console, actor audit.Actor, p *contractor.Person, r *http.Request, reason string) (done, error) {
	key := strings.TrimSpace(r.PostFormValue("other"))
	if key == "" {
		return done{}, contractor.Errorf(contractor.CodeInvalid, "Say with whom: an address or an id. Go back and write it.")
	}
	other, err := c.store.FindPerson(ctx, key)
	if err != nil {
		return done{}, err
	}
	left, err := c.store.MergePersons(ctx, actor, p.ID, other.ID, reason)
	return done{told: "The two are one now.", person: left}, err
}

func split(ctx context.Context, c *Console, actor audit.Actor, p *contractor.Person, r *http.Request, reason string) (done, error) {
	id := r.PostFormValue("engagement")
	for i := range p.Engagements {
		if p.Engagements[i].ID == id {
			person, err := c.store.SplitEngagement(ctx, actor, id, reason)
			return done{told: "The engagement is this person's own.", person: person}, err
		}
	}
	return done{}, contractor.Errorf(contractor.CodeInvalid, "Choose the engagement to split off.")
}
