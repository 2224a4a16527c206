package store

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// InboxEntry is what a filter looks at in a message of an inbox. Times are
// microseconds, 0 for none. Sender and the members below it are needed only where
// gateway.InboxFilter.Names is true.
type InboxEntry struct {
	Read, Received int64
	Sender         string // the address
	InReplyTo      string
	Thread         string // as stored, in this mailbox
	UUID           []byte
	Labelled       bool // it has the label of the filter
}

// MeantRow is a message that a filter names, as it is stored.
type MeantRow struct {
	UUID    []byte
	GivenID string
	Aliases []string
	Thread  string // in the caller's mailbox
}

// InboxMatch is a filter with the ids of the messages that it names.
type InboxMatch struct {
	gateway.InboxFilter
	answered, threads map[string]bool
}

// NewInboxMatch returns the filter with the messages that its InReplyTo and its Thread
// name, nil where the caller knows no such message.
func NewInboxMatch(f gateway.InboxFilter, answered, thread *MeantRow) *InboxMatch {
	m := &InboxMatch{InboxFilter: f}
	if f.InReplyTo != "" {
		m.answered = map[string]bool{sameID(f.InReplyTo): true}
		if answered != nil {
			own := MessageID(answered.UUID)
			for _, id := range append(answered.Aliases, answered.GivenID, string(own),
				string(amtp.PeerMessageID(own))) {
				m.answered[sameID(amtp.MessageID(id))] = true
			}
			delete(m.answered, "")
		}
	}
	if f.Thread != "" {
		m.threads = map[string]bool{sameID(f.Thread): true}
		if thread != nil {
			m.threads[sameID(Thread(thread.Thread, MessageID(thread.UUID)))] = true
		}
	}
	return m
}

// Matches reports whether the filter matches a message of the inbox.
func (m *InboxMatch) Matches(e *InboxEntry) bool {
	switch {
	case m.Unread && e.Read != 0, m.Read && e.Read == 0, FromMicros(e.Received).Before(m.Since):
		return false
	case m.answered != nil && !m.answered[sameID(amtp.MessageID(e.InReplyTo))]:
		return false
	case m.threads != nil && !m.threads[sameID(Thread(e.Thread, MessageID(e.UUID)))]:
		return false
	}
	return (m.From.IsZero() || Folded(e.Sender) == m.From.Key()) && (m.Label == "" || e.Labelled)
}

// sameID returns the form in which equal ids are equal strings: a UUID may be written
// in letters of either case.
func sameID(id amtp.MessageID) string {
	if u, ok := id.UUID(); ok {
		return u.String()
	}
	return string(id)
}
