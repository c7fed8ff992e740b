package notify

import (
	"context"
	"errors"

	"scimbridge/internal/contractor"
)

// Mailer sends from a mailbox of the tenant. *entra.Client fits.
type Mailer interface {
	SendMail(ctx context.Context, mailbox, id, subject, html string, to []string) (contractor.Receipt, error)
}

// Graph sends through Microsoft Graph, from one mailbox. Exchange makes the plain text of a mail from its HTML.
type Graph struct {
	mailer  Mailer
	mailbox string
}

// NewGraph takes the mailbox's address, UPN or object id. The application needs Mail.Send, bounded to that mailbox.
func NewGraph(m Mailer, mailbox string) (*Graph, error) {
	if m == nil || mailbox == "" {
		return nil, errors.New("notify: a mailer and the mailbox to send from are required")
	}
	return &Graph{m, mailbox}, nil
}

// Send implements Sender.
func (g *Graph) Send(ctx context.Context, m Message) (string, error) {
	r, err := g.mailer.SendMail(ctx, g.mailbox, m.ID, m.Subject, m.HTML, m.To)
	return r.RequestID, err
}
