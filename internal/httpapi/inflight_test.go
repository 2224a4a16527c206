package httpapi

import (
	"fmt"
	"net/http/httptest"
	"testing"
)

// The entry of an address goes with its last byte, so that no number of addresses fills
// the memory.
func TestAddressesWithoutBytesAreForgotten(t *testing.T) {
	s := &Server{MaxMessage: 10 << 20, InFlight: 256 << 20}
	var calls []*call
	for i := range 1000 {
		c := &call{s: s, r: httptest.NewRequest("POST", "/v1/messages", nil), from: fmt.Sprintf("192.0.2.%d", i%200)}
		if i%2 == 0 {
			c.from = fmt.Sprintf("2001:db8:%x::1", i)
		}
		c.makeRoom(firstPiece)
		c.makeRoom(firstPiece)
		calls = append(calls, c)
	}
	if s.room.strangers != 32<<20 || len(s.room.from) == 0 {
		t.Errorf("a thousand calls hold %d bytes of %d addresses, want the share of strangers, 32 MiB",
			s.room.strangers, len(s.room.from))
	}
	for _, c := range calls {
		c.leaveRoom()
	}
	if s.room.strangers != 0 || s.room.known != 0 || len(s.room.from) != 0 {
		t.Errorf("after they ended: %d bytes of strangers, %d of others and %d addresses are left, want none",
			s.room.strangers, s.room.known, len(s.room.from))
	}
}
