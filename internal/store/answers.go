package store

import (
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Answers collects the senders of the messages that answer one, each once.
type Answers struct {
	Match   *InboxMatch // by InReplyTo
	Senders []amtp.Address
}

// Look looks at a message of the thread, with its sender and the id that it answers. What
// this gateway wrote is no answer.
func (a *Answers) Look(class gateway.Class, sender, inReplyTo string) {
	if class == gateway.ClassGateway || !a.Match.Matches(&InboxEntry{InReplyTo: inReplyTo}) {
		return
	}
	from, err := amtp.ParseAddress(sender)
	if err == nil && !slices.ContainsFunc(a.Senders, from.Equal) {
		a.Senders = append(a.Senders, from)
	}
}
