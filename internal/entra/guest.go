package entra

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// user is what is read of a Graph user. Everything but id and the names must be asked for by $select.
type user struct {
	ID                string    `json:"id"`
	UserPrincipalName string    `json:"userPrincipalName"`
	Mail              string    `json:"mail"`
	OtherMails        []string  `json:"otherMails"`
	ProxyAddresses    []string  `json:"proxyAddresses"`
	UserType          string    `json:"userType"`
	AccountEnabled    *bool     `json:"accountEnabled"`
	ExternalUserState string    `json:"externalUserState"`
	Created           time.Time `json:"createdDateTime"`

	DisplayName       string `json:"displayName"`
	GivenName         string `json:"givenName"`
	Surname           string `json:"surname"`
	CompanyName       string `json:"companyName"`
	Department        string `json:"department"`
	JobTitle          string `json:"jobTitle"`
	EmployeeID        string `json:"employeeId"`
	EmployeeType      string `json:"employeeType"`
	EmployeeHireDate  string `json:"employeeHireDate"`
	UsageLocation     string `json:"usageLocation"`
	MobilePhone       string `json:"mobilePhone"`
	City              string `json:"city"`
	Country           string `json:"country"`
	State             string `json:"state"`
	PostalCode        string `json:"postalCode"`
	StreetAddress     string `json:"streetAddress"`
	OfficeLocation    string `json:"officeLocation"`
	PreferredLanguage string `json:"preferredLanguage"`
	EmployeeOrgData   *struct {
		CostCenter string `json:"costCenter"`
		Division   string `json:"division"`
	} `json:"employeeOrgData"`
	ExtensionAttributes map[string]any `json:"onPremisesExtensionAttributes"`
}

// userSelect is everything of a user that is read. employeeLeaveDateTime is not: reading it needs a permission of its own,
// without which the whole read would be refused.
const userSelect = "id,userPrincipalName,mail,otherMails,userType,accountEnabled,externalUserState,createdDateTime," +
	"displayName,givenName,surname,companyName,department,jobTitle,employeeId,employeeType,employeeHireDate,usageLocation," +
	"mobilePhone,city,country,state,postalCode,streetAddress,officeLocation,preferredLanguage,employeeOrgData," +
	"onPremisesExtensionAttributes"

func (u *user) guest() *contractor.Guest {
	g := &contractor.Guest{
		ID: u.ID, UserPrincipalName: u.UserPrincipalName, Mail: u.Mail, OtherMails: u.OtherMails, Type: u.UserType,
		Enabled: u.AccountEnabled != nil && *u.AccountEnabled, State: u.ExternalUserState, Created: u.Created,
		Attributes: map[string]string{},
	}
	for name, value := range map[string]string{
		"displayName": u.DisplayName, "givenName": u.GivenName, "surname": u.Surname, "companyName": u.CompanyName,
		"department": u.Department, "jobTitle": u.JobTitle, "employeeId": u.EmployeeID, "employeeType": u.EmployeeType,
		"employeeHireDate": u.EmployeeHireDate, "usageLocation": u.UsageLocation, "mobilePhone": u.MobilePhone,
		"city": u.City, "country": u.Country, "state": u.State, "postalCode": u.PostalCode, "streetAddress": u.StreetAddress,
		"officeLocation": u.OfficeLocation, "preferredLanguage": u.PreferredLanguage,
	} {
		if value != "" {
			g.Attributes[name] = value
		}
	}
	if o := u.EmployeeOrgData; o != nil {
		if o.CostCenter != "" {
			g.Attributes["costCenter"] = o.CostCenter
		}
		if o.Division != "" {
			g.Attributes["division"] = o.Division
		}
	}
	for name, value := range u.ExtensionAttributes {
		if s, ok := value.(string); ok && s != "" && strings.HasPrefix(name, "extensionAttribute") {
			g.Attributes[name] = s
		}
	}
	return g
}

