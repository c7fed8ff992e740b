// Package policy compares the conditional access policies that the mapping declares for contractors with those that a tenant
// has: it says in words what would change and whom it would hit, and refuses what would lock people out.
//
// It is pure: no disk, no network, no clock. Plan answers what has to be done, Evaluate what a set of policies would make of
// one sign-in, Hits which of many sign-ins a policy would refuse.
//
// Whose a policy is, is told by the store's memory of its id and, where that is lost, by the beginning of its display name.
// A policy is changed only if it is ours, and deleted only if this program made it.
//
//	declared      in the tenant                          what Plan makes of it
//	off           anything                               off
//	report-only   anything                               report-only
//	on            nothing                                made in report-only; may be on after the watch
//	on            report-only, watched long enough       on
//	on            report-only, not long enough           stays; the plan says until when
//	on            on, and the new form hits more         refused, unless the admin insists with a reason
//
// A change that hits more sign-ins than before starts the watch anew; see stricter.
package policy
