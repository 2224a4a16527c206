package doctor

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/discovery"
)

// The names of the points of a domain, in their order. There is one PointKey for every key.
const (
	PointDNS         = "dns"         // DNS answers, and there is a record
	PointRecord      = "record"      // the record is valid and well written
	PointAddress     = "address"     // the gateway's host has addresses that other gateways call
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

// SeenDomain is what could be seen of a domain.
type SeenDomain struct {
	Domain   amtp.Domain
	Static   bool    // the operator's table names it, and DNS was not asked
	Record   SeenTXT // at _amtp.{domain}
	Found    amtp.Capabilities
	FoundErr error // of the record's grammar, when there is a record

	Host     string // of the gateway
	Addrs    []netip.Addr
	AddrsErr error
	Call     SeenCall

	Keys []SeenKey
}

// SeenTXT is what DNS says of a name.
type SeenTXT struct {
	Name    string
	Err     error // no answer of DNS
	Status  discovery.Status
	Records []string
	TTL     time.Duration // how long that may be cached; 0 if DNS does not say
	// Elsewhere is another name with such a record, if there is none at this one; ""
	// for none.
	Elsewhere string
}

// SeenKey is the record of one key.
type SeenKey struct {
	Selector string
	SeenTXT
}

// SeenCall is one request to the gateway, and how it ended.
type SeenCall struct {
	Made      bool
	Err       error  // no answer
	Connected bool   // something accepted the connection
	Remote    string // host:port of the other end
	Older     bool   // the server speaks only versions of TLS before 1.3
	Verified  bool   // the certificate was accepted
	TLS       *tls.ConnectionState
	Proto     int // 1 or 2, of HTTP
	Status    int
	Header    http.Header
	Serves    string // the domain that the gateway says it serves, "" for none
	Began     time.Time
	Ended     time.Time
}

// OwnDomain is what a domain's own gateway knows of it. A check of another domain has
// none.
type OwnDomain struct {
	Keys       []admin.SigningKey
	KeysErr    error  // why they are not known
	Gateway    string // the URL that it would publish, "" for none
	MaxMessage int64  // bytes
}

// Verdict is the result of a check as a whole.
type Verdict int

// The verdicts. The first that applies counts.
const (
	Sound       Verdict = iota // nothing is wrong
	Unpublished                // there is no such domain, or it publishes no gateway
	Unreachable                // DNS does not answer, or nothing answers at the gateway's address
	Unsound                    // anything else
)

// Sum returns the verdict of the findings about a domain.
func Sum(s *SeenDomain, list []Finding) Verdict {
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
