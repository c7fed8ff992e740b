package notify

import (
	"context"
	"errors"
	"time"

	"scimbridge/internal/contractor"
)

// maxBackoff bounds the pause between tries of one mail.
const maxBackoff = 4 * time.Hour

// send sends what is due, one mail after the other.
func (n *Notifier) send(ctx context.Context, now time.Time) error {
	mails, err := n.Store.MailsDue(ctx, now, batch)
	if err != nil {
		return err
	}
	for _, m := range mails {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to stop: the rest is still due at the next start
		}
		if err := n.sendOne(ctx, m, now); err != nil && !errors.Is(err, contractor.ErrStale) {
			return err
		}
	}
	return nil
}

// sendOne makes a mail and hands it to the server:
//
//	waiting ──announce──> sending ──the server took it──> sent
//	   ^                     │
//	   └── known not sent ───┤
//	                         └── no answer, or we died: never sent again; the next digest tells what it told
//
// The announcement is on disk before the server is asked, so each mail leaves once at most, whatever crashes. Neither Graph's sendMail
// nor SMTP has a key that would make a second try harmless, and to look into the mailbox's sent items would take a permission to read
// it. What the mail told is carried over to the next digest, which comes before the next day's dates do: it may be told twice, never
// not at all.
func (n *Notifier) sendOne(ctx context.Context, m contractor.Mail, now time.Time) error {
	if m.Sending { // MailsDue: the window is over
		n.Logger.Warn("it is not known whether a digest was sent; the next one tells what it told", "mail", m.ID)
		return n.Store.MailDoubtful(ctx, m, "the daemon ended before the mail server's answer was noted; it may have taken the mail, and the next digest tells the same")
	}
	if now.Sub(m.Created) > n.GiveUp {
		return n.Store.MailFailed(ctx, m, time.Time{}, "the mail server did not take it for "+n.GiveUp.String()+"; look at notify: in scimbridge.yaml and at the log")
	}
	msg, err := n.compose(ctx, m, now)
	if err != nil {
		if _, told := errors.AsType[*contractor.Failure](err); !told {
			err = &contractor.Failure{Op: "make mail", Verdict: contractor.VerdictRetry, Message: "the mail could not be made", Cause: err}
		}
		return n.notSent(ctx, m, now, err)
	}
	if msg == nil {
		return n.Store.MailFailed(ctx, m, time.Time{}, "nothing of it is worth telling any more")
	}
	if err := n.Store.MailSending(ctx, m, now, n.Window); err != nil {
		return err
	}
	// A daemon that is being stopped hears the server's answer first.
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.SendTimeout)
	defer cancel()
	requestID, err := n.Sender.Send(sendCtx, *msg)
	// What the server did must reach the store even while the daemon is being stopped.
	recordCtx, done := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer done()
	if err != nil {
		return n.notSent(recordCtx, m, now, err)
	}
	n.Logger.Info("digest sent", "mail", m.ID, "sponsor", m.Sponsor)
	return n.Store.MailSent(recordCtx, m, requestID)
}

// notSent decides what becomes of a mail that did not leave, or perhaps did.
func (n *Notifier) notSent(ctx context.Context, m contractor.Mail, now time.Time, err error) error {
	var f *contractor.Failure
	wait := min(time.Minute<<min(m.Attempts, 8), maxBackoff)
	switch {
	case !errors.As(err, &f), f.Verdict == contractor.VerdictUnknown:
		n.Logger.Warn("it is not known whether a digest was sent; the next one tells what it told", "mail", m.ID)
		n.Logger.Debug("digest in doubt", "mail", m.ID, "error", err)
		return n.Store.MailDoubtful(ctx, m, "the mail server gave no answer; it may have taken the mail, and the next digest tells the same")
	case f.Verdict == contractor.VerdictPermanent:
		n.Logger.Error("a digest cannot be sent", "mail", m.ID, "sponsor", m.Sponsor, "problem", f.Message)
		return n.Store.MailFailed(ctx, m, time.Time{}, f.Message)
	case f.Verdict == contractor.VerdictRefused:
		wait = max(wait, 15*time.Minute) // a person must act first
	}
	n.Logger.Warn("a digest was not sent; trying again", "mail", m.ID, "op", f.Op, "problem", f.Message, "in", wait.String())
	return n.Store.MailFailed(ctx, m, now.Add(max(wait, f.RetryAfter)), f.Message)
}

// compose makes a mail of what is known now; nil if nothing is left to tell. Names and addresses are in no row of the outbox.
func (n *Notifier) compose(ctx context.Context, m contractor.Mail, now time.Time) (*Message, error) {
	items, err := n.Store.MailItems(ctx, m.ID, now)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, nil
	}
	readCtx, cancel := context.WithTimeout(ctx, n.SendTimeout)
	defer cancel()
	s, err := n.Directory.Sponsor(contractor.WithPriority(readCtx, contractor.PrioritySweep), m.Sponsor)
	if err != nil {
		var f *contractor.Failure
		if errors.As(err, &f) && f.Verdict == contractor.VerdictUnknown {
			again := *f
			again.Verdict = contractor.VerdictRetry // a read that was not answered sent no mail
			return nil, &again
		}
		return nil, err
	}
	if !s.Exists || !s.Enabled || len(s.Mails) == 0 {
		return nil, &contractor.Failure{Op: "send mail", Verdict: contractor.VerdictPermanent, Message: "the sponsor has left or has no mail address; the weekly check finds another"}
	}
	return n.Templates.message(n, m, s, items, now)
}
