package db

import (
	"encoding/json"
	"strings"

	"scimbridge/internal/contractor"
)

// hot is what queries find an engagement by: folded where the attribute is not caseExact, "" where it is absent.
type hot struct {
	userKey    string
	externalID string
	emailKey   string // first address
	others     string // further addresses, a line each
	workerID   string
	endDate    string
	active     bool
}

// hotAttributes takes from the resource what queries find it by: a filter asks for what the vendor reads, which may differ from
// what the record makes of it. What the resource does not hold at all is taken from the record only where there is no resource.
func hotAttributes(e *contractor.Engagement, resource string) (hot, error) {
	if len(e.Resource) == 0 {
		r := &e.Record
		h := hot{externalID: r.ExternalID, workerID: r.WorkerID, endDate: fold(r.EndDate), active: r.Active, userKey: userKey(r.UserName)}
		h.setEmails(append([]string{r.Email}, r.OtherEmails...))
		return h, nil
	}
	if !json.Valid(e.Resource) || firstByte(resource) != '{' {
		return hot{}, contractor.Errorf(contractor.CodeInternal, "the resource of engagement %s is not a JSON object", e.ID)
	}
	h := hot{active: e.Record.Active, userKey: userKey(e.Record.UserName)}
	members(resource, func(name, value string) {
		switch name {
		case "userName":
			h.userKey = userKey(text(value))
		case "externalId":
			h.externalID = text(value)
		case "active":
			h.active = value == "true"
		case "emails":
			h.setEmails(values(value))
		case contractor.ExtensionURN:
			members(value, func(name, value string) {
				switch name {
				case "workerId":
					h.workerID = text(value)
				case "endDate":
					h.endDate = fold(text(value))
				}
			})
		}
	})
	if h.userKey == "" {
		return hot{}, contractor.Invalid("userName", "send a userName; it is required")
	}
	return h, nil
}

// values lists the "value" of each object of an array.
func values(list string) (all []string) {
	elements(list, func(object string) {
		members(object, func(name, value string) {
			if name == "value" {
				all = append(all, text(value))
			}
		})
	})
	return all
}

func (h *hot) setEmails(emails []string) {
	var others []string
	for _, email := range emails {
		switch key := fold(email); {
		case key == "":
		case h.emailKey == "":
			h.emailKey = key
		default:
			others = append(others, strings.ReplaceAll(key, "\n", " "))
		}
	}
	h.others = strings.Join(others, "\n")
}
