// Package outbound makes the HTTP client with which the gateway calls strangers: other
// gateways and the endpoints of agents, whose URLs strangers choose.
//
// The package promises for every call: it connects to a public address, or to one that the
// operator allowed, whatever the URL and DNS say. The server has proved by its certificate
// that it is the URL's host. The client does nothing that the caller did not ask for: it
// follows no redirect, keeps no cookie and uses no proxy from the environment. A hostile
// server can cost no more than the limits, neither in time nor in memory.
//
// No other package of the gateway makes an http.Client.
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

// ErrForbidden is in the error chain of a call that was not made because its URL leads to
// an address that the gateway does not call.
var ErrForbidden = errors.New("the gateway does not go there")

// ErrTooLarge is in the error chain of a body that exceeds its limit.
var ErrTooLarge = errors.New("the answer is too large")

// Bounds of one call if [Options] say nothing else.
const (
	callTime    = 30 * time.Second // of a call that moves no bytes
	leastRate   = 8 << 10          // bytes that allow another second
	connectTime = 10 * time.Second // look-up and connection, of all addresses together
	tlsTime     = 10 * time.Second
	headerTime  = 20 * time.Second // from the end of the request to the header of the answer
	headerBytes = 32 << 10
	bodyBytes   = 1 << 20
)

// A request whose body has largeBody bytes or more has connections of its own. Otherwise, on
// a slow line, small requests would wait for minutes behind the bytes of that body which the
// system has buffered. inTransit is the largest number of such bytes. It also decides how
// long such a request may wait for its answer after the system has its last byte.
const (
	largeBody = 64 << 10
	inTransit = 4 << 20
)

// Bounds of the connections that wait for the next call.
const (
	idleTime           = 90 * time.Second
	idleConnections    = 256
	idlePerHost        = 4
	pingAfter, pingFor = 30 * time.Second, 10 * time.Second // HTTP/2: a dead connection is noticed
)

// Options are the differences from the defaults. The zero value is a client for the
// Internet.
type Options struct {
	// Allow adds addresses and ports to the public addresses at port 443.
	Allow []Rule
	// NotHere refuses the addresses of this machine's interfaces and of their networks,
	// unless a rule of Allow names them. They count as private even if they are public.
	NotHere bool
	// NotSelf refuses fewer public addresses than NotHere: the Listener of this program,
	// and addresses on this machine's loopback interface. Other gateways behind the same
	// addresses and networks may be called, because their certificates must be for the
	// name that is called.
	NotSelf  bool
	Listener netip.AddrPort // the unspecified address means all addresses of the machine; port 0 means none
	// PlainHTTP allows http URLs, and port 80 for them; otherwise only https is allowed.
	PlainHTTP bool
	// PlainAllowed allows http URLs only to targets for which a rule of Allow names a host
	// or a network.
	PlainAllowed bool
	// Roots are the authorities that are trusted for servers' certificates; nil means
	// those of the system. See [Roots].
	Roots *x509.CertPool
	// Pin, if it is set, is the SHA-256 of the public key in the server's certificate
	// (SubjectPublicKeyInfo). That key then proves who the server is, instead of an
	// authority, a name and a date.
	Pin []byte
	// MinTLS is the oldest TLS version that is spoken, TLS 1.3 if it is 0.
	MinTLS uint16
	// Version is the program's, for the User-Agent.
	Version string
	// Timeout bounds one call from its beginning to the end of the answer's body, 30 s if
	// it is 0. For every Rate bytes of the request's body, and of the answer to a large
	// request, the call may take another second. Rate is 8 KiB if it is 0.
	Timeout time.Duration
	Rate    int64
	// MaxBody is the largest number of bytes of an answer, 1 MiB if it is 0.
	MaxBody int64
	// Lookup returns the addresses of a host name, in the order in which they are tried;
	// nil asks the system. It may return any address: each one is checked before the
	// connection.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// New makes a client. It may be used by several goroutines at once, and it keeps
// connections for later calls. An error that the limits and rules of this package cause
// has [ErrForbidden] or [ErrTooLarge] in its chain. A redirect is returned as the answer.
func New(o Options) *http.Client {
	t := &transport{
		plain:   o.PlainHTTP,
		agent:   "AMTP/1.0 (amtp/" + cmp.Or(o.Version, "dev") + ")",
		maxBody: cmp.Or(o.MaxBody, bodyBytes),
		longest: cmp.Or(o.Timeout, callTime),
		rate:    cmp.Or(o.Rate, leastRate),
		small:   o.lines(),
		large:   o.lines(),
		single:  o.lines(),
	}
	t.single.each(func(h *http.Transport) {
		h.DisableKeepAlives, h.HTTP2, h.ResponseHeaderTimeout = true, nil, headerTime+t.time(inTransit)
	})
	// A ping would wait behind the body, and its answer would come too late.
	t.large.each(func(h *http.Transport) {
		h.HTTP2, h.ResponseHeaderTimeout = nil, headerTime+t.time(inTransit)
	})
	return &http.Client{
		Transport: t, // it bounds the time itself: the client would start a goroutine for that with every call
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
	if err != nil { // a system without authorities
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

// forbid makes an error that says why the gateway does not call an address.
func forbid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrForbidden, fmt.Sprintf(format, args...))
}
