// Package outbound makes the HTTP client with which the gateway calls
// strangers: other gateways and the receivers of pushes, whose URLs strangers
// choose.
//
// What it promises for every call: the address that is connected to is a public
// one, or one that the operator allowed, whatever the URL and DNS say; the
// server has proved by its certificate that it is the URL's host; nothing is
// followed, sent or kept that the caller did not ask for (no redirects, no
// cookies, no proxy from the environment); and a hostile server can cost no
// more than the limits say, neither in time nor in memory.
//
// Nothing outside this package makes an http.Client in the gateway.
package outbound

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/amtp-go/amtp/internal/plaintext"
)

// ErrForbidden is in the chain of the error of a call that was not made because
// its URL leads to where the gateway does not go.
var ErrForbidden = errors.New("the gateway does not go there")

// ErrTooLarge is in the chain of the error of a body that goes beyond its limit.
var ErrTooLarge = errors.New("the answer is too large")

// Bounds of one call where [Options] say nothing.
const (
	callTime    = 30 * time.Second // of a call that moves nothing
	leastRate   = 8 << 10          // bytes that make it a second longer
	connectTime = 10 * time.Second // looking up and connecting, of all addresses together
	tlsTime     = 10 * time.Second
	headerTime  = 20 * time.Second // from the end of the request to the header of the answer
	headerBytes = 32 << 10
	bodyBytes   = 1 << 20
)

// A request whose body has freight bytes or more has connections of its own: on a
// slow line the small ones would wait for minutes behind what the system has taken of
// it. inTransit is how much that is at the most, and so how long such a request may
// wait for its answer once all of it was handed over.
const (
	freight   = 64 << 10
	inTransit = 4 << 20
)

// Bounds of the connections that wait for the next call.
const (
	idleTime           = 90 * time.Second
	idleConnections    = 256
	idlePerHost        = 4
	pingAfter, pingFor = 30 * time.Second, 10 * time.Second // HTTP/2: a dead connection is noticed
)

// Options say what differs from the defaults. The zero value is a client for
// the Internet.
type Options struct {
	// Allow lifts addresses and ports beside the public addresses at port 443.
	Allow []Rule
	// NotHere refuses the addresses of this machine's own interfaces, and those of
	// the networks that they are on, where no rule of Allow leads: they count as
	// private although they may be public ones.
	NotHere bool
	// NotSelf refuses of the public addresses less than NotHere: the Listener of this
	// program, and addresses on this machine's loopback interface. Where the
	// certificate has to be for the name that is called, others behind the same
	// addresses and networks are gateways like any.
	NotSelf  bool
	Listener netip.AddrPort // the unspecified address for all of the machine's; port 0 for none
	// PlainHTTP allows http URLs, and port 80 for them; otherwise only https
	// is spoken.
	PlainHTTP bool
	// PlainAllowed allows http URLs to where a rule of Allow leads that names a
	// host or a network, and nowhere else.
	PlainAllowed bool
	// Roots are the authorities that servers' certificates may come from; nil
	// means those of the system. See [Roots].
	Roots *x509.CertPool
	// Pin, when it is set, is the SHA-256 of the public key that the server's
	// certificate has (SubjectPublicKeyInfo). That key then proves who the server
	// is, in place of an authority, a name and a date.
	Pin []byte
	// MinTLS is the oldest version of TLS that is spoken, TLS 1.3 if it is 0.
	MinTLS uint16
	// Version is the program's, for the User-Agent.
	Version string
	// Timeout bounds one call from its beginning to the end of the answer's
	// body, 30 s if it is 0, and Rate is how many bytes of the request's body, and of
	// the answer to a large one, make it a second longer, 8 KiB if it is 0.
	Timeout time.Duration
	Rate    int64
	// MaxBody is how many bytes of an answer may be read, 1 MiB if it is 0.
	MaxBody int64
	// Lookup returns the addresses of a host name, in the order in which they
	// are tried; nil asks the system. It may return what it likes: what counts
	// is the address that is connected to.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// New makes a client. Its calls may go on at the same time; connections are
// kept for later calls. An error that the limits and rules of this package
// cause has [ErrForbidden] or [ErrTooLarge] in its chain; a redirect is
// returned as the answer that it is.
func New(o Options) *http.Client {
	t := &transport{
		plain:   o.PlainHTTP,
		agent:   "AMTP/1.0 (amtp/" + cmp.Or(o.Version, "dev") + ")",
		maxBody: cmp.Or(o.MaxBody, bodyBytes),
		longest: cmp.Or(o.Timeout, callTime),
		rate:    cmp.Or(o.Rate, leastRate),
		small:   o.lines(),
		large:   o.lines(),
		anew:    o.lines(),
	}
	t.anew.each(func(h *http.Transport) {
		h.DisableKeepAlives, h.HTTP2, h.ResponseHeaderTimeout = true, nil, headerTime+t.time(inTransit)
	})
	// A ping would wait behind the body, and its answer come too late.
	t.large.each(func(h *http.Transport) {
		h.HTTP2, h.ResponseHeaderTimeout = nil, headerTime+t.time(inTransit)
	})
	return &http.Client{
		Transport: t, // which bounds the time: the client would begin a goroutine for it with every call
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

func (o Options) lines() lines {
	l := lines{http: o.connections(o.gate())}
	if o.PlainAllowed && !o.PlainHTTP {
		l.allowed = o.connections(o.plainGate())
	}
	return l
}

// connections makes and keeps connections that the gate lets pass.
func (o Options) connections(g gate) *http.Transport {
	d := &dialer{gate: g, lookup: o.Lookup}
	if d.lookup == nil {
		d.lookup = systemLookup
	}
	return &http.Transport{
		Proxy:                  nil, // a proxy would choose the address
		DialContext:            d.dial,
		TLSClientConfig:        o.tls(),
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingFor},
		TLSHandshakeTimeout:    tlsTime,
		ResponseHeaderTimeout:  headerTime,
		MaxResponseHeaderBytes: headerBytes,
		DisableCompression:     true, // the limit counts the bytes that arrive
		MaxIdleConns:           idleConnections,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        idleTime,
	}
}

// Roots returns the system's authorities and those of a file in PEM form, which
// must hold at least one.
func Roots(pem []byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil { // a system without authorities has none to add to
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(plaintext.Content(pem)) {
		return nil, errors.New("there is no certificate in PEM form")
	}
	return pool, nil
}

// OnlyRoots returns the authorities of a file in PEM form and no others.
func OnlyRoots(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(plaintext.Content(pem)) {
		return nil, errors.New("there is no certificate in PEM form")
	}
	return pool, nil
}

// forbid makes an error that says why the gateway does not go somewhere.
func forbid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrForbidden, fmt.Sprintf(format, args...))
}
