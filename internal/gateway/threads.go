package gateway

import (
	"context"

	"github.com/amtp-go/amtp"
)

// MaxThreadCount is how many messages of a thread a list of threads counts.
const MaxThreadCount = 100

// Threads is the part of a Store that shows the conversations of a mailbox. A message is
// in one thread of each mailbox that has it: that of the message which it answers if
// this one is in the mailbox, else the one with the id that it answers, else one that
// begins with it. The text of a message never decides it. A mailbox has what its agent
// sent and what it received, acknowledged or not.
type Threads interface {
	// Thread returns the messages of one thread in the agent's mailbox, in the order in
	// which they were stored. The id is that of the thread, or any id under which
	// Message finds one of its messages for the agent. When it is both, it is that of
	// the thread. Also in the thread is the message whose id the thread has. It is
	// ErrNotFound when the mailbox has no such thread.
	Thread(ctx context.Context, by Acting, id amtp.MessageID, f ThreadFilter) (ThreadPage, error)

	// Threads lists the threads of the agent's mailbox, each at the place of its newest
	// message, the newest first. A thread is in the list once. One that gets a message
	// while the list is read moves to the front, and later pages do not have it any
	// more. As with Messages, a call looks at a bounded number of messages.
	Threads(ctx context.Context, by Acting, f ThreadsFilter) (ThreadList, error)
}

// ThreadFilter chooses messages of a thread.
type ThreadFilter struct {
	After    int64 // exclusive: ThreadPage.Next of an earlier page; 0 from the beginning
	Limit    int   // 0 is 1
	MaxBytes int   // of bodies, as in InboxFilter
}

// ThreadPage is part of a thread. Next is the After that continues behind the last
// message of the page.
type ThreadPage struct {
	ID       amtp.MessageID // of the thread in the agent's mailbox
	Messages []Record
	Next     int64
	HasMore  bool // more follow
}

// ThreadsFilter chooses threads.
type ThreadsFilter struct {
	Before int64 // exclusive: ThreadList.Next of an earlier page; 0 from the newest
	Limit  int   // 0 is 1
}

// ThreadList is part of a list of threads.
type ThreadList struct {
	Threads    []Thread
	HasMore    bool  // more may follow
	Next       int64 // the Before of the page that follows, 0 when none does
	Incomplete bool  // the page ended before its limit, because it looked at MaxScan rows
}

// Thread describes a thread in a mailbox.
type Thread struct {
	ID      amtp.MessageID
	Subject string   // of the first message of it that the mailbox has
	Last    Envelope // of the newest one
	Count   int      // messages, up to MaxThreadCount
	Capped  bool     // there are more than Count
	Unread  int      // messages of the newest Count that wait in the inbox and are not marked read
}
