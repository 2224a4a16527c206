package loopback

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
)

// TestBothSourcesAgree asks the kernel and the tables for the sockets of connections to
// every kind of listener, before and after the connection is accepted.
func TestBothSourcesAgree(t *testing.T) {
	open := func(name string) (io.ReadCloser, error) { return os.Open(name) }
	for _, c := range []struct{ network, listen, call string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"tcp4", "0.0.0.0:0", "127.0.0.1"},
		{"tcp", "[::]:0", "127.0.0.1"}, // an IPv4 connection at a socket of IPv6
		{"tcp", "[::]:0", "::1"},
		{"tcp6", "[::1]:0", "::1"},
	} {
		t.Run(fmt.Sprintf("%s at %s", c.call, c.listen), func(t *testing.T) {
			l := listenPlain(t, c.network, c.listen)
			port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
			conn, err := net.Dial("tcp", net.JoinHostPort(c.call, port))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ours, theirs := ends(conn)
			for _, accepted := range []int{0, 1} {
				if accepted == 1 {
					end, err := l.Accept()
					if err != nil {
						t.Fatal(err)
					}
					defer end.Close()
				}
				kernel, table := sockets{ours: ours, theirs: theirs}, sockets{ours: ours, theirs: theirs}
				if err := askKernel(&kernel); errors.Is(err, ErrUnknown) {
					t.Skip("NOT VERIFIED: this system has no sock_diag")
				} else if err != nil {
					t.Fatal(err)
				}
				if err := tables(open)(&table); err != nil {
					t.Skipf("NOT VERIFIED: this system has no tables: %v", err)
				}
				if !slices.Equal(kernel.heard, table.heard) || !slices.Equal(kernel.accepted, table.accepted) ||
					kernel.narrow != table.narrow {
					t.Errorf("accepted %d: the kernel says %+v, the tables %+v", accepted, kernel, table)
				}
				if len(kernel.heard) != 1 || kernel.heard[0] != os.Getuid() || len(kernel.accepted) != accepted {
					t.Errorf("accepted %d: %+v; want one listener of user %d", accepted, kernel, os.Getuid())
				}
			}
		})
	}
}

// listenPlain listens, and accepts nothing by itself.
func listenPlain(t *testing.T, network, at string) net.Listener {
	l, err := net.Listen(network, at)
	if err != nil {
		t.Skipf("NOT VERIFIED: this system has no %s: %v", at, err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func ends(conn net.Conn) (ours, theirs netip.AddrPort) {
	return plain(conn.LocalAddr().(*net.TCPAddr).AddrPort()), plain(conn.RemoteAddr().(*net.TCPAddr).AddrPort())
}

// TestNoSuchSocket: where nobody listens both sources have no socket, and no error.
func TestNoSuchSocket(t *testing.T) {
	l := listenPlain(t, "tcp4", "127.0.0.1:0")
	theirs := plain(l.Addr().(*net.TCPAddr).AddrPort())
	l.Close()
	if uid, err := ownerOf(theirs, theirs, askKernel); !errors.Is(err, ErrUnseen) && !errors.Is(err, ErrUnknown) {
		t.Errorf("user %d, %v; want ErrUnseen", uid, err)
	}
}

// TestOddAnswers: what is cut or says an error is an error, and never a user.
func TestOddAnswers(t *testing.T) {
	if _, err := decode(make([]byte, answerSize-1)); err == nil {
		t.Error("a cut socket has no error")
	}
	if err := kernelError([]byte{1, 2}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a cut error is %v", err)
	}
	if err := kernelError(binary.NativeEndian.AppendUint32(nil, 1<<32-2)); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("-2 is %v, want ENOENT", err)
	}
}

// TestDumpThatFails: a kernel that cannot list the sockets says so at the end of the list,
// and not in an error message. An empty list would make the listener one that is not shown.
func TestDumpThatFails(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netlinkSockDiag)
	if err != nil {
		t.Skipf("NOT VERIFIED: this system has no sock_diag: %v", err)
	}
	defer syscall.Close(fd)
	limit := syscall.NsecToTimeval(answerTime.Nanoseconds())
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	question := request(syscall.AF_INET, syscall.NLM_F_DUMP, netip.AddrPort{}, netip.AddrPort{})
	question[syscall.SizeofNlMsghdr+1] = 250 // a protocol that no kernel knows, in place of TCP
	if err := ask(fd, question, func(socket) {}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a list that cannot be had = %v, want ENOENT", err)
	}
	for _, c := range []struct {
		done []byte
		want error
	}{
		{nil, nil}, {[]byte{0, 0, 0, 0}, nil}, {binary.NativeEndian.AppendUint32(nil, 1<<32-2), syscall.ENOENT},
	} {
		if err := doneError(c.done); !errors.Is(err, c.want) {
			t.Errorf("the end %v = %v, want %v", c.done, err, c.want)
		}
	}
}

func BenchmarkOwner(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	ours, theirs := ends(conn)
	for name, from := range map[string]source{"kernel": askKernel,
		"tables": tables(func(name string) (io.ReadCloser, error) { return os.Open(name) })} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ownerOf(ours, theirs, from); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
