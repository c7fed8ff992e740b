package contractor

import (
	"context"
	"errors"
	"time"
)

// ErrStale says that somebody else recorded an outcome for the person since it was read: start the pass again.
var ErrStale = errors.New("the person was changed by another pass; read it again")

// Change is what one step of the loop, or the end of a pass, makes of a person. The store writes it whole or not at all.
type Change struct {
	// Person as it is to stand: the loop's own columns (from GuestID down, but not Gen, and NextAt and Urgent only with Finish).
	// The store compares Person.Rev with the stored one and raises it.
	Person *Person
	// Holdings to insert (ID 0: the store fills it) or overwrite.
	Holdings []*Holding
	// Standings to write, by engagement id; each raises that engagement's Version and Modified if it differs.
	Standings map[string]Standing
	// Finish ends the pass: NextAt and Urgent are written if the person's Gen is still Person.Gen; if it is not, the person
	// stays due, since a record changed while the pass ran.
	Finish bool
}

// Due is a person whom the loop has to look at now.
type Due struct {
	Person string
	Urgent bool // closing work
}

// Assignment names one grant in Entra for a call to the directory.
type Assignment struct {
	GuestID       string
	GroupID       string // groups
	PackageID     string // access packages
	PolicyID      string
	AssignmentID  string    // schedule or assignment id, where known
	End           time.Time // zero for removals
	Justification string    // goes into Entra's own log: rule, engagement; no personal data
}

type priorityKey struct{}

// WithPriority marks the calls made with ctx for the write quota's queue.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, p)
}

// PriorityOf is the priority that ctx carries; PriorityRefresh if none.
func PriorityOf(ctx context.Context) Priority {
	if p, ok := ctx.Value(priorityKey{}).(Priority); ok {
		return p
	}
	return PriorityRefresh
}

type vendorKey struct{}

// WithVendor names the vendor for whose record the calls made with ctx are, so that no vendor's work can starve another's in
// the write quota's queue.
func WithVendor(ctx context.Context, vendor string) context.Context {
	return context.WithValue(ctx, vendorKey{}, vendor)
}

// VendorOf is the vendor that ctx carries; "" if none.
func VendorOf(ctx context.Context) string {
	v, _ := ctx.Value(vendorKey{}).(string)
	return v
}
