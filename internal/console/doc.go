// Package console is the admins' and auditors' web page: who has what access until when and why, what waits for a decision, and
// the proof of it.
//
// Every page is rendered on the server and can be read without scripts; one small script adds live updates and keys. A page reads
// one page of a list, by an index, whatever the size of the store. Nothing is loaded from elsewhere, and the content security
// policy forbids it.
//
// A request passes, in this order: the headers that every answer carries, the host that it names, where it comes from
// (http.CrossOriginProtection), its session, and for an action the session's role and its form token. An action is a POST that
// carries a reason; it is journaled by the store in the transaction that does it.
package console
