// Package nowhere gives tests an address of this machine at which nothing answers,
// whatever else runs here: connections to it are refused, over TCP and over UDP. The port
// is held until the test ends, so no other program gets it.
package nowhere

import (
	"net"
	"net/netip"
	"testing"
)

// attempts is how many ports are tried, because another program may have the UDP port
// of the same number.
const attempts = 20

// Address returns 127.0.0.1 with a port at which nothing answers until the test ends.
func Address(t testing.TB) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	for range attempts {
		// A port from which a connection was made is taken, and no program can listen
		// there.
		held, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { held.Close() })
		address := held.LocalAddr().(*net.TCPAddr)
		same := &net.UDPAddr{IP: address.IP, Port: address.Port}
		// A socket that is connected, here to itself, receives nothing from others.
		if deaf, err := net.DialUDP("udp", same, same); err == nil {
			t.Cleanup(func() { deaf.Close() })
			return address.AddrPort()
		}
	}
	t.Fatalf("none of %d ports is free over UDP", attempts)
	return netip.AddrPort{}
}
