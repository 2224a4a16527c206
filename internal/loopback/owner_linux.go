package loopback

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The states of a socket that matter here, by their numbers in Linux.
const (
	established = 1
	listening   = 10
)

// Owner returns the user of the other end of a connection within this machine: of the
// accepted socket and of the listener. The error is ErrUnknown if the system does not
// say, and ErrUnseen if it shows no such sockets.
//
// It asks sock_diag(7). /proc/net/tcp has the same facts for systems without it, but
// Linux walks its whole hash table for that file, often for 10 ms.
func Owner(conn net.Conn) (int, error) {
	here, ok1 := conn.LocalAddr().(*net.TCPAddr)
	there, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return 0, ErrUnknown
	}
	ours, theirs := plain(here.AddrPort()), plain(there.AddrPort())
	uid, err := ownerOf(ours, theirs, askKernel)
	if errors.Is(err, ErrUnknown) {
		open := func(name string) (io.ReadCloser, error) { return os.Open(name) }
		return ownerOf(ours, theirs, tables(open))
	}
	return uid, err
}

// source adds the sockets that matter for a connection. The error is ErrUnknown if this
// system has no such source.
type source func(*sockets) error

// ownerOf looks twice: while the sockets are listed, they move, and one may be missed.
func ownerOf(ours, theirs netip.AddrPort, from source) (uid int, err error) {
	for range 2 {
		found := sockets{ours: ours, theirs: theirs}
		if err := from(&found); err != nil {
			return 0, err
		}
		if uid, err = found.owner(); !errors.Is(err, ErrUnseen) {
			break
		}
	}
	return uid, err
}

// tables is the source that reads /proc/net.
func tables(open func(table string) (io.ReadCloser, error)) source {
	return func(found *sockets) error {
		read := 0
		for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			f, err := open(name)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				continue
			}
			if err != nil {
				return err
			}
			err = errors.Join(found.read(f), f.Close())
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			read++
		}
		if read == 0 {
			return ErrUnknown
		}
		return nil
	}
}

func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// sockets are the sockets that matter for a connection.
type sockets struct {
	ours, theirs netip.AddrPort
	accepted     []int // users of the accepted socket
	heard        []int // users that listen at the connection's address
	narrow       int   // how narrow the addresses of those listeners are
}

// owner is the one user of all sockets. If there are several users, it cannot know which
// one the caller trusts least, so that is an error.
func (s *sockets) owner() (int, error) {
	users := slices.Concat(s.accepted, s.heard)
	if len(users) == 0 {
		return 0, ErrUnseen
	}
	for _, u := range users[1:] {
		if u != users[0] {
			return 0, errors.New("several users have it")
		}
	}
	return users[0], nil
}

// width says how narrowly a listener's address fits the one that was called, 0 if it does
// not fit. A connection goes to the narrowest. A listener at [::] may be for IPv6 alone,
// and any user may have one in addition to another user's at 0.0.0.0.
func (s *sockets) width(listener netip.Addr) int {
	switch {
	case listener == s.theirs.Addr():
		return 3
	case !listener.IsUnspecified():
		return 0
	case listener.Is4() == s.theirs.Addr().Is4():
		return 2
	}
	return 1
}

// hears notes a listener, unless the connection goes to a narrower one.
func (s *sockets) hears(at netip.Addr, uid int) {
	n := s.width(at)
	if n > s.narrow {
		s.narrow, s.heard = n, nil
	}
	if n > 0 && n == s.narrow {
		s.heard = append(s.heard, uid)
	}
}

// socket is one socket as the system lists it.
type socket struct {
	local, remote netip.AddrPort
	state         int
	uid           int
	inode         uint64 // 0 if no process has it
}

// add notes a socket if it is the listener's or the accepted one. A socket that was not
// accepted yet has no inode and does not show its user.
func (s *sockets) add(k socket) {
	switch {
	case k.local.Port() != s.theirs.Port():
	case k.state == listening:
		s.hears(k.local.Addr(), k.uid)
	case k.state == established && k.inode != 0 && k.local == s.theirs && k.remote == s.ours:
		s.accepted = append(s.accepted, k.uid)
	}
}

// read adds the rows of a table.
func (s *sockets) read(table io.Reader) error {
	rows := bufio.NewScanner(table)
	rows.Scan() // the column titles
	for rows.Scan() {
		f := strings.Fields(rows.Text())
		if len(f) < 10 || f[3] != "01" && f[3] != "0A" {
			continue
		}
		local, err1 := parse(f[1])
		remote, err2 := parse(f[2])
		state, err3 := strconv.ParseUint(f[3], 16, 8)
		uid, err4 := strconv.Atoi(f[7])
		inode, err5 := strconv.ParseUint(f[9], 10, 64)
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			return err
		}
		s.add(socket{local: local, remote: remote, state: int(state), uid: uid, inode: inode})
	}
	return rows.Err()
}

// parse reads an address of the table: words of 32 bits as the machine has them, in
// hexadecimal digits, and the port.
func parse(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	addr, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	return plain(netip.AddrPortFrom(addr, uint16(n))), nil
}
