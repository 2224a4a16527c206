package courier

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"

	"github.com/amtp-go/amtp/internal/gateway"
)

// health says whether the end of a call concerns the gateway that was called, or the
// message. It gets the status of the answer, whether the body was an error of the
// protocol, and the error of a call that brought no answer, or half of one.
//
//   - Without an answer the gateway is down: no other message is worth trying now.
//   - 429, 502, 503 and 504 may concern the gateway, the sender or a recipient, and so
//     may a 500 without an error of the protocol. The gateway is there; the messages that
//     wait for it are tried carefully.
//   - Every other answer concerns the message, even a 500 with an error of the protocol.
func health(status int, isError bool, err error) (down, answered bool) {
	switch {
	case err != nil:
		return true, false
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway, status == http.StatusServiceUnavailable,
		status == http.StatusGatewayTimeout:
		return true, true
	case status >= http.StatusInternalServerError:
		return !isError, true
	}
	return false, true
}

// merge adds the carriage of one post to that of others to the same gateway. A gateway
// that took one message is healthy, whatever it said about another.
func merge(whole, c gateway.Carriage) gateway.Carriage {
	absent := whole.Down && !whole.Answered || c.Down && !c.Answered
	first := len(whole.Outcomes) == 0
	whole.Down = absent || c.Down && (first || whole.Down)
	whole.Answered = !absent && (whole.Answered || c.Answered)
	whole.Pause = max(whole.Pause, c.Pause)
	whole.Outcomes = append(whole.Outcomes, c.Outcomes...)
	if c.Host != "" {
		whole.Host = c.Host
	}
	return whole
}

// isAbsent reports whether no gateway is at the address of the call: the domain's DNS
// record may have changed.
func isAbsent(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ENETUNREACH) ||
		errors.As(err, &dns) && dns.IsNotFound || isCertificate(err)
}

// hostOf returns the host and port of a gateway as its URL has them.
func hostOf(gateway string) string {
	u, err := url.Parse(gateway)
	if err != nil {
		return ""
	}
	return u.Host
}

// traceAddress returns a context that records the address to which a call goes, and a function
// that returns it. Before a connection it is the host and port of the URL.
func traceAddress(ctx context.Context, host string) (context.Context, func() string) {
	var address atomic.Value
	address.Store(host)
	trace := &httptrace.ClientTrace{
		ConnectStart: func(_, to string) { address.Store(to) },
		GotConn: func(c httptrace.GotConnInfo) {
			if to := c.Conn.RemoteAddr(); to != nil {
				address.Store(to.String())
			}
		},
	}
	return httptrace.WithClientTrace(ctx, trace), func() string { return address.Load().(string) }
}
