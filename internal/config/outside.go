package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/outbound"
)

// DNS says how the gateway finds other domains.
type DNS struct {
	Resolvers   []netip.AddrPort // empty for those of the system
	Timeout     time.Duration
	CacheTTL    time.Duration
	MockMode    bool
	MockRecords Table
	AllowHTTP   bool
}

// Outbound says where outgoing calls may go.
type Outbound struct {
	Allow  []outbound.Rule
	CAFile string
}

// Bounds of the settings of DNS.
const (
	longestQuestion = 30 * time.Second
	longestCache    = day
)

func (d *DNS) settings() []setting {
	return []setting{
		{path: "dns.resolvers", env: "AMTP_DNS_RESOLVERS",
			value:   list(&d.Resolvers, "IP addresses", parseResolver, formatResolver),
			meaning: "The name servers that are asked about other domains, in this order, each with its port unless that is 53. By default they are the name servers of the system."},
		{path: "dns.timeout", env: "AMTP_DNS_TIMEOUT", def: "5s", value: durationUpTo(&d.Timeout, longestQuestion),
			meaning: "The longest time for one query to all name servers together."},
		{path: "dns.cache_ttl", env: "AMTP_DNS_CACHE_TTL", def: "24h", value: durationUpTo(&d.CacheTTL, longestCache),
			meaning: "The longest time for which an answer is cached. Otherwise the answer's own TTL decides, but it is at least a minute."},
		{path: "dns.mock_mode", env: "AMTP_DNS_MOCK_MODE", def: "false", value: boolean(&d.MockMode),
			meaning: "Whether dns.mock_records and peers replace DNS. There are then no other domains."},
		{path: "dns.mock_records", env: "AMTP_DNS_MOCK_RECORDS", value: table(&d.MockRecords),
			meaning: "Records of other domains while dns.mock_mode is true, in the same form as peers."},
		{path: "dns.allow_http", env: "AMTP_DNS_ALLOW_HTTP", def: "false", value: boolean(&d.AllowHTTP),
			meaning: "Whether messages may be sent in plain text to a gateway whose record says http."},
	}
}

func (o *Outbound) settings() []setting {
	return []setting{
		{path: "outbound.allow", env: "AMTP_OUTBOUND_ALLOW", value: list(&o.Allow, "rules", parseRule, formatRule),
			meaning: "Where the gateway may connect to, besides public addresses at port 443: networks (10.0.0.0/8), addresses and host names, each with a port or for all ports. A port alone (:8443) applies to public addresses."},
		{path: "outbound.ca_file", env: "AMTP_OUTBOUND_CA_FILE", value: path(&o.CAFile),
			meaning: "Authorities in PEM form that are trusted for outgoing calls, in addition to those of the system."},
	}
}

// durationUpTo is a duration with an upper bound.
func durationUpTo(p *time.Duration, longest time.Duration) value {
	v := duration(p)
	set := v.set
	v.set = func(s string) error {
		if d, err := parseDuration(s); err == nil && d > longest {
			return fmt.Errorf("%s is longer than %s", brief(s), formatDuration(longest))
		}
		return set(s)
	}
	v.bounds += ", " + formatDuration(longest) + " at the most"
	return v
}

// checkOutside checks the settings about other domains against one another.
func (l *loader) checkOutside() {
	c := l.cfg
	if !c.DNS.AllowHTTP {
		l.checkPlain("peers", c.Peers)
		l.checkPlain("dns.mock_records", c.DNS.MockRecords)
	} else {
		l.advise("dns.allow_http",
			"is true: messages to a gateway whose record says http cross the network in plain text")
	}
	for _, name := range c.DNS.MockRecords.names() {
		if _, twice := c.Peers[name]; twice {
			l.refuse("dns.mock_records", brief(string(name))+" is in peers as well")
		}
	}
	switch {
	case !c.DNS.MockMode && len(c.DNS.MockRecords) > 0:
		l.advise("dns.mock_records", "is not used, because dns.mock_mode is false")
	case c.DNS.MockMode && len(c.DNS.MockRecords)+len(c.Peers) == 0:
		l.advise("dns.mock_mode",
			"is true and neither dns.mock_records nor peers names a domain: no other domain can be reached")
	}
	if file := c.Outbound.CAFile; file != "" {
		l.checkAuthorities("outbound.ca_file", file)
	}
}

// checkPlain refuses records of gateways without TLS.
func (l *loader) checkPlain(path string, t Table) {
	for _, name := range t.names() {
		if strings.Contains(string(name), keyMark) {
			continue
		}
		if _, err := amtp.ParseCapabilities(t[name], false); err != nil {
			l.refuse(path,
				fmt.Sprintf("the record of %s cannot be used: %v; dns.allow_http (AMTP_DNS_ALLOW_HTTP=true) allows plain text",
					brief(string(name)), err))
		}
	}
}
