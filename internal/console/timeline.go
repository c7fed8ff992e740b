package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

const (
	bandRows    = 12   // bars of a band in the overview
	bandPage    = 1000 // bars of one band alone
	bandsShown  = 25   // bands of a page
	defaultSpan = 90 * 24 * time.Hour
)

type timelineView struct {
	By      string // vendor, sponsor
	One     string // the one band that is shown
	Days    int    // ahead
	Spans   []tab
	Bys     []tab
	Ticks   []tick
	Now     string // x of the now-line
	Bands   []band
	Next    string // URL of the next bands, or of the next bars
	First   string
	From    time.Time
	To      time.Time
	Density []dayBar
	Total   int // ends within the span
	Empty   bool
}

// tick is a line of the time axis.
type tick struct {
	X, Label string
	Major    bool
	Minor    bool // its label is left out where there is little room
}

// band is a vendor's or a sponsor's part of the picture.
type band struct {
	Name   string
	URL    string // shows it alone
	Ends   int    // within the span
	Bars   []bar
	More   bool
	Height int
	Strip  []dayBar
}

// bar is one contract. X, W are shares of the width in percent.
type bar struct {
	contractor.Contract
	X, W        string
	Y           int
	Open        bool   // goes on behind the right edge
	ExtX, ExtW  string // the part that an extension added; "" none
	Class       string
	Words       string
	LabelFirst  string
	LabelSecond string
}

const rowHeight = 22

// window is the span of time that a picture shows.
type window struct{ from, to time.Time }

func (w window) x(t time.Time) float64 {
	return min(1, max(0, float64(t.Sub(w.from))/float64(w.to.Sub(w.from))))
}

func (w window) percent(t time.Time) string { return percent(w.x(t)) }

func percent(x float64) string { return strconv.FormatFloat(x*100, 'f', 2, 64) + "%" }

func (c *Console) timeline(w http.ResponseWriter, r *http.Request, s *session) error {
	now := time.Now().UTC()
	v := timelineView{By: r.FormValue("by"), Days: 90}
	if v.By != "sponsor" {
		v.By = "vendor"
	}
	if n, err := strconv.Atoi(r.FormValue("days")); err == nil && n >= 7 && n <= 730 {
		v.Days = n
	}
	ahead := time.Duration(v.Days) * 24 * time.Hour
	// A quarter of the span lies behind us: what ended lately belongs to the picture.
	win := window{now.Add(-ahead / 4).Truncate(24 * time.Hour), now.Add(ahead).Truncate(24 * time.Hour)}
	v.From, v.To, v.Now = win.from, win.to, win.percent(now)
	v.Ticks = besideNow(ticks(win), win, now)
	for _, d := range []int{30, 90, 180, 365} {
		v.Spans = append(v.Spans, tab{Label: fmt.Sprintf("%d days", d), URL: with(r.URL, "days", strconv.Itoa(d)), Here: d == v.Days})
	}
	v.Bys = []tab{{Label: "by vendor", URL: "/timeline?by=vendor&days=" + strconv.Itoa(v.Days), Here: v.By == "vendor"}, {Label: "by sponsor", URL: "/timeline?by=sponsor&days=" + strconv.Itoa(v.Days), Here: v.By == "sponsor"}}
	ends, err := c.store.EndsPerDay(r.Context(), win.from, win.to)
	if err != nil {
		return err
	}
	v.Density, v.Total = strip(win, ends, "")
	v.One = r.FormValue(v.By)
	if v.One != "" {
		err = c.oneBand(r, &v, win, now, ends)
	} else {
		err = c.someBands(r, &v, win, now, ends)
	}
	if err != nil {
		return err
	}
	return c.page(w, r, s, "timeline", "Timeline", v)
}

// oneBand shows one vendor's or sponsor's contracts, a page at a time.
func (c *Console) oneBand(r *http.Request, v *timelineView, win window, now time.Time, ends []contractor.EndsOnDay) error {
	b, last, err := c.band(r, v, v.One, win, now, r.FormValue("after"), bandPage, ends)
	if err != nil {
		return err
	}
	if b.More {
		v.Next = with(r.URL, "after", last)
		b.More = false
	}
	if r.FormValue("after") != "" {
		v.First = with(r.URL, "after", "")
	}
	v.Bands = []band{b}
	return nil
}

// someBands shows the first contracts of each vendor, or of a page of sponsors.
func (c *Console) someBands(r *http.Request, v *timelineView, win window, now time.Time, ends []contractor.EndsOnDay) error {
	after := r.FormValue("after")
	var names []string
	if v.By == "sponsor" {
		list, err := c.store.Sponsors(r.Context(), after, bandsShown+1)
		if err != nil {
			return err
		}
		names = list
	} else {
		list, err := c.store.ListVendors(r.Context())
		if err != nil {
			return err
		}
		for _, x := range list {
			if x.Name > after && len(names) <= bandsShown {
				names = append(names, x.Name)
			}
		}
	}
	if len(names) > bandsShown {
		names = names[:bandsShown]
		v.Next = with(r.URL, "after", names[bandsShown-1])
	}
	if after != "" {
		v.First = with(r.URL, "after", "")
	}
	for _, name := range names {
		b, _, err := c.band(r, v, name, win, now, "", bandRows, ends)
		if err != nil {
			return err
		}
		if len(b.Bars) > 0 {
			v.Bands = append(v.Bands, b)
		}
	}
	v.Empty = len(v.Bands) == 0 && after == ""
	return nil
}

