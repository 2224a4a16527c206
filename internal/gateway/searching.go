package gateway

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
)

// SearchFilter chooses messages of one agent. Zero members do not restrict, except for
// Query.
type SearchFilter struct {
	Query    Query        // what the message contains
	From     amtp.Address // the sender; as MessageFilter.Sender
	Since    time.Time
	Schema   string         // an id, or a pattern as in amtp.MatchSchema
	Thread   amtp.MessageID // in the agent's mailbox
	Before   int64          // exclusive: SearchPage.Next of an earlier page; 0 from the newest
	Limit    int
	MaxBytes int // of bodies; a page ends before it is exceeded but holds at least one message; 0 is no limit
}

// SearchTime is how long one search may read.
const SearchTime = 2 * time.Second

// MaxBehind is the most messages that SearchPage.Behind counts.
const MaxBehind = 1_000

// SearchPage is part of the messages that a search found, newest first.
type SearchPage struct {
	Messages   []Found
	HasMore    bool  // more may follow
	Next       int64 // the Before of the page that follows, 0 when none does
	Incomplete bool  // the page ended before its limit, because it looked at MaxScan messages
	// Behind is how many of the agent's messages are not in the index yet, among the next
	// MaxBehind that the index takes up.
	Behind int
}

// Found is a message that a search found, without its body.
type Found struct {
	Record
	Schema  string
	Size    int    // bytes of the body
	Snippet string // the part of the payload where the first word is, else its beginning
}

// Indexed says what one IndexMail did.
type Indexed struct {
	Messages int   // messages that were taken up, or taken up again
	More     bool  // others wait
	Newest   int64 // the newest delivery of the store; when it grows, mail arrives
}

// Searches is the part of a Store that finds messages by their words. The index is separate
// from the messages, and is filled by IndexMail only. It never delays Accept. When it is
// lost or damaged, it is made again from the messages.
type Searches interface {
	// Search returns messages that the agent sent or received, acknowledged or not, and
	// whose bodies are stored. Each has all terms of the query in its subject, its schema,
	// its addresses, the values in its payload or the names of its attachments
	// (store.SearchText). Words are compared as in Words. The index only proposes a message:
	// whose it is, and whether its body is there, is looked up for each. A message that is
	// not in the index yet is not found, and counts in Behind. A call looks at a bounded
	// number of messages, and reads for SearchTime at the most; then it returns ErrSlow. It
	// does not wait for a search of another agent, unless several agents search at once, and
	// lists do not wait for it. The error is ErrBusy while the index cannot be used.
	Search(ctx context.Context, by Acting, f SearchFilter) (SearchPage, error)

	// IndexMail takes the next messages into the index, in the order in which they were
	// stored, at most limit of them. A message to which a retry added a recipient is taken
	// up again. Bodies that the purge deleted leave the index. The work of one call is
	// bounded. It goes on where the last call ended, through whatever process and after
	// whatever crash that was, and takes up each message once. An error leaves the index as
	// it was, or makes the next call begin anew.
	IndexMail(ctx context.Context, limit int) (Indexed, error)
}
