package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"scimbridge/internal/contractor"
)

// work is something that takes longer than a page may: one of each kind at a time, watched on a page of its own.
type work struct {
	mu       sync.Mutex
	kind     string // of the URL
	title    string
	began    time.Time
	what     string // that is counted
	done, of int64  // of: 0 where it is not known
	finished bool
	to       string // the page of the result
	err      error
}

// workPatience is how long a form waits for its work before it shows the page of progress instead.
const workPatience = 2 * time.Second

// told takes note of the progress.
func (k *work) told(what string, done, of int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.what, k.done, k.of = what, done, of
}

// works are those under way, and the last result of each kind.
type works struct {
	mu     sync.Mutex
	byKind map[string]*work
	parts  sync.WaitGroup
}

// begin starts work in the background, for at most limit, and leads to its result, or after workPatience to its progress. run
// answers the page of the result.
func (c *Console) begin(w http.ResponseWriter, r *http.Request, kind, title string, limit time.Duration, run func(ctx context.Context, k *work) (to string, err error)) error {
	k := &work{kind: kind, title: title, began: time.Now()}
	c.works.mu.Lock()
	if old := c.works.byKind[kind]; old != nil && !old.over() {
		c.works.mu.Unlock()
		http.Redirect(w, r, "/work/"+kind, http.StatusSeeOther) // it is under way already
		return nil
	}
	c.works.byKind[kind] = k
	c.works.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), limit)
	over := make(chan struct{})
	c.works.parts.Go(func() {
		defer cancel()
		defer close(over)
		to, err := run(ctx, k)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.finished, k.to, k.err = true, to, err
	})
	c.works.parts.Go(func() { // what is under way when the daemon stops is called off
		select {
		case <-c.live.quit:
			cancel()
		case <-over:
		}
	})
	select {
	case <-over:
	case <-time.After(workPatience):
	}
	if !k.over() {
		http.Redirect(w, r, "/work/"+kind, http.StatusSeeOther)
		return nil
	}
	return c.result(w, r, k)
}

func (k *work) over() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.finished
}

// result leads to the result of work that is over.
func (c *Console) result(w http.ResponseWriter, r *http.Request, k *work) error {
	if errors.Is(k.err, context.DeadlineExceeded) || errors.Is(k.err, context.Canceled) {
		return contractor.Errorf(contractor.CodeUnavailable, "It took too long, or the daemon was stopped, and was called off. Try again.")
	}
	if k.err != nil {
		return k.err
	}
	http.Redirect(w, r, k.to, http.StatusSeeOther)
	return nil
}

type workView struct {
	Title   string
	Began   time.Time
	Words   string
	Percent string // "" where the whole is not known
	Rate    string
	Left    string
	Share   int
}

// progress shows work that is under way, and leads to the result of that which is over.
func (c *Console) progress(w http.ResponseWriter, r *http.Request, s *session) error {
	c.works.mu.Lock()
	k := c.works.byKind[r.PathValue("kind")]
	c.works.mu.Unlock()
	if k == nil {
		return contractor.Errorf(contractor.CodeNotFound, "No such work was begun since the daemon started.")
	}
	if k.over() {
		return c.result(w, r, k)
	}
	return c.page(w, r, s, "work", k.title, k.view(time.Now()))
}

func (k *work) view(now time.Time) workView {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := workView{Title: k.title, Began: k.began.UTC()}
	if k.what == "" {
		return v
	}
	v.Words = grouped(k.done) + " " + k.what
	took := now.Sub(k.began)
	if k.done > 0 && took > time.Second {
		perSecond := float64(k.done) / took.Seconds()
		v.Rate = fmt.Sprintf("%.0f a second", perSecond)
		if k.of > k.done {
			v.Left = lasting(time.Duration(float64(k.of-k.done) / perSecond * float64(time.Second)))
		}
	}
	if k.of > 0 {
		v.Words = grouped(k.done) + " of " + grouped(k.of) + " " + k.what
		v.Share = int(100 * k.done / k.of)
		v.Percent = fmt.Sprintf("%d %%", v.Share)
	}
	return v
}