func (c *Console) band(r *http.Request, v *timelineView, name string, win window, now time.Time, after string, most int, ends []contractor.EndsOnDay) (b band, last string, err error) {
	q := contractor.ContractQuery{Order: contractor.ContractsByEnd, EndFrom: win.from, After: after, Limit: most + 1}
	b = band{Name: name, URL: "/timeline?by=" + v.By + "&days=" + strconv.Itoa(v.Days)}
	if v.By == "sponsor" {
		q.Sponsor = name
	} else {
		q.Vendor = name
		b.Strip, b.Ends = strip(win, ends, name)
	}
	u := *r.URL
	b.URL = with(&u, v.By, name)
	list, err := c.store.Contracts(r.Context(), q)
	if err != nil {
		return b, "", err
	}
	if len(list) > most {
		list, b.More = list[:most], true
	}
	for i := range list {
		x := makeBar(&list[i], win, now)
		x.Y = i * rowHeight
		b.Bars = append(b.Bars, x)
		last = list[i].Key
		if v.By == "sponsor" && list[i].SponsorMail != "" {
			b.Name = list[i].SponsorMail
		}
	}
	b.Height = len(list) * rowHeight
	return b, last, nil
}

func makeBar(x *contractor.Contract, win window, now time.Time) bar {
	b := bar{Contract: *x, Class: "bar " + string(x.Status), LabelFirst: x.Name, LabelSecond: x.Email}
	if b.LabelFirst == "" {
		b.LabelFirst, b.LabelSecond = x.Email, ""
	}
	from, to := win.x(x.Start), win.x(x.End)
	b.X, b.W, b.Open = percent(from), percent(max(to-from, 0.002)), x.End.After(win.to)
	if x.Held != "" || x.Blocked {
		b.Class += " waits"
	}
	// What an extension added stands out, whether the vendor or an admin gave it.
	if !x.PrevEnd.IsZero() && x.PrevEnd.Before(x.End) && x.PrevEnd.After(x.Start) && x.PrevEnd.Before(win.to) && x.End.After(win.from) {
		f := win.x(x.PrevEnd)
		b.ExtX, b.ExtW = percent(f), percent(to-f)
	}
	b.Words = fmt.Sprintf("%s, %s, %s: from %s to %s (%s)", b.LabelFirst, x.Vendor, x.Status, x.Start.Format("2006-01-02"), x.End.Format("2006-01-02"), relative(x.End, now))
	if b.ExtX != "" {
		b.Words += ", extended from " + x.PrevEnd.Format("2006-01-02")
	}
	if x.Held != "" {
		b.Words += ", waits: " + x.Held
	}
	if x.Blocked {
		b.Words += ", stopped"
	}
	return b
}

// strip counts the ends of days, of one vendor or of all, as a row of bars.
func strip(win window, ends []contractor.EndsOnDay, vendor string) (bars []dayBar, total int) {
	perDay := map[time.Time]int{}
	most := 0
	for _, e := range ends {
		if vendor == "" || e.Vendor == vendor {
			perDay[e.Day] += e.Ends
			total += e.Ends
			most = max(most, perDay[e.Day])
		}
	}
	for day := win.from; day.Before(win.to); day = day.Add(24 * time.Hour) {
		n := perDay[day]
		if n == 0 {
			continue
		}
		h := 0.15 + 0.85*float64(n)/float64(most)
		bars = append(bars, dayBar{Day: day, Ends: n, X: win.x(day), W: max(0.0025, win.x(day.Add(20*time.Hour))-win.x(day)), Y: 1 - h, H: h})
	}
	return bars, total
}

// ticks are the lines of the axis: weeks of a short span, months of a long one.
func ticks(win window) (list []tick) {
	days := int(win.to.Sub(win.from) / (24 * time.Hour))
	for day := win.from; day.Before(win.to); day = day.AddDate(0, 0, 1) {
		month := day.Day() == 1
		switch {
		case month && days > 60:
			list = append(list, tick{X: win.percent(day), Label: day.Format("Jan 2006"), Major: true})
		case days <= 150 && day.Weekday() == time.Monday:
			t := tick{X: win.percent(day)}
			if days <= 60 {
				t.Label = day.Format("2 Jan")
			}
			list = append(list, t)
		}
	}
	thin(list)
	return list
}

// besideNow takes away the labels that the word "now" would stand on.
func besideNow(list []tick, win window, now time.Time) []tick {
	at := win.x(now)
	for i := range list {
		if x, err := strconv.ParseFloat(strings.TrimSuffix(list[i].X, "%"), 64); err == nil && x/100 > at-0.12 && x/100 < at+0.02 {
			list[i].Label = ""
		}
	}
	return list
}

const (
	labelsWide   = 12 // labels that a wide picture has room for
	labelsNarrow = 4
)

// thin takes away labels that would stand on each other.
func thin(list []tick) {
	var labelled []int
	for i := range list {
		if list[i].Label != "" {
			labelled = append(labelled, i)
		}
	}
	n := len(labelled)
	for k, i := range labelled {
		if k%(n/(labelsWide+1)+1) != 0 {
			list[i].Label = ""
		}
		list[i].Minor = k%(n/(labelsNarrow+1)+1) != 0
	}
}
