package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// lookSoon is the first pause before reading back what Entra may not show yet.
const lookSoon = time.Second

// readBack is when to look again for a write made at: soon at first, then at doubling distances, up to half a minute for the
// first ten minutes of a closing, up to a quarter of an hour otherwise.
func (ps *pass) readBack(at time.Time) time.Duration {
	age, limit := ps.now.Sub(at), 15*time.Minute
	if ps.closing() && age < 10*time.Minute {
		limit = 30 * time.Second
	}
	return min(max(age, lookSoon), limit)
}

// settleGuest finds the person's guest, or invites it where one is wanted. here is false where there is none to work on; the
// pass then has noted when to look again.
func (ps *pass) settleGuest(ctx context.Context) (here bool, err error) {
	if ps.p.GuestID != "" {
		return ps.knownGuest(ctx)
	}
	if !ps.want.Open && ps.p.InvitingAt.IsZero() {
		ps.ended = true // no guest, none wanted: only a record or a date can change that
		return false, nil
	}
	found, err := ps.Directory.FindGuest(ctx, ps.p.Email)
	if err != nil {
		return false, err
	}
	switch {
	case found != nil && !found.Deleted:
		return ps.foundGuest(ctx, found)
	case !ps.p.InvitingAt.IsZero() && ps.now.Sub(ps.p.InvitingAt) < ps.InviteWindow:
		ps.looks = append(ps.looks, ps.now.Add(ps.readBack(ps.p.InvitingAt)))
		return false, nil // an invitation may have left: a second one is worse than a late one
	case !ps.want.Open:
		ps.p.InvitingAt = time.Time{}
		return false, ps.record(ctx, nil, ps.event("guest.not_invited", audit.Done, "no guest was found for the invitation that was lost, and none is wanted any more"))
	}
	return ps.invite(ctx)
}

// knownGuest reads the guest we know.
func (ps *pass) knownGuest(ctx context.Context) (bool, error) {
	if ps.p.Phase == contractor.PhaseGone && !ps.want.Open {
		ps.ended = true
		return false, nil
	}
	g, err := ps.Directory.Guest(ctx, ps.p.GuestID)
	if err != nil {
		return false, err
	}
	if g == nil && ps.p.MissingAt.IsZero() {
		ps.p.MissingAt = ps.now // finish writes it
	}
	switch {
	case g == nil && ps.now.Sub(ps.p.MissingAt) < ps.Settle:
		ps.looks = append(ps.looks, ps.now.Add(ps.readBack(ps.p.MissingAt)))
		return false, nil // one read that finds nothing may come from a replica that lags: only lasting absence counts
	case g == nil || g.Deleted:
		return ps.lostGuest(ctx, g)
	}
	ps.p.MissingAt = time.Time{}
	ps.removals.done(ps.p.GuestID, restoration())
	if ps.p.Phase == contractor.PhaseGone { // somebody restored it, or our restore was not recorded
		ps.p.Phase = contractor.PhaseClosed
	}
	ps.guest = g
	return true, nil
}

// lostGuest deals with a guest that is deleted or nowhere: as we wanted, or behind our back.
func (ps *pass) lostGuest(ctx context.Context, g *contractor.Guest) (bool, error) {
	p := ps.p
	p.MissingAt = time.Time{}
	if !ps.want.Open {
		var ended []*contractor.Holding
		for i := range p.Holdings {
			h := &p.Holdings[i]
			h.State, h.EndedAt = contractor.HoldingEnded, ps.now
			ended = append(ended, h)
		}
		reason := "read back: the guest is deleted"
		if p.DeletingAt.IsZero() {
			reason = "the guest was deleted by somebody else"
		}
		p.Phase, p.GoneAt, p.DeletingAt = contractor.PhaseGone, ps.now, time.Time{}
		ps.ended = true
		return false, ps.record(ctx, ended, ps.event("guest.gone", audit.Done, reason))
	}
	if ps.deletedByOther() {
		return false, nil
	}
	if g != nil {
		if waits := ps.restoring(); waits {
			return false, nil
		}
		r, err := ps.Directory.RestoreGuest(ctx, p.GuestID)
		if err != nil {
			return false, err
		}
		ps.removals.note(p.GuestID, restoration(), ps.now)
		// Restoring brings the memberships of old back: the holdings stay as they are and are compared next.
		p.Phase, p.GoneAt, p.DeletingAt, p.AttributesHash = contractor.PhaseClosed, time.Time{}, time.Time{}, ""
		p.EmptyAt = time.Time{}
		ps.lookIn(lookSoon)
		return false, ps.record(ctx, nil, proven(ps.event("guest.restored", audit.Done, "a live engagement wants the guest that was deleted"), r))
	}
	var ended []*contractor.Holding
	for i := range p.Holdings {
		h := &p.Holdings[i]
		h.State, h.EndedAt = contractor.HoldingEnded, ps.now
		ended = append(ended, h)
	}
	p.GuestID, p.Phase, p.Origin, p.SponsorID, p.SponsorRefs, p.AttributesHash, p.GuestState = "", contractor.PhaseNew, "", "", "", "", ""
	p.InvitingAt, p.InvitedAt = time.Time{}, time.Time{}
	p.ClosingAt, p.ClosedAt, p.RevokedAt = time.Time{}, time.Time{}, time.Time{}
	p.EmptyAt, p.DeletingAt, p.GoneAt = time.Time{}, time.Time{}, time.Time{}
	ps.lookIn(lookSoon)
	return false, ps.record(ctx, ended, ps.event("guest.lost", audit.Done, "the guest is nowhere, not even among the deleted; a live engagement wants it, so it will be invited anew"))
}

