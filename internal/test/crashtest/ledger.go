// Package crashtest kills the real gateway under load, repeatedly, and checks that it
// kept its promise. A message that was answered with 202 is in the inbox or was
// acknowledged, once, with the bytes that were sent. An acknowledged message stays
// acknowledged. Nothing else appears.
//
// The reference is a [Ledger] outside the gateway, which the clients write. It survives
// because only the gateway is killed.
package crashtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
)

// A Ledger records what the clients of a gateway did and saw. Its methods may be called
// from many goroutines. It records everything that contradicts the promise as a fault,
// and goes on.
type Ledger struct {
	mu       sync.Mutex
	now      Moment
	attempts map[string]*attempt
	byID     map[amtp.MessageID]string // accepted id → name
	copies   map[place]*copied
	counts   Counts
	longest  time.Duration
	faults   []string
}

// A Moment orders acknowledgements and reads.
type Moment int

// Counts say how much a ledger covers.
type Counts struct{ Attempted, Accepted, Refused, Seen, Acknowledged, Replayed int }

// attempt is one message that a client tried to send, once or several times.
type attempt struct {
	recipients []amtp.Address
	hash       [32]byte       // of the payload
	id         amtp.MessageID // "" until a 202 came
	refused    bool
}

// place is one message in one inbox.
type place struct {
	recipient string
	name      string
}

// copied is the ledger's knowledge of a message in an inbox.
type copied struct {
	id    amtp.MessageID
	acked Moment // 0 until the gateway confirmed it
}

// An Item is one message as a reader found it in an inbox. Name is the name in its
// payload.
type Item struct {
	Name    string
	ID      amtp.MessageID
	Payload []byte
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{
		attempts: make(map[string]*attempt),
		byID:     make(map[amtp.MessageID]string),
		copies:   make(map[place]*copied),
	}
}

// Attempt is called before a message is sent for the first time. The name is unique.
// The payload contains it, so that readers can report it.
func (l *Ledger) Attempt(name string, recipients []amtp.Address, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Attempted++
	l.attempts[name] = &attempt{recipients: recipients, hash: sha256.Sum256(payload)}
}

// Accepted is called when the gateway answered 202, for the first time or again.
func (l *Ledger) Accepted(name string, id amtp.MessageID, replayed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.attempts[name]
	switch {
	case a.refused:
		l.fault("%s was refused and then accepted as %s", name, id)
	case a.id != "" && a.id != id:
		l.fault("%s was accepted as %s and then as %s", name, a.id, id)
	case l.byID[id] != "" && l.byID[id] != name:
		l.fault("%s was accepted as %s, which is the id of %s", name, id, l.byID[id])
	}
	if replayed {
		l.counts.Replayed++
	}
	if a.id == "" {
		l.counts.Accepted++
	}
	a.id, l.byID[id] = id, name
}

// Refused is called when the gateway refused a message for good.
func (l *Ledger) Refused(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.attempts[name]
	if a.id != "" {
		l.fault("%s was accepted as %s and then refused", name, a.id)
	}
	a.refused = true
	l.counts.Refused++
}

// Now returns the moment of a read that starts now.
func (l *Ledger) Now() Moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// Seen is called with one page of an inbox, read by a request that started at the
// moment since.
func (l *Ledger) Seen(recipient amtp.Address, page []Item, since Moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	onPage := make(map[string]bool, len(page))
	for _, item := range page {
		if onPage[item.Name] {
			l.fault("%s is twice on one page of %s", item.Name, recipient)
		}
		onPage[item.Name] = true
		l.seen(recipient, item, since)
	}
}

func (l *Ledger) seen(recipient amtp.Address, item Item, since Moment) {
	a := l.attempts[item.Name]
	if a == nil || !addressed(a, recipient) {
		l.fault("%s saw message %s (%q), which no client sent to it", recipient, item.ID, item.Name)
		return
	}
	at := place{recipient.Key(), item.Name}
	c := l.copies[at]
	if c == nil {
		c = &copied{id: item.ID}
		l.copies[at] = c
		l.counts.Seen++
	}
	hash := sha256.Sum256(item.Payload)
	switch {
	case a.refused:
		l.fault("%s saw %s, which was refused", recipient, item.Name)
	case !bytes.Equal(hash[:], a.hash[:]):
		l.fault("%s saw %s with another payload: %.200s", recipient, item.Name, item.Payload)
	case c.id != item.ID:
		l.fault("%s saw %s twice, as %s and as %s", recipient, item.Name, c.id, item.ID)
	case a.id != "" && a.id != item.ID:
		l.fault("%s saw %s as %s; it was accepted as %s", recipient, item.Name, item.ID, a.id)
	case c.acked != 0 && c.acked <= since:
		l.fault("%s saw %s again after its acknowledgement", recipient, item.Name)
	}
}

func addressed(a *attempt, recipient amtp.Address) bool {
	for _, r := range a.recipients {
		if r.Equal(recipient) {
			return true
		}
	}
	return false
}

// Acknowledged is called when the gateway confirmed the acknowledgement of a
// message that the recipient had seen.
func (l *Ledger) Acknowledged(recipient amtp.Address, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.copies[place{recipient.Key(), name}]
	if c.acked == 0 {
		l.now++
		c.acked = l.now
		l.counts.Acknowledged++
	}
}

// Fault records a fault that a client found itself.
func (l *Ledger) Fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault(format, args...)
}

func (l *Ledger) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// Settle is called at the end, after all senders and readers have stopped, with the
// whole inbox of every recipient. It returns all faults: those found earlier, and every
// accepted message that is neither there nor acknowledged.
func (l *Ledger) Settle(inboxes map[amtp.Address][]Item) []string {
	since := l.Now()
	there := make(map[place]bool)
	for recipient, items := range inboxes {
		l.Seen(recipient, items, since)
		for _, item := range items {
			there[place{recipient.Key(), item.Name}] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, a := range l.attempts {
		if a.id == "" {
			continue // it was never accepted
		}
		for _, r := range a.recipients {
			at := place{r.Key(), name}
			if c := l.copies[at]; !there[at] && (c == nil || c.acked == 0) {
				l.fault("%s, accepted as %s, is lost: %s neither has it nor acknowledged it", name, a.id, r)
			}
		}
	}
	return l.faults
}

// Tried is called when a client has its clear answer, with the time for which it tried.
func (l *Ledger) Tried(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest = max(l.longest, d)
}

// Longest returns the longest time for which a client had to try.
func (l *Ledger) Longest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.longest
}

// Counts returns how much the ledger covers so far.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// AcknowledgedIDs returns up to n messages whose acknowledgement was confirmed to the
// recipient.
func (l *Ledger) AcknowledgedIDs(recipient amtp.Address, n int) []amtp.MessageID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []amtp.MessageID
	for at, c := range l.copies {
		if at.recipient == recipient.Key() && c.acked != 0 && len(ids) < n {
			ids = append(ids, c.id)
		}
	}
	return ids
}
