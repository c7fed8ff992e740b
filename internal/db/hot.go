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
func hotAttributes(e *contractor.Engagement) (hot, error) {
	if len(e.Resource) == 0 {
		r := &e.Record
		h := hot{externalID: r.ExternalID, workerID: r.WorkerID, endDate: fold(r.EndDate), active: r.Active, userKey: userKey(r.UserName)}
		h.setEmails(append([]string{r.Email}, r.OtherEmails...))
		return h, nil
	}
	if !json.Valid(e.Resource) || firstByte(e.Resource) != '{' {
		return hot{}, contractor.Errorf(contractor.CodeInternal, "the resource of engagement %s is not a JSON object", e.ID)
	}
	h := hot{active: e.Record.Active, userKey: userKey(e.Record.UserName)}
	members(e.Resource, func(name string, value []byte) {
		switch name {
		case "userName":
			h.userKey = userKey(text(value))
		case "externalId":
			h.externalID = text(value)
		case "active":
			h.active = string(value) == "true"
		case "emails":
			var emails []string
			elements(value, func(email []byte) {
				members(email, func(name string, value []byte) {
					if name == "value" {
						emails = append(emails, text(value))
					}
				})
			})
			h.setEmails(emails)
		case contractor.ExtensionURN:
			members(value, func(name string, value []byte) {
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

// The functions below walk a JSON document that is known to be valid. Decoding all of it to look at six values would cost more
// than the rest of a write's preparation.

// members calls f for each member of an object; for any other value it does nothing.
func members(b []byte, f func(name string, value []byte)) {
	if firstByte(b) != '{' {
		return
	}
	i := skipSpace(b, 0) + 1
	for {
		if i = skipSpace(b, i); i >= len(b) || b[i] == '}' {
			return
		}
		if b[i] == ',' {
			i++
			continue
		}
		end := skipValue(b, i)
		name := text(b[i:end])
		i = skipSpace(b, skipSpace(b, end)+1) // behind the colon
		end = skipValue(b, i)
		f(name, b[i:end])
		i = end
	}
}

// elements calls f for each element of an array; for any other value it does nothing.
func elements(b []byte, f func(value []byte)) {
	if firstByte(b) != '[' {
		return
	}
	i := skipSpace(b, 0) + 1
	for {
		if i = skipSpace(b, i); i >= len(b) || b[i] == ']' {
			return
		}
		if b[i] == ',' {
			i++
			continue
		}
		end := skipValue(b, i)
		f(b[i:end])
		i = end
	}
}

func firstByte(b []byte) byte {
	if i := skipSpace(b, 0); i < len(b) {
		return b[i]
	}
	return 0
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue is the end of the value that begins at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // the end of what holds a number or a word
			}
			depth--
		case ',', ' ', '\t', '\n', '\r', ':':
			if depth == 0 {
				return i
			}
			continue
		default:
			if depth == 0 && i+1 < len(b) {
				switch b[i+1] {
				case ',', '}', ']', ' ', '\t', '\n', '\r':
					return i + 1
				}
			}
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}

// text is the content of a JSON string, "" for any other value.
func text(b []byte) string {
	if len(b) < 2 || b[0] != '"' {
		return ""
	}
	for _, c := range b[1 : len(b)-1] {
		if c == '\\' || c >= 0x80 { // escapes, and bytes that are no UTF-8
			var s string
			if json.Unmarshal(b, &s) != nil {
				return ""
			}
			return s
		}
	}
	return string(b[1 : len(b)-1])
}
