package doctor

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/outbound"
)

// clockTolerance is how far two clocks may differ. A signature from more than ten
// minutes ahead is refused, and a clock that is a minute wrong today will be more wrong
// tomorrow.
const clockTolerance = time.Minute

// JudgeDomain returns one finding for each point, always in the same order. It is a
// function of its arguments. own is nil for another domain.
func JudgeDomain(s *SeenDomain, own *OwnDomain) []Finding {
	list := []Finding{
		dnsPoint(s), recordPoint(s, own), addressPoint(s), connectionPoint(s, own),
		certificatePoint(s), tlsPoint(s), http2Point(s), gatewayPoint(s), hstsPoint(s), clockPoint(s),
		sizePoint(s, own),
	}
	return append(list, keyPoints(s, own)...)
}

// notReached is a point that was not checked because the point named behind failed.
func notReached(name, behind string) Finding {
	return Finding{Name: name, Skipped: true, Text: "not looked at, because of " + behind}
}

// dnsPoint: DNS answers, and the domain publishes something.
func dnsPoint(s *SeenDomain) Finding {
	publish := "publish a TXT record there; for a domain of your own the command that prints it is: amtp domain setup " +
		string(s.Domain)
	switch {
	case s.Static:
		return good(PointDNS, "the table peers names %s, so DNS is not asked for it", s.Domain)
	case s.Record.Err != nil:
		return bad(PointDNS,
			"check whether the name servers of the domain work, and those that this machine asks: dns.resolvers",
			"DNS does not say what is at %s: %v", s.Record.Name, s.Record.Err)
	case s.Record.Status == discovery.NoName:
		return bad(PointDNS, "register the domain, or correct its spelling", "there is no domain %s", s.Domain)
	case s.Record.Elsewhere != "":
		return bad(PointDNS, misplaced(s.Record.Elsewhere, s.Record.Name),
			"there is no record at %s, but there is one at %s", s.Record.Name, s.Record.Elsewhere)
	case s.Record.Status == discovery.NoData:
		return bad(PointDNS, publish, "there is no record at %s", s.Record.Name)
	}
	return good(PointDNS, "there is a record at %s", s.Record.Name)
}

// recordPoint: there is one valid record, which every gateway can read.
func recordPoint(s *SeenDomain, own *OwnDomain) Finding {
	if s.Record.Status != discovery.Exists {
		return notReached(PointRecord, PointDNS)
	}
	again := "replace it by what is printed by: amtp domain setup " + string(s.Domain)
	if own == nil {
		again = "its operator has to correct it"
	}
	ours := slices.DeleteFunc(slices.Clone(s.Record.Records), func(txt string) bool { return !isOurs(txt) })
	switch {
	case errors.Is(s.FoundErr, amtp.ErrRecordsDiffer):
		return bad(PointRecord, "leave one of them", "there are %d records that do not say the same: %s", len(ours),
			strings.Join(ours, "  and  "))
	case s.FoundErr != nil:
		return bad(PointRecord, again, "it cannot be used: %v", s.FoundErr)
	case len(ours) > 1:
		return bad(PointRecord, "leave one of them",
			"there are %d records, and other programs may read another one than this does: %s", len(ours),
			strings.Join(ours, "  and  "))
	case !strings.HasPrefix(ours[0], "v=amtp1;gateway="):
		return bad(PointRecord, again,
			"it does not begin with v=amtp1;gateway= in this order and these letters, which other programs insist on: %s",
			ours[0])
	case own != nil && own.Gateway != "" && !samePlace(own.Gateway, s.Found.Gateway):
		return bad(PointRecord, again+"; or, if the record is right: server.public_url",
			"it names the gateway %s, and this one is to be reached at %s", s.Found.Gateway, own.Gateway)
	case own != nil && !s.Found.Signs():
		return bad(PointRecord, again,
			"it does not say auth=sig, so that others take unsigned messages in the name of this domain")
	}
	return good(PointRecord, "%s", s.Found)
}

// samePlace compares the base URLs of gateways: a record may name port 443 or leave it
// out.
func samePlace(a, b string) bool {
	plain := func(base string) string {
		u, err := url.Parse(base)
		if err != nil {
			return base
		}
		if u.Scheme == "https" {
			u.Host = strings.TrimSuffix(u.Host, ":443")
		}
		return u.String()
	}
	return plain(a) == plain(b)
}

// addressPoint: the gateway's host has addresses.
func addressPoint(s *SeenDomain) Finding {
	switch {
	case s.Host == "":
		return notReached(PointAddress, PointRecord)
	case s.AddrsErr != nil:
		return bad(PointAddress, "publish an A or AAAA record for it",
			"the host of the gateway, %s, has no address: %v", s.Host, s.AddrsErr)
	case len(s.Addrs) == 0:
		return bad(PointAddress, "publish an A or AAAA record for it",
			"the host of the gateway, %s, has no address", s.Host)
	}
	for _, a := range s.Addrs {
		why, special := outbound.Special(a)
		if special && errors.Is(s.Call.Err, outbound.ErrForbidden) {
			return bad(PointAddress,
				"publish its public address; or, in a network of your own, allow it: outbound.allow",
				"%s is at %s, which is %s: others do not go there", s.Host, a, why)
		}
		if special {
			return good(PointAddress, "%s is at %s, which is %s: only those who allow it go there", s.Host,
				addresses(s.Addrs), why)
		}
	}
	return good(PointAddress, "%s is at %s", s.Host, addresses(s.Addrs))
}

