package peering

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/remote"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// Bounds of one question to a peer.
const (
	callTime = 10 * time.Second
	maxKeys  = 32
)

// The points at which a question to a peer may fail.
const (
	pointAddress     = "address"
	pointCertificate = "certificate"
	pointDomain      = "domain"
	pointKeys        = "keys"
)

// fault is the reason why a question to a peer failed.
type fault struct {
	point, text, mend string
	another           bool // a gateway that is not the peer's answers
}

// Keys implements discovery.StaticRoutes.
func (s *Peering) Keys(ctx context.Context, p *discovery.StaticRoute) (discovery.RouteKeys, error) {
	told, _, fault := s.reach(ctx, p)
	switch {
	case fault != nil && fault.point == pointKeys:
		return nil, fmt.Errorf("%w: %s", discovery.ErrNone, fault.text)
	case fault != nil:
		return nil, fmt.Errorf("%w: %s", discovery.ErrTemporary, fault.text)
	}
	keys := make(discovery.RouteKeys, len(told.Keys))
	for _, k := range told.Keys {
		if _, err := amtp.KeyRecordName(k.Selector, p.Domain); err != nil {
			continue // a signature cannot name such a key
		}
		if record, err := amtp.ParseKeyRecord(k.Record); err == nil {
			keys[k.Selector] = record
		}
	}
	return keys, nil
}

// reach asks the gateway of a peer for its keys. at is the time of the peer's clock.
func (s *Peering) reach(ctx context.Context, p *discovery.StaticRoute) (told amtp.DomainKeys, at time.Time, _ *fault) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	answer, err := remote.Call(ctx, p.Client, http.MethodGet, p.Capabilities.Gateway, "/v1/discovery/keys", nil)
	switch {
	case errors.Is(err, remote.ErrAddress):
		return told, at, &fault{point: pointAddress, text: "its address is no URL"}
	case err == nil && answer.Large:
		err = outbound.ErrTooLarge
	}
	if err != nil {
		return told, at, faultOf(p, err)
	}
	if at, err = http.ParseTime(answer.Header.Get("Date")); err != nil {
		at = time.Time{}
	}
	switch code := answer.Status; {
	case answer.IsDown():
		return told, at, &fault{point: pointAddress, text: fmt.Sprintf("%s cannot answer now (%d)",
			p.Capabilities.Gateway, code), mend: "look at the log over there"}
	case code != http.StatusOK && !p.Capabilities.Signs():
		return amtp.DomainKeys{Domain: p.Domain}, at, nil // it may be a gateway of another kind
	case code != http.StatusOK:
		return told, at, &fault{point: pointKeys, text: fmt.Sprintf("%s tells no keys (%d)",
			p.Capabilities.Gateway, code),
			mend: "give the gateway over there its domain; one that does not sign: amtp peer add --unsigned"}
	}
	if err := strictjson.Decode(answer.Body, &told); err != nil || len(told.Keys) > maxKeys {
		return told, at, &fault{point: pointDomain, text: p.Capabilities.Gateway +
			" is not a gateway: its answer is not one", mend: "check that the port is the gateway's"}
	}
	if told.Domain != p.Domain {
		return told, at, &fault{point: pointDomain, another: true,
			text: fmt.Sprintf("%s is the gateway of %s, not of %s", p.Capabilities.Gateway, told.Domain, p.Domain),
			mend: "name the domain that it serves, or another address"}
	}
	return told, at, nil
}

// faultOf returns the reason why there is no answer.
func faultOf(p *discovery.StaticRoute, err error) *fault {
	var pin *outbound.PinError
	var name x509.HostnameError
	var unverified *tls.CertificateVerificationError
	var slow net.Error
	gate := p.Capabilities.Gateway
	f := &fault{point: pointCertificate, another: true, mend: "over there, and compare: amtp peer self"}
	switch {
	case errors.As(err, &pin):
		f.text = fmt.Sprintf("%s has the key %s, which is not the pinned one", gate, amtp.Pin(pin.Seen))
	case errors.As(err, &name):
		f.text, f.mend = fmt.Sprintf("%s has a certificate for another host: %v", gate, name),
			"make one for that host, or give its pin: amtp peer self"
	case errors.As(err, &unverified):
		f.text, f.mend = fmt.Sprintf("%s has a certificate that is not to be believed: %v", gate, unverified.Err),
			"give its authority or its pin: --ca FILE or --pin HASH"
	case errors.As(err, &slow) && slow.Timeout(), errors.Is(err, context.DeadlineExceeded):
		f = &fault{point: pointAddress, text: gate + " does not answer in time",
			mend: "check whether it runs there, and whether a firewall is between"}
	default:
		f = &fault{point: pointAddress, text: gate + " does not answer",
			mend: "check that it runs there, listens on that address and port, and speaks TLS"}
	}
	return f
}
