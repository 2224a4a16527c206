// Package limits bounds the volume that callers cause: messages, bytes and look-ups
// in a time, by the network of the caller, by the domain and the address of the
// sender, and by the inbox. AMTP §11: RATE_LIMIT_EXCEEDED.
//
// A message is within every rate that applies to it; otherwise it is refused and uses
// none. The rates depend on the sender: a stranger has the lowest, a domain that has
// signed for a while 50 times as much, and an agent here even more. A single gateway
// stores none of this, and a restart begins anew. Replicas on one store tell each other
// their counts, so that a name has its rate once and not once for each replica.
//
// The memory is bounded: each kind of name has a fixed number of entries. Beyond it,
// names that used least are forgotten.
package limits

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Options are what a Limits is made from.
type Options struct {
	Messages int64 // that a stranger may send in a minute
	Bytes    int64 // that a stranger may send in a minute
	Largest  int64 // bytes of the largest message
	Now      func() time.Time
	// Shared has the counts of all replicas on one store; nil for a single gateway.
	Shared gateway.Tallies
	// Disk returns how many bytes are free where messages are stored, and how many must
	// be free for strangers to be served; nil if that is not known.
	Disk func() (free, least uint64, known bool)
}

// Limits is the table of used rates. Its methods may be called concurrently. A nil Limits
// bounds nothing.
type Limits struct {
	rates  [classes][whats]rates
	now    func() time.Time
	shared gateway.Tallies
	room   room

	mu      sync.Mutex
	tables  [classes][whats]table
	refused [classes][whats]int64 // requests, since the start
	short   int64                 // requests that were refused because the disk was short
	looking map[netip.Prefix]int  // look-ups that are under way, by the widest network

	sharing sync.Mutex
	failed  time.Time     // when the last exchange failed, of sharing
	wake    chan struct{} // much was used since the last exchange
}

// New returns a Limits in which nothing is used.
func New(o Options) *Limits {
	return &Limits{
		rates: ratesOf(&o), now: o.Now, shared: o.Shared, room: room{look: o.Disk},
		wake: make(chan struct{}, 1), looking: map[netip.Prefix]int{},
	}
}

// charge is one budget that a request uses.
type charge struct {
	kind
	of    name
	cost  [2]int64
	entry *entry // the entry of the name after the look-up, nil if it has none
}

// charges returns the charges of a request of the class in the networks of its address.
func (l *Limits) charges(list []charge, c class, from netip.Addr, messages, bytes int64) []charge {
	var space [3]netip.Prefix
	for i, n := range networks(space[:0], from) {
		list = append(list, l.charge(kind{c, address + what(i)}, name{network: n}, messages, bytes))
	}
	return list
}

func (l *Limits) charge(k kind, of name, messages, bytes int64) charge {
	r := &l.rates[k.class][k.what]
	return charge{kind: k, of: of, cost: [2]int64{r[0].Cost(messages), r[1].Cost(bytes)}}
}

// Admit decides on a message of the principal for the inboxes of these addresses and for
// so many other recipients. A message that is admitted uses its rates. Admit returns
// either an error for the whole message, which then uses nothing, or a list with one
// error for each inbox: nil for an inbox that accepts the message. The list is nil if all
// inboxes accept it. If all refuse it and there are no other recipients, nothing is used.
// A retry uses as much as a new message.
func (l *Limits) Admit(p *gateway.Principal, m *amtp.Message, inboxes []amtp.Address, others int) (
	each []*amtp.Error, refused *amtp.Error) {
	if l == nil {
		return nil, nil
	}
	c, counted := classOf(p)
	if !counted {
		return nil, nil
	}
	now, size := l.now(), int64(len(m.Raw()))
	if refused := l.noRoom(c, p.Familiar, now); refused != nil {
		return nil, refused
	}
	var space [8]charge
	messages := int64(max(len(m.Recipients), 1)) // unknown recipients count too, so that guessing names is not free
	list := space[:0]
	if c != local {
		list = l.charges(list, c, p.From, messages, size)
		list = append(list, l.charge(kind{c, domain}, name{text: string(m.Sender.Domain())}, messages, size))
	}
	list = append(list, l.charge(kind{c, sender}, name{text: m.Sender.Key()}, messages, size))
	whole := len(list)
	for _, a := range inboxes {
		list = append(list, l.charge(kind{c, inbox}, name{text: a.Key()}, 1, size))
	}
	l.settle(list)
	return l.decide(list, whole, others, now)
}

