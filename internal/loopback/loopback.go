// Package loopback calls servers on this machine, and finds out to which user they
// belong.
//
// Any user of a machine may listen on a free loopback address, so an address alone proves
// nothing. The promise: localhost is 127.0.0.1 and ::1, whatever the hosts file says. A
// connection is returned only if the caller trusts the user whose listener it leads to.
// If the system does not say whose it is (any system but Linux), every listener is
// trusted. A listener that Linux does not show is trusted only if the caller says so.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os/user"
	"strconv"
	"strings"
)

// ErrUnknown means that the system does not say to whom a listener belongs.
var ErrUnknown = errors.New("nobody can tell whose it is")

// ErrUnseen means that the system says to whom listeners belong, but does not show this
// one. A rule forwards the port to it, into a container or to the host of this virtual
// machine.
// this virtual machine.
var ErrUnseen = errors.New("the system lists no such listener")

// ForeignError says that a listener belongs to a user who is not trusted, or that the
// system does not show its owner. No data was sent to it.
type ForeignError struct {
	Address string // host:port
	User    string // see UserName; "" for a listener that is not shown
}

func (e *ForeignError) Error() string {
	if e.User == "" {
		return fmt.Sprintf("nothing shows to which user belongs what listens at %s", e.Address)
	}
	return fmt.Sprintf("what listens at %s belongs to the user %s", e.Address, e.User)
}

// Dialer connects to listeners of this machine.
type Dialer struct {
	// Believes reports whether a listener of the user may be called.
	Believes func(uid int) bool
	// Unseen reports whether a listener that the system does not show may be called; nil
	// means no.
	Unseen func() bool
	// Owner returns the user of the other end of a connection; nil is [Owner].
	Owner func(conn net.Conn) (int, error)
}

// DialContext connects to host:port, which must be a loopback address or localhost. The
// error is a [*ForeignError] for a listener that is not trusted.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	if strings.EqualFold(host, "localhost") {
		hosts = []string{"127.0.0.1", "::1"}
	}
	var failed error
	for _, h := range hosts {
		at := net.JoinHostPort(h, port)
		conn, err := new(net.Dialer).DialContext(ctx, network, at)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if err := d.judge(conn, at); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
	return nil, failed
}

func (d *Dialer) judge(conn net.Conn, at string) error {
	owner := d.Owner
	if owner == nil {
		owner = Owner
	}
	uid, err := owner(conn)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil
	case errors.Is(err, ErrUnseen) && d.Unseen != nil && d.Unseen():
		return nil
	case errors.Is(err, ErrUnseen):
		return &ForeignError{Address: at}
	case err != nil:
		return fmt.Errorf("find out whose the listener at %s is: %w", at, err)
	case !d.Believes(uid):
		return &ForeignError{at, UserName(uid)}
	}
	return nil
}

// Is reports whether the host of a URL, without its port, is this machine.
func Is(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// IsURL reports whether a URL leads to this machine.
func IsURL(base string) bool {
	u, err := url.Parse(base)
	return err == nil && Is(u.Hostname())
}

// UserName returns the name of a user, or the number of one without a name.
func UserName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil && u.Username != "" {
		return u.Username
	}
	return id
}

// Named reports whether a user has the name, or the number.
func Named(uid int, name string) bool {
	return name != "" && (name == strconv.Itoa(uid) || name == UserName(uid))
}
