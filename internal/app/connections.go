package app

import (
	"container/heap"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/limits"
)

// reservePart is the part of all connections, one in so many, that strangers leave
// free. It is for callers with a valid key or signature, for this machine and for the
// operator's proxies.
const reservePart = 8

// connections are all open connections, at all listeners. The address of a stranger may
// hold a limited number; all strangers together may hold all but the reserve. When one
// more comes, a connection of the largest network is closed: of the /24, or with IPv6
// the /48, that holds most, and inside it of the smaller network that holds most. It is
// the one that was idle longest. So a few networks that hold many connections harm only
// themselves.
type connections struct {
	total, perAddress int
	proxies           access.Proxies

	mu        sync.Mutex
	strangers *place
	guests    *place // callers that proved something, this machine, and proxies
	by        map[netip.AddrPort]*counted
	refused   int64
	gaveWay   int64
}

func newConnections(total, perAddress int, proxies access.Proxies) *connections {
	return &connections{total: total, perAddress: perAddress, proxies: proxies,
		strangers: &place{}, guests: &place{}, by: make(map[netip.AddrPort]*counted)}
}

// reserve is how many connections strangers never hold.
func (c *connections) reserve() int { return c.total / reservePart }

// limited is a listener whose connections are counted.
type limited struct {
	net.Listener
	all *connections
}

// listen returns l with its connections counted among the others.
func (c *connections) listen(l net.Listener) *limited { return &limited{l, c} }

// Accept returns the next connection that is within the limits. A connection over the
// limits is closed at once.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := l.all.count(conn)
		gone, ok := l.all.admit(c)
		if gone != nil {
			gone.Conn.Close() // its error says nothing of use
		}
		if ok {
			return c, nil
		}
		conn.Close()
	}
}

// count wraps a connection so that it is counted.
func (c *connections) count(conn net.Conn) *counted {
	k := &counted{Conn: conn, all: c}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		at := tcp.AddrPort()
		k.from = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
	}
	k.touch()
	k.seen = k.last.Load()
	return k
}

// home reports whether a connection comes from this machine or from a proxy: only the
// total limits it.
func (c *connections) home(from netip.Addr) bool {
	return !from.IsValid() || from.IsLoopback() || c.proxies.Has(from)
}

// admit counts a connection, or refuses it. It may return another connection that must
// close in its place and is no longer counted.
func (c *connections) admit(k *counted) (gone *counted, ok bool) {
	from := k.from.Addr()
	c.mu.Lock()
	defer c.mu.Unlock()
	home := c.home(from)
	path := pathOf(from)
	if !home && c.strangers.holds(path)+c.guests.holds(path) >= c.perAddress {
		c.refused++
		return nil, false
	}
	tree := c.strangers
	if home {
		tree = c.guests
	}
	switch open := c.strangers.count + c.guests.count; {
	case !home && c.strangers.count >= c.total-c.reserve(), open >= c.total && c.strangers.count > 0:
		gone = c.strangers.longest()
	case open >= c.total && home:
		gone = c.guests.longest()
	case open >= c.total:
		c.refused++
		return nil, false
	}
	if gone != nil {
		c.drop(gone)
		c.gaveWay++
	}
	tree.add(path, k)
	c.by[k.from] = k
	return gone, true
}

// drop no longer counts a connection.
func (c *connections) drop(k *counted) {
	if k.at == nil {
		return
	}
	k.at.remove(k)
	if c.by[k.from] == k {
		delete(c.by, k.from)
	}
}

// leave no longer counts a connection, because it was closed.
func (c *connections) leave(k *counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(k)
}

// Shown notes that a caller showed a valid key or signature over the connection from
// that address and port. The connection is no longer a stranger's.
func (c *connections) Shown(remote string) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return
	}
	from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.by[from]
	if k == nil || k.known {
		return
	}
	k.known = true
	if !c.home(from.Addr()) {
		k.at.remove(k)
		c.guests.add(pathOf(from.Addr()), k)
	}
}

