package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"scimbridge/internal/contractor"
	"scimbridge/internal/notify"
)

// TestOneLineOfTime puts what somebody did between what was done to them.
func TestOneLineOfTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 12)
	const mail = "ada@kforce.example"
	h.push(mail)
	h.soon("the finance group is held", func() bool { return h.finance() == 1 })
	p, err := h.daemon.store.FindPerson(t.Context(), mail)
	ok(t, err)
	at := time.Now().UTC().Truncate(time.Microsecond)
	_, err = h.daemon.store.RecordActivity(t.Context(), contractor.ActivityBatch{Log: contractor.LogSignIns, Entries: []contractor.Activity{
		{Log: contractor.LogSignIns, ID: "s1", At: at, Guest: p.GuestID, Person: p.ID, What: "Teams", OK: true, IP: "203.0.113.9", Country: "DE", ClientApp: "Browser"},
	}})
	ok(t, err)
	time.Sleep(2 * time.Millisecond)
	h.command(exitOK, "contractor", "end", mail, "--now", "--yes", "--reason", "lost laptop")
	out := h.command(exitOK, "contractor", "show", mail)
	var order []int
	for _, word := range []string{"grant.added", "signed in to Teams", "person.blocked"} {
		order = append(order, strings.Index(out, word))
	}
	if order[0] < 0 || order[1] < order[0] || order[2] < order[1] || !strings.Contains(out, "DE 203.0.113.9 Browser") {
		t.Errorf("the line of time (%v):\n%s", order, out)
	}
	var x struct {
		ID       string
		Timeline []happening
	}
	ok(t, json.Unmarshal([]byte(h.command(exitOK, "contractor", "show", mail, "--json")), &x))
	signIns := 0
	for i, v := range x.Timeline {
		if (v.Event == nil) == (v.Activity == nil) || i > 0 && v.At.Before(x.Timeline[i-1].At) {
			t.Errorf("entry %d: %+v", i, v)
		}
		if v.Activity != nil {
			signIns++
		}
	}
	if x.ID != p.ID || signIns != 1 {
		t.Errorf("%+v", x)
	}
}

// TestAlarmMail holds that a mail names evidence and the next command.
func TestAlarmMail(t *testing.T) {
	t.Parallel()
	m := &alarmMail{to: []string{"secops@corp.example"}, host: "bridge-1"}
	got := m.message(contractor.Alarm{
		ID: "A1", Kind: contractor.AlarmSignInAfterEnd, Severity: contractor.SeverityCritical, Person: "p1", Words: "a sign-in worked after the end",
		Evidence: []contractor.Evidence{{Log: contractor.LogSignIns, ID: "s1", At: noonUTC(), Words: "Teams"}}, Next: "scimbridge drift --repair", Count: 2, First: noonUTC(), Raised: noonUTC(),
	})
	want := notify.Message{
		ID: "A1", To: []string{"secops@corp.example"}, Date: noonUTC(), Subject: "[scimbridge bridge-1] critical: a sign-in worked after the end",
	}
	text := got.Text
	got.Text = ""
	if got.ID != want.ID || got.Subject != want.Subject || !got.Date.Equal(want.Date) || len(got.To) != 1 {
		t.Errorf("%+v", got)
	}
	for _, w := range []string{"2026-11-24T12:00:00Z Teams [signin s1]", "scimbridge drift --repair", "scimbridge alarm ack A1", "2 times", "person    p1"} {
		if !strings.Contains(text, w) {
			t.Errorf("the mail does not say %q:\n%s", w, text)
		}
	}
}

func noonUTC() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }
