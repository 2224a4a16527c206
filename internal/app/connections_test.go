package app

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/amtp-go/amtp/internal/access"
)

// wire is a connection from an address; no bytes go over it.
type wire struct {
	net.Conn
	from   netip.AddrPort
	closed bool
}

func (w *wire) RemoteAddr() net.Addr        { return net.TCPAddrFromAddrPort(w.from) }
func (w *wire) Read(p []byte) (int, error)  { return len(p), nil }
func (w *wire) Write(p []byte) (int, error) { return 0, io.ErrClosedPipe }
func (w *wire) Close() error {
	w.closed = true
	return nil
}

// gate opens connections, and knows which are open.
type gate struct {
	*connections
	next uint16
	tick int64
	open []*counted
}

func newGate(total, perAddress int) *gate {
	return &gate{connections: newConnections(total, perAddress, access.Proxies{netip.MustParsePrefix("10.0.0.0/8")})}
}

// from opens a connection from the address.
func (g *gate) from(address string) (k, gone *counted, ok bool) {
	g.next++
	g.tick++
	k = g.count(&wire{from: netip.AddrPortFrom(netip.MustParseAddr(address), g.next)})
	k.last.Store(g.tick)
	k.seen = g.tick
	if gone, ok = g.admit(k); ok {
		g.open = append(g.open, k)
	}
	for i, o := range g.open {
		if o == gone {
			g.open = append(g.open[:i], g.open[i+1:]...)
			break
		}
	}
	return k, gone, ok
}

func (g *gate) use(k *counted) {
	g.tick++
	k.last.Store(g.tick)
}

// TestTheLargestNetworkGivesWay: one home line with 256 /64 networks fills the gateway,
// and all other callers are still served.
func TestTheLargestNetworkGivesWay(t *testing.T) {
	const total = 800
	g := newGate(total, 64)
	friend, _, _ := g.from("198.51.100.1")
	for i := range 2 * total {
		if _, _, ok := g.from(fmt.Sprintf("2001:db8:1:%x::1", i%256)); !ok {
			t.Fatalf("connection %d of the home line is refused, want the oldest of them to give way", i)
		}
	}
	if n := g.Count(); n.Strangers != total-total/reservePart || n.Open != n.Strangers {
		t.Fatalf("%+v, want %d strangers", n, total-total/reservePart)
	}
	for i := range 100 {
		_, gone, ok := g.from(fmt.Sprintf("203.0.113.%d", i))
		if !ok || gone == nil || !netip.MustParsePrefix("2001:db8:1::/48").Contains(gone.from.Addr()) {
			t.Fatalf("caller %d: admitted %v in place of %v, want in place of one of the home line", i, ok, gone)
		}
	}
	if friend.at == nil {
		t.Error("the first caller, idle since the beginning, gave way; want one of the largest network to do so")
	}
}

// TestTheLongestIdleGivesWay in the network that is largest inside the largest one.
func TestTheLongestIdleGivesWay(t *testing.T) {
	g := newGate(8, 64) // seven for strangers
	old, _, _ := g.from("192.0.2.9")
	first, _, _ := g.from("192.0.2.1")
	second, _, _ := g.from("192.0.2.1")
	third, _, _ := g.from("192.0.2.1")
	g.from("192.0.2.1")
	for range 2 {
		g.from("198.51.100.1")
	}
	g.use(first)
	for _, want := range []*counted{second, third} {
		if _, gone, ok := g.from("203.0.113.1"); !ok || gone != want {
			t.Errorf("%v gave way, want %v", gone.from, want.from)
		}
	}
	if old.at == nil || first.at == nil {
		t.Error("a connection gave way that was used last, or is alone at its address")
	}
}

