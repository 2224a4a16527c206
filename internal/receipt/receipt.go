// Package receipt sends receipts to the gateways of other domains and applies those that
// arrive from them.
//
// A receipt is owed from the transaction in which an agent marked a message as read or
// acknowledged it. The decision to send it is made later. It is sent only to a domain that
// proved that it wrote the message, that asks for receipts, and that gateway.ReceiptPolicy
// allows. Receipts for one domain go together in one small signed message. A receipt is
// removed once it was accepted or refused, or is a day old.
//
// If a receipt is lost, the sender of the message does not learn of the mark, but it still
// knows that the message was delivered. A crash loses no receipt that is owed. A receipt
// that was on its way is sent again, which changes nothing.
package receipt

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Store is the part of gateway.Store that receipts need.
type Store interface {
	gateway.Receipts
	Clock() gateway.ClockState
}

// Sender sends other domains the receipts that they are owed. It makes one call at a time
// to a domain, and calls a few domains at once.
type Sender struct {
	Store   Store
	Courier gateway.Courier // to other domains
	// Wants reports whether a domain asks for receipts. An error means that this is not
	// known now.
	Wants  func(context.Context, amtp.Domain) (bool, error)
	Signs  func() bool // whether there is a key to sign with
	Domain amtp.Domain // the gateway's own
	Policy gateway.ReceiptPolicy
	Now    func() time.Time
	Log    *slog.Logger

	last  amtp.Domain // of the last call; only Run's goroutine uses it
	mu    sync.Mutex
	peers map[amtp.Domain]*peer
}

// peer is a domain to which receipts were sent, or could not be sent.
type peer struct {
	busy  bool
	next  time.Time // no call before
	fails int       // in a row
}

// Bounds of the calls: how often, and how much at once.
const (
	lookEvery = 2 * time.Second
	// gatherTime is how long after a call the next one to the same domain waits for more
	// receipts, unless there are more than fit into one message.
	gatherTime = 5 * time.Second
	// fullPause is how long after a full message the next one to the same domain waits.
	// Receipts are not urgent, and agents need the store.
	fullPause = 250 * time.Millisecond
	atOnce    = 4 // domains
	page      = 256
	dropStep  = 5000
	// bodyBytes bounds the size of the messages that are read for one call. Each is read
	// to find out whether a program wrote it.
	bodyBytes = 8 << 20
	callTime  = 30 * time.Second
	// A domain that cannot be reached is called again after a minute, then two, and so on
	// up to an hour.
	leastPause = time.Minute
	mostPause  = time.Hour
)

// Run sends the receipts that are owed, until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	slots := make(chan struct{}, atOnce)
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := s.startCalls(ctx, slots, &calls); err != nil && ctx.Err() == nil {
			s.Log.Debug("the receipts that are owed cannot be read", "cause", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// startCalls begins a call to each domain that is owed receipts, while there is a slot. It
// continues after the domain of the last call, so that every domain has its turn.
func (s *Sender) startCalls(ctx context.Context, slots chan struct{}, calls *sync.WaitGroup) error {
	s.forgetIdle()
	last := s.last
	full, err := s.walk(ctx, last, "", slots, calls)
	if err != nil || full || last == "" {
		return err
	}
	s.last = ""
	_, err = s.walk(ctx, "", last, slots, calls)
	return err
}

// walk begins calls to the domains that follow after, up to upTo; "" means the last one. It
// reports whether it found a domain for which there is no slot.
func (s *Sender) walk(ctx context.Context, after, upTo amtp.Domain, slots chan struct{},
	calls *sync.WaitGroup) (full bool, err error) {
	for {
		domains, err := s.Store.ReceiptDomains(ctx, after, page)
		if err != nil {
			return false, err
		}
		for _, d := range domains {
			if upTo != "" && d > upTo {
				return false, nil
			}
			if after = d; !s.isDue(d) {
				continue
			}
			select {
			case slots <- struct{}{}:
			default:
				return true, nil // the other domains have their turn when these calls are done
			}
			s.last = d
			s.begin(d)
			calls.Go(func() {
				defer func() { <-slots }()
				s.end(d, s.contained(ctx, d))
			})
		}
		if len(domains) < page {
			return false, nil
		}
	}
}

// forgetIdle removes the entries of domains that have no state to remember.
func (s *Sender) forgetIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, p := range s.peers {
		if now := s.Now(); !p.busy && (p.fails == 0 && !p.next.After(now) || now.Sub(p.next) > gateway.ReceiptAge) {
			delete(s.peers, d)
		}
	}
}

func (s *Sender) isDue(d amtp.Domain) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[d]
	return p == nil || !p.busy && !p.next.After(s.Now())
}

