package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"scimbridge/internal/audit"
	"scimbridge/internal/console"
	"scimbridge/internal/contractor"
)

// peopleVariable says how many contractors the browser test shows; the ordinary one has twelve.
const peopleVariable = "SCIMBRIDGE_CONSOLE_PEOPLE"

// shotsVariable names a folder for pictures of every page.
const shotsVariable = "SCIMBRIDGE_CONSOLE_SHOTS"

// browser is a real Chromium, and what it complained about.
type browser struct {
	ctx     context.Context //nolint:containedctx // chromedp keeps the browser in it
	t       *testing.T
	base    string
	mu      sync.Mutex
	grumble []string
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium is installed (apt-get install chromium): the console is not tried in a browser")
	}
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("hide-scrollbars", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx, t: t, base: base}
	chromedp.ListenTarget(ctx, b.listen)
	b.do("start", network.Enable(), log.Enable(), runtime.Enable())
	return b
}

// listen notes script errors, refusals of the content security policy, and requests that leave the console.
func (b *browser) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.grumble = append(b.grumble, "script: "+ev.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.LevelError && !strings.Contains(ev.Entry.Text, "status of 4") {
			b.grumble = append(b.grumble, "log: "+ev.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		// The browser's own pictures in date fields come as data: URLs.
		if !strings.HasPrefix(ev.Request.URL, b.base+"/") && !strings.HasPrefix(ev.Request.URL, "data:image/svg+xml;base64,") {
			b.grumble = append(b.grumble, "a request leaves the console: "+ev.Request.URL)
		}
	}
}

func (b *browser) do(what string, actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 60*time.Second)
	defer cancel()
	if what == "start" {
		ctx = b.ctx // the browser lives as long as the context that started it
	}
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *browser) visit(path string) {
	b.t.Helper()
	b.do("open "+path, chromedp.Navigate(b.base+path), chromedp.WaitReady("main"))
}

func (b *browser) where() (path string) {
	b.t.Helper()
	b.do("ask where", chromedp.Evaluate(`location.pathname`, &path))
	return path
}

// shape sets width and colours.
func (b *browser) shape(width int64, scheme string) {
	b.t.Helper()
	height := int64(900)
	if width < 600 {
		height = 860
	}
	b.do("shape", emulation.SetDeviceMetricsOverride(width, height, 1, width < 600),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
}

func (b *browser) shoot(dir, name string) {
	b.t.Helper()
	var png []byte
	b.do("shoot", chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatPng).Do(ctx)
		return err
	}))
	ok(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}

// axe is the accessibility checker's script, where it is installed; "" if it is not.
func axe(t *testing.T) string {
	script, err := os.ReadFile("../../.cache/axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Log("axe-core is not installed (npm install --prefix .cache/axe axe-core): accessibility is not checked")
		return ""
	}
	return string(script)
}

type axeFinding struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

// accessible fails on what axe-core calls serious or critical, by one rule or by all.
func (b *browser) accessible(script, what, rule string) {
	b.t.Helper()
	if script == "" {
		return
	}
	only := ""
	if rule != "" {
		only = `, runOnly: ['` + rule + `']`
	}
	var out string
	b.do("axe", chromedp.Evaluate("if (!window.axe) {"+script+"}; 0", nil), chromedp.Evaluate(`axe.run(document, {resultTypes: ['violations']`+only+`}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 4).map(n => n.html.slice(0, 160) + ' ' + (n.any[0] ? n.any[0].message : ''))}))))`, &out,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	var list []axeFinding
	ok(b.t, json.Unmarshal([]byte(out), &list))
	for _, f := range list {
		if f.Impact == "serious" || f.Impact == "critical" {
			b.t.Errorf("%s: %s (%s): %s\n  %s", what, f.ID, f.Impact, f.Help, strings.Join(f.Nodes, "\n  "))
		}
	}
}

// fits fails where a page is wider than its window.
func (b *browser) fits(what string) {
	b.t.Helper()
	var out string
	b.do("measure", chromedp.Evaluate(`(() => { const w = document.documentElement.clientWidth; if (document.documentElement.scrollWidth <= w) return '';
		return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > w + 1 && !e.closest('svg, .code, pre, .unseen')).slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join('\n') || 'something'; })()`, &out))
	if out != "" {
		b.t.Errorf("%s is wider than the window: %s", what, out)
	}
}

func (b *browser) quiet(what string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.grumble {
		b.t.Errorf("%s: %s", what, g)
	}
	b.grumble = nil
}

// TestConsoleInBrowser opens each page in a real Chromium, light and dark, wide and narrow, and does each kind of action.
func TestConsoleInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes a while")
	}
	t.Parallel()
	people := 12
	if n, err := strconv.Atoi(os.Getenv(peopleVariable)); err == nil {
		people = n
	}
	w := newConsoleWorld(t, people)
	b := newBrowser(t, w.base)
	link, err := w.daemon.console.Link("ann", console.Operator)
	ok(t, err)
	b.do("sign in by the link", chromedp.Navigate(link), chromedp.WaitVisible("nav"), chromedp.WaitVisible("#figures"))
	t.Run("Pages", func(t *testing.T) { b.t = t; browsePages(t, w, b) })
	t.Run("Keys", func(t *testing.T) { b.t = t; browseKeys(t, b) })
	t.Run("Live", func(t *testing.T) { b.t = t; browseLive(t, w, b) })
	t.Run("Hold", func(t *testing.T) { b.t = t; browseHold(t, w, b) })
	t.Run("Orphans", func(t *testing.T) { b.t = t; browseOrphans(t, w, b) })
	t.Run("Actions", func(t *testing.T) { b.t = t; browseActions(t, w, b) })
	t.Run("EndNow", func(t *testing.T) { b.t = t; browseEnd(t, w, b) })
}

// browsePages loads each page once, and looks at it wide and narrow, light and dark.
func browsePages(t *testing.T, w *consoleWorld, b *browser) {
	script := axe(t)
	dir := os.Getenv(shotsVariable)
	long := dir != ""
	// Between them these pages have all the colours there are, so that the others need not be asked twice.
	shades := []string{"/", "/timeline", "/holds", "/mapping", "/contractors/" + w.people[4]}
	for path := range w.consolePages() {
		if !long && strings.Contains(path, "?") {
			continue // another page of the same form
		}
		begin := time.Now()
		b.shape(1280, "light")
		b.visit(path)
		if len(w.people) > 1000 {
			t.Logf("%-75s %5d ms in the browser", path, time.Since(begin).Milliseconds())
		}
		for _, width := range []int64{1280, 400} {
			for _, scheme := range []string{"light", "dark"} {
				what := fmt.Sprintf("%s, %d wide, %s", path, width, scheme)
				b.shape(width, scheme)
				b.fits(what)
				switch {
				case width == 1280 && scheme == "light" || long:
					b.accessible(script, what, "")
				case width == 1280 && slices.Contains(shades, path):
					b.accessible(script, what, "color-contrast")
				}
				if dir != "" {
					name := strings.NewReplacer("/", "-", "?", "-", "&", "-", "=", "-").Replace(strings.ReplaceAll(path, w.people[6], "person"))
					if name = strings.Trim(name, "-"); name == "" {
						name = "today"
					}
					b.shoot(dir, fmt.Sprintf("%s-%d-%s", name, width, scheme))
				}
			}
		}
		b.quiet(path)
	}
	b.shape(1280, "light")
}

