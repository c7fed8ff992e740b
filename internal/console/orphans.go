package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// orphaned is what the last look found; it is kept until the next, or the daemon's end.
type orphaned struct {
	mu   sync.Mutex
	at   time.Time // zero: nobody looked
	by   string
	list []contractor.Orphan
}

const (
	orphansShown   = 100
	orphansTimeout = 30 * time.Minute // a hundred thousand guests, at the pace that sweeps are given
)

type orphansView struct {
	At      time.Time
	By      string
	All     bool
	List    []contractor.Orphan
	Found   int // without those that are left alone
	Left    int // that are left alone
	Unread  string
	Names   map[string]string
	Next    string
	First   string
	Running bool
}

func (c *Console) orphans(w http.ResponseWriter, r *http.Request, s *session) error {
	v := orphansView{All: r.FormValue("all") == "1", Names: map[string]string{}}
	skip, err := place(r)
	if err != nil {
		return err
	}
	c.works.mu.Lock()
	k := c.works.byKind["orphans"]
	v.Running = k != nil && !k.over()
	c.works.mu.Unlock()
	c.orphaned.mu.Lock()
	v.At, v.By = c.orphaned.at, c.orphaned.by
	for _, o := range c.orphaned.list {
		if o.Ignored != "" {
			v.Left++
		} else {
			v.Found++
		}
		if o.Unread != "" {
			v.Unread = o.Unread
		}
		if v.All || o.Ignored == "" {
			v.List = append(v.List, o)
		}
	}
	c.orphaned.mu.Unlock()
	v.List = v.List[min(skip, len(v.List)):]
	if len(v.List) > orphansShown {
		v.List, v.Next = v.List[:orphansShown], with(r.URL, "skip", strconv.Itoa(skip+orphansShown))
	}
	if skip > 0 {
		v.First = with(r.URL, "skip", "")
	}
	for i := range v.List {
		c.nameOf(r, v.List[i].Person, v.Names)
	}
	return c.page(w, r, s, "orphans", "Orphans", v)
}

// lookForOrphans reads the tenant's guests in the background.
func (c *Console) lookForOrphans(w http.ResponseWriter, r *http.Request, s *session) error {
	signIns := r.PostFormValue("sign_ins") == "1"
	return c.begin(w, r, "orphans", "Looking for orphans", orphansTimeout, func(ctx context.Context, k *work) (string, error) {
		list, err := c.bridge.Orphans(ctx, signIns, func(what string, done, of int) { k.told(what, int64(done), int64(of)) })
		if err != nil {
			return "", err
		}
		c.orphaned.mu.Lock()
		defer c.orphaned.mu.Unlock()
		c.orphaned.at, c.orphaned.by, c.orphaned.list = time.Now().UTC(), s.Name, list
		return "/orphans", nil
	})
}

// leaveOrphan leaves a guest alone, or takes that back.
func (c *Console) leaveOrphan(w http.ResponseWriter, r *http.Request, s *session) error {
	reason, err := reasonOf(r)
	if err != nil {
		return err
	}
	guest, decision := r.PathValue("guest"), r.PostFormValue("decision")
	if decision != "leave" && decision != "notice" {
		return contractor.Errorf(contractor.CodeInvalid, "Say leave or notice.")
	}
	c.orphaned.mu.Lock()
	at := slices.IndexFunc(c.orphaned.list, func(o contractor.Orphan) bool { return o.ID == guest })
	c.orphaned.mu.Unlock()
	if at < 0 {
		return contractor.Errorf(contractor.CodeNotFound, "The last look found no such guest. Look again.")
	}
	if err := c.store.IgnoreOrphan(r.Context(), s.actor(), guest, reason, decision == "leave"); err != nil {
		return err
	}
	c.orphaned.mu.Lock()
	for i := range c.orphaned.list {
		if o := &c.orphaned.list[i]; o.ID == guest {
			if o.Ignored = ""; decision == "leave" {
				o.Ignored = reason + " (" + s.actor().Name + ")"
			}
		}
	}
	c.orphaned.mu.Unlock()
	if decision == "leave" {
		s.tell("The guest is left alone.")
	} else {
		s.tell("The guest counts as an orphan again.")
	}
	http.Redirect(w, r, "/orphans", http.StatusSeeOther)
	return nil
}

// forget drops a guest that was adopted from what the last look found.
func (o *orphaned) forget(guest string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = slices.DeleteFunc(o.list, func(x contractor.Orphan) bool { return x.ID == guest })
}