func (s *Sender) begin(d amtp.Domain) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers == nil {
		s.peers = make(map[amtp.Domain]*peer)
	}
	if s.peers[d] == nil {
		s.peers[d] = &peer{}
	}
	s.peers[d].busy = true
}

// end notes the result of a call.
func (s *Sender) end(d amtp.Domain, c call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[d]
	p.busy = false
	now := s.Now()
	if c.why == "" {
		p.fails, p.next = 0, now.Add(gatherTime)
		return
	}
	pause := min(leastPause<<min(p.fails, 6), mostPause)
	p.fails++
	p.next = now.Add(max(pause, min(c.pause, gateway.ReceiptAge)))
	if p.fails > 1 && bits.OnesCount(uint(p.fails)) == 1 { // the second, fourth, eighth time
		s.Log.Info("receipts do not get through", "domain", string(d), "times", p.fails, "next", p.next, "cause", c.why)
	}
}

// call is the result of a call to one domain: why it failed, "" if it did not, and the wait
// that the domain asked for.
type call struct {
	why   string
	pause time.Duration
}

// noReason is the reason for a call that failed without one.
const noReason = "the call had no result"

// contained is tell, but a defect in it affects one domain only.
func (s *Sender) contained(ctx context.Context, d amtp.Domain) (c call) {
	err := defect.Contain(func() error {
		c = s.tell(ctx, d)
		return nil
	})
	var met *defect.Error
	if errors.As(err, &met) {
		s.Log.Error("receipts failed because of a defect in this program", "domain", string(d), "cause", met.Error(), "stack", string(met.Stack))
		return call{why: "the gateway failed; its log has the cause"}
	}
	return c
}

// tell sends one domain its receipts, one message after the other.
func (s *Sender) tell(ctx context.Context, d amtp.Domain) call {
	for {
		now, clock := s.Now(), s.Store.Clock()
		before := now.Add(-gateway.ReceiptAge)
		if !clock.Believed() {
			before = time.Time{} // while the clock is in doubt, no receipt is too old
		}
		if _, err := s.Store.DropReceipts(ctx, d, before, gateway.MaxReceiptsOwed, dropStep); err != nil {
			return call{why: "the store cannot be written"}
		}
		list, more, err := s.Store.OwedReceipts(ctx, d, now, gateway.MaxReceipts, bodyBytes)
		if err != nil {
			return call{why: "the store cannot be read"}
		}
		if len(list) == 0 {
			return call{}
		}
		how, done := s.send(ctx, d, s.owed(list), now)
		if done {
			if err := s.Store.SettleReceipts(ctx, list, s.Now().Add(gateway.ReceiptPace)); err != nil {
				return call{why: "the store cannot be written"}
			}
		}
		if how.why != "" || !more {
			return how
		}
		pause := time.NewTimer(fullPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return how
		}
	}
}

// owed returns the receipts that are to be sent.
func (s *Sender) owed(list []gateway.OwedReceipt) []gateway.OwedReceipt {
	var owed []gateway.OwedReceipt
	for i := range list {
		if s.Policy.Owes(&list[i]) {
			owed = append(owed, list[i])
		}
	}
	return owed
}

// send sends receipts to a domain. They are done if the domain accepted or refused them, or
// does not ask for receipts.
func (s *Sender) send(ctx context.Context, d amtp.Domain, list []gateway.OwedReceipt,
	now time.Time) (how call, done bool) {
	if len(list) == 0 || !s.Signs() {
		return call{}, true
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	wants, err := s.Wants(ctx, d)
	switch {
	case err != nil:
		return call{why: "it is not known now whether the domain asks for receipts"}, false
	case !wants:
		return call{}, true
	}
	m, err := message(s.Domain, d, list, now)
	if err != nil {
		return call{why: "the receipts cannot be written"}, true
	}
	p := gateway.Parcel{
		Job:        gateway.Job{Destination: gateway.Destination(d), Size: len(m.Raw())},
		Envelope:   gateway.Envelope{ID: m.MessageID, Sender: m.Sender, Timestamp: now, ReceivedAt: now},
		Body:       m.Raw(),
		Recipients: []gateway.Delivery{{ID: 1, Recipient: m.Recipients[0]}},
	}
	c := s.Courier.Carry(ctx, p)
	if len(c.Outcomes) == 0 {
		return call{why: noReason}, false
	}
	switch o := c.Outcomes[0]; o.Event {
	case gateway.Success:
		return call{}, true
	case gateway.Refuse:
		return call{why: cmp.Or(o.Reason, noReason), pause: c.Pause}, true
	default:
		return call{why: cmp.Or(o.Reason, noReason), pause: max(c.Pause, o.RetryAfter)}, false
	}
}
