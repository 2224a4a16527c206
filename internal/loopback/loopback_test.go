package loopback

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// serve listens on a loopback address and accepts what comes.
func serve(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("NOT VERIFIED: this machine has no %s: %v", address, err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestOwner: a listener of this process is found to be its user's, on each kind of
// address, again and again, whether it has accepted already or not.
func TestOwner(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT VERIFIED: only Linux says whose a listener is")
	}
	for _, c := range []struct{ network, listen, dial string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1"}, {"tcp4", "0.0.0.0:0", "127.0.0.1"}, {"tcp", "[::]:0", "127.0.0.1"},
		{"tcp6", "[::1]:0", "::1"}, {"tcp", "[::]:0", "::1"},
	} {
		t.Run(c.listen+" "+c.dial, func(t *testing.T) {
			port := serve(t, c.network, c.listen)
			for range 20 {
				conn, err := net.Dial("tcp", net.JoinHostPort(c.dial, port))
				if err != nil {
					t.Skipf("NOT VERIFIED: this machine cannot reach %s: %v", c.dial, err)
				}
				uid, err := Owner(conn)
				conn.Close()
				if err != nil || uid != os.Geteuid() {
					t.Fatalf("Owner = %d, %v, want %d", uid, err, os.Geteuid())
				}
			}
		})
	}
}

// TestDialer: who is not believed gets no connection, and localhost is the machine
// itself whatever a resolver would say.
func TestDialer(t *testing.T) {
	port := serve(t, "tcp4", "127.0.0.1:0")
	d := &Dialer{Believes: func(uid int) bool { return uid == 7 }, Owner: func(net.Conn) (int, error) { return 7, nil }}
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST"} {
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		if at := conn.RemoteAddr().String(); at != "127.0.0.1:"+port {
			t.Errorf("%s is %s", host, at)
		}
		conn.Close()
	}
	var foreign *ForeignError
	d.Owner = func(net.Conn) (int, error) { return 65533, nil }
	if _, err := d.DialContext(t.Context(), "tcp", "localhost:"+port); !errors.As(err, &foreign) ||
		foreign.User == "" || !strings.HasSuffix(foreign.Address, port) {
		t.Errorf("a listener of another user: %v, want a ForeignError", err)
	}
	d.Owner = func(net.Conn) (int, error) { return 0, errors.New("broken") }
	if _, err := d.DialContext(t.Context(), "tcp", "localhost:"+port); err == nil {
		t.Error("a listener of which nothing could be found out was believed")
	}
	d.Owner = func(net.Conn) (int, error) { return 0, ErrUnseen }
	for _, word := range []func() bool{nil, func() bool { return false }} {
		d.Unseen = word
		if _, err := d.DialContext(t.Context(), "tcp", "localhost:"+port); !errors.As(err, &foreign) ||
			foreign.User != "" {
			t.Errorf("a listener that is not shown, without a word about it: %v, want a ForeignError of nobody", err)
		}
	}
	d.Unseen = func() bool { return true }
	if conn, err := d.DialContext(t.Context(), "tcp", "localhost:"+port); err != nil {
		t.Errorf("a listener that is not shown, on the caller's word: %v", err)
	} else {
		conn.Close()
	}
	d.Owner = func(net.Conn) (int, error) { return 0, ErrUnknown }
	conn, err := d.DialContext(t.Context(), "tcp", "localhost:"+port)
	if err != nil {
		t.Fatalf("where the system does not say: %v", err)
	}
	conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.DialContext(ctx, "tcp", "localhost:"+port); err == nil {
		t.Error("it connected although nobody wanted it any more")
	}
}

func TestNames(t *testing.T) {
	uid := os.Geteuid()
	if !Named(uid, strconv.Itoa(uid)) || !Named(uid, UserName(uid)) || Named(uid, "") ||
		Named(uid, "nobody-has-this-name") {
		t.Errorf("user %d, %s: Named is wrong", uid, UserName(uid))
	}
	var is []string
	for _, host := range []string{"localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1",
		"localhost.evil.example", "10.0.0.1", "", "::", "0.0.0.0"} {
		if Is(host) {
			is = append(is, host)
		}
	}
	if want := []string{"localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1",
		"::ffff:127.0.0.1"}; !slices.Equal(is, want) {
		t.Errorf("this machine is %q, want %q", is, want)
	}
	for base, want := range map[string]bool{
		"http://LocalHost:8080": true, "https://[::1]:8443/": true, "http://127.0.0.1": true,
		"http://localhost.evil.example": false, "http://localhost@evil.example": false, "localhost:8080": false,
		"": false, "http://[::1": false,
	} {
		if IsURL(base) != want {
			t.Errorf("the URL %q is of this machine: %v", base, !want)
		}
	}
}
