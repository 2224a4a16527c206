// Package domaincheck says of a domain, point by point, whether others can
// write to it: what it publishes in DNS, and how its gateway answers.
//
// [Looker.Look] goes there once, as a gateway that delivers a message does: the
// same resolver, the same rules on where calls may go, the same authorities. It
// shows no key and sends no message. [Judge] is a pure function of what was seen;
// it gives one finding for each point, always in the same order, and says how to
// mend what is wrong. A point that could not be looked at because one before it
// failed is skipped, never taken for good.
package domaincheck

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
)

// Finding is one point that was looked at.
type Finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped,omitempty"` // a point before it failed
	Text    string `json:"text"`              // what is so, or what is wrong
	Mend    string `json:"mend,omitempty"`    // how to fix it
	Note    string `json:"note,omitempty"`    // what could be better although it is in order
}

// The names of the points, in their order. There is one PointKey for every key.
const (
	PointDNS         = "dns"         // DNS answers, and there is a record
	PointRecord      = "record"      // it is one, and well written
	PointAddress     = "address"     // the gateway's host has addresses that others go to
	PointConnection  = "connection"  // something listens there
	PointCertificate = "certificate" // its chain, its host, its time
	PointTLS         = "tls"         // its version
	PointHTTP2       = "http/2"
	PointGateway     = "gateway" // it answers as the gateway of this domain
	PointHSTS        = "hsts"
	PointClock       = "clock"
	PointSize        = "max-size"
	PointKey         = "key"
)

// Seen is what there was to see of a domain.
type Seen struct {
	Domain   amtp.Domain
	Static   bool // the operator's table names it, and DNS was not asked
	Record   TXT  // at _amtp.{domain}
	Found    amtp.Capabilities
	FoundErr error // of the record's grammar, when there is a record

	Host     string // of the gateway
	Addrs    []netip.Addr
	AddrsErr error
	Call     Call

	Keys []Key
}

// TXT is what DNS says of a name.
type TXT struct {
	Name    string
	Err     error // DNS did not say
	Status  discovery.Status
	Records []string
	TTL     time.Duration // for how long that may be remembered; 0 if DNS does not say
	// Elsewhere is another name at which such a record is when there is none
	// here, "" for none.
	Elsewhere string
}

// Key is the record of one key.
type Key struct {
	Selector string
	TXT
}

// Call is one request to the gateway and what came of it.
type Call struct {
	Made      bool
	Err       error  // no answer
	Connected bool   // something accepted the connection
	Remote    string // host:port of the other end
	Older     bool   // only a version of TLS before 1.3 is spoken there
	Verified  bool   // the certificate was accepted
	TLS       *tls.ConnectionState
	Proto     int // 1 or 2, of HTTP
	Status    int
	Header    http.Header
	Serves    string // the domain that the gateway says it serves, "" when it says none
	Began     time.Time
	Ended     time.Time
}

// Own is what the gateway of the domain itself knows of it. A check of another
// domain has none.
type Own struct {
	Keys       []amtp.SigningKey
	KeysErr    error  // why they are not known
	Gateway    string // the URL that it means to publish, "" when it says none
	MaxMessage int64  // bytes
}

// Verdict is the result of a check as a whole.
type Verdict int

// The verdicts. The first that fits counts.
const (
	Sound       Verdict = iota // nothing is wrong
	Unpublished                // there is no such domain, or it publishes no gateway
	Unreachable                // DNS does not answer, or nothing answers at the gateway's address
	Unsound                    // anything else
)

// Sum returns the verdict of the findings about what was seen.
func Sum(s *Seen, list []Finding) Verdict {
	switch {
	case s.Record.Err != nil:
		return Unreachable
	case s.Record.Status != discovery.Exists:
		return Unpublished
	case failed(list, PointAddress) || failed(list, PointConnection):
		return Unreachable
	}
	for _, f := range list {
		if !f.OK && !f.Skipped {
			return Unsound
		}
	}
	return Sound
}

func failed(list []Finding, name string) bool {
	for _, f := range list {
		if f.Name == name && !f.OK && !f.Skipped {
			return true
		}
	}
	return false
}
