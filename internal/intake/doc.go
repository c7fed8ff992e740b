// Package intake is the feed door: it fetches contractor records, from files and from vendors' own SCIM servers, and hands each to
// the SCIM door as the vendor would have pushed it.
//
// Nothing of a record is understood here. A row of a file becomes a SCIM body by its column names, a resource of a server is one
// already; aliases, dates, checks, limits and the journal are the SCIM door's, in process (scim.Feed). What is this package's own
// is what only a feed has: how far it was read, and who is missing from it.
//
// Who is missing is ended only after a whole reading without a fault, and no more at once than the vendor's guard allows: beyond
// that all of them are held, and nobody is ended until a person decides.
package intake
