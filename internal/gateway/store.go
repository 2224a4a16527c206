package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
)

// The errors of a store that cannot do as asked. Any other error that it returns is a
// fault of the store and means that nothing was changed.
var (
	ErrNotFound = errors.New("not found")            // no such thing, or the caller may not know of it
	ErrExists   = errors.New("exists")               // the name is taken
	ErrReused   = errors.New("key or id was reused") // the idempotency key or id was used for other content
	ErrBusy     = errors.New("busy")                 // no capacity now; nothing was stored
	ErrSlow     = errors.New("slow")                 // the search takes longer than SearchTime
	ErrClosed   = errors.New("the store is closed")  // shut down, or failed so that writes are not safe any more
	// the lease was lost: another attempt has begun, or the job is done
	ErrStale    = errors.New("stale")
	ErrConflict = errors.New("conflict")          // a lease on it is held
	ErrRevoked  = errors.New("the key has ended") // the acting key: see Store
	// restored from a backup, and no operator has confirmed it yet
	ErrPaused = errors.New("the store is paused")
)

// ErrTaken is the reason of a store that failed because another program deleted,
// replaced or overwrote a file that it needs.
var ErrTaken = errors.New("a file of the gateway was taken from it")

// Errors that a store logs once, and not for every call. After ErrAway it is unknown
// whether a write that was under way is stored; to repeat it is safe.
var (
	ErrFull = fmt.Errorf("%w: the disk is full", ErrBusy)
	ErrAway = fmt.Errorf("%w: the database is away", ErrBusy)
)

