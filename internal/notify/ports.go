package notify

import (
	"context"
	"time"

	"scimbridge/internal/audit"
	"scimbridge/internal/contractor"
)

// Store is what mails and links need of a database. *db.Store fits.
type Store interface {
	LiveEngagements(ctx context.Context, now time.Time, after string, limit int) ([]contractor.LiveEngagement, error)
	// QueueNotices passes over what has the key of a notice that there is. Kinds sponsor and attest are noted on the person.
	QueueNotices(ctx context.Context, list []contractor.SponsorNotice) (added int, err error)
	StopUnconfirmed(ctx context.Context, person, reason string) (stopped bool, err error)
	ExpireAsks(ctx context.Context, now time.Time) (int, error)

	NoticesWaiting(ctx context.Context, day string, limit int) (sponsors []string, err error)
	Digest(ctx context.Context, sponsor, day string, newLink func() (contractor.Link, [32]byte)) (made bool, err error)
	MailsDue(ctx context.Context, now time.Time, limit int) ([]contractor.Mail, error)
	MailItems(ctx context.Context, id string, now time.Time) ([]contractor.NoticeItem, error)
	MailSending(ctx context.Context, m contractor.Mail, now time.Time, window time.Duration) error
	MailSent(ctx context.Context, m contractor.Mail, requestID string) error
	MailFailed(ctx context.Context, m contractor.Mail, next time.Time, why string) error
	MailDoubtful(ctx context.Context, m contractor.Mail, why string) error

	LinkPage(ctx context.Context, hash [32]byte) (l contractor.Link, name string, e *contractor.Engagement, err error)
	UseLink(ctx context.Context, actor audit.Actor, u contractor.LinkUse) (contractor.Link, error)
}

// Rules is the mapping in force. *mapper.Mapping fits.
type Rules interface {
	Notify() []contractor.Span
	Extend() contractor.ExtendRules
	Attest() contractor.AttestRules
	Vendor(name string) (*contractor.Vendor, bool)
}

// Directory knows where sponsors are reached. *entra.Client fits.
type Directory interface {
	Sponsor(ctx context.Context, id string) (contractor.Sponsor, error)
}

// Message is one mail, ready to leave. ID is the outbox's and the same at every try.
type Message struct {
	ID      string
	To      []string
	Subject string
	Text    string
	HTML    string
	Date    time.Time
}

// Sender hands a mail to a server. An error is a *contractor.Failure or ctx's own: VerdictUnknown says that the mail may have
// left; of the others it is known that it did not, and VerdictPermanent that trying again cannot help. requestID is the
// server's, where it gives one.
type Sender interface {
	Send(ctx context.Context, m Message) (requestID string, err error)
}

// ActorSponsor acts by a link; Name is the Entra object id of the sponsor to whom the link was sent.
const ActorSponsor audit.ActorKind = "sponsor"
