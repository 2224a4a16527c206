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

// health says of whom a call's end speaks: of the gateway that was called, or of
// the message. It has the status of the answer, whether its body was an error as
// AMTP says, and the error of a call that brought none, or half of one.
//
//   - Without an answer the gateway is not there: nothing else is worth trying now.
//   - 429, 502, 503 and 504 may speak of the gateway, of the sender or of a recipient,
//     and so may a 500 that nobody has explained: it is there, and what waits for
//     it is tried carefully.
//   - Everything else speaks of the message, also a 500 by a gateway that says so
//     in the protocol's words.
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

// together adds what came of one post to what came of others to the same gateway.
// One that took a message is well, whatever it said of another.
func together(whole, c gateway.Carriage) gateway.Carriage {
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

// isAbsent reports whether nobody is where the call went: what DNS says may have
// changed.
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

// watched returns a context that notes to which address a call goes, and what has
// been noted: host and port as the URL has them as long as nothing was.
func watched(ctx context.Context, host string) (context.Context, func() string) {
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