// Count returns how many are open.
func (c *connections) Count() admin.ConnectionCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return admin.ConnectionCount{Open: c.strangers.count + c.guests.count, Most: c.total, Strangers: c.strangers.count,
		Reserve: c.reserve(), Refused: c.refused, GaveWay: c.gaveWay}
}

// pathOf returns the networks of an address, the widest first.
func pathOf(from netip.Addr) []netip.Prefix {
	path := limits.Networks(from)
	if path == nil {
		path = []netip.Prefix{access.Network(from)}
	}
	slices.Reverse(path)
	return path
}

// counted is a connection that is counted until it closes.
type counted struct {
	net.Conn
	all  *connections
	from netip.AddrPort
	once sync.Once
	last atomic.Int64 // when bytes last came or went, ns

	// The fields below are guarded by connections.mu.
	at    *place // the narrowest network, nil while it is not counted
	index int    // in the list of connections of at
	seen  int64  // the value of last by which the heap placed it
	known bool
}

func (c *counted) touch() { c.last.Store(time.Now().UnixNano()) }

// Read reads, and notes that the connection is not idle.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// Write writes, and notes that the connection is not idle.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// Close closes the connection and makes room for another.
func (c *counted) Close() error {
	c.once.Do(func() { c.all.leave(c) })
	return c.Conn.Close()
}

// place is a network. It holds the networks inside it, or its connections when it is
// one of the narrowest.
type place struct {
	network netip.Prefix
	up      *place
	index   int // in the list of networks of up
	count   int // of all connections inside
	inside  largest
	named   map[netip.Prefix]*place
	conns   idlest
}

// holds returns how many connections the last network of the path has.
func (p *place) holds(path []netip.Prefix) int {
	for _, n := range path {
		if p = p.named[n]; p == nil {
			return 0
		}
	}
	return p.count
}

// add counts a connection in every network of the path.
func (p *place) add(path []netip.Prefix, k *counted) {
	p.count++
	for _, n := range path {
		next := p.named[n]
		if next == nil {
			next = &place{network: n, up: p}
			if p.named == nil {
				p.named = make(map[netip.Prefix]*place)
			}
			p.named[n] = next
			heap.Push(&p.inside, next)
		}
		next.count++
		heap.Fix(&p.inside, next.index)
		p = next
	}
	k.at = p
	k.seen = k.last.Load()
	heap.Push(&p.conns, k)
}

// remove no longer counts a connection of p.
func (p *place) remove(k *counted) {
	heap.Remove(&p.conns, k.index)
	k.at = nil
	for ; p.up != nil; p = p.up {
		if p.count--; p.count == 0 {
			heap.Remove(&p.up.inside, p.index)
			delete(p.up.named, p.network)
		} else {
			heap.Fix(&p.up.inside, p.index)
		}
	}
	p.count--
}

// longest returns the connection in the largest network that was idle longest, nil when
// there is none.
func (p *place) longest() *counted {
	for len(p.inside) > 0 {
		p = p.inside[0]
	}
	for len(p.conns) > 0 {
		k := p.conns[0]
		last := k.last.Load()
		if k.seen == last {
			return k
		}
		k.seen = last // it was used since, so its place in the heap changes
		heap.Fix(&p.conns, 0)
	}
	return nil
}

// largest is a heap of networks, the one with most connections first.
type largest []*place

func (h largest) Len() int           { return len(h) }
func (h largest) Less(i, j int) bool { return h[i].count > h[j].count }
func (h largest) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *largest) Push(x any) {
	p := x.(*place)
	p.index = len(*h)
	*h = append(*h, p)
}

// Pop implements heap.Interface.
func (h *largest) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}

// idlest is a heap of connections, the one that was used least recently first.
type idlest []*counted

func (h idlest) Len() int           { return len(h) }
func (h idlest) Less(i, j int) bool { return h[i].seen < h[j].seen }
func (h idlest) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *idlest) Push(x any) {
	k := x.(*counted)
	k.index = len(*h)
	*h = append(*h, k)
}

// Pop implements heap.Interface.
func (h *idlest) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
