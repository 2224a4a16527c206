package loopback

import (
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
)

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
`

// TestSockets reads tables as Linux writes them.
func TestSockets(t *testing.T) {
	// 127.0.0.1:8080 is 0100007F:1F90 on a machine that writes the low byte first.
	const (
		listener = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 0 0 10 0\n"
		anywhere = "   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 112 1 0 100 0 0 10 0\n"
		accepted = "   2: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 113 1 0 100 0 0 10 0\n"
		stranger = "   2: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1002        0 113 1 0 100 0 0 10 0\n"
		waiting  = "   3: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0 100 0 0 10 0\n"
		other    = "   4: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1003        0 114 1 0 100 0 0 10 0\n"
		mapped   = "   5: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0  1004        0 115 1 0 0 0 0 10 0\n"
		sixth    = "   6: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0  1006        0 116 1 0 0 0 0 10 0\n"
	)
	if got, err := parse("0100007F:1F90"); err != nil || got.String() != "127.0.0.1:8080" {
		t.Skipf("NOT VERIFIED: this machine writes the tables in another order: %v, %v", got, err)
	}
	for _, c := range []struct {
		name, rows string
		want       int // -1 for an error
	}{
		{"the listener", listener + other, 1000},
		{"not accepted yet", waiting + listener, 1000},
		{"accepted", listener + accepted, 1000},
		{"accepted by another, who is gone from the port", stranger, 1002},
		{"accepted by another", listener + stranger, -1},
		{"a wider listener", anywhere, 1001},
		{"two listeners of two users", listener + strings.Replace(listener, " 1000 ", " 1005 ", 1), -1},
		{"a wider listener of another, before and behind", anywhere + listener + anywhere, 1000},
		{"one for IPv6 alone, of another", sixth + listener, 1000},
		{"one for IPv6 alone beside a wide one", anywhere + sixth, 1001},
		{"one for both", sixth, 1006},
		{"accepted by whose listener is wider", listener + strings.Replace(accepted, " 1000 ", " 1001 ",
			1) + anywhere, -1},
		{"an IPv4 address written as IPv6", mapped, 1004},
		{"nobody", other, -1},
		{"not accepted and no listener", waiting, -1},
		{"a row that is none", listener + "x\n", 1000},
	} {
		s := sockets{ours: netip.MustParseAddrPort("127.0.0.1:49153"),
			theirs: netip.MustParseAddrPort("127.0.0.1:8080")}
		err := s.read(strings.NewReader(table + c.rows))
		uid := -1
		if err == nil {
			if uid, err = s.owner(); err != nil {
				uid = -1
			}
		}
		if uid != c.want {
			t.Errorf("%s: user %d, %v; want %d", c.name, uid, err, c.want)
		}
	}
}

// TestASecondLook: a row that was passed over is found, and what is nowhere is said to
// be unseen, which is not the same as a system that says nothing.
func TestASecondLook(t *testing.T) {
	const row = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 0 0 10 0\n"
	if got, err := parse("0100007F:1F90"); err != nil || got.String() != "127.0.0.1:8080" {
		t.Skipf("NOT VERIFIED: this machine writes the tables in another order: %v, %v", got, err)
	}
	for _, c := range []struct {
		name string
		rows []string // of /proc/net/tcp, look by look
		err  error
		uid  int
		want error
	}{
		{"at once", []string{row}, nil, 1000, nil},
		{"at the second look", []string{"", row}, nil, 1000, nil},
		{"never", []string{"", "", row}, nil, 0, ErrUnseen},
		{"no tables", nil, fs.ErrNotExist, 0, ErrUnknown},
	} {
		looks := 0
		uid, err := ownerOf(netip.MustParseAddrPort("127.0.0.1:49153"), netip.MustParseAddrPort("127.0.0.1:8080"),
			tables(func(name string) (io.ReadCloser, error) {
				rows := ""
				if name == "/proc/net/tcp" && looks < len(c.rows) {
					rows = c.rows[looks]
					looks++
				}
				return io.NopCloser(strings.NewReader(table + rows)), c.err
			}))
		if uid != c.uid || !errors.Is(err, c.want) {
			t.Errorf("%s: user %d, %v; want %d, %v", c.name, uid, err, c.uid, c.want)
		}
	}
}
