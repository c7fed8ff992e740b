// Package siem ships the journal outward while the daemon serves: events to syslog, a file of JSON lines or a webhook, and signed
// checkpoints to where the journal's keeper cannot change them.
//
// A sink is given the events in order, from a position that the store remembers for it, and the position moves only once they were
// taken: every event arrives at least once, and its number tells a second arrival from a first. A sink that is down holds up
// nobody: nothing is kept in memory for it, and it is given what it missed when it is back.
package siem
