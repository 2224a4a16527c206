// Package receipt tells the gateways of other domains what agents here did with
// their messages, and takes what those tell.
//
// A receipt is owed since the transaction in which an agent marked a message read
// or acknowledged it. Whether it is sent is decided later: only to a domain that
// proved that it wrote the message, that asks for receipts, and that
// gateway.ReceiptPolicy allows. It goes as one small signed message, with others
// for the same domain, and is forgotten when it was taken, refused, or a day old.
//
// What is lost costs nothing but the knowledge: a sender who hears of no receipt
// knows that the message is delivered. A crash loses none that is owed; one that
// was on its way is told again, which changes nothing.
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

// Store is what receipts need of gateway.Store.
type Store interface {
	gateway.Receipts
	Clock() gateway.ClockState
}

// Sender tells other domains what they are owed. One domain has one call at a
// time, and a few have theirs together.
type Sender struct {
	Store   Store
	Courier gateway.Courier // to other domains
	// Wants reports whether a domain asks for receipts. An error means that nobody
	// can say now.
	Wants  func(context.Context, amtp.Domain) (bool, error)
	Signs  func() bool // whether there is a key to sign with
	Domain amtp.Domain // ours
	Policy gateway.ReceiptPolicy
	Now    func() time.Time
	Log    *slog.Logger

	last  amtp.Domain // that a call was begun to; only Run's goroutine uses it
	mu    sync.Mutex
	peers map[amtp.Domain]*peer
}

// peer is a domain that was told something, or could not be told.
type peer struct {
	busy  bool
	next  time.Time // no call before
	fails int       // in a row
}

// How often and how much at once.
const (
	lookEvery = 2 * time.Second
	// gather is how long after a call the next one to the same domain waits for
	// more to tell, unless so much is there that one message does not hold it.
	gather = 5 * time.Second
	// breath is how long after a full message the next one to the same domain
	// waits: nobody is in a hurry for receipts, and agents wait for the store.
	breath   = 250 * time.Millisecond
	atOnce   = 4 // domains
	page     = 256
	dropStep = 5000
	// bodyBytes bounds the messages that are looked at for one call: each is read
	// to see whether a program wrote it.
	bodyBytes = 8 << 20
	callTime  = 30 * time.Second
	// A domain that cannot be told is left alone for a minute, then two, and up to
	// an hour.
	leastPause = time.Minute
	mostPause  = time.Hour
)

// Run tells what is owed until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	slots := make(chan struct{}, atOnce)
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := s.look(ctx, slots, &calls); err != nil && ctx.Err() == nil {
			s.Log.Debug("it cannot be read which receipts are owed", "cause", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look begins a call to each domain that is owed something, as long as there is a
// slot. It goes on behind the domain that was begun last, so that each has its
// turn however many there are.
func (s *Sender) look(ctx context.Context, slots chan struct{}, calls *sync.WaitGroup) error {
	s.tidy()
	last := s.last
	full, err := s.walk(ctx, last, "", slots, calls)
	if err != nil || full || last == "" {
		return err
	}
	s.last = ""
	_, err = s.walk(ctx, "", last, slots, calls)
	return err
}

// walk begins calls to the domains behind after, up to the one named upTo; "" is
// the last one. It reports whether it met a domain for which there is no slot.
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
				return true, nil // the rest has its turn when these are done
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

// tidy forgets domains of which there is nothing to remember.
func (s *Sender) tidy() {
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

// end notes how a call went.
func (s *Sender) end(d amtp.Domain, c call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[d]
	p.busy = false
	now := s.Now()
	if c.why == "" {
		p.fails, p.next = 0, now.Add(gather)
		return
	}
	pause := min(leastPause<<min(p.fails, 6), mostPause)
	p.fails++
	p.next = now.Add(max(pause, min(c.pause, gateway.ReceiptAge)))
	if p.fails > 1 && bits.OnesCount(uint(p.fails)) == 1 { // the second, fourth, eighth time
		s.Log.Info("receipts do not get through", "domain", string(d), "times", p.fails, "next", p.next, "cause", c.why)
	}
}

// call is how telling one domain went: why it did not work, "" when it did, and
// for how long the domain asked to be left alone.
type call struct {
	why   string
	pause time.Duration
}

// noReason is why a call did not work that nobody explains.
const noReason = "the call had no result"

// contained is tell, in which a defect is that of one domain.
func (s *Sender) contained(ctx context.Context, d amtp.Domain) (c call) {
	err := defect.Contain(func() error {
		c = s.tell(ctx, d)
		return nil
	})
	var met *defect.Error
	if errors.As(err, &met) {
		s.Log.Error("receipts met a defect", "domain", string(d), "cause", met.Error(), "stack", string(met.Stack))
		return call{why: "the gateway failed; its log has the cause"}
	}
	return c
}

// tell tells one domain what is due, one message after the other.
func (s *Sender) tell(ctx context.Context, d amtp.Domain) call {
	for {
		now, clock := s.Now(), s.Store.Clock()
		before := now.Add(-gateway.ReceiptAge)
		if !clock.Believed() {
			before = time.Time{} // nothing is too old by a clock that is doubted
		}
		if _, err := s.Store.DropReceipts(ctx, d, before, gateway.MaxReceiptsOwed, dropStep); err != nil {
			return call{why: "the store cannot say"}
		}
		list, more, err := s.Store.OwedReceipts(ctx, d, now, gateway.MaxReceipts, bodyBytes)
		if err != nil {
			return call{why: "the store cannot say"}
		}
		if len(list) == 0 {
			return call{}
		}
		how, done := s.send(ctx, d, s.owed(list), now)
		if done {
			if err := s.Store.SettleReceipts(ctx, list, s.Now().Add(gateway.ReceiptPace)); err != nil {
				return call{why: "the store takes nothing"}
			}
		}
		if how.why != "" || !more {
			return how
		}
		pause := time.NewTimer(breath)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return how
		}
	}
}

// owed returns those of the receipts that are sent.
func (s *Sender) owed(list []gateway.OwedReceipt) []gateway.OwedReceipt {
	var owed []gateway.OwedReceipt
	for i := range list {
		if s.Policy.Owes(&list[i]) {
			owed = append(owed, list[i])
		}
	}
	return owed
}

// send sends receipts to a domain. They are done with when it has them, when it
// does not ask for them, and when it refuses them.
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
		return call{why: "it cannot be found out whether the domain asks for receipts"}, false
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