// Store keeps everything that must survive. Each method is one transaction: whole or
// not at all, and on stable storage before it returns. All methods may be called at the
// same time from many goroutines. A context ends the waiting of the caller; a write
// that was begun is finished all the same.
//
// A method that takes an acting key (Acting, Reader.Key, Acceptance.By) is ErrRevoked
// when the key or its agent ended before the call began. It does not matter through
// which process on the store it ended. Then the method changes nothing and shows
// nothing.
type Store interface {
	Jobs
	SenderDomains
	Documents
	Leases
	Lapses
	Receipts
	Takings
	Clocks
	Threads
	Searches
	Labels

	// Accept stores a message with one delivery per recipient, or recognises it as a
	// retry of a stored one.
	//
	// The message is a retry of the sender's earlier message under the same idempotency
	// key or the same id. Both must have the same content (amtp.Message.Fingerprint).
	// For a retry only deliveries to recipients that the earlier message did not have
	// yet are stored, and it is returned with its present states. An address that it
	// had is no new recipient, whichever agent has the name now. A message with other
	// content is ErrReused. A message of another domain may have the id of one message
	// and the key of another with its content. Then it is a retry of the message of the
	// key; from a sender here it is ErrReused. For ClassAnonymous other content is
	// simply another message. With neither key nor id every call stores a message.
	//
	// The given id becomes the canonical one when it is a UUID that no stored message
	// has. Otherwise the message gets a new id, and the given one becomes an alias
	// under which the sender finds the message. A stored message is never overwritten.
	//
	// The first message of ClassDomain from an address to an agent is that sender's
	// first contact with it. Found.FirstContact is set where the agent reads it: in its
	// inbox, as one message, or pushed. A message to another agent, and one that proved
	// nothing, do not make an address known.
	//
	// A recipient that was deleted meanwhile is left out. A sender that was deleted
	// sends nothing more, so that no recipient is left. When none is left, or none was
	// given, an earlier message is still recognised; otherwise it is ErrNotFound. A
	// delivery to a local pull agent is Delivered at once and rings its bell after the
	// commit. Any other is Queued with the message's job for its destination, which is
	// due at once. There is one job per message and destination, also for recipients
	// that a retry adds.
	Accept(context.Context, Acceptance) (Accepted, error)

	// Message returns a message by its canonical id or, failing that, by an alias that
	// belongs to the caller. It is ErrNotFound unless the caller is its sender or one
	// of its recipients, or Everyone.
	Message(ctx context.Context, by Reader, id amtp.MessageID) (Record, error)

	// Messages lists the messages that the caller sent or received (Everyone: all),
	// newest first, without bodies. A call looks at a bounded number of messages,
	// however many there are: a page may end before its limit, and says so. Lists of
	// one agent never wait for those of another.
	Messages(context.Context, Reader, MessageFilter) (MessagePage, error)

	// Inbox returns the agent's unacknowledged messages in the order in which they
	// entered its inbox, only those behind After. It changes nothing. Sequence numbers
	// are given in commit order: a reader that goes on behind the last number it saw
	// misses nothing.
	Inbox(context.Context, Acting, InboxFilter) (InboxPage, error)

	// Newest returns the number of the last message that waits in the agent's inbox, 0
	// when none does. A reader that begins behind it gets what enters from now on.
	Newest(ctx context.Context, by Acting) (seq int64, err error)

	// Depth counts the agent's inbox, the unread messages and all of them, up to limit
	// each.
	Depth(ctx context.Context, by Acting, limit int) (unread, pending int, err error)

	// MarkRead marks a message in the agent's inbox as read and returns when
	// that first happened. ErrNotFound when it is not in the inbox.
	MarkRead(ctx context.Context, by Acting, id amtp.MessageID, now time.Time) (Mark, error)

	// Ack takes a message out of the agent's inbox for good. A second call answers as
	// the first. ErrNotFound when the agent never had the message.
	Ack(ctx context.Context, by Acting, id amtp.MessageID, now time.Time) (Mark, error)

	// Watch returns a channel that receives after a message entered the agent's inbox,
	// and a function that ends the watch. The channel has room for one ring; when it is
	// full, the watcher has not looked at the inbox since the last ring.
	Watch(AgentID) (bell <-chan struct{}, stop func())

	// AddAgent registers an agent with its first key and returns it with its id. A key
	// without an id is not stored: shared mailboxes and groups have none.
	// ErrExists when a living agent has the name, in any case of letters. With the
	// agent it makes the changes of documents that the functions return for the id: all
	// of it or nothing. An error of a change is returned, and then nothing is stored.
	AddAgent(ctx context.Context, a Agent, k Key, with ...func(AgentID) DocumentChange) (Agent, error)

	// UpdateAgent applies change to the agent as it is at that moment, stores its
	// descriptive members and returns it. After change it makes the changes of
	// documents: all of it or nothing. An error of any of them is returned and nothing
	// is stored. ErrNotFound when the agent is gone.
	UpdateAgent(ctx context.Context, by Acting, id AgentID, change func(*Agent) error,
		with ...DocumentChange) (Agent, error)

	// RemoveAgent ends an agent, its keys and the secret of its endpoint at once.
	// Messages that it sent and received stay until their retention ends, and so do the
	// jobs that deliver them: their attempts find that the agent is gone. ErrNotFound
	// when it is gone already.
	RemoveAgent(ctx context.Context, by Acting, id AgentID, now time.Time) error

	// Readdress moves the agents of one domain to another, under the same name. Each
	// keeps its id and with it its keys, its mail and the record of its messages.
	// Removed agents move as well, so that the history has one domain. A living agent
	// whose name a living one of the other domain has stays where it is. Done again it
	// changes nothing. Another process on the store shows the earlier addresses for a
	// second at the most.
	Readdress(ctx context.Context, from, to amtp.Domain) (Readdressed, error)

	// AgentNamed returns the living agent with the address, in any case of letters. It
	// does no I/O for an agent that this process knows. This process hears within a
	// second that another removed the agent, and Accept refuses the agent at once.
	// ErrNotFound is certain.
	AgentNamed(context.Context, amtp.Address) (*Agent, error)

	// Agent returns the living agent with the id. It does no I/O for an agent that this
	// process knows. ErrNotFound is certain.
	Agent(AgentID) (*Agent, error)

	// Mailboxes returns the living shared mailboxes of which the agent is a member, by
	// their ids. It does no I/O, and hears of other processes as AgentNamed does.
	Mailboxes(member AgentID) []*Agent

	// AgentsPage lists living agents ordered by address. An agent that is added or
	// removed meanwhile may or may not be on the later pages. Its only I/O is to hear
	// of other processes; when that fails it lists the agents that are known.
	AgentsPage(AgentFilter) AgentPage

	// Agents returns all living agents ordered by address, for callers that need all of
	// them. Its cost grows with their number.
	Agents(context.Context) []*Agent

	// AddKey stores one more key of an agent and, when alone is set, ends all its
	// others in the same step. It returns how many it ended. It makes the changes of
	// documents as UpdateAgent does.
	AddKey(ctx context.Context, by Acting, k Key, alone bool, with ...DocumentChange) (ended int, err error)

	// Keys lists an agent's keys, oldest first.
	Keys(context.Context, AgentID) ([]Key, error)

	// RemoveKey ends one key at once. ErrNotFound when the agent has no such key.
	RemoveKey(ctx context.Context, by Acting, agent AgentID, keyID string) error

	// KeyOwner returns the agent whose key has the hash. The agent and the key count as
	// active now. It does no I/O for a key that it finds. A key that another process
	// ended is found no more within a second, and does nothing meanwhile: see Store.
	// ErrNotFound when there is none, any other error when the store cannot tell.
	KeyOwner(ctx context.Context, hash [32]byte, now time.Time) (*Agent, string, error)

	// Purge removes data that has outlived its retention, of the next limit messages at
	// the most that may have such data. Those are the messages whose turn it is by
	// Retention.LookAgain, and then those that became Retention.Shortest old since the
	// last call. No other message is looked at, however many are stored. A body goes
	// when Retention.BodyEnds has come for its deliveries and no job needs it, and the
	// message's dead letters go with it. The message stays, a retry of it is recognised
	// as before, and a retry that adds a recipient brings the body back. An idempotency
	// key goes when Retention.KeyEnds has come, and not while the body is there. A
	// message goes with its deliveries and aliases when Retention.StatusEnds has come
	// and its keys are gone; after that its id is like one that was never used. Younger
	// data stays.
	//
	// The store itself keeps its position in that order, across a restart too. It
	// begins anew when the retention is shorter in any part than that of the last call.
	// It also does so when the clock went back by LookTime or by Retention.Shortest.
	//
	// A call with after 0 begins with the domains whose last message is older than
	// Retention.SenderDomain: limit of them at the most. When there were so many, the
	// next call is to begin there again. An operator's settings for a domain are not
	// removed.
	//
	// A call also looks at up to limit agents that were removed as long ago as
	// Retention.Agent. One that no message names any more is deleted in the store and,
	// within minutes, from the memory of every process on it. Its id is not used again.
	//
	// The newest message and the message with the newest delivery stay whatever their
	// age: a sequence number is never given twice.
	//
	// Next of the answer is the after of the next call; Done says that nothing more is
	// due. The work of one call is bounded, and is done in steps, so that concurrent
	// writers do not wait.
	Purge(ctx context.Context, keep Retention, now time.Time, after int64, limit int) (Purged, error)

	// Pause makes every Accept that begins after it fail with ErrPaused, also of a
	// retry, and also after the store was opened again. All other methods go on, unless
	// they say otherwise. The time of the first Pause stays.
	Pause(ctx context.Context, now time.Time) error

	// Resume ends a pause. It is no error when there is none.
	Resume(ctx context.Context) error

	// Paused returns the time since which the store is paused, the zero time when it is
	// not, as far as this process knows. It does no I/O.
	Paused() time.Time

	// Probe writes a row and reads it back. It fails for every reason that keeps all
	// messages from being accepted, except for a pause. It is ErrFull while there is no
	// room for messages.
	Probe(ctx context.Context, now time.Time) error

	// Failed is closed when writes to the store are not safe any more.
	Failed() <-chan struct{}

	// Failure returns why Failed is closed, and nil before.
	Failure() error

	// Close finishes the calls that were begun and releases the store.
	Close() error
}

