// Package contractor is the domain: the record a vendor sends, the person behind it, the grants that person should hold and
// does hold, and the rules of dates. It knows no disk, no network, no clock, and imports the standard library only.
//
// The words are those of the trade. A vendor is one SCIM client. An engagement is one SCIM User of one vendor: one contract
// period of one person. A person is the human behind one e-mail identity, one Entra guest, one or more engagements. An
// entitlement can be granted (a group, an access package); a grant is an entitlement given from a start to an end, by a named
// rule, because of an engagement. A holding is a grant as it was written into Entra.
package contractor
