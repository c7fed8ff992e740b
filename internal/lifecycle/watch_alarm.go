package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"scimbridge/internal/contractor"
)

// stamp is how evidence and sentences write an instant.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// evidence of an entry holds no address and no name.
func evidence(a contractor.Activity) contractor.Evidence {
	words := fmt.Sprintf("%s %q at %s", a.Log, a.What, stamp(a.At))
	if a.Log == contractor.LogSignIns {
		from := a.Country
		if from == "" {
			from = "an unknown country"
		}
		words = fmt.Sprintf("sign-in to %q at %s from %s with %s", a.What, stamp(a.At), from, orWord(a.ClientApp, "an unknown client"))
		if a.Risk != "" && a.Risk != "none" {
			words += ", risk " + a.Risk
		}
		if !a.OK {
			words += fmt.Sprintf(", refused (AADSTS%d)", a.Code)
		}
	} else if len(a.Changed) > 0 {
		words += ", changed " + strings.Join(a.Changed[:min(len(a.Changed), 5)], ", ")
	}
	return contractor.Evidence{Log: a.Log, ID: a.ID, At: a.At, Words: words}
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// about makes an alarm that rests on one entry.
func about(a contractor.Activity, g contractor.WatchedGuest, kind contractor.AlarmKind, severity contractor.Severity, key string) contractor.Alarm {
	alarm := contractor.Alarm{
		Key: string(kind) + "/" + a.Person + key, Kind: kind, Severity: severity, Person: a.Person, Vendor: g.Vendor,
		First: a.At, Last: a.At, Count: 1, Evidence: []contractor.Evidence{evidence(a)},
	}
	if a.IP != "" {
		alarm.Personal = map[string]string{"ip": a.IP}
	}
	return alarm
}

// judge raises what one new entry about one guest of ours calls for.
func (w *Watch) judge(a contractor.Activity, g contractor.WatchedGuest) []contractor.Alarm {
	if a.Log == contractor.LogSignIns {
		return w.judgeSignIn(a, g)
	}
	if alarm, foreign := w.judgeChange(a, g); foreign {
		return []contractor.Alarm{alarm}
	}
	return nil
}

func (w *Watch) judgeSignIn(a contractor.Activity, g contractor.WatchedGuest) []contractor.Alarm {
	if !a.OK {
		return nil // nobody got in; bursts of it are looked at apart
	}
	var out []contractor.Alarm
	if over := g.Over(); !over.IsZero() && a.At.After(over.Add(w.Slack)) {
		alarm := about(a, g, contractor.AlarmSignInAfterEnd, contractor.SeverityCritical, "")
		alarm.Words = fmt.Sprintf("a sign-in to %q worked at %s, after access had ended at %s", a.What, stamp(a.At), stamp(over))
		alarm.Next = "scimbridge contractor show " + a.Person + ", then scimbridge drift --repair " + a.Person + " to close the door again"
		out = append(out, alarm)
	}
	if w.Forbids != nil {
		if by, enforced := w.Forbids(a, g.Groups); len(by) > 0 {
			alarm := about(a, g, contractor.AlarmForbiddenSignIn, contractor.SeverityWarning, "/"+strings.Join(by, ",")+"/"+a.Country+"/"+a.ClientApp)
			alarm.Words = fmt.Sprintf("a sign-in from %s with %s worked, which policy %s forbids", orWord(a.Country, "an unknown country"), orWord(a.ClientApp, "an unknown client"), strings.Join(by, " and "))
			alarm.Next = "scimbridge policy plan: the policy is in report-only; switch it on once the plan shows that it hits nobody else"
			if enforced {
				alarm.Severity = contractor.SeverityCritical
				alarm.Next = "scimbridge policy plan: the policy is declared on, and the tenant does not enforce it"
			}
			out = append(out, alarm)
		}
	}
	return out
}

// judgeChange says whether somebody else changed the guest: neither we, nor the guest, nor Entra by itself.
func (w *Watch) judgeChange(a contractor.Activity, g contractor.WatchedGuest) (contractor.Alarm, bool) {
	if !a.OK || !w.foreign(a) || a.By.ID == a.Guest {
		return contractor.Alarm{}, false
	}
	alarm := about(a, g, contractor.AlarmChangedByOther, contractor.SeverityWarning, "/"+a.By.Kind+"/"+a.By.ID+"/"+a.What)
	who := "user " + a.By.ID
	if a.By.Kind == "app" {
		who = "application " + orWord(a.By.Name, a.By.ID) + " (" + a.By.ID + ")"
	} else if a.By.Name != "" {
		if alarm.Personal == nil {
			alarm.Personal = map[string]string{}
		}
		alarm.Personal["by"] = a.By.Name
	}
	alarm.Words = fmt.Sprintf("%s did %q to a guest of ours at %s", who, a.What, stamp(a.At))
	alarm.Next = "scimbridge drift " + a.Person + " shows what differs; drift --repair " + a.Person + " undoes it"
	if strings.Contains(strings.ToLower(a.What), "role") {
		alarm.Severity = contractor.SeverityCritical // a guest with a directory role is no longer ours to touch
	}
	return alarm, true
}

// foreign reports whether somebody other than the bridge, the trusted applications and Entra itself did it.
func (w *Watch) foreign(a contractor.Activity) bool {
	switch a.By.Kind {
	case "user":
		return true
	case "app":
		return !strings.EqualFold(a.By.ID, w.app) && !slices.ContainsFunc(w.TrustedApps, func(id string) bool { return strings.EqualFold(id, a.By.ID) })
	}
	return false
}

// policyAlarms are about our own conditional access policies and locations, which an admin may have changed in the portal.
func (w *Watch) policyAlarms(ctx context.Context, entries []contractor.Activity) ([]contractor.Alarm, error) {
	var out []contractor.Alarm
	var managed []contractor.CAManaged
	for _, a := range entries {
		if !a.OK || !w.foreign(a) || !strings.Contains(strings.ToLower(a.Service+" "+a.What), "conditional access") && !strings.Contains(strings.ToLower(a.What), "named location") {
			continue
		}
		if managed == nil {
			var err error
			if managed, err = w.Store.ManagedPolicies(ctx); err != nil {
				return nil, err
			}
		}
		for _, m := range managed {
			if m.ID == "" || !slices.Contains(a.Targets, m.ID) {
				continue
			}
			a.Person = ""
			alarm := about(a, contractor.WatchedGuest{}, contractor.AlarmPolicyChanged, contractor.SeverityCritical, m.Kind+"/"+m.Name)
			alarm.Words = fmt.Sprintf("somebody did %q to our %s %s at %s", a.What, m.Kind, m.Name, stamp(a.At))
			alarm.Next = "scimbridge policy plan shows what differs; policy apply puts it back"
			if a.By.Name != "" && a.By.Kind == "user" {
				alarm.Personal = map[string]string{"by": a.By.Name}
			}
			out = append(out, alarm)
		}
	}
	return out, nil
}

// failedMFA are the errors of a sign-in that ended at the second factor (Entra's error code reference): the challenge was not
// passed (50074), multifactor authentication must be used (50076), the telephone limit was reached (50088), an external
// challenge was not passed (50158), the second factor was refused or timed out (500121).
func failedMFA(code int) bool {
	return code == 50074 || code == 50076 || code == 50088 || code == 50158 || code == 500121
}

func risky(a contractor.Activity) bool { return a.Risk == "medium" || a.Risk == "high" }

// maxBurst bounds how many entries of one person are looked through for bursts.
const maxBurst = 2000

// bursts looks for many failed challenges or risky sign-ins of one person in short order, stored ones included.
func (w *Watch) bursts(ctx context.Context, entries []contractor.Activity, guests map[string]contractor.WatchedGuest) ([]contractor.Alarm, error) {
	var out []contractor.Alarm
	for _, kind := range []struct {
		alarm contractor.AlarmKind
		burst Burst
		is    func(contractor.Activity) bool
		alone func(contractor.Activity) bool // one is enough
	}{
		{contractor.AlarmMFAFailures, w.MFAFailures, func(a contractor.Activity) bool { return !a.OK && failedMFA(a.Code) }, func(contractor.Activity) bool { return false }},
		{contractor.AlarmRiskySignIns, w.RiskySignIns, risky, func(a contractor.Activity) bool { return a.OK && a.Risk == "high" }},
	} {
		fresh := map[string][]contractor.Activity{}
		for _, a := range entries {
			if a.Log == contractor.LogSignIns && kind.is(a) {
				fresh[a.Person] = append(fresh[a.Person], a)
			}
		}
		for person, list := range fresh {
			all, err := w.around(ctx, person, list, kind.burst.Within, kind.is)
			if err != nil {
				return nil, err
			}
			hot := burst(all, kind.burst)
			if len(hot) == 0 {
				hot = slices.DeleteFunc(slices.Clone(list), func(a contractor.Activity) bool { return !kind.alone(a) })
			}
			if len(hot) == 0 {
				continue
			}
			out = append(out, burstAlarm(hot, guests[list[0].Guest], kind.alarm, kind.burst))
		}
	}
	return out, nil
}

// around are the person's entries of the kind that may belong to one burst with the new ones, oldest first.
func (w *Watch) around(ctx context.Context, person string, fresh []contractor.Activity, within time.Duration, is func(contractor.Activity) bool) ([]contractor.Activity, error) {
	first, last := fresh[0].At, fresh[0].At
	for _, a := range fresh {
		first = earlier(first, a.At)
		if a.At.After(last) {
			last = a.At
		}
	}
	stored, err := w.Store.ActivitySince(ctx, person, contractor.LogSignIns, first.Add(-within), maxBurst)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(fresh)
	for _, a := range stored {
		if is(a) && !a.At.After(last.Add(within)) && !slices.ContainsFunc(fresh, func(f contractor.Activity) bool { return f.ID == a.ID }) {
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b contractor.Activity) int { return a.At.Compare(b.At) })
	return all, nil
}

// burst returns the entries of the densest stretch that is long enough, nil if there is none.
func burst(sorted []contractor.Activity, b Burst) []contractor.Activity {
	var best []contractor.Activity
	start := 0
	for end := range sorted {
		for sorted[end].At.Sub(sorted[start].At) > b.Within {
			start++
		}
		if n := end - start + 1; n >= b.Count && n > len(best) {
			best = sorted[start : end+1]
		}
	}
	return best
}

func burstAlarm(hot []contractor.Activity, g contractor.WatchedGuest, kind contractor.AlarmKind, b Burst) contractor.Alarm {
	first, last := hot[0], hot[len(hot)-1]
	alarm := about(last, g, kind, contractor.SeverityWarning, "")
	alarm.First, alarm.Count, alarm.Evidence = first.At, len(hot), nil
	for _, a := range hot {
		alarm.Evidence = append(alarm.Evidence, evidence(a))
	}
	switch {
	case kind == contractor.AlarmMFAFailures:
		alarm.Words = fmt.Sprintf("multifactor authentication failed %d times between %s and %s", len(hot), stamp(first.At), stamp(last.At))
		if slices.ContainsFunc(hot, func(a contractor.Activity) bool { return a.Country != first.Country }) {
			alarm.Words += ", from several countries"
		}
	case len(hot) < b.Count:
		alarm.Severity = contractor.SeverityCritical
		alarm.Words = fmt.Sprintf("a sign-in at high risk worked at %s", stamp(last.At))
	default:
		alarm.Words = fmt.Sprintf("%d risky sign-ins between %s and %s", len(hot), stamp(first.At), stamp(last.At))
	}
	alarm.Next = "scimbridge contractor hold " + last.Person + " --reason … closes the door while you ask the person; scimbridge contractor show " + last.Person + " shows the rest"
	return alarm
}

// gap tells that part of a log is lost: the watch was down for longer than the tenant keeps it.
func (w *Watch) gap(ctx context.Context, log contractor.ActivityLog, from, to time.Time, p *WatchPass) error {
	a := contractor.Alarm{
		Key: "gap/" + string(log) + "/" + from.Format(time.RFC3339), Kind: contractor.AlarmActivityGap, Severity: contractor.SeverityWarning, First: from, Last: to, Once: true,
		Words:    fmt.Sprintf("the %s log from %s to %s can no longer be read: the tenant keeps it for %s only", log, stamp(from), stamp(to), days(w.Retention)),
		Evidence: []contractor.Evidence{{At: from, Words: "last read up to here"}},
		Next:     "look at that time in the Entra admin center or your SIEM, if it was exported there",
	}
	return w.record(ctx, contractor.ActivityBatch{Log: log, Alarms: []contractor.Alarm{a}, Mark: &contractor.ActivityMark{Through: to}}, p)
}

// maxSilent bounds how many people one look asks about.
const maxSilent = 200

// lookAtSilence looks at what no log entry tells: invitations that nobody accepted, tokens that were renewed after the end.
func (w *Watch) lookAtSilence(ctx context.Context, now time.Time, p *WatchPass) error {
	pending, err := w.Store.NeverAccepted(ctx, now.Add(-w.NeverAccepted), now, maxSilent)
	if err != nil {
		return err
	}
	var alarms []contractor.Alarm
	for _, g := range pending {
		alarms = append(alarms, contractor.Alarm{
			Key: string(contractor.AlarmNeverAccepted) + "/" + g.Person + "/" + g.Invited.Format(time.RFC3339), Kind: contractor.AlarmNeverAccepted, Severity: contractor.SeverityNotice,
			Person: g.Person, Vendor: g.Vendor, First: g.Invited, Last: now, Once: true,
			Words:    fmt.Sprintf("the invitation of %s was not accepted within %s", stamp(g.Invited), days(w.NeverAccepted)),
			Evidence: []contractor.Evidence{{At: g.Invited, Words: "invited, and externalUserState is still PendingAcceptance"}},
			Next:     "scimbridge contractor show " + g.Person + " names the sponsor to ask; scimbridge contractor end " + g.Person + " if nobody comes",
		})
	}
	renewed, err := w.renewedTokens(ctx, now)
	alarms = append(alarms, renewed...)
	if len(alarms) == 0 {
		return err
	}
	return errors.Join(err, w.record(ctx, contractor.ActivityBatch{Log: contractor.LogSignIns, Alarms: alarms}, p))
}

// renewedTokens asks for those closed lately when they last got in, which counts renewed tokens: no log of Graph v1.0 does.
func (w *Watch) renewedTokens(ctx context.Context, now time.Time) ([]contractor.Alarm, error) {
	if now.Before(w.noUse) {
		return nil, nil
	}
	closed, err := w.Store.ClosedSince(ctx, now.Add(-w.TokenWatch), now, maxSilent)
	if err != nil {
		return nil, err
	}
	var out []contractor.Alarm
	for _, g := range closed {
		last, err := w.Reader.LastSuccess(ctx, g.Guest)
		var f *contractor.Failure
		if errors.As(err, &f) && f.Verdict == contractor.VerdictRefused {
			w.noUse = now.Add(24 * time.Hour)
			w.Logger.Warn("whether tokens are used after the end cannot be seen; give the application AuditLog.Read.All, and the tenant a P1 licence", "error", err)
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if last.IsZero() || !last.After(g.Closed.Add(w.Slack)) {
			continue
		}
		out = append(out, contractor.Alarm{
			Key: string(contractor.AlarmTokenAfterEnd) + "/" + g.Person + "/" + last.Format(time.RFC3339), Kind: contractor.AlarmTokenAfterEnd, Severity: contractor.SeverityCritical,
			Person: g.Person, Vendor: g.Vendor, First: last, Last: last, Once: true,
			Words:    fmt.Sprintf("the guest got in, or renewed a token, at %s, after sign-in had been disabled at %s", stamp(last), stamp(g.Closed)),
			Evidence: []contractor.Evidence{{At: last, Words: "lastSuccessfulSignInDateTime of the user"}},
			Next:     "scimbridge contractor show " + g.Person + ", then scimbridge drift --repair " + g.Person + " to close the door again; scimbridge doctor checks that sign-in frequency bounds sessions",
		})
	}
	return out, nil
}