func browseKeys(t *testing.T, b *browser) {
	b.visit("/contractors")
	var focus string
	b.do("search", chromedp.KeyEvent("/"), chromedp.Evaluate(`document.activeElement.id`, &focus))
	if focus != "q" {
		t.Errorf("/ leads to %q", focus)
	}
	b.do("leave, go to the second row", chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.Evaluate(`String([...document.querySelectorAll('[data-row]')].findIndex(r => r.classList.contains('here')))`, &focus))
	if focus != "1" {
		t.Errorf("j j leads to row %q", focus)
	}
	b.do("open it", chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#ids"))
	b.do("go to the holds", chromedp.KeyEvent("g"), chromedp.KeyEvent("h"), chromedp.WaitVisible("#people"))
	if got := b.where(); got != "/holds" {
		t.Errorf("g h leads to %s", got)
	}
	b.quiet("keys")
}

// browseLive holds that an open page shows what happens.
func browseLive(t *testing.T, w *consoleWorld, b *browser) {
	b.visit("/")
	b.do("wait until it is live", chromedp.Poll(`document.getElementById('live-state').textContent === 'Live.'`, nil))
	eventually(t, 20*time.Second, "the page shows a new event", func() bool {
		// The first number that a stream sends is where it begins.
		ok(t, w.daemon.store.AppendEvents(t.Context(), audit.Event{Kind: "test.happened", Actor: audit.Actor{Kind: audit.ActorBridge}, Outcome: audit.Done}))
		var seen bool
		b.do("look", chromedp.Sleep(time.Second), chromedp.Evaluate(`document.querySelector('#lately').textContent.includes('test.happened')`, &seen))
		return seen
	})
	b.quiet("live")
}

func browseHold(t *testing.T, w *consoleWorld, b *browser) {
	b.visit("/holds")
	b.do("approve a hold", chromedp.Click(`input[name=hold][value="2"]`), chromedp.SendKeys(`form:has(input[value="2"]) input[name=reason]`, "agreed with the vendor"),
		chromedp.Click(`form:has(input[value="2"]) button[value=approve]`), chromedp.WaitVisible(".flash"))
	actor, reason, person := w.lastEvent(t, "hold.approved")
	if actor != "ann (console)" || reason != "agreed with the vendor" || person != w.people[5] {
		t.Errorf("the journal says %q, %q, %q", actor, reason, person)
	}
	b.quiet("hold")
}

// browseEnd pushes a contractor as a vendor would, finds it in the browser, and shuts its door.
func browseEnd(t *testing.T, w *consoleWorld, b *browser) {
	ok(t, w.addVendors(t.Context()))
	if _, err := w.vendors["okta"].create(t.Context(), bo, okta(bo, "Bo", "Diaz", "Developer", time.Now().AddDate(0, 0, 30))); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the guest is there", func() bool { return guestOf(w.tenant.State(), bo) != nil })
	b.visit("/")
	b.do("search for the address", chromedp.SendKeys("#q", bo+kb.Enter), chromedp.WaitVisible("a.danger"))
	b.do("say why", chromedp.Click("a.danger"), chromedp.WaitVisible(".consequences.grave"), chromedp.SendKeys("#reason", "laptop stolen"))
	begin := time.Now()
	b.do("end it", chromedp.Click("button.danger"), chromedp.WaitVisible(".flash"))
	eventually(t, 20*time.Second, "sign-in is disabled", func() bool { return !guestOf(w.tenant.State(), bo).Enabled })
	t.Logf("the door was shut %d ms after the button", time.Since(begin).Milliseconds())
	if actor, reason, _ := w.lastEvent(t, "person.blocked"); actor != "ann (console)" || reason != "laptop stolen" {
		t.Errorf("the journal says %q, %q", actor, reason)
	}
	b.quiet("end")
}

// TestConsoleIsQuick tells how long each page takes over as many contractors as the variable says.
func TestConsoleIsQuick(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(peopleVariable))
	if err != nil {
		t.Skip(peopleVariable + " is not set: set it to 100000 for the long form")
	}
	w := newConsoleWorld(t, n)
	v := w.visit(t, "ann", console.Operator)
	pages := w.consolePages()
	pages["/contractors?q=zzzz"] = "Nobody fits"
	pages["/contractors?show=all&after=50000"] = "Next page"
	for path := range pages {
		var best time.Duration
		size := 0
		for range 3 {
			begin := time.Now()
			code, text := v.get(path)
			if code != http.StatusOK {
				t.Errorf("%s answers %d", path, code)
			}
			if took := time.Since(begin); best == 0 || took < best {
				best = took
			}
			size = len(text)
		}
		t.Logf("%-75s %5d ms %5d KB", path, best.Milliseconds(), size>>10)
		if best > 2*time.Second {
			t.Errorf("%s takes %v", path, best)
		}
	}
	ids := []string{}
	begin := time.Now()
	list, err := w.daemon.store.Contracts(t.Context(), contractor.ContractQuery{Limit: 2000, EndFrom: time.Now()})
	ok(t, err)
	for _, x := range list {
		ids = append(ids, x.Key)
	}
	t.Logf("%d contracts by their ends in %v", len(ids), time.Since(begin))
}
