package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"scimbridge/internal/config"
	"scimbridge/internal/contractor"
	"scimbridge/internal/lifecycle"
	"scimbridge/internal/notify"
)

// alarmMail hands alarms to people. A mail that may have left is not sent again with every pass: the mail server is asked under the
// same id, and an alarm in two mails is better than one in none, but not one in every mail.
type alarmMail struct {
	sender notify.Sender
	to     []string
	host   string // of the daemon, for the subject
}

// mailTimeout bounds one mail: servers that greylist answer within it.
const mailTimeout = time.Minute

// Name implements lifecycle.AlarmSink.
func (m *alarmMail) Name() string { return "mail" }

// Alarm implements lifecycle.AlarmSink.
func (m *alarmMail) Alarm(ctx context.Context, a contractor.Alarm) error {
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	_, err := m.sender.Send(ctx, m.message(a))
	var f *contractor.Failure
	if errors.As(err, &f) && f.Verdict == contractor.VerdictUnknown {
		return nil
	}
	return err
}

// message names the evidence and the next command; it holds no personal data, as the alarm does not.
func (m *alarmMail) message(a contractor.Alarm) notify.Message {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nseverity  %s\nalarm     %s (%s)\nsince     %s, %s\n", a.Words, a.Severity, a.ID, a.Kind, a.First.UTC().Format(time.RFC3339), countOf(a.Count, "time", "times"))
	if a.Person != "" {
		fmt.Fprintf(&b, "person    %s\n", a.Person)
	}
	if a.Vendor != "" {
		fmt.Fprintf(&b, "vendor    %s\n", a.Vendor)
	}
	b.WriteString("\nwhat it rests on\n")
	for _, e := range a.Evidence {
		fmt.Fprintf(&b, "- %s %s", e.At.UTC().Format(time.RFC3339), e.Words)
		if e.ID != "" {
			fmt.Fprintf(&b, " [%s %s]", e.Log, e.ID)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\nnext\n    %s\n\nwhen you have looked\n    scimbridge alarm ack %s --reason \"…\"\n", a.Next, a.ID)
	subject := fmt.Sprintf("[scimbridge %s] %s: %s", m.host, a.Severity, a.Words)
	if r := []rune(subject); len(r) > 150 {
		subject = string(r[:149]) + "…"
	}
	return notify.Message{ID: a.ID, To: m.to, Subject: subject, Text: b.String(), Date: a.Raised}
}

// alarmSinks are where alarms go besides the log, the journal and the metrics.
func (d *daemon) alarmSinks(w *config.Watch, host string) ([]lifecycle.AlarmSink, error) {
	if len(w.MailTo) == 0 {
		return nil, nil
	}
	if d.config.Notify == nil {
		return nil, errors.New("watch.mail_to needs notify:, which says how mails are sent")
	}
	sender, err := d.newSender(d.config.Notify)
	if err != nil {
		return nil, err
	}
	return []lifecycle.AlarmSink{&alarmMail{sender, w.MailTo, host}}, nil
}