// Readdressed lists the living agents that a Readdress moved and those that it left, by
// name.
type Readdressed struct {
	Moved  []amtp.Address // their addresses now
	Stayed []amtp.Address // those whose names are taken
}

// Acceptance is a message to be stored.
type Acceptance struct {
	Envelope   // ID is the minted id; GivenID the sender's own, "" for none
	By         Acting
	Key        string        // the idempotency key, "" for none
	Message    *amtp.Message // its bytes are stored
	Recipients []Recipient   // in the order of the message, without repetition
	// Unsigned says that the sender's domain may have sent the same message before it
	// began to sign. An earlier message of ClassAnonymous with the same content is then
	// the same message.
	Unsigned bool
	// Later is stored as jobs with a new message; a retry stores none.
	Later []Later
}

// Later is work on a message at a later time. Its kind is one whose Whole is true. It does
// not keep the body. When the body goes and no recipient has the message in an inbox any
// more, its end is no work any more. Otherwise the message, without its body, stays until
// the work is done.
type Later struct {
	Destination Destination
	At          time.Time
}

// Recipient is one recipient of a message: a local agent, or an address in another
// domain.
type Recipient struct {
	Agent   AgentID
	Address amtp.Address // when Agent is 0
}

// Accepted is what a store holds for an Acceptance.
type Accepted struct {
	ID         amtp.MessageID
	Replayed   bool // an earlier message was recognised
	Deliveries []Delivery
}

