package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// listPage is how many contracts a list shows at once.
const listPage = 50

type contractorsView struct {
	List    []contractor.Contract
	Show    string // the tab
	Query   contractor.ContractQuery
	Vendors []string
	Next    string // URL of the next page; "" at the end
	First   string // URL of the first page; "" if this is it
	Tabs    []tab
	Empty   bool // no filter, and nothing
}

type tab struct {
	Name, Label, URL string
	Here             bool
}

func (c *Console) contractors(w http.ResponseWriter, r *http.Request, s *session) error {
	now := time.Now().UTC()
	text := strings.TrimSpace(r.FormValue("q"))
	if found, err := c.exactly(r, text); err != nil {
		return err
	} else if found != "" {
		http.Redirect(w, r, "/contractors/"+url.PathEscape(found), http.StatusSeeOther)
		return nil
	}
	v := contractorsView{Show: r.FormValue("show")}
	v.Query = contractor.ContractQuery{
		Vendor: r.FormValue("vendor"), Sponsor: r.FormValue("sponsor"), Rule: r.FormValue("rule"), Text: text,
		Status: contractor.Status(r.FormValue("status")), After: r.FormValue("after"), Limit: listPage + 1,
	}
	if v.Show == "" {
		v.Show = "ending"
		if v.Query.Text != "" || v.Query.Rule != "" || v.Query.Status != "" {
			v.Show = "all"
		}
	}
	switch v.Show {
	case "ending":
		v.Query.Order, v.Query.EndFrom = contractor.ContractsByEnd, now
	case "ended":
		v.Query.Order, v.Query.EndTo = contractor.ContractsByEndDown, now
	case "waiting":
		v.Query.Order, v.Query.Held = contractor.ContractsByAge, true
	case "failing":
		v.Query.Order, v.Query.Failing = contractor.ContractsByAge, true
	case "all":
		v.Query.Order = contractor.ContractsByAge
	default:
		return contractor.Errorf(contractor.CodeNotFound, "There is no list %q of contractors.", v.Show)
	}
	var err error
	if v.List, err = c.store.Contracts(r.Context(), v.Query); err != nil {
		return err
	}
	if len(v.List) > listPage {
		v.List = v.List[:listPage]
		v.Next = with(r.URL, "after", v.List[listPage-1].Key)
	}
	if v.Query.After != "" {
		v.First = with(r.URL, "after", "")
	}
	v.Vendors = c.bridge.Mapping().Vendors()
	for _, t := range []tab{{"ending", "Ending", "", false}, {"all", "Newest", "", false}, {"waiting", "Waiting", "", false}, {"failing", "Failing", "", false}, {"ended", "Ended", "", false}} {
		u := *r.URL
		q := u.Query()
		q.Del("after")
		q.Set("show", t.Name)
		u.RawQuery = q.Encode()
		t.URL, t.Here = u.RequestURI(), t.Name == v.Show
		v.Tabs = append(v.Tabs, t)
	}
	v.Empty = len(v.List) == 0 && v.Query.After == "" && v.Query.Vendor == "" && v.Query.Text == "" && v.Query.Rule == "" && v.Query.Status == "" && v.Query.Sponsor == ""
	return c.page(w, r, s, "contractors", "Contractors", v)
}

// exactly finds the person whose id or whole address was searched for; "" if the text is neither.
func (c *Console) exactly(r *http.Request, text string) (string, error) {
	if !strings.Contains(text, "@") && !looksLikeID(text) {
		return "", nil
	}
	p, err := c.store.FindPerson(r.Context(), text)
	if err != nil {
		if notFound(err) {
			return "", nil
		}
		return "", err
	}
	return p.ID, nil
}

func looksLikeID(s string) bool { return len(s) == 36 && strings.Count(s, "-") == 4 }

// with is the URL with one parameter set, or taken out with "".
func with(u *url.URL, key, value string) string {
	q := u.Query()
	if value == "" {
		q.Del(key)
	} else {
		q.Set(key, value)
	}
	x := url.URL{Path: u.Path, RawQuery: q.Encode()}
	return x.RequestURI()
}
