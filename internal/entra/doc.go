// Package entra is the door to Microsoft Entra: it turns the bridge's words (invite, assign, disable, read back) into Microsoft
// Graph v1.0 calls, keeps them within the tenant's quota, and sorts every answer into what the caller may do next.
//
// It stands on the core of the Go SDK: msgraph-sdk-go-core's request adapter, the kiota pipeline, and models/odataerrors. It
// does not use the SDK's models, its builders or its root client; the few bodies that are sent and read are small structs of
// our own. The SDK's models package alone costs a build four times the CPU seconds (406 against 105) and six times the memory
// (4.7 GB against 0.8), which a machine with 4 GB does not have, and it holds traps that raw JSON has not: a typed nil is not
// sent, so nothing can be cleared; an enum value in an unexpected case becomes nil without an error; a duration of P30D is
// rewritten to P4W2D, which Graph refuses.
//
//	lifecycle ──> Client method ──> do ──> budget ──> adapter ──> authenticator ──> transport ──> Graph
//	                  │              │       │                      token for the       deadline, ids, status,
//	             our words,     verdict,   quota, order             one origin          headers, bounded body
//	             read backs     repeats    and pauses
//
// What may be repeated is decided here only where it is provably safe and short. Everything else goes back to the caller as a
// *contractor.Failure with a verdict, since only the caller knows whether to look before it repeats.
package entra
