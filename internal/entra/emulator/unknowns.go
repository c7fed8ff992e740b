package emulator

// Choice fixes one of two behaviours, or leaves it to the seed.
type Choice int

// The values of a Choice.
const (
	Either Choice = iota // the seed decides
	Yes
	No
)

// Unknowns are the points on which the documentation is silent or contradicts
// itself. A client has to be right in both cases.
type Unknowns struct {
	// ReinviteRefused: POST /invitations for an enabled guest that exists answers 400
	// "already exists ... object ID" (Yes) or 201 with the same user id (No).
	ReinviteRefused Choice
	// SponsorOfAppIsNobody: an invitation by an application without sponsors leaves
	// the guest without one (Yes), or stamps the service principal (No).
	SponsorOfAppIsNobody Choice
	// PIMTakesOverMember: adminAssign for a plain member turns the membership into the
	// assigned one (Yes), or answers RoleAssignmentExists (No).
	PIMTakesOverMember Choice
	// CapCountsFromStart: the longest duration of a PIM policy is measured from the
	// start that the request names, even when it lies in the past (Yes), or from now (No).
	CapCountsFromStart Choice
	// ExtendOnlyLate: adminExtend more than 14 days before the end is refused.
	ExtendOnlyLate Choice
	// PIMCapitalised: PIM reads say Assigned and Direct as the documentation shows (Yes,
	// also what Either means) or assigned and direct as the metadata says (No).
	PIMCapitalised Choice
	// BindNeedsGroupReadWrite: PATCH /groups/{id} with members@odata.bind wants
	// Group.ReadWrite.All (Yes), or is content with GroupMember.ReadWrite.All (No).
	BindNeedsGroupReadWrite Choice
	// SecondPackageRefused: adminAdd for somebody who has the package answers 400 (Yes),
	// or 201 and the request is denied afterwards (No).
	SecondPackageRefused Choice
	// DuplicateSponsorRefused: adding a sponsor twice answers 400 (Yes) or 204 (No).
	DuplicateSponsorRefused Choice
	// RevokeAnswers204: revokeSignInSessions answers 204 without a body (Yes) or 200
	// with {"value": true} (No, also what Either means).
	RevokeAnswers204 Choice
	// DeletedFilters: deletedItems takes $filter on mail and userPrincipalName (Yes), or
	// answers 400 to any filter (No).
	DeletedFilters Choice
	// OneFilterForAll: GET /users takes a filter that joins conditions on several properties
	// with "or" (Yes, also what Either means, since the documentation gives such a filter for
	// finding a guest), or answers 400 (No).
	OneFilterForAll Choice
	// DeletedUPNMangled: the UPN of a soft-deleted user is prefixed with its object id
	// without dashes until it is restored (Yes), or stays (No).
	DeletedUPNMangled Choice
	// BatchThrottled424: a batch with throttled items answers 424 as a whole (Yes), or 200
	// with the 429 inside (No, also what Either means).
	BatchThrottled424 Choice
}

// settled answers every open question: fixed where the documentation leans to one
// side, by the seed elsewhere.
func (u Unknowns) settled(d *dice) Unknowns {
	for name, c := range map[string]*Choice{
		"ReinviteRefused":         &u.ReinviteRefused,
		"SponsorOfAppIsNobody":    &u.SponsorOfAppIsNobody,
		"PIMTakesOverMember":      &u.PIMTakesOverMember,
		"CapCountsFromStart":      &u.CapCountsFromStart,
		"ExtendOnlyLate":          &u.ExtendOnlyLate,
		"BindNeedsGroupReadWrite": &u.BindNeedsGroupReadWrite,
		"SecondPackageRefused":    &u.SecondPackageRefused,
		"DuplicateSponsorRefused": &u.DuplicateSponsorRefused,
		"DeletedFilters":          &u.DeletedFilters,
		"DeletedUPNMangled":       &u.DeletedUPNMangled,
	} {
		if *c == Either {
			*c = No
			if d.chance(0.5, "unknown", name) {
				*c = Yes
			}
		}
	}
	u.OneFilterForAll = or(u.OneFilterForAll, Yes)
	u.PIMCapitalised = or(u.PIMCapitalised, Yes)
	u.RevokeAnswers204 = or(u.RevokeAnswers204, No)
	u.BatchThrottled424 = or(u.BatchThrottled424, No)
	return u
}

// MarshalText writes the choice as a word.
func (c Choice) MarshalText() ([]byte, error) {
	return []byte([]string{"either", "yes", "no"}[c]), nil
}
