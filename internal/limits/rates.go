package limits

import (
	"time"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// class says how well the caller is known.
type class uint8

const (
	stranger class = iota // it proved nothing
	newcomer              // a domain that has signed for less than gateway.History
	known                 // a domain that has signed for longer
	local                 // an agent of this gateway
	lookUps               // no messages: domains that a caller makes the gateway look up for the first time
	asking                // no messages: other requests of callers who showed no key
	classes
)

// what is the kind of name by which is counted.
type what uint8

const (
	address what = iota // IPv4: one address; IPv6: a /64 network
	network             // /24; /56
	site                // IPv6 only: /48
	domain              // of the sender
	sender              // its address
	inbox               // of an agent here
	whats
)

var (
	classWords = [classes]string{admin.LimitStranger, admin.LimitNewcomer, admin.LimitKnown, admin.LimitAgent,
		admin.LimitLookUp, admin.LimitQuestion}
	whatWords = [whats]string{
		admin.LimitAddress,
		admin.LimitNetwork,
		admin.LimitSite,
		admin.LimitDomain,
		admin.LimitSender,
		admin.LimitInbox,
	}
)

// kind is one column of the table: a class of callers, and the kind of name by which they
// are counted.
type kind struct {
	class class
	what  what
}

// name returns the name of a budget that all replicas on a store share.
func (k kind) name(of string) string { return classWords[k.class] + " " + whatWords[k.what] + " " + of }

// factors are how many halves of a stranger's rate each kind has, of messages and of
// bytes. A known domain that signs may send 50 times as much as a domain that proved
// nothing. An inbox has a rate of its own for each class, several times that of one
// domain, so that no domain takes the inbox from the others.
var factors = [classes][whats][2]int64{
	stranger: {address: {2, 2}, network: {8, 8}, site: {32, 32}, domain: {2, 2}, sender: {1, 1}, inbox: {8, 8}},
	newcomer: {address: {20, 20}, network: {80, 80}, site: {320, 320}, domain: {20, 20}, sender: {10, 10},
		inbox: {80, 80}},
	known: {address: {1000, 1000}, network: {4000, 4000}, site: {16000, 16000}, domain: {100, 100}, sender: {50, 50},
		inbox: {400, 400}},
	local:  {sender: {1000, 1000}, inbox: {4000, 4000}},
	asking: {address: {2, 2}, network: {8, 8}, site: {32, 32}},
}

// How much of a rate may be used at once, as the time in which that comes back.
const (
	messagePeriod = 10 * time.Minute
	bytePeriod    = 64 * time.Minute
	lookUpPeriod  = time.Minute
)

// How many domains an address, a network and a site may make the gateway look up for the
// first time in a minute.
var newDomains = [whats]int64{address: 10, network: 40, site: 160}

// mostBytes is how many bytes may come at once from other domains, addresses and
// networks, whatever their rate; but the bytes of a minute may always come at once. A rate
// that is larger comes back sooner.
const mostBytes = 4 << 30

// largestAtOnce is how many messages of the largest size fit into every rate.
const largestAtOnce = 2

// rates are the rates of a kind: of messages, and of bytes.
type rates [2]gateway.Rate

// ratesOf makes all rates from those of a stranger.
func ratesOf(o *Options) (all [classes][whats]rates) {
	for c := range factors {
		for w, f := range factors[c] {
			if f[0] == 0 {
				continue
			}
			all[c][w] = rates{
				{Burst: max(o.Messages*f[0]*int64(messagePeriod/time.Minute)/2, 1), Period: messagePeriod},
				byteRate(class(c), o.Bytes*f[1]/2, o.Largest),
			}
		}
	}
	for w, n := range newDomains {
		if n > 0 {
			all[lookUps][w] = rates{{Burst: n, Period: lookUpPeriod}}
		}
	}
	return all
}

// byteRate returns the rate of so many bytes in a minute.
func byteRate(c class, minute, largest int64) gateway.Rate {
	r := gateway.Rate{Burst: minute * int64(bytePeriod/time.Minute), Period: bytePeriod}
	if most := max(mostBytes, minute); c != local && r.Burst > most {
		r.Period = time.Duration(float64(most) / float64(minute) * float64(time.Minute))
		r.Burst = most
	}
	r.Burst = max(r.Burst, largestAtOnce*largest)
	return r
}

// classOf returns the class of a message's sender. It is false for the gateway itself,
// which has no limits.
func classOf(p *gateway.Principal) (class, bool) {
	switch {
	case p.Gateway:
		return 0, false
	case p.Agent != nil, p.Development:
		return local, true
	case p.Class() != gateway.ClassDomain:
		return stranger, true
	case p.Settled:
		return known, true
	}
	return newcomer, true
}