// decide applies the charges. The first whole of them concern the whole message, the
// others its inboxes.
func (l *Limits) decide(list []charge, whole, others int, at time.Time) ([]*amtp.Error, *amtp.Error) {
	now := at.UnixMicro()
	l.mu.Lock()
	defer l.mu.Unlock()
	if refused := l.over(list[:whole], now); refused != nil {
		return nil, refused
	}
	var each []*amtp.Error
	taken := others
	for i := whole; i < len(list); i++ {
		if refused := l.over(list[i:i+1], now); refused == nil {
			taken++
		} else {
			if each == nil {
				each = make([]*amtp.Error, len(list)-whole)
			}
			each[i-whole] = refused
		}
	}
	for i := range list {
		if taken > 0 && (i < whole || each == nil || each[i-whole] == nil) {
			l.spend(&list[i], now)
		}
	}
	return each, nil
}

// over returns the refusal of the charge that has to wait longest, nil when all are
// within their rates.
func (l *Limits) over(list []charge, now int64) *amtp.Error {
	var longest time.Duration
	var worst *charge
	unit := 0
	for i := range list {
		ch := &list[i]
		if ch.entry = l.tables[ch.class][ch.what].named[ch.of]; ch.entry == nil {
			continue
		}
		if wait, u := l.wait(ch, ch.entry.spent, now); wait > longest {
			longest, worst, unit = wait, ch, u
		}
	}
	if worst == nil {
		return nil
	}
	return l.refuse(worst, unit, longest)
}

// wait returns how long a charge has to wait if so much of its rates is used, and which
// rate is the cause.
func (l *Limits) wait(ch *charge, spent gateway.Spent, now int64) (longest time.Duration, unit int) {
	for u, r := range l.rates[ch.class][ch.what] {
		if wait := r.Wait(spent[u], ch.cost[u], now); wait > longest {
			longest, unit = wait, u
		}
	}
	return longest, unit
}

// refuse counts the refusal of a charge after the look-up of its entry.
func (l *Limits) refuse(ch *charge, unit int, wait time.Duration) *amtp.Error {
	l.refused[ch.class][ch.what]++
	ch.entry.refused++
	return refusal(ch.kind, ch.of.String(), unit, wait)
}

// refusal is the error for the caller.
func refusal(k kind, of string, unit int, wait time.Duration) *amtp.Error {
	seconds := int64(math.Ceil(wait.Seconds()))
	e := amtp.Errorf(amtp.CodeRateLimitExceeded, "Too many %s %s now; try again in %s.",
		k.units(unit), k.phrase(of), secondsText(seconds))
	e.RetryAfter = time.Duration(seconds) * time.Second
	return e.With("limit", whatWords[k.what]).With("unit", k.units(unit)).With("retry_after", seconds)
}

// secondsText writes a number of seconds.
func secondsText(n int64) string {
	if n == 1 {
		return "1 second"
	}
	return strconv.FormatInt(n, 10) + " seconds"
}

// units names what exceeded the rate.
func (k kind) units(unit int) string {
	switch {
	case unit == 1:
		return "bytes"
	case k.class == lookUps:
		return "new domains"
	case k.class == asking:
		return "requests"
	}
	return "messages"
}

// phrase says whose rate is used up.
func (k kind) phrase(of string) string {
	switch k.what {
	case inbox:
		return "for " + of
	case domain:
		return "from the domain " + of
	case sender:
		return "from " + of
	}
	return "from the network " + of
}

// spend applies a charge after the look-up of its entry.
func (l *Limits) spend(ch *charge, now int64) {
	if ch.cost == ([2]int64{}) {
		return
	}
	t, e := &l.tables[ch.class][ch.what], ch.entry
	if e == nil || e.index < 0 { // a request may have the same name twice
		if e = t.named[ch.of]; e == nil {
			e = t.add(ch.of)
		}
	}
	t.set(e, e.spent.Add(ch.cost, now))
	if l.shared == nil {
		return
	}
	for u, r := range l.rates[ch.class][ch.what] {
		if e.unsent[u] += ch.cost[u]; e.unsent[u] >= part(r, tellAt) {
			l.wakeRun()
		}
	}
}

// String says how much of the table is in use.
func (l *Limits) String() string { return fmt.Sprintf("limits with %d entries", l.Entries()) }

// Entries returns how many names are remembered.
func (l *Limits) Entries() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.tables {
		for w := range l.tables[c] {
			n += len(l.tables[c][w].list)
		}
	}
	return n
}