// TestReserve: strangers never hold the connections that are kept for callers with a
// key, for this machine and for proxies.
func TestReserve(t *testing.T) {
	g := newGate(16, 64)
	for i := range 100 {
		g.from(fmt.Sprintf("198.51.%d.1", i))
	}
	if n := g.Count(); n.Strangers != 14 || n.Reserve != 2 {
		t.Fatalf("%+v, want 14 strangers and a reserve of 2", n)
	}
	for _, address := range []string{"127.0.0.1", "10.1.1.1"} {
		if _, gone, ok := g.from(address); !ok || gone != nil {
			t.Errorf("%s: admitted %v in place of %v, want in the reserve", address, ok, gone)
		}
	}
	k := g.open[0]
	g.Shown(k.from.String())
	if _, gone, ok := g.from("203.0.113.1"); !ok || gone == k || gone == nil {
		t.Errorf("beside one that has shown a key: admitted %v in place of %v, want in place of a stranger", ok, gone)
	}
	for range 20 {
		g.from("127.0.0.1")
	}
	if n := g.Count(); n.Open != 16 || n.Strangers != 0 {
		t.Errorf("with this machine's in all places: %+v, want no stranger", n)
	}
	if k.at == nil {
		t.Error("a caller with a key gave way to this machine, which holds more connections")
	}
	if _, _, ok := g.from("203.0.113.2"); ok {
		t.Error("a stranger took a place of this machine")
	}
}

// TestPerAddress: one address, or one /64, may hold a limited number of connections.
func TestPerAddress(t *testing.T) {
	for _, tc := range []struct {
		format string
		want   int
	}{{"192.0.2.1", 4}, {"2001:db8::%x", 4}, {"::ffff:192.0.2.1", 4}, {"127.0.0.1", 20}, {"10.0.0.1", 20}} {
		g, n := newGate(100, 4), 0
		for i := range 20 {
			address := tc.format
			if tc.format == "2001:db8::%x" {
				address = fmt.Sprintf(tc.format, i+1)
			}
			k, _, ok := g.from(address)
			if ok {
				n++
				g.Shown(k.from.String())
			}
		}
		if n != tc.want {
			t.Errorf("%s holds %d connections, want %d", tc.format, n, tc.want)
		}
	}
}

// TestConnectionsAddUp: whatever comes and goes, the counts equal the open connections
// and stay within their bounds. A connection that gives way is of the largest network.
func TestConnectionsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGate(rapid.IntRange(8, 40).Draw(t, "total"), 6)
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			address := rapid.SampledFrom([]string{"192.0.2.%d", "198.51.100.%d", "2001:db8:0:%x::1", "2001:db8:1:%x::1",
				"2001:db9::%x", "127.0.0.%d"}).Draw(t, "network")
			address = fmt.Sprintf(address, rapid.IntRange(1, 9).Draw(t, "host"))
			at := rapid.IntRange(0, max(len(g.open)-1, 0)).Draw(t, "which")
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
			case what > 2 || len(g.open) == 0:
				sizes := g.networks()
				if _, gone, ok := g.from(address); ok && gone != nil && !g.home(gone.from.Addr()) && !gone.known {
					for n, size := range sizes {
						if widest := pathOf(gone.from.Addr())[0]; size > sizes[widest] {
							t.Fatalf("%v gave way, of a network with %d connections, and %v has %d", gone.from,
								sizes[widest], n, size)
						}
					}
				}
			case what == 0:
				g.open[at].Close()
				g.open = append(g.open[:at], g.open[at+1:]...)
			case what == 1:
				g.use(g.open[at])
			default:
				g.Shown(g.open[at].from.String())
			}
			n := g.Count()
			if n.Open != len(g.open) || n.Open > n.Most || n.Strangers > n.Most-n.Reserve || len(g.by) != n.Open {
				t.Fatalf("%+v with %d in the table, want the %d that are open", n, len(g.by), len(g.open))
			}
		}
		for _, k := range g.open {
			k.Close()
			k.Close()
		}
		if n := g.Count(); n.Open != 0 || len(g.strangers.named)+len(g.guests.named)+len(g.strangers.inside)+
			len(g.guests.inside)+len(g.by) != 0 {
			t.Fatalf("when all are closed: %+v, want no count left", n)
		}
	})
}

// networks returns how many strangers the widest networks hold.
func (g *gate) networks() map[netip.Prefix]int {
	sizes := map[netip.Prefix]int{}
	for _, k := range g.open {
		if !k.known && !g.home(k.from.Addr()) {
			sizes[pathOf(k.from.Addr())[0]]++
		}
	}
	return sizes
}

// BenchmarkAdmitWhenFull measures the cost of one more connection when all are taken.
func BenchmarkAdmitWhenFull(b *testing.B) {
	g := newGate(8192, 64)
	for i := range 8192 {
		g.from(fmt.Sprintf("2001:db8:%x:%x::1", i%64, i/64))
	}
	b.ResetTimer()
	for i := range b.N {
		g.next++
		g.admit(g.count(&wire{from: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8),
			byte(i)}), g.next)}))
	}
}
