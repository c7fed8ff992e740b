// Package audit is the journal: who did what to whom, by which rule, with what proof, as a chain of hashes and a Merkle tree
// that a stranger can check.
//
// An event is sealed into a chain: each names the hash of the one before. That finds what was changed, removed, inserted or
// reordered by somebody who does not know the format. Somebody who does could seal the rest of the chain anew; therefore the same
// leaves are also the leaves of a Merkle tree (RFC 6962), whose head is signed at times and kept elsewhere (Checkpoint). Against a
// checkpoint kept elsewhere nobody can change, remove or insert an event that it covers, nor roll the database back to before it;
// and one event can be shown to be in the journal to somebody who has nothing but the checkpoint and the public key (EventProof).
//
// Names and addresses are no part of a leaf, only their salted hash: they can be erased, and the proofs go on to hold.
//
// The package reads and writes no database: the store hands it rows and tiles. It stands on the standard library and on the tree
// and the notes of the Go checksum database (golang.org/x/mod/sumdb).
package audit
