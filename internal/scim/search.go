package scim

import (
	"net/http"
	"strings"

	"scimbridge/internal/contractor"
)

// search reads the body of a /.search (RFC 7644 section 3.4.3).
func (k *call) search() (query, error) {
	sent, err := k.body(k.door.limits.Body, k.door.limits.json())
	if err != nil {
		return query{}, err
	}
	return searchOf(&sent)
}

func (k *call) searchUsers() error {
	q, err := k.search()
	if err != nil {
		return err
	}
	return k.answerUsers(&q)
}

func (k *call) searchGroups() error {
	q, err := k.search()
	if err != nil {
		return err
	}
	return k.answerGroups(&q)
}

func (k *call) searchAll() error {
	q, err := k.search()
	if err != nil {
		return err
	}
	return k.answerAll(&q)
}

func (k *call) listAll() error {
	q, err := queryOf(k.QueryParams())
	if err != nil {
		return err
	}
	return k.answerAll(&q)
}

// answerAll searches Users and Groups (section 3.4.2.1): the users come first, the groups behind them.
func (k *call) answerAll(q *query) error {
	if wantsMembers(project(k.door.group, q.attributes, q.excluded), k.door.group) {
		// First, as every request does that holds both: two that wait for each other's places would both time out.
		if err := k.hold(k.gate.traffic.heavy); err != nil {
			return err
		}
	}
	groups, err := k.findGroups(q, k.door.users)
	if err != nil {
		return err
	}
	start, count := q.page(k.door.limits)
	inGroups := q.byCursor && strings.HasPrefix(q.cursor, "g")
	uq := *q
	if uq.byCursor {
		if inGroups {
			uq.counted, uq.count, uq.byCursor, uq.cursor = true, 0, false, ""
		} else if uq.cursor != "" {
			rest, ok := strings.CutPrefix(uq.cursor, "u")
			if !ok {
				return errBadCursor()
			}
			uq.cursor = rest
		}
	}
	users, _, err := k.findUsers(&uq, k.door.users, k.door.group)
	if err != nil {
		return err
	}
	at, room := max(0, start-1-users.Total), count-len(users.Items)
	next := ""
	switch {
	case inGroups:
		if at, err = groupCursor(q.cursor); err != nil {
			return err
		}
		room = count
	case q.byCursor && users.Next != "":
		next, room = "u"+users.Next, 0
	case q.byCursor:
		at = 0
	}
	page, more := cutPage(groups, at, max(room, 0))
	if next == "" && q.byCursor {
		if next = more; room <= 0 && len(groups) > at {
			next = "g0"
		}
	}
	b := listHead(nil, users.Total+len(groups), start, len(users.Items)+len(page), q, next)
	r := k.renderer(q.attributes, q.excluded)
	for i := range users.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.user(b, &users.Items[i])
	}
	b, err = k.appendGroups(b, page, project(k.door.group, q.attributes, q.excluded), len(users.Items) == 0)
	if err != nil {
		return err
	}
	return k.send(http.StatusOK, append(b, ']', '}'))
}

// errBadCursor is RFC 9865's answer to a cursor that is not one of ours.
func errBadCursor() error {
	return &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimInvalidCursor, Message: "the cursor is not one of this list; begin again without one"}
}