// foundGuest decides whether an account that has the person's address is ours: only one that our own lost invitation made.
func (ps *pass) foundGuest(ctx context.Context, g *contractor.Guest) (bool, error) {
	ours := !ps.p.InvitingAt.IsZero() && !g.Created.IsZero() && g.Created.After(ps.p.InvitingAt.Add(-ps.MaxSkew))
	if !ours || g.Type != "Guest" {
		ps.hold("an account with this address is in the tenant already and was not invited by scimbridge; adopt it (scimbridge contractor adopt) or have the address corrected")
		ps.lookIn(time.Hour)
		return false, nil
	}
	return true, ps.take(ctx, g, contractor.Receipt{Handle: g.ID}, "found after its invitation's answer was lost")
}

// take makes a guest the person's own.
func (ps *pass) take(ctx context.Context, g *contractor.Guest, r contractor.Receipt, reason string) error {
	p := ps.p
	p.GuestID, p.Origin, p.Phase, p.GuestState = g.ID, contractor.OriginInvited, contractor.PhaseOpen, g.State
	p.InvitedAt, p.InvitingAt = ps.now, time.Time{}
	ps.guest = g
	e := proven(ps.event("guest.invited", audit.Done, reason), r)
	if p.SponsorID != "" {
		e.Detail = sponsorDetail(p.SponsorID)
	}
	return ps.record(ctx, nil, e)
}

// invite asks Entra for the guest, with sponsor and display name in the one call. The intent is on disk before the call.
func (ps *pass) invite(ctx context.Context) (bool, error) {
	sponsor, err := ps.sponsor(ctx)
	if err != nil {
		return false, err
	}
	if sponsor == "" && ps.want.SponsorMust {
		ps.hold("no sponsor was found in the tenant, and the mapping requires one; send sponsorEmail with the address of an enabled internal user, or set defaults.sponsor.fallback")
		ps.lookIn(time.Hour)
		return false, nil
	}
	in := ps.want.Invite
	in.Email = ps.p.Email
	if sponsor != "" {
		in.SponsorIDs = []string{sponsor}
	}
	ps.p.InvitingAt = ps.now
	if err := ps.record(ctx, nil, ps.event("guest.inviting", audit.Intended, ps.why())); err != nil {
		return false, err
	}
	r, err := ps.Directory.Invite(ctx, in)
	if err != nil {
		var f *contractor.Failure
		if errors.As(err, &f) && f.Verdict != contractor.VerdictUnknown {
			ps.p.InvitingAt = time.Time{} // it is known not to have happened; finish writes this
			if f.Verdict == contractor.VerdictRefused || f.Verdict == contractor.VerdictPermanent {
				ps.hold("Entra refused the invitation: " + f.Message)
			}
		}
		return false, err
	}
	if r.AlreadySo {
		// The address may have been in the directory, though the look-up did not see it: ours only if made by this try or an earlier one.
		e := ps.event("guest.invite_answered", audit.Done, "Entra named a guest for the invitation; whether it is new is looked at")
		e.RequestID, e.ClientID = r.RequestID, r.ClientRequestID
		if err := ps.record(ctx, nil, e); err != nil {
			return false, err
		}
		g, err := ps.Directory.Guest(ctx, r.Handle)
		if err != nil {
			return false, err
		}
		if g == nil {
			ps.lookIn(lookSoon)
			return false, nil
		}
		return ps.foundGuest(ctx, g)
	}
	ps.p.SponsorID, ps.p.SponsorRefs, ps.fresh = sponsor, refsHash(ps.want.Sponsors), true
	g := &contractor.Guest{ID: r.Handle, Type: "Guest", Enabled: true, State: "PendingAcceptance"}
	return true, ps.take(ctx, g, r, ps.why())
}

// why names what wants the guest: the engagements that keep it open.
func (ps *pass) why() string {
	for _, ev := range ps.want.Evaluations {
		if ev.Status == contractor.StatusActive || ev.Status == contractor.StatusExpiring || ev.Status == contractor.StatusScheduled {
			return "engagement " + ev.Engagement + " of vendor " + ev.Vendor + " is " + string(ev.Status)
		}
	}
	return "no live engagement"
}