// Guest reads a user by object id, among the living first and then among the deleted; nil if it is nowhere. A guest that this
// client made moments ago and that no replica shows yet is nil, too; if that lasts, it is a failure to be retried, so that a
// slow replica is not taken for a lost guest.
func (c *Client) Guest(ctx context.Context, id string) (*contractor.Guest, error) {
	const op = "read guest"
	if !isGUID(id) {
		return nil, wrong(op, "the object id is not a GUID")
	}
	if _, ours := c.buried.get(strings.ToLower(id)); ours {
		// We deleted it, so it is looked for among the deleted first: a hit there is the proof, and costs no 404.
		if g, err := c.fromDeleted(ctx, id); g != nil || err != nil {
			return g, err
		}
	}
	// Both reads at once: a pass needs both, and each is a round trip.
	var (
		held    []membership
		heldErr error
		wait    sync.WaitGroup
	)
	wait.Go(func() { held, heldErr = c.memberOf(ctx, id) })
	var u user
	_, err := c.do(ctx, read(op, "/users/"+seg(id), query("$select", userSelect), "User.Read.All"), &u)
	wait.Wait()
	if status(err) == http.StatusNotFound {
		return c.deletedGuest(ctx, id, err)
	}
	if err != nil {
		return nil, err
	}
	if heldErr != nil {
		if status(heldErr) != http.StatusNotFound {
			return nil, heldErr
		}
		if _, fresh := c.fresh(id); !fresh {
			return nil, &contractor.Failure{Op: op, Verdict: contractor.VerdictRetry, Message: "Entra knows the guest, but not yet its memberships", Cause: heldErr}
		}
	}
	if heldErr == nil {
		c.held.put(strings.ToLower(id), held, heldTTL)
	}
	g := u.guest()
	g.Privileged = privileged(held)
	c.vet(g)
	return g, nil
}

// deletedGuest looks among the deleted for a user that is not among the living.
func (c *Client) deletedGuest(ctx context.Context, id string, missing error) (*contractor.Guest, error) {
	age, fresh := c.fresh(id)
	g, err := c.fromDeleted(ctx, id)
	if g == nil && err == nil && fresh && age > quietReplication {
		return nil, c.notYet(missing, id)
	}
	return g, err
}

// fromDeleted reads a deleted user; nil if there is none.
func (c *Client) fromDeleted(ctx context.Context, id string) (*contractor.Guest, error) {
	k := read("read deleted guest", "/directory/deletedItems/"+seg(id), query("$select", userSelect), "User.Read.All")
	var u user
	_, err := c.do(ctx, k, &u)
	if status(err) == http.StatusBadRequest { // a select of user properties on a directoryObject
		k.query = ""
		_, err = c.do(ctx, k, &u)
	}
	switch {
	case err == nil:
		g := u.guest()
		g.Deleted = true
		c.vetted.drop(strings.ToLower(id))
		return g, nil
	case status(err) == http.StatusNotFound:
		return nil, nil
	}
	return nil, err
}

// quietReplication is how long a guest of ours that cannot be found yet is no cause for a message.
const quietReplication = 30 * time.Second

// vet remembers that a user is a guest without privileges, so that the writes that follow need not read it again.
func (c *Client) vet(g *contractor.Guest) {
	key := strings.ToLower(g.ID)
	if g.Type == "Guest" && !g.Privileged && !g.Deleted {
		c.vetted.put(key, true, vetTTL)
	} else {
		c.vetted.drop(key)
	}
}

// ours is plain, and gives a new guest the time to reach the replicas: the first write is held back a little, and a guest that
// cannot be read yet is waited for some seconds.
func (c *Client) ours(ctx context.Context, op, id string) error {
	for wait := time.Second; ; wait *= 2 {
		if age, fresh := c.fresh(id); fresh && age < c.inviteSettle {
			if err := sleep(ctx, c.inviteSettle-age); err != nil {
				return err
			}
		}
		err := c.plain(ctx, op, id)
		if _, fresh := c.fresh(id); !fresh || status(err) != http.StatusNotFound || wait > maxSoon {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// plain lets a write pass only to a guest: never to a member, a holder of a directory role, a member of a role-assignable
// group, or a break-glass account. It reads the user if that was not done lately.
func (c *Client) plain(ctx context.Context, op, id string) error {
	if err := c.guard(op, id); err != nil {
		return err
	}
	if plain, known := c.vetted.get(strings.ToLower(id)); known && plain {
		return nil
	}
	g, err := c.Guest(ctx, id)
	switch {
	case err != nil:
		return err
	case g == nil || g.Deleted:
		f := &contractor.Failure{Op: op, Verdict: contractor.VerdictGone, Status: http.StatusNotFound, Message: "the guest is not in the tenant"}
		return c.notYet(f, id)
	case g.Type != "Guest":
		return refused(op, "the account is a member, not a guest; scimbridge does not touch members")
	case g.Privileged:
		return refused(op, "the account holds a directory role or sits in a role-assignable group; take the privilege away first")
	}
	return nil
}

// privileged reports whether the memberships hold a directory role or a role-assignable group. Direct ones suffice: a role
// cannot be held, nor a role-assignable group be entered, through another group.
func privileged(held []membership) bool {
	for _, m := range held {
		if m.is("directoryRole") || m.RoleAssignable {
			return true
		}
	}
	return false
}
