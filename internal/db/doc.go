// Package db is the store: the SQLite schema, its migrations, every SQL statement and every transaction.
//
// One goroutine writes. It takes what waits, runs each piece of work in a savepoint of its own inside one transaction, commits
// once, and hands them to another, which syncs the log and then answers everybody: concurrent callers share an fsync, the next batch is
// written while the disk works at the last, and a failing piece costs the others nothing. Reads go to a pool of their own, see the
// last commit, and are answered once that is on the disk: what this process tells anybody, in whatever way, is durable, as by
// synchronous=FULL. Other processes may write to the same file at the same time, so nothing that a transaction decides on is remembered from an earlier one.
//
// The person's row is the queue entry of the loop: a SCIM write raises its generation and makes it due in the same transaction
// that stores the record and appends to the journal.
package db
