package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// asking returns a look-up that asks a real name server.
func asking(server *fakedns.Server) func(context.Context, string) ([]netip.Addr, error) {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Addr().String())
	}}
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		return r.LookupNetIP(ctx, "ip4", host+".")
	}
}

// A name has a public address when it is checked, and this machine's when the call is
// made: the call is refused, and this machine gets no request.
func TestRebindingToThisMachine(t *testing.T) {
	trap := newPeer(t, func(http.ResponseWriter, *http.Request) { t.Error("this machine was called") }, nil)
	server := fakedns.New(t)
	server.Addrs("example.com", []netip.Addr{netip.MustParseAddr("93.184.215.14")},
		[]netip.Addr{netip.MustParseAddr("127.0.0.1")})
	o := trap.reaching(t)
	o.Allow = []outbound.Rule{{Port: trap.address().Port()}}
	o.Lookup = asking(server)

	before, err := o.Lookup(t.Context(), "example.com")
	if err != nil || len(before) != 1 || !before[0].IsGlobalUnicast() || before[0].IsPrivate() {
		t.Fatalf("the first look-up = %v, %v; want a public address", before, err)
	}
	if _, err := newClient(t, o).Get(trap.url("/")); !errors.Is(err, outbound.ErrForbidden) {
		t.Errorf("GET after the name moved to 127.0.0.1 = %v, want ErrForbidden", err)
	}
	if n := trap.connections.Load(); n != 0 {
		t.Errorf("this machine had %d connections, want none", n)
	}
}

// One connection makes one look-up: there is no second one between the check and the
// connection that could return another address.
func TestRebindingBetweenCheckAndConnection(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs 127.0.0.2 as an address that is not 127.0.0.1, which only Linux has without being told")
	}
	trap := newPeer(t, func(http.ResponseWriter, *http.Request) { t.Error("this machine was called") }, nil)
	var calls atomic.Int64
	public := newPeer(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) }, func(s *httptest.Server) {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", trap.address().Port()))
		if err != nil {
			t.Fatal(err)
		}
		s.Listener.Close()
		s.Listener = l
	})
	server := fakedns.New(t)
	server.Addrs("example.com", []netip.Addr{public.address().Addr()}, []netip.Addr{trap.address().Addr()})
	o := public.reaching(t)
	o.Lookup = asking(server)
	client := newClient(t, o)

	get(t, client, public.url("/"))
	if n := server.Asked("example.com"); n != 1 || calls.Load() != 1 {
		t.Errorf("the call took %d look-ups and arrived %d times, want one and once", n, calls.Load())
	}
	client.CloseIdleConnections()
	if _, err := client.Get(public.url("/")); !errors.Is(err, outbound.ErrForbidden) {
		t.Errorf("GET over a new connection after the name moved to 127.0.0.1 = %v, want ErrForbidden", err)
	}
	if n := trap.connections.Load(); n != 0 {
		t.Errorf("this machine had %d connections, want none", n)
	}
}
