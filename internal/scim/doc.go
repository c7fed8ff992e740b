// Package scim is the SCIM 2.0 door (RFC 7643, 7644): it authenticates a vendor, turns a request into a contractor.Record, and
// answers in SCIM.
package scim
