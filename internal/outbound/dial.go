package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/coalesce"
)

// maxAddresses is the number of addresses of one host that are tried.
const maxAddresses = 8

// dialer connects to a host at an address that the gate lets pass.
type dialer struct {
	gate   gate
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// dial looks the host up once and connects to the first of its addresses that passes and
// answers. It connects to the literal address that was checked, so no second look-up can
// change it.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return nil, forbid("%q is no host and port", address)
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, forbid("%q is no port", number)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	addrs, err := d.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	allowed, err := d.gate.filter(target{host: host, port: uint16(port)}, addrs)
	if err != nil {
		return nil, err
	}
	return connect(ctx, network, allowed)
}

// addresses returns the addresses of a host: itself if it is an address.
func (d *dialer) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if looksNumeric(host) {
		return nil, forbid("%q is neither a name nor an address as it is usually written", host)
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

// looksNumeric reports whether a system's look-up may take the name for an address. On some
// systems 2130706433, 0x7f.1 and 127.1 mean 127.0.0.1.
func looksNumeric(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if strings.HasPrefix(last, "0x") {
		return strings.Trim(last[2:], "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// systemLookup asks the system. A name with a dot is fully qualified: no search list
// applies to it.
func systemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if strings.Contains(host, ".") && !strings.HasSuffix(host, ".") {
		host += "."
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// connect tries the addresses one after the other. Each gets its share of the time that
// is left.
func connect(ctx context.Context, network string, addrs []netip.AddrPort) (net.Conn, error) {
	var failed []error
	for i, addr := range addrs {
		conn, err := connectOne(ctx, network, addr, len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}

func connectOne(ctx context.Context, network string, addr netip.AddrPort, left int) (net.Conn, error) {
	var plain net.Dialer
	if end, ok := ctx.Deadline(); ok {
		plain.Timeout = max(time.Until(end)/time.Duration(left), time.Second)
	}
	conn, err := plain.DialContext(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	return coalesce.New(conn), nil
}
