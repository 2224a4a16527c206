// Package loopback calls servers on this machine, and finds out whose they are.
//
// Any user of a machine may listen on a loopback address that is free, so that an
// address alone proves nothing. The promise: localhost is 127.0.0.1 and ::1 whatever
// a file of names says, and a connection is handed out only when the user whose
// listener it leads to is one that the caller believes. Where the system does not say
// whose it is (anything but Linux), every listener is believed. One that Linux does not
// show is believed on the caller's word only.
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

// ErrUnknown is met where the system does not say whose a listener is.
var ErrUnknown = errors.New("nobody can tell whose it is")

// ErrUnseen is met where the system says whose the listeners are, but does not show this
// one: it is behind a rule that forwards the port, into a container or to the machine
// around this one.
var ErrUnseen = errors.New("the system lists no such listener")

// ForeignError says that a listener belongs to a user who is not believed, or that
// nothing shows to whom. Nothing was sent to it.
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
	// Believes reports whether a listener of the user may be spoken to.
	Believes func(uid int) bool
	// Unseen reports whether one that the system does not show may be spoken to; nil is no.
	Unseen func() bool
	// Owner finds out whose the other end of a connection is; nil is [Owner].
	Owner func(conn net.Conn) (int, error)
}

// DialContext connects to host:port, which is a loopback address or localhost; others
// are for a [net.Dialer]. The error is a [*ForeignError] for a listener that is not
// believed.
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
