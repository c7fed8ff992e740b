package entra

import (
	"context"
	"slices"
	"strings"
	"sync"

	"scimbridge/internal/contractor"
)

// Access reads what the guest holds: direct memberships of groups, PIM schedules in force or to come, access packages and the
// open requests for them. The reads go out at once; memberships that Guest has read for the same pass are not read again.
func (c *Client) Access(ctx context.Context, id string, schedules, packages bool) (contractor.Access, error) {
	if !isGUID(id) {
		return contractor.Access{}, wrong("read access", "the guest's object id is not a GUID")
	}
	var (
		planned []schedule
		access  contractor.Access
		errs    [3]error
		wait    sync.WaitGroup
	)
	held, known := c.held.take(strings.ToLower(id))
	if !known {
		wait.Go(func() { held, errs[0] = c.memberOf(ctx, id) })
	}
	if schedules {
		wait.Go(func() { planned, errs[1] = c.schedules(ctx, id, "") })
	}
	if packages {
		wait.Go(func() { access.Packages, errs[2] = c.packages(ctx, id) })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return contractor.Access{}, c.notYet(err, id)
		}
	}
	if privileged(held) {
		c.vetted.drop(strings.ToLower(id))
	}
	byID := map[string]int{}
	for i := range held {
		m := &held[i]
		if !m.is("group") && m.Type != "" {
			continue
		}
		byID[strings.ToLower(m.ID)] = len(access.Groups)
		access.Groups = append(access.Groups, contractor.GroupMembership{
			GroupID: m.ID, DisplayName: m.DisplayName, Member: true, Synced: m.OnPremisesSync,
			Dynamic: slices.ContainsFunc(m.GroupTypes, func(t string) bool { return strings.EqualFold(t, "DynamicMembership") }),
		})
	}
	for _, s := range planned {
		key := strings.ToLower(s.GroupID)
		i, known := byID[key]
		if !known {
			i = len(access.Groups)
			byID[key] = i
			access.Groups = append(access.Groups, contractor.GroupMembership{GroupID: s.GroupID})
		}
		g := &access.Groups[i]
		g.ScheduleID, g.ScheduleEnd = s.ID, s.ScheduleInfo.end()
	}
	return access, nil
}

// changed forgets what was read of a guest's memberships: a write of ours may have changed it.
func (c *Client) changed(id string) { c.held.drop(strings.ToLower(id)) }
