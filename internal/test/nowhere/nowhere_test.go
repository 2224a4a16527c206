package nowhere

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// TestNothingAnswers: a connection there is refused at once, and no program can listen
// there.
func TestNothingAnswers(t *testing.T) {
	for range 50 {
		address := Address(t).String()
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("Dial(tcp, %s) = %v, %v, want it refused", address, c, err)
		}
		if l, err := net.Listen("tcp", address); err == nil {
			t.Fatalf("Listen(tcp, %s) = %v, want the port to be taken", address, l.Addr())
		}
		if l, err := net.ListenPacket("udp", address); err == nil {
			t.Fatalf("ListenPacket(udp, %s) = %v, want the port to be taken", address, l.LocalAddr())
		}
		c, err := net.Dial("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("Read(udp, %s) = %d, %v, want it refused", address, n, err)
		}
		c.Close()
	}
}
