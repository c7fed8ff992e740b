// Package emulator is a small, unkind Microsoft Entra tenant behind an
// http.Handler: Microsoft Graph v1.0 and the token endpoint, as far as a bridge
// for guest users calls them.
//
// It is its own reading of the documentation and shares no code with any client,
// so that a client and the emulator cannot share a mistake. It is unkind by
// default, as the service is: pages of three, writes that reach readers late,
// calls that are throttled or fail, and failures that took effect all the same.
// Every such decision is drawn from [Config.Seed], so a run can be repeated.
//
//	        Graph handler                           Login handler
//	              |                                        |
//	token -> faults -> quota -> dice -> permission     token, discovery
//	              |
//	    body (gzip, JSON, names and types)
//	              |
//	        operation  ---->  tenant: users, groups, PIM, packages, policies, logs
//
// Time is read from [Config.Now] once per request. What is due by then (ends of
// schedules, deliveries, purges) happens before the request is served, each thing
// at its own time, so a clock that jumps gives the same tenant as one that walks.
//
// The package is for tests, demonstrations and rehearsals. It listens on loopback
// addresses only and its control endpoints have no password.
package emulator
