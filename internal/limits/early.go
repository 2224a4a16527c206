package limits

import (
	"net/netip"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// provenTime is how long an address from which proven messages came has a higher limit
// than a stranger's.
const provenTime = int64(time.Hour / time.Microsecond)

// Early decides on a caller without a key before its message is read. A caller whose
// address has used up a stranger's rate is refused, unless proven messages came from
// there within the last hour, because the next one may be proven too. Such an address is
// refused once as many of its messages were read and not accepted as a proven domain's
// address may send.
func (l *Limits) Early(from netip.Addr) *amtp.Error {
	if l == nil {
		return nil
	}
	var space [3]charge
	list := l.charges(space[:0], stranger, from, 1, 0)
	if len(list) == 0 {
		return nil
	}
	now := l.now().UnixMicro()
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := &list[0]
	if c := l.addressClass(ch.of, now); c != stranger {
		*ch = l.charge(kind{c, address}, ch.of, 1, 0)
	} else if refused := l.over(list[:1], now); refused != nil {
		return refused
	}
	if ch.entry = l.tables[ch.class][address].named[ch.of]; ch.entry == nil {
		return nil
	}
	if wait, unit := l.wait(ch, ch.entry.tried, now); wait > 0 {
		return l.refuse(ch, unit, wait)
	}
	return nil
}

// addressClass returns the class whose rate applies to an address: that of the best known
// domain from which a proven message came of late.
func (l *Limits) addressClass(of name, now int64) class {
	for _, c := range []class{known, newcomer} {
		if e := l.tables[c][address].named[of]; e != nil && e.spent[0] > now-provenTime {
			return c
		}
	}
	return stranger
}

// Tried counts a message that was read and is not accepted, because of the message or of
// a limit. It counts only for Early and only in this process. It uses none of the
// sender's rates.
func (l *Limits) Tried(from netip.Addr, recipients int, bytes int64) {
	if l == nil {
		return
	}
	var space [3]netip.Prefix
	at := networks(space[:0], from)
	if len(at) == 0 {
		return
	}
	now, of := l.now().UnixMicro(), name{network: at[0]}
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := l.charge(kind{l.addressClass(of, now), address}, of, int64(max(recipients, 1)), bytes)
	t := &l.tables[ch.class][address]
	e := t.named[of]
	if e == nil {
		e = t.add(of)
	}
	e.tried = e.tried.Add(ch.cost, now)
	t.set(e, e.spent)
}

// Failed counts a message of so many bytes for so many recipients that was refused for
// another reason: an attempt to send uses as much as a message.
func (l *Limits) Failed(p *gateway.Principal, recipients int, bytes int64) {
	if c, counted := classOf(p); counted && c != local {
		l.use(c, p.From, int64(max(recipients, 1)), bytes)
	}
}

// Asks decides on a request without a key that is no message.
func (l *Limits) Asks(from netip.Addr) *amtp.Error { return l.take(asking, from) }

// Answered counts the bytes of the answer to such a request.
func (l *Limits) Answered(from netip.Addr, bytes int64) { l.use(asking, from, 0, bytes) }

// take uses one of each rate of the address, or none.
func (l *Limits) take(c class, from netip.Addr) *amtp.Error {
	if l == nil {
		return nil
	}
	var space [3]charge
	list := l.charges(space[:0], c, from, 1, 0)
	now := l.now()
	l.settle(list)
	_, refused := l.decide(list, len(list), 1, now)
	return refused
}

// use counts use that can no longer be refused.
func (l *Limits) use(c class, from netip.Addr, messages, bytes int64) {
	if l == nil {
		return
	}
	var space [3]charge
	now := l.now().UnixMicro()
	list := l.charges(space[:0], c, from, messages, bytes)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range list {
		ch := &list[i]
		if ch.entry = l.tables[ch.class][ch.what].named[ch.of]; ch.entry != nil {
			// Beyond the rate nothing is added, so that a caller that waits as long as it
			// was told may send again.
			for u, r := range l.rates[ch.class][ch.what] {
				if r.Debt(ch.entry.spent[u], now) >= r.Period.Microseconds() {
					ch.cost[u] = 0
				}
			}
		}
		l.spend(ch, now)
	}
}
