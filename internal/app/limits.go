package app

import (
	"net"
	"net/netip"
	"sync"

	"github.com/amtp-go/amtp/internal/access"
)

// limited is a listener that keeps one address, and all together, from holding
// more connections than they may: what is over is closed at once. This machine
// itself is bound by the total only, for a proxy in front of the gateway brings
// everybody's connections.
type limited struct {
	net.Listener
	total, perAddress int

	mu   sync.Mutex
	open int
	from map[netip.Prefix]int
}

func newLimited(l net.Listener, total, perAddress int) *limited {
	return &limited{Listener: l, total: total, perAddress: perAddress, from: make(map[netip.Prefix]int)}
}

// Accept returns the next connection that is within the limits.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who := origin(conn)
		if l.admit(who) {
			return &counted{Conn: conn, gone: func() { l.leave(who) }}, nil
		}
		conn.Close() // refused; there is nothing to learn from the error
	}
}

// origin returns on whose account a connection is.
func origin(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return access.Network(tcp.AddrPort().Addr())
}

func (l *limited) admit(who netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.total {
		return false
	}
	if !local(who) && l.from[who] >= l.perAddress {
		return false
	}
	l.open++
	if !local(who) {
		l.from[who]++
	}
	return true
}

func (l *limited) leave(who netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if local(who) {
		return
	}
	if l.from[who]--; l.from[who] <= 0 {
		delete(l.from, who)
	}
}

// local reports whether it is this machine's.
func local(who netip.Prefix) bool { return who.Addr().IsLoopback() || !who.IsValid() }

// counted is a connection that is counted until it closes.
type counted struct {
	net.Conn
	once sync.Once
	gone func()
}

// Close closes the connection and makes room for another.
func (c *counted) Close() error {
	c.once.Do(c.gone)
	return c.Conn.Close()
}
