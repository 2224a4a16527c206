package app

import (
	"net"
	"net/netip"
	"sync"
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
	from map[netip.Addr]int
}

func newLimited(l net.Listener, total, perAddress int) *limited {
	return &limited{Listener: l, total: total, perAddress: perAddress, from: make(map[netip.Addr]int)}
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

// origin returns what counts as one address: an IPv6 user has a /64.
func origin(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr, ok := netip.AddrFromSlice(tcp.IP)
	if addr = addr.Unmap(); !ok || !addr.Is6() {
		return addr
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}

func (l *limited) admit(who netip.Addr) bool {
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

func (l *limited) leave(who netip.Addr) {
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

// local reports whether the address is this machine. The /64 of ::1 is ::.
func local(who netip.Addr) bool { return who.IsLoopback() || who.IsUnspecified() || !who.IsValid() }

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
