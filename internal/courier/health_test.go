package courier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
)

// TestHealth: what an answer, or none, says about the gateway that was called.
func TestHealth(t *testing.T) {
	type speaks struct{ down, answered bool }
	absent, perhaps, message := speaks{true, false}, speaks{true, true}, speaks{false, true}
	for status := 100; status < 600; status++ {
		plain, protocol := message, message
		switch {
		case status == 429, status >= 502 && status <= 504:
			plain, protocol = perhaps, perhaps
		case status >= 500:
			plain = perhaps
		}
		for isError, want := range map[bool]speaks{false: plain, true: protocol} {
			if down, answered := health(status, isError, nil); (speaks{down, answered}) != want {
				t.Errorf("%d, an error of the protocol %v: down %v, answered %v; want %+v", status, isError, down,
					answered, want)
			}
		}
	}
	for _, err := range []error{io.ErrUnexpectedEOF, syscall.ECONNREFUSED, syscall.ECONNRESET, context.DeadlineExceeded,
		errors.New("any")} {
		if down, answered := health(200, false, err); (speaks{down, answered}) != absent {
			t.Errorf("%v: down %v, answered %v; want a gateway that is not there", err, down, answered)
		}
	}
}

// TestTogether: of several posts to one gateway, one that was accepted, or refused
// because of its message, shows that the gateway is healthy. One without an answer
// shows that it is down.
func TestTogether(t *testing.T) {
	posts := map[byte]gateway.Carriage{
		'.': {Answered: true, Host: "h"}, '?': {Down: true, Answered: true, Host: "h"}, '!': {Down: true},
	}
	for order, want := range map[string]string{
		".": ".", "?": "?", "!": "!", ".?": ".", "?.": ".", "??": "?", "?.?": ".", "?!": "!", "!?": "!", ".!": "!",
		"!.": "!", "..": ".", "??.": ".",
	} {
		var whole gateway.Carriage
		for i := range len(order) {
			c := posts[order[i]]
			c.Outcomes = []gateway.Outcome{{Delivery: gateway.DeliveryID(i)}}
			whole = merge(whole, c)
		}
		w := posts[want[0]]
		if whole.Down != w.Down || whole.Answered != w.Answered || len(whole.Outcomes) != len(order) ||
			strings.ContainsAny(order, ".?") != (whole.Host == "h") {
			t.Errorf("posts %q: %+v, want as %q", order, whole, want)
		}
	}
}

// TestIsAbsent: the errors that show that there is no gateway at the address from DNS.
func TestIsAbsent(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.ECONNREFUSED: true, syscall.EHOSTUNREACH: true, syscall.ENETUNREACH: true,
		&net.DNSError{IsNotFound: true}: true,
		&net.DNSError{IsTimeout: true}:  false, syscall.ECONNRESET: false, context.DeadlineExceeded: false,
		io.EOF: false,
	} {
		if got := isAbsent(fmt.Errorf("call: %w", err)); got != want {
			t.Errorf("%v: absent: %v, want %v", err, got, want)
		}
	}
}

// TestWatched: an attempt knows the address to which it went, whether there was an
// answer or not, over a new connection and over a kept one.
func TestWatched(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.Listener.Addr().String()
	call := func() string {
		ctx, where := traceAddress(t.Context(), "name.example:1")
		if got := where(); got != "name.example:1" {
			t.Errorf("before the call it went to %q, want the name", got)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := server.Client().Do(req); err == nil {
			_ = res.Body.Close()
		}
		return where()
	}
	for _, what := range []string{"new connection", "kept connection"} {
		if got := call(); got != address {
			t.Errorf("%s: went to %q, want %q", what, got, address)
		}
	}
	server.Close()
	if got := call(); got != address {
		t.Errorf("without a server: went to %q, want %q", got, address)
	}
}