// Reader is the caller that reads messages.
type Reader struct {
	Agent    AgentID
	Key      string // of Agent, as in Acting
	Everyone bool   // the administrator, and status in the development profile
}

// Acting returns the reader as an Acting.
func (r Reader) Acting() Acting { return Acting{Agent: r.Agent, Key: r.Key} }

// MessageFilter chooses messages. Zero members do not restrict. When several agents had
// the address of Sender or Recipient one after another, the last is meant. Since finds
// messages by the time at which they were stored. A message that was received by a
// clock a minute ahead of later ones may be left out.
type MessageFilter struct {
	Sender    amtp.Address
	Recipient amtp.Address
	Status    amtp.Status // see InStatus
	Since     time.Time
	Sent      bool   // only those that the reader sent
	Label     string // only those with the label in the reader's mailbox; none for Everyone
	Before    int64  // exclusive: MessagePage.Next of an earlier page; 0 from the newest
	Limit     int    // 0 is no limit but MaxScan
	Offset    int
}

// Bounds of the work of one call of a list, however much is stored.
const (
	MaxTotal  = 1_000  // matching messages that are counted
	MaxOffset = 10_000 // messages that are skipped
	MaxScan   = 4_000  // rows that are looked at in addition to those on the page
	MaxAgents = 20_000 // agents that are looked at
)

// MessagePage is part of a list. Total counts the matching messages, from the newest
// and up to MaxTotal or the end of the page; behind Before it counts the page. Capped
// says that there may be more than Total.
type MessagePage struct {
	Messages   []Record
	Total      int
	Capped     bool
	HasMore    bool  // more may follow
	Next       int64 // the Before of the page that follows, 0 when none does
	Incomplete bool  // the page ended before its limit, because it looked at MaxScan rows
}

// InboxFilter chooses messages of an inbox.
type InboxFilter struct {
	After  int64 // exclusive; 0 from the beginning
	Since  time.Time
	Unread bool // only those not marked read
	Read   bool // only those marked read
	// InReplyTo chooses the answers to a message. They may name it by any id that it
	// has: the caller finds the message by one of them, and all count. The id of a
	// message that the caller does not know counts as it is written.
	InReplyTo amtp.MessageID
	From      amtp.Address // the sender's address
	// Thread chooses the messages of a thread of the agent's mailbox: by the thread's
	// id, or by the id of any message in it.
	Thread amtp.MessageID
	Label  string // only those with the label
	// Urgent puts the most urgent first, and those of one priority in the order of the
	// inbox. The first MaxScan entries behind After that match are sorted. The page then
	// says whether there are more, and Next is After: what is acknowledged makes room. On a
	// page without a message, Next is where the page ended.
	Urgent   bool
	Offset   int
	Limit    int // 0 is no limit
	MaxBytes int // of bodies; a page ends before it is exceeded but holds at least one message; 0 is no limit
}

// Names reports whether the filter looks at whom a message is from, or at what it
// answers.
func (f *InboxFilter) Names() bool { return f.InReplyTo != "" || f.Thread != "" || !f.From.IsZero() }

// InboxPage is part of an inbox. Next is the After that continues behind the last
// message that was looked at; HasMore says that more may follow.
type InboxPage struct {
	Items      []InboxItem
	Next       int64
	HasMore    bool
	Incomplete bool // the page ended before its limit, because it looked at MaxScan messages
}

// AgentFilter chooses living agents. Zero members do not restrict.
type AgentFilter struct {
	After string // exclusive: AgentPage.Next of an earlier page, an address as amtp.Address.Key
	Limit int    // 0 is no limit
	// Match says whether an agent is wanted. Registrations wait while it is called, so
	// it only looks at the agent, and keeps nothing of it.
	Match func(*Agent) bool
	Count bool // Matched counts those behind the page too
}

// AgentPage is part of a list of agents.
type AgentPage struct {
	Agents []*Agent
	// the After of the page that follows: of the last of Agents, or, when the page is
	// Incomplete, of an agent that does not match
	Next       string
	HasMore    bool // more may follow
	Incomplete bool // the page ended before its limit, because it looked at MaxAgents agents
	Matched    int  // matching agents, as far as they were looked at
	Capped     bool // there may be more than Matched
	Living     int  // all living agents
	Listed     int  // those of them that discovery shows
}

// Mark is the time of an acknowledgement or read mark.
type Mark struct {
	ID amtp.MessageID // canonical
	At time.Time
}
