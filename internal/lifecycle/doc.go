// Package lifecycle is the loop: it compares what a person should hold with what Entra holds, closes the gap one step at a
// time, records each step with its proof, and says when to look again.
//
// It is level-triggered. A SCIM write, a mapping reload, an approval, a drift check, a restart and the clock all end in
// Reconcile(ctx, person), which holds nothing in memory between passes:
//
//	read records ──> desired (mapper, pure) ──> read Entra ──> steps (planner, pure) ──> run each, record each ──> next look
//
// A person's phases, and what moves between them:
//
//	      invited, seen             last end passed, vendor said end, held
//	new ───────────────────> open ─────────────────────────────────────────> closed
//	                           ^                                               │
//	                           │   a live engagement again: enabled            │ holds nothing, retention over,
//	                           ├───────────────────────────────────────────────┤ deleted, seen deleted
//	                           │   restored, or invited anew                   v
//	                           └──────────────────────────────────────────── gone
//
// Closing is always in this order: sign-in disabled and seen disabled, sessions revoked, groups and packages taken back and
// seen gone, after the retention the guest deleted and seen deleted. What a crash can leave ambiguous is announced first: an
// intent (Person.InvitingAt, Phase closed, a holding that is granting or removing) is committed before the call it announces,
// so that the next pass looks before it repeats.
package lifecycle
