package emulator

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// The Do methods are what somebody else does in the tenant, behind the bridge's back:
// an administrator in the portal, the guest, another program.

func (e *Emulator) do(what func(*tenant) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := what(e.settled()); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	return nil
}

func (t *tenant) mustUser(id string) (*user, error) {
	if u, live := t.live(id); live {
		return u, nil
	}
	return nil, fmt.Errorf("there is no live user %s", id)
}

func (t *tenant) mustGroup(id string) (*group, error) {
	if g := t.groups.byID[id]; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("there is no group %s", id)
}

func (t *tenant) disable(u *user) {
	props := maps.Clone(u.props)
	props["accountEnabled"] = false
	t.set(u, props, 0)
	t.audit("Update user", "UserManagement", nil, []any{modified("accountEnabled", true, false)}, u.target())
}

// DoRedeem lets the guest accept the invitation.
func (e *Emulator) DoRedeem(userID string) error {
	return e.do(func(t *tenant) error {
		u, err := t.mustUser(userID)
		if err != nil {
			return err
		}
		t.redemption(u, "Accepted")
		t.audit("Redeem external user invite", "UserManagement", nil, nil, u.target())
		return nil
	})
}

// DoUpdate writes properties of a user without any check but that of names and types.
func (e *Emulator) DoUpdate(userID string, properties map[string]any) error {
	return e.do(func(t *tenant) error {
		u, err := t.mustUser(userID)
		if err != nil {
			return err
		}
		if err := t.schema.check("user", properties); err != nil {
			return err
		}
		props := maps.Clone(u.props)
		maps.Copy(props, properties)
		t.set(u, props, 0)
		t.audit("Update user", "UserManagement", nil, nil, u.target())
		return nil
	})
}

// DoEnable switches sign-in on again.
func (e *Emulator) DoEnable(userID string) error {
	return e.DoUpdate(userID, map[string]any{"accountEnabled": true})
}

// DoDisable switches sign-in off.
func (e *Emulator) DoDisable(userID string) error {
	return e.DoUpdate(userID, map[string]any{"accountEnabled": false})
}

// DoAddMember adds a member to a group by hand.
func (e *Emulator) DoAddMember(groupID, memberID string) error {
	return e.do(func(t *tenant) error {
		g, err := t.mustGroup(groupID)
		if err != nil {
			return err
		}
		if t.object(memberID) == nil {
			return fmt.Errorf("there is no object %s", memberID)
		}
		t.join(g, memberID)
		t.audit("Add member to group", "GroupManagement", nil, nil, t.targetOf(memberID), g.target())
		return nil
	})
}

// DoRemoveMember removes a member from a group by hand.
func (e *Emulator) DoRemoveMember(groupID, memberID string) error {
	return e.do(func(t *tenant) error {
		g, err := t.mustGroup(groupID)
		if err != nil {
			return err
		}
		t.leave(g, memberID)
		t.pim.memberRemoved(t, groupID, memberID)
		t.audit("Remove member from group", "GroupManagement", nil, nil, t.targetOf(memberID), g.target())
		return nil
	})
}

// DoExtendSchedule moves the end of the active assignment of a member; the zero time
// makes it permanent.
func (e *Emulator) DoExtendSchedule(groupID, userID string, end time.Time) error {
	return e.do(func(t *tenant) error {
		s := t.pim.standing(groupID, userID, "member", false)
		if s == nil {
			return fmt.Errorf("user %s has no assignment to group %s", userID, groupID)
		}
		r := &pimRequest{id: s.request, group: groupID, principal: userID, access: "member"}
		t.endSchedule(s, "Revoked", true)
		t.addSchedule(r, s.start, end)
		return nil
	})
}

// DoDelete soft-deletes a user.
func (e *Emulator) DoDelete(userID string) error {
	return e.do(func(t *tenant) error {
		u, err := t.mustUser(userID)
		if err != nil {
			return err
		}
		t.softDelete(u)
		t.audit("Delete user", "UserManagement", nil, nil, u.target())
		return nil
	})
}

// DoRestore restores a soft-deleted user.
func (e *Emulator) DoRestore(userID string) error {
	return e.do(func(t *tenant) error {
		u := t.users.byID[userID]
		if u == nil || u.deleted.IsZero() {
			return fmt.Errorf("there is no deleted user %s", userID)
		}
		t.restore(u)
		t.audit("Restore user", "UserManagement", nil, nil, u.target())
		return nil
	})
}

// DoPurge deletes a user for good, live or not.
func (e *Emulator) DoPurge(userID string) error {
	return e.do(func(t *tenant) error {
		u := t.users.byID[userID]
		if u == nil {
			return fmt.Errorf("there is no user %s", userID)
		}
		if u.deleted.IsZero() {
			t.softDelete(u)
		}
		t.purge(u)
		t.audit("Hard Delete user", "UserManagement", nil, nil, u.target())
		return nil
	})
}

// DoDeleteGroup deletes a group for good.
func (e *Emulator) DoDeleteGroup(groupID string) error {
	return e.do(func(t *tenant) error {
		g, err := t.mustGroup(groupID)
		if err != nil {
			return err
		}
		for _, m := range g.members {
			t.groups.of[m.member] = slices.DeleteFunc(t.groups.of[m.member], func(o *membership) bool { return o == m })
		}
		delete(t.groups.byID, groupID)
		t.groups.order = slices.DeleteFunc(t.groups.order, func(o *group) bool { return o == g })
		for _, s := range t.pim.byGroup[groupID] {
			if !s.over() {
				t.endSchedule(s, "Revoked", true)
			}
		}
		t.delta.groupChanged(t.present, groupID)
		return nil
	})
}

// DoSetGroup writes properties of a group, such as groupTypes or isAssignableToRole.
func (e *Emulator) DoSetGroup(groupID string, properties map[string]any) error {
	return e.do(func(t *tenant) error {
		g, err := t.mustGroup(groupID)
		if err != nil {
			return err
		}
		if err := t.schema.check("group", properties); err != nil {
			return err
		}
		props := maps.Clone(g.props)
		maps.Copy(props, properties)
		g.props = props
		t.delta.groupChanged(t.present, g.id)
		return nil
	})
}

// DoFailDeliveries lets the next deliveries of an access package go wrong, one after
// another.
func (e *Emulator) DoFailDeliveries(packageID string, how ...DeliveryFailure) error {
	return e.do(func(t *tenant) error {
		p := t.ent.pkg(packageID)
		if p == nil {
			return fmt.Errorf("there is no access package %s", packageID)
		}
		p.fail = append(p.fail, how...)
		return nil
	})
}

// DoDecide approves or denies a request that waits for approval.
func (e *Emulator) DoDecide(requestID string, approve bool) error {
	return e.do(func(t *tenant) error {
		r := t.ent.reqByID[requestID]
		if r == nil || r.state != "pendingApproval" {
			return fmt.Errorf("request %s does not wait for approval", requestID)
		}
		if !approve {
			r.state, r.status, r.completed = "denied", "Denied", t.present
			return nil
		}
		r.state, r.status = "submitted", "Approved"
		t.startDelivery(r)
		return nil
	})
}

// DoEndAssignment ends an access package assignment, as another administrator would.
func (e *Emulator) DoEndAssignment(assignmentID string) error {
	return e.do(func(t *tenant) error {
		a := t.ent.byID[assignmentID]
		if a == nil || !a.holding() {
			return fmt.Errorf("there is no running assignment %s", assignmentID)
		}
		t.endAssignment(a)
		return nil
	})
}
