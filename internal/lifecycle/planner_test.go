package lifecycle

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/contractor"
)

// TestPlan says, for one entitlement, what each pair of wish and sight leads to.
func TestPlan(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	group := contractor.Entitlement{Kind: contractor.KindGroup, Name: "ext-base", ID: "g", Expiry: contractor.ExpiryEntra}
	bridged := group
	bridged.Expiry = contractor.ExpiryBridge
	pack := contractor.Entitlement{Kind: contractor.KindAccessPackage, Name: "dev", ID: "pk", Policy: "po"}

	grant := func(e contractor.Entitlement, in time.Duration) []contractor.Grant {
		return []contractor.Grant{{Entitlement: e, Start: now.Add(-day), End: now.Add(in), Rule: "r", Engagement: "e1"}}
	}
	holding := func(e contractor.Entitlement, m contractor.Mechanism, state contractor.HoldingState, end, entraEnd, age time.Duration) []*contractor.Holding {
		h := &contractor.Holding{ID: 1, Entitlement: e, Mechanism: m, State: state, Handle: "h", Since: now.Add(-age), WrittenAt: now.Add(-age), End: now.Add(end), Rule: "r", Engagement: "e1"}
		if entraEnd != 0 {
			h.EntraEnd = now.Add(entraEnd)
		}
		return []*contractor.Holding{h}
	}
	member := contractor.Access{Groups: []contractor.GroupMembership{{GroupID: "g", Member: true}}}
	scheduled := contractor.Access{Groups: []contractor.GroupMembership{{GroupID: "g", Member: true, ScheduleID: "h"}}}
	delivered := contractor.Access{Packages: []contractor.PackageAssignment{{PackageID: "pk", AssignmentID: "h", State: "delivered"}}}
	delivering := contractor.Access{Packages: []contractor.PackageAssignment{{PackageID: "pk", RequestID: "q", State: "delivering"}}}
	failed := contractor.Access{Packages: []contractor.PackageAssignment{{PackageID: "pk", AssignmentID: "h", State: "deliveryFailed"}}}

	for _, tc := range []struct {
		name     string
		grants   []contractor.Grant
		holdings []*contractor.Holding
		access   contractor.Access
		cap      time.Duration
		closed   bool
		doubt    bool
		want     []string // op mechanism entraEnd-in
		waits    int
		problems int
	}{
		{name: "NewGroupGetsASchedule", grants: grant(group, 90*day), want: []string{"grant pim 2160h0m0s"}},
		{name: "NewGroupUnderACapGetsTheCap", grants: grant(group, 400*day), cap: 180 * day, want: []string{"grant pim 4319h59m0s"}},
		{name: "NewGroupForMinutesIsBridged", grants: grant(group, 4*time.Minute), want: []string{"grant member none"}},
		{name: "BridgedByTheMapping", grants: grant(bridged, 90*day), want: []string{"grant member none"}},
		{name: "NewPackage", grants: grant(pack, 90*day), want: []string{"grant package 2160h0m0s"}},
		{name: "PassedGrantIsNone", grants: grant(group, 0)},
		{name: "SteadyScheduleIsLeftAlone", grants: grant(group, 90*day), holdings: holding(group, "pim", "held", 90*day, 90*day, day), access: scheduled},
		{name: "SteadyMemberIsLeftAlone", grants: grant(bridged, 90*day), holdings: holding(bridged, "member", "held", 90*day, 0, day), access: member},
		{name: "SteadyPackageIsLeftAlone", grants: grant(pack, 90*day), holdings: holding(pack, "package", "held", 90*day, 90*day, day), access: delivered},
		{name: "ExtensionMovesTheSchedule", grants: grant(group, 120*day), holdings: holding(group, "pim", "held", 90*day, 90*day, day), access: scheduled, want: []string{"move pim 2880h0m0s"}},
		{name: "ShorteningMovesTheSchedule", grants: grant(group, 30*day), holdings: holding(group, "pim", "held", 90*day, 90*day, day), access: scheduled, want: []string{"move pim 720h0m0s"}},
		{name: "ShorteningToMinutesIsKeptByTheLoop", grants: grant(group, 3*time.Minute), holdings: holding(group, "pim", "held", 90*day, 90*day, day), access: scheduled, want: []string{"note pim"}},
		{name: "ExtensionOfAPlainMemberIsANote", grants: grant(bridged, 120*day), holdings: holding(bridged, "member", "held", 90*day, 0, day), access: member, want: []string{"note member"}},
		{name: "BridgedMinutesThatBecameMonthsGetASchedule", grants: grant(group, 90*day), holdings: holding(group, "member", "held", 3*time.Minute, 0, time.Minute*2), access: member, want: []string{"grant pim 2160h0m0s"}},
		{name: "CappedScheduleFarFromItsEndWaits", grants: grant(group, 400*day), holdings: holding(group, "pim", "held", 400*day, 100*day, day), access: scheduled, cap: 180 * day},
		{name: "CappedScheduleNearItsEndIsRenewed", grants: grant(group, 400*day), holdings: holding(group, "pim", "held", 400*day, 10*day, day), access: scheduled, cap: 180 * day, want: []string{"move pim 4319h59m0s"}},
		{name: "CapThatReachesTheEndIsUsedAtOnce", grants: grant(group, 100*day), holdings: holding(group, "pim", "held", 100*day, 60*day, day), access: scheduled, cap: 180 * day, want: []string{"move pim 2400h0m0s"}},
		{name: "PackageExtension", grants: grant(pack, 120*day), holdings: holding(pack, "package", "held", 90*day, 90*day, day), access: delivered, want: []string{"move package 2880h0m0s"}},
		{name: "PackageExtensionWaitsForDelivery", grants: grant(pack, 120*day), holdings: holding(pack, "package", "held", 90*day, 90*day, 5*time.Second), access: delivering, waits: 1},
		{name: "FailedDeliveryIsToldNotRepeated", grants: grant(pack, 90*day), holdings: holding(pack, "package", "held", 90*day, 90*day, day), access: failed, waits: 1, problems: 1},
		{name: "LostAnswerThatTookEffectIsSeen", grants: grant(group, 90*day), holdings: holding(group, "pim", "granting", 90*day, 0, 5*time.Second), access: scheduled, want: []string{"seen pim 2160h0m0s"}},
		{name: "LostAnswerWaitsBeforeItIsRepeated", grants: grant(group, 90*day), holdings: holding(group, "pim", "granting", 90*day, 0, 5*time.Second), waits: 1},
		{name: "LostAnswerIsRepeatedWhenSettled", grants: grant(group, 90*day), holdings: holding(group, "pim", "granting", 90*day, 0, 2*time.Minute), want: []string{"grant pim 2160h0m0s"}},
		{name: "FreshGrantNotShownYetIsBelieved", grants: grant(group, 90*day), holdings: holding(group, "pim", "held", 90*day, 90*day, 5*time.Second), waits: 1},
		{name: "MissingGrantIsGivenAgain", grants: grant(group, 90*day), holdings: holding(group, "pim", "held", 90*day, 90*day, day), want: []string{"grant pim 2160h0m0s"}},
		{name: "RuleGoneTakesItAway", holdings: holding(group, "pim", "held", 90*day, 90*day, day), access: scheduled, want: []string{"remove pim"}},
		{name: "EndPassedTakesAPlainMemberAway", holdings: holding(bridged, "member", "held", -time.Second, 0, day), access: member, want: []string{"remove member"}},
		{name: "EndPassedOfAnOpenPersonIsRemovedAtOnce", holdings: holding(group, "pim", "held", -time.Second, -time.Second, day), access: scheduled, want: []string{"remove pim"}},
		{name: "EndPassedOfAClosedPersonWaitsForEntrasOwn", closed: true, holdings: holding(group, "pim", "held", -time.Second, -time.Second, day), access: scheduled, waits: 1},
		{name: "EntrasOwnThatNeverCameIsRemoved", closed: true, holdings: holding(group, "pim", "held", -3*time.Minute, -3*time.Minute, day), access: scheduled, want: []string{"remove pim"}},
		{name: "RemovalSentWaits", holdings: holding(group, "pim", "removing", 90*day, 90*day, 5*time.Second), access: scheduled, waits: 1},
		{name: "RemovalLostIsRepeated", holdings: holding(group, "pim", "removing", 90*day, 90*day, 2*time.Minute), access: scheduled, want: []string{"remove pim"}},
		{name: "RemovalSeenIsDone", holdings: holding(group, "pim", "removing", 90*day, 90*day, 2*time.Second), want: []string{"gone pim"}},
		{name: "GrantThatMayYetAppearIsWaitedFor", holdings: holding(group, "pim", "granting", 90*day, 0, 5*time.Second), waits: 1},
		{name: "DoubtfulClockEndsNothing", doubt: true, holdings: holding(bridged, "member", "held", -time.Second, 0, day), access: member},
		{name: "DoubtfulClockDoesNotStopARule", doubt: true, holdings: holding(bridged, "member", "held", day, 0, day), access: member, want: []string{"remove member"}},
		{name: "ForeignAccessOfAnOpenPersonIsLeft", grants: grant(bridged, 90*day), holdings: holding(bridged, "member", "held", 90*day, 0, day),
			access: contractor.Access{Groups: append([]contractor.GroupMembership{{GroupID: "other", Member: true}}, member.Groups...)}},
		{name: "ForeignAccessOfSomebodyWhoLeavesGoesToo", closed: true, access: contractor.Access{
			Groups: []contractor.GroupMembership{{GroupID: "dyn", Member: true, Dynamic: true}, {GroupID: "x", Member: true}, {GroupID: "y", Member: true, ScheduleID: "s"}},
		}, want: []string{"remove member foreign", "remove pim foreign"}},
		{name: "ForeignPackagesGoBeforeTheGroupsThatCameWithThem", closed: true, access: contractor.Access{
			Groups:   []contractor.GroupMembership{{GroupID: "x", Member: true}},
			Packages: []contractor.PackageAssignment{{PackageID: "z", AssignmentID: "a", State: "delivered"}},
		}, want: []string{"remove package foreign"}},
		{name: "RemovalBeforeGrant", grants: grant(pack, 90*day), holdings: holding(group, "pim", "held", 90*day, 90*day, day), access: scheduled, want: []string{"remove pim", "grant package 2160h0m0s"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &scene{now: now, want: contractor.Desired{Open: !tc.closed, Grants: tc.grants}, holdings: tc.holdings, access: tc.access,
				settle: time.Minute, native: 2 * time.Minute, caps: map[string]time.Duration{"g": tc.cap}, mayEnd: func(string) bool { return !tc.doubt }}
			steps, waits := s.plan()
			var got []string
			for _, st := range steps {
				line := fmt.Sprintf("%s %s", st.op, st.mechanism)
				switch {
				case st.foreign:
					line += " foreign"
				case st.op == opNote || st.op == opRemove || st.op == opGone:
				case st.entraEnd.IsZero():
					line += " none"
				default:
					line += " " + st.entraEnd.Sub(now).String()
				}
				got = append(got, line)
				if st.grant != nil && st.entraEnd.After(st.grant.End) {
					t.Errorf("Entra would keep it until %s, the grant ends %s", st.entraEnd, st.grant.End)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
			if len(waits) != tc.waits || len(s.problems) != tc.problems {
				t.Errorf("%d waits, %d problems (%v), want %d, %d", len(waits), len(s.problems), s.problems, tc.waits, tc.problems)
			}
		})
	}
}

func TestOrderServesUrgentFirst(t *testing.T) {
	o := newOrder()
	for _, id := range []string{"a", "b", "c"} {
		o.mark(contractor.Due{Person: id})
		o.Push(id)
	}
	o.mark(contractor.Due{Person: "u", Urgent: true})
	o.Push("u")
	o.mark(contractor.Due{Person: "c", Urgent: true})
	o.Touch("c")
	var got []string
	for o.Len() > 0 {
		got = append(got, o.Pop())
	}
	if d := cmp.Diff([]string{"u", "c", "a", "b"}, got); d != "" {
		t.Error(d)
	}
	if len(o.marks) != 0 {
		t.Errorf("marks are left behind: %v", o.marks)
	}
}

func TestBackoffNeverGivesUp(t *testing.T) {
	if got := backoff(1, false); got != 500*time.Millisecond {
		t.Errorf("first pause %s", got)
	}
	if got := backoff(1000, true); got != 30*time.Second {
		t.Errorf("a door that cannot be closed is tried every %s", got)
	}
	if got := backoff(1000, false); got != 15*time.Minute {
		t.Errorf("other work is tried every %s", got)
	}
}