func addresses(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// connectionPoint: a server listens there.
func connectionPoint(s *SeenDomain, own *OwnDomain) Finding {
	switch {
	case !s.Call.Made:
		return notReached(PointConnection, PointAddress)
	case s.Call.Connected && s.Call.Remote != "":
		return good(PointConnection, "%s answers", s.Call.Remote)
	case s.Call.Connected:
		return good(PointConnection, "%s answers", s.Found.Gateway)
	case errors.Is(s.Call.Err, outbound.ErrForbidden) && failed([]Finding{addressPoint(s)}, PointAddress):
		return notReached(PointConnection, PointAddress)
	case errors.Is(s.Call.Err, outbound.ErrForbidden):
		return bad(PointConnection, "use port 443, which every gateway calls; or allow this one: outbound.allow",
			"calls to %s are not allowed: %v", s.Found.Gateway, s.Call.Err)
	}
	mend := "its gateway is down, or a firewall is in the way"
	if own != nil {
		mend = "is the gateway running, and is its port open in the firewall and forwarded by the router? From inside a network the router may not lead back: then check from elsewhere"
	}
	return bad(PointConnection, mend, "nothing answers at %s: %v", s.Found.Gateway, s.Call.Err)
}

// gatewayPoint: the server there is the gateway of the domain.
func gatewayPoint(s *SeenDomain) Finding {
	c := &s.Call
	switch {
	case !c.Verified:
		return notReached(PointGateway, stopped(c))
	case c.Err != nil:
		return bad(PointGateway, "look at the log of the gateway, and of what is in front of it",
			"it breaks off: %v", c.Err)
	case c.Status >= 300 && c.Status < 400:
		return bad(PointGateway, "publish the address to which it leads; no gateway follows it",
			"it answers %d and sends callers elsewhere", c.Status)
	case c.Status != http.StatusOK || c.Serves == "":
		return bad(PointGateway, "the record must name a gateway: something else, such as a web server, is there",
			"it answers %d to GET /v1/discovery/agents, and not as a gateway", c.Status)
	case c.Serves != string(s.Domain):
		return bad(PointGateway, "set server.domain there, or publish another gateway here",
			"the gateway there serves %.100q and not %s", c.Serves, s.Domain)
	}
	return good(PointGateway, "the gateway of %s answers", s.Domain)
}

// stopped names the point at which a call ended early.
func stopped(c *SeenCall) string {
	switch {
	case !c.Connected:
		return PointConnection
	case c.Older:
		return PointTLS
	}
	return PointCertificate
}

// hstsPoint: callers are told to use TLS only.
func hstsPoint(s *SeenDomain) Finding {
	switch c := &s.Call; {
	case !c.Verified || c.Header == nil:
		return notReached(PointHSTS, stoppedOr(c, PointGateway))
	case c.TLS == nil:
		return Finding{Name: PointHSTS, Skipped: true, Text: "not looked at: the gateway is called without TLS"}
	case c.Header.Get("Strict-Transport-Security") == "":
		return bad(PointHSTS,
			"have the proxy in front of the gateway send it: Strict-Transport-Security: max-age=31536000",
			"the header Strict-Transport-Security is missing")
	default:
		return good(PointHSTS, "%.100s", c.Header.Get("Strict-Transport-Security"))
	}
}

func stoppedOr(c *SeenCall, point string) string {
	if c.Verified {
		return point
	}
	return stopped(c)
}

// clockPoint: the clock there agrees with the clock here.
func clockPoint(s *SeenDomain) Finding {
	c := &s.Call
	if !c.Verified || c.Header == nil {
		return notReached(PointClock, stoppedOr(c, PointGateway))
	}
	const mend = "set both clocks by NTP: signatures carry the time"
	there, err := http.ParseTime(c.Header.Get("Date"))
	if err != nil {
		return bad(PointClock, "have the gateway, or the proxy in front of it, send the header Date",
			"the answer does not say what time it is there")
	}
	// The header Date is cut to the second. Only a difference that the travel time of
	// the call does not explain counts.
	ahead, behind := there.Sub(c.Ended), c.Began.Sub(there.Add(time.Second))
	switch {
	case ahead > clockTolerance:
		return bad(PointClock, mend, "the clock there is %s ahead of this machine's", roughly(ahead))
	case behind > clockTolerance:
		return bad(PointClock, mend, "the clock there is %s behind this machine's", roughly(behind))
	}
	return good(PointClock, "is within a minute of this machine's")
}

// roughly writes how far two clocks differ.
func roughly(d time.Duration) string {
	if d < time.Hour {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Minute).String()
}

// sizePoint: the published size fits the gateway's limit.
func sizePoint(s *SeenDomain, own *OwnDomain) Finding {
	switch {
	case s.Found.Gateway == "":
		return notReached(PointSize, firstFailure(s))
	case own != nil && s.Found.MaxSize > own.MaxMessage:
		return bad(PointSize, fmt.Sprintf("publish max-size=%d, or raise message.max_size", own.MaxMessage),
			"others may send %d bytes, and this gateway takes %d", s.Found.MaxSize, own.MaxMessage)
	case own != nil && s.Found.MaxSize < own.MaxMessage:
		return bad(PointSize, fmt.Sprintf("publish max-size=%d, or lower message.max_size", own.MaxMessage),
			"others send no more than %d bytes, and this gateway takes %d", s.Found.MaxSize, own.MaxMessage)
	}
	return good(PointSize, "messages of up to %d bytes", s.Found.MaxSize)
}

func firstFailure(s *SeenDomain) string {
	if s.Record.Status != discovery.Exists {
		return PointDNS
	}
	return PointRecord
}