// sponsor is the first candidate that the tenant knows; "" if none.
func (ps *pass) sponsor(ctx context.Context) (string, error) {
	for _, ref := range ps.want.Sponsors {
		id, err := ps.Directory.FindSponsor(ctx, ref)
		if err != nil || id != "" {
			return id, err
		}
	}
	return "", nil
}

// attributes brings the guest's properties and sponsor up to date, in as few writes as can be: none if nothing changed since
// the last time. A refusal here costs no access: it is told, and the pass goes on.
func (ps *pass) attributes(ctx context.Context) error {
	hash, err := hashOf(&ps.want)
	if err != nil || hash == ps.p.AttributesHash {
		return err
	}
	if len(ps.want.Attributes) > 0 {
		r, err := ps.Directory.UpdateGuest(ctx, ps.p.GuestID, ps.want.Attributes)
		if err != nil {
			return ps.tolerate(err)
		}
		e := proven(ps.event("guest.updated", audit.Done, "properties as the mapping has them"), r)
		e.Detail = names(ps.want.Attributes)
		if err := ps.record(ctx, nil, e); err != nil {
			return err
		}
	}
	// The invitation carried the sponsor. Who has followed one who left stays while the record names the same people.
	if refs := refsHash(ps.want.Sponsors); !ps.fresh && (ps.p.SponsorID == "" || ps.p.SponsorRefs != refs) {
		sponsor, err := ps.sponsor(ctx)
		if err != nil {
			return err
		}
		switch {
		case sponsor == "" && ps.want.SponsorMust && ps.p.SponsorID == "":
			ps.problems = append(ps.problems, "no sponsor was found in the tenant, and the mapping requires one")
		case sponsor != "" && sponsor != ps.p.SponsorID:
			r, err := ps.Directory.SetSponsors(ctx, ps.p.GuestID, []string{sponsor})
			if err != nil {
				return ps.tolerate(err)
			}
			ps.p.SponsorID, ps.p.SponsorRefs = sponsor, refs
			e := proven(ps.event("guest.sponsored", audit.Done, "sponsor as the record has it"), r)
			e.Detail = sponsorDetail(sponsor)
			if err := ps.record(ctx, nil, e); err != nil {
				return err
			}
		case sponsor != "":
			ps.p.SponsorRefs = refs
		}
	}
	if ps.want.SponsorManages {
		if err := ps.manager(ctx); err != nil {
			return err
		}
	}
	ps.p.AttributesHash = hash // finish writes it
	return nil
}

// manager makes the sponsor the guest's manager, where the sponsor is a person: a group manages nobody.
func (ps *pass) manager(ctx context.Context) error {
	if ps.p.SponsorID == "" || slices.Contains(ps.want.Sponsors, "group:"+ps.p.SponsorID) {
		return nil
	}
	r, err := ps.Directory.SetManager(ctx, ps.p.GuestID, ps.p.SponsorID)
	if err != nil {
		return ps.tolerate(err)
	}
	return ps.record(ctx, nil, proven(ps.event("guest.manager_set", audit.Done, "the sponsor is the manager, as the mapping says"), r))
}

// tolerate keeps a refused or wrong write from ending the pass; what is transient does end it, and is tried again.
func (ps *pass) tolerate(err error) error {
	if f := refusal(err); f != nil {
		ps.problem(f)
		ps.lookIn(15 * time.Minute)
		return nil
	}
	return err
}

// refusal is the failure of a call that Entra will answer in the same way next time; nil if err is none.
func refusal(err error) *contractor.Failure {
	var f *contractor.Failure
	if errors.As(err, &f) && (f.Verdict == contractor.VerdictRefused || f.Verdict == contractor.VerdictPermanent) {
		return f
	}
	return nil
}

func hashOf(want *contractor.Desired) (string, error) {
	b, err := json.Marshal(struct {
		A map[string]string
		S []string
		M bool `json:",omitempty"`
	}{want.Attributes, want.Sponsors, want.SponsorManages})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// sponsorDetail names a sponsor by its Entra object id.
func sponsorDetail(id string) json.RawMessage { return detail(map[string]any{"sponsor": id}) }

// refsHash tells one list of sponsors that records name from another.
func refsHash(refs []string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.Join(refs, "\n"))))
	return hex.EncodeToString(sum[:8])
}

// names lists which properties were written; their values are personal.
func names(attributes map[string]string) json.RawMessage {
	list := make([]string, 0, len(attributes))
	for k := range attributes {
		list = append(list, k)
	}
	slices.Sort(list)
	b, err := json.Marshal(map[string][]string{"properties": list})
	if err != nil {
		return nil
	}
	return b
}
