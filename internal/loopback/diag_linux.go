package loopback

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// The parts of sock_diag(7) and netlink(7) that are used here, from linux/sock_diag.h,
// linux/inet_diag.h and linux/netlink.h.
const (
	netlinkSockDiag  = 4  // NETLINK_SOCK_DIAG
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	requestSize      = syscall.SizeofNlMsghdr + 56
	answerSize       = 72 // struct inet_diag_msg
	anyCookie        = 0xffffffff
)

// answerTime is for how long the kernel is waited for. It answers at once.
const answerTime = 2 * time.Second

// askKernel is the source that asks the kernel for the listeners at the port and for
// the accepted socket of the connection.
func askKernel(found *sockets) error {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netlinkSockDiag)
	if err != nil {
		return ErrUnknown // not in this kernel, or not for this process
	}
	defer syscall.Close(fd)
	limit := syscall.NsecToTimeval(answerTime.Nanoseconds())
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit); err != nil {
		return ErrUnknown
	}
	listeners := netip.AddrPortFrom(netip.Addr{}, found.theirs.Port())
	for _, q := range []struct {
		family        uint8
		flags         uint16
		local, remote netip.AddrPort
		none          error // the kernel's word for no such socket
	}{
		{syscall.AF_INET, syscall.NLM_F_DUMP, listeners, netip.AddrPort{}, nil},
		{syscall.AF_INET6, syscall.NLM_F_DUMP, listeners, netip.AddrPort{}, syscall.ENOENT}, // no IPv6 here
		{familyOf(found.theirs.Addr()), 0, found.theirs, found.ours, syscall.ENOENT},
	} {
		err := ask(fd, request(q.family, q.flags, q.local, q.remote), found.add)
		if err != nil && (q.none == nil || !errors.Is(err, q.none)) {
			return ErrUnknown
		}
	}
	return nil
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return syscall.AF_INET
	}
	return syscall.AF_INET6
}

// request is a question for the socket with both addresses or, with NLM_F_DUMP, for all
// listeners at the port of local.
func request(family uint8, flags uint16, local, remote netip.AddrPort) []byte {
	b := make([]byte, 0, requestSize)
	b = binary.NativeEndian.AppendUint32(b, requestSize)
	b = binary.NativeEndian.AppendUint16(b, sockDiagByFamily)
	b = binary.NativeEndian.AppendUint16(b, syscall.NLM_F_REQUEST|flags)
	b = append(b, make([]byte, 8)...) // sequence and port: one question at a time on a socket of its own
	b = append(b, family, syscall.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 1<<listening) // the states of a dump
	b = binary.BigEndian.AppendUint16(b, local.Port())
	b = binary.BigEndian.AppendUint16(b, remote.Port())
	b = appendAddr(b, local.Addr())
	b = appendAddr(b, remote.Addr())
	b = binary.NativeEndian.AppendUint32(b, 0) // any interface
	b = binary.NativeEndian.AppendUint32(b, anyCookie)
	return binary.NativeEndian.AppendUint32(b, anyCookie)
}

// appendAddr appends an address in the 16 bytes that both families have for it.
func appendAddr(b []byte, a netip.Addr) []byte {
	var field [16]byte
	copy(field[:], a.AsSlice())
	return append(b, field[:]...)
}

// ask sends one question and hands each socket of the answer to add. The error is the
// kernel's, a syscall.Errno.
func ask(fd int, question []byte, add func(socket)) error {
	dump := binary.NativeEndian.Uint16(question[6:])&syscall.NLM_F_DUMP == syscall.NLM_F_DUMP
	if err := syscall.Sendto(fd, question, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 32<<10) // the kernel's largest part of a dump
	for {
		n, from, err := syscall.Recvfrom(fd, buf, 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if k, ok := from.(*syscall.SockaddrNetlink); !ok || k.Pid != 0 {
			continue // not from the kernel
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case syscall.NLMSG_DONE:
				return doneError(m.Data)
			case syscall.NLMSG_ERROR:
				return kernelError(m.Data)
			case sockDiagByFamily:
				k, err := decode(m.Data)
				if err != nil {
					return err
				}
				add(k)
			}
		}
		if !dump {
			return nil
		}
	}
}

// doneError is the error with which a dump ended: a number like that of an NLMSG_ERROR, 0
// or none when all sockets were listed.
func doneError(data []byte) error {
	if len(data) < 4 || binary.NativeEndian.Uint32(data) == 0 {
		return nil
	}
	return kernelError(data)
}

// kernelError is the error number at the head of an NLMSG_ERROR, negative there.
func kernelError(data []byte) error {
	if len(data) < 4 {
		return syscall.EINVAL
	}
	return syscall.Errno(-int32(binary.NativeEndian.Uint32(data)))
}

// decode reads a struct inet_diag_msg.
func decode(b []byte) (socket, error) {
	if len(b) < answerSize {
		return socket{}, fmt.Errorf("%d bytes for a socket: %w", len(b), syscall.EINVAL)
	}
	return socket{
		local:  readAddr(b[0], b[8:24], b[4:6]),
		remote: readAddr(b[0], b[24:40], b[6:8]),
		state:  int(b[1]),
		uid:    int(binary.NativeEndian.Uint32(b[64:])),
		inode:  uint64(binary.NativeEndian.Uint32(b[68:])),
	}, nil
}

func readAddr(family uint8, addr, port []byte) netip.AddrPort {
	a := netip.AddrFrom16([16]byte(addr))
	if family == syscall.AF_INET {
		a = netip.AddrFrom4([4]byte(addr[:4]))
	}
	return plain(netip.AddrPortFrom(a, binary.BigEndian.Uint16(port)))
}
