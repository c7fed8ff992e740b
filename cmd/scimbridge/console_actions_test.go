package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"scimbridge/internal/console"
	"scimbridge/internal/entra/emulator"
)

// browseOrphans looks at the tenant as somebody does who watches the progress, then leaves a guest alone and adopts another.
func browseOrphans(t *testing.T, w *consoleWorld, b *browser) {
	script, dir := axe(t), os.Getenv(shotsVariable)
	see := func(name string) {
		b.accessible(script, name, "")
		b.fits(name)
		if dir != "" {
			b.shoot(dir, name)
		}
	}
	ok(t, w.tenant.Fail(emulator.Fault{Match: "user.list", Mode: emulator.HeldBack, Delay: 5 * time.Second}))
	b.visit("/orphans")
	b.do("look, and watch", chromedp.Click("main form button"), chromedp.WaitVisible("[data-poll]"))
	see("work")
	b.do("wait for the result", chromedp.WaitVisible("article.alarm"))
	if got := b.where(); got != "/orphans" {
		t.Errorf("the work leads to %s", got)
	}
	see("orphans")
	for _, scheme := range []string{"dark", "light"} {
		b.shape(400, scheme)
		b.fits("/orphans, narrow, " + scheme)
		b.accessible(script, "/orphans, narrow, "+scheme, "")
	}
	b.shape(1280, "light")
	old := guestOf(w.tenant.State(), "old@fabrikam.example").ID
	form := `form[action="/orphans/` + old + `"] `
	b.do("leave one alone", chromedp.SendKeys(form+"input[name=reason]", "the auditors"), chromedp.Click(form+"button"), chromedp.WaitVisible(".flash"))
	if _, reason, _ := w.lastEvent(t, "orphan.ignored"); reason != "the auditors" {
		t.Errorf("the journal says %q", reason)
	}
	b.do("look at the evidence", chromedp.Click(`a[href$="/adopt"]`), chromedp.WaitVisible("main dl.facts"))
	see("adopt")
	b.do("adopt it", chromedp.SendKeys("#reason", "ours, from before"), chromedp.Click("button.danger"), chromedp.WaitVisible(".flash"))
	if actor, _, person := w.lastEvent(t, "guest.adopted"); actor != "ann (console)" || person != w.people[0] {
		t.Errorf("the journal says %q about %s", actor, person)
	}
	b.quiet("orphans")
}

// browseActions does every other action as somebody does who has a mouse and a keyboard.
func browseActions(t *testing.T, w *consoleWorld, b *browser) {
	day := time.Now().AddDate(0, 2, 0)
	// A date field takes the date as the browser's language writes it; its value is set instead.
	pick := func(selector string) chromedp.Action {
		return chromedp.SetValue(selector, day.Format("2006-01-02"), chromedp.ByQuery)
	}
	person := "/contractors/" + w.people[10]
	for _, tc := range []struct {
		name, path, kind string
		steps            []chromedp.Action
		reason, button   string // selectors
	}{
		{"Extend", person + "/extend", "engagement.extended", []chromedp.Action{pick("#until")}, "#reason", "button.main"},
		{"Confirm", person + "/confirm", "attestation.confirmed", nil, "#reason", "button.main"},
		{"End", person + "/end", "person.blocked", nil, "#reason", "button.danger"},
		{"Release", person + "/release", "person.unblocked", nil, "#reason", "button.main"},
		{"Merge", "/contractors/" + w.people[3] + "/merge", "person.merged", []chromedp.Action{chromedp.SendKeys("#other", w.people[11])}, "#reason", "button.danger"},
		{"Split", "/contractors/" + w.people[3] + "/split", "person.split", []chromedp.Action{chromedp.SetValue("#engagement", uid(2, 11), chromedp.ByQuery)}, "#reason", "button.main"},
		{"CancelHold", "/holds", "hold.cancelled", []chromedp.Action{chromedp.Click(`input[name=hold][value="1"]`)}, `form:has(input[value="1"]) input[name=reason]`, `form:has(input[value="1"]) button[value=cancel]`},
		{"Acknowledge", "/alarms", "alarm.acknowledged", nil, `#al-1 input[name=reason]`, `#al-1 button`},
		{"AllowDrift", "/drift", "drift.allowed", []chromedp.Action{pick("article input[type=date]")}, "article input[name=reason]", "article button[value=allow]"},
		{"Pause", "/vendors/okta", "vendor.paused", nil, `form[action$="/pause"] input[name=reason]`, `form[action$="/pause"] button`},
		{"Resume", "/vendors/okta", "vendor.resumed", nil, `form[action$="/pause"] input[name=reason]`, `form[action$="/pause"] button`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.t = t
			b.visit(tc.path)
			b.do("fill in", tc.steps...)
			b.do("act", chromedp.SendKeys(tc.reason, "the browser says so: "+tc.name), chromedp.Click(tc.button), chromedp.WaitVisible(".flash"))
			if actor, reason, _ := w.lastEvent(t, tc.kind); actor != "ann (console)" || !strings.Contains(reason, "the browser says so: "+tc.name) {
				t.Errorf("the journal says %q, %q", actor, reason)
			}
			b.quiet(tc.name)
		})
	}
	t.Run("Plan", func(t *testing.T) {
		b.t = t
		text := read(t, w.dir+"/mapping.yaml")
		b.visit("/mapping")
		b.do("plan", chromedp.Click("#candidate summary"), chromedp.SetValue("#text", strings.Replace(text, "  - name: everyone\n    grant: {groups: [ext-base]}\n", "", 1), chromedp.ByQuery),
			chromedp.Click("#candidate button"), chromedp.WaitNotPresent("#candidate"))
		eventually(t, 5*time.Minute, "the plan is shown", func() bool { return strings.HasPrefix(b.where(), "/mapping/plans/") })
		b.accessible(axe(t), "a plan", "")
		if dir := os.Getenv(shotsVariable); dir != "" {
			b.shoot(dir, "plan")
		}
		b.quiet("plan")
	})
	t.Run("SignOutAndVerify", func(t *testing.T) {
		b.t = t
		b.visit("/")
		b.do("sign out", chromedp.Click(".who form button"), chromedp.WaitNotPresent("nav[aria-label=Pages]"))
		link, err := w.daemon.console.Link("au", console.Auditor)
		ok(t, err)
		b.do("come back as an auditor", chromedp.Navigate(link), chromedp.WaitVisible("#figures"))
		b.visit("/audit")
		b.do("verify", chromedp.Click(`form[action="/audit/verify"] button`), chromedp.WaitVisible("#verified .alert.good"))
		if actor, _, _ := w.lastEvent(t, "journal.verified"); actor != "au (console)" {
			t.Errorf("the journal says that %q verified", actor)
		}
		link, err = w.daemon.console.Link("ann", console.Operator)
		ok(t, err)
		b.do("sign in again", chromedp.Navigate(link), chromedp.WaitVisible("#figures"))
		b.quiet("verify")
	})
}
