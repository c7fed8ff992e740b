package emulator

import (
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

// user is one user object, live or soft-deleted.
type user struct {
	ord     int
	id      string
	props   map[string]any // the truth; replaced at every change, never edited in place
	seen    []version      // what readers get, oldest first
	created time.Time
	ready   time.Time // until then reads and writes by id may not find it
	deleted time.Time // zero when live

	manager  string
	sponsors []string
	governed bool      // entitlement management owns its end
	sessions time.Time // of the last revocation
}

// version is a state of a user from the moment a reader may see it. A nil props
// means that the user is not in lists.
type version struct {
	from  time.Time
	props map[string]any
}

// userStore keeps users in their order of creation and an index of addresses.
type userStore struct {
	byID  map[string]*user
	order []*user // purged ones are nil
	live  int
	// index leads from "property:lower case value" to users that have or had the value:
	// a list of candidates, to be judged by the filter.
	index map[string][]*user
}

func (s *userStore) init() {
	s.byID = map[string]*user{}
	s.index = map[string][]*user{}
}

// indexed are the properties that filters look users up by.
func indexed(props map[string]any, add func(string)) {
	for _, name := range []string{"mail", "userPrincipalName", "employeeId"} {
		if v, ok := props[name].(string); ok {
			add(name + ":" + lower(v))
		}
	}
	if upn, ok := props["userPrincipalName"].(string); ok {
		if i := strings.Index(lower(upn), lower(guestMark)); i >= 0 {
			add(guestMark + lower(upn[:i+len(guestMark)]))
		}
	}
	for _, name := range []string{"otherMails", "proxyAddresses"} {
		for _, v := range texts(props[name]) {
			add(name + ":" + lower(v))
		}
	}
}

func (s *userStore) remember(u *user) {
	indexed(u.props, func(key string) {
		if !slices.Contains(s.index[key], u) {
			s.index[key] = append(s.index[key], u)
		}
	})
}

// find returns live users whose property has the value now.
func (s *userStore) find(property, value string) []*user {
	var out []*user
	key := property + ":" + lower(value)
	for _, u := range s.index[key] {
		if !u.deleted.IsZero() || s.byID[u.id] != u {
			continue
		}
		indexed(u.props, func(k string) {
			if k == key && !slices.Contains(out, u) {
				out = append(out, u)
			}
		})
	}
	return out
}

// live returns the user as it truly is, by object id or user principal name.
func (t *tenant) live(id string) (*user, bool) {
	if u, ok := t.users.byID[canonical(id)]; ok {
		return u, u.deleted.IsZero()
	}
	if !strings.Contains(id, "@") {
		return nil, false
	}
	for _, u := range t.users.find("userPrincipalName", id) {
		return u, true
	}
	return nil, false
}

// addUser puts a user with these properties into the directory.
func (t *tenant) addUser(id string, props map[string]any) *user {
	u := &user{ord: len(t.users.order), id: id, created: t.present}
	t.users.order = append(t.users.order, u)
	t.users.byID[id] = u
	t.users.live++
	base := map[string]any{
		"id": id, "accountEnabled": true, "businessPhones": []any{}, "otherMails": []any{}, "proxyAddresses": []any{},
		"userType": "Member", "createdDateTime": stamp(t.present), "assignedLicenses": []any{}, "assignedPlans": []any{},
		"identities": []any{}, "onPremisesExtensionAttributes": emptyExtensionAttributes(),
	}
	maps.Copy(base, props)
	u.ready = t.present.Add(t.lag("create", id))
	t.set(u, base, u.ready.Sub(t.present))
	return u
}

func emptyExtensionAttributes() map[string]any {
	m := map[string]any{}
	for i := 1; i <= 15; i++ {
		m["extensionAttribute"+itoa(i)] = nil
	}
	return m
}

// set makes props the truth. Readers of lists and filters see it after a delay of at
// least floor; the change feed gets what differs.
func (t *tenant) set(u *user, props map[string]any, floor time.Duration) {
	changed := differing(u.props, props)
	if len(changed) == 0 {
		return
	}
	u.props = props
	t.users.remember(u)
	t.publish(u, props, floor, changed)
}

// publish lets readers see props (nil: not in lists) after a delay.
func (t *tenant) publish(u *user, props map[string]any, floor time.Duration, changed []string) {
	from := t.present.Add(floor + t.lag("index", u.id))
	if n := len(u.seen); n > 0 && from.Before(u.seen[n-1].from) {
		from = u.seen[n-1].from
	}
	u.seen = append(u.trimmed(t.present), version{from, props})
	t.later(from, func() { t.delta.userChanged(t.present, u.id, changed) })
}

// trimmed drops versions that no reader can meet any more.
func (u *user) trimmed(now time.Time) []version {
	first := 0
	for i, v := range u.seen {
		if !v.from.After(now) {
			first = i
		}
	}
	return u.seen[first:]
}

// listed returns what lists and filters know of the user.
func (u *user) listed(now time.Time) map[string]any {
	var props map[string]any
	for _, v := range u.seen {
		if v.from.After(now) {
			break
		}
		props = v.props
	}
	return props
}

// replicating reports whether some reader may still see an older state.
func (u *user) replicating(now time.Time) bool {
	return len(u.seen) > 0 && u.seen[len(u.seen)-1].from.After(now)
}

func differing(a, b map[string]any) []string {
	var out []string
	for k, v := range b {
		if !equalJSON(a[k], v) {
			out = append(out, k)
		}
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

// equalJSON compares two JSON values.
func equalJSON(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			w, ok := b[k]
			if !ok || !equalJSON(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalJSON)
	case []string, []int:
		return false
	}
	switch b.(type) {
	case map[string]any, []any, []string, []int:
		return false
	}
	return a == b
}

// userRows yields the users that lists show, in their order of creation.
func (t *tenant) userRows(after int) iter.Seq[row] {
	return func(yield func(row) bool) {
		for i := after + 1; i < len(t.users.order); i++ {
			u := t.users.order[i]
			if u == nil {
				continue
			}
			if props := u.listed(t.present); props != nil && !yield(row{u.ord, props}) {
				return
			}
		}
	}
}

// activeRows is userRows with the sign-in activity.
func (t *tenant) activeRows(after int) iter.Seq[row] {
	return func(yield func(row) bool) {
		for r := range t.userRows(after) {
			if !yield(row{r.ord, t.logs.withActivity(text(r.obj, "id"), r.obj)}) {
				return
			}
		}
	}
}

// candidates is userRows, cut down by what the filter asks for first when that is an
// address: it spares a walk over every user of the tenant.
func (t *tenant) candidates(f filterExpr) func(int) iter.Seq[row] {
	keys := lookupKeys(f)
	if keys == nil {
		return t.userRows
	}
	var found []*user
	for _, key := range keys {
		found = append(found, t.users.index[key]...)
	}
	slices.SortFunc(found, func(a, b *user) int { return a.ord - b.ord })
	found = slices.Compact(found)
	return func(after int) iter.Seq[row] {
		return func(yield func(row) bool) {
			for _, u := range found {
				if u.ord <= after || t.users.byID[u.id] != u {
					continue
				}
				if props := u.listed(t.present); props != nil && !yield(row{u.ord, props}) {
					return
				}
			}
		}
	}
}

// lookupKeys finds indexed equalities of which every match must satisfy one; nil if
// there are none.
func lookupKeys(f filterExpr) []string {
	switch f := f.(type) {
	case compareExpr:
		switch f.path {
		case "mail", "userPrincipalName", "employeeId":
			if f.op == "eq" && f.lit.kind == litText {
				return []string{f.path + ":" + lower(f.lit.text)}
			}
		}
	case functionExpr:
		if f.name == "startswith" && f.path == "userPrincipalName" && strings.HasSuffix(f.arg, guestMark) {
			return []string{guestMark + lower(f.arg)}
		}
	case lambdaExpr:
		if c, ok := f.body.(compareExpr); ok && !f.all && c.op == "eq" && c.path == f.variable && c.lit.kind == litText &&
			(f.path == "otherMails" || f.path == "proxyAddresses") {
			return []string{f.path + ":" + lower(c.lit.text)}
		}
	case boolExpr:
		left, right := lookupKeys(f.left), lookupKeys(f.right)
		switch {
		case f.or && (left == nil || right == nil):
			return nil
		case f.or:
			return append(left, right...)
		case left != nil:
			return left
		}
		return right
	}
	return nil
}

// guestMark is what stands in a guest's user principal name after its address.
const guestMark = "#EXT#@"
