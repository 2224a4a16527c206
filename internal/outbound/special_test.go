package outbound_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/outbound"
)

// refusedHosts are hosts of URLs that lead to non-public addresses, as attackers write
// them, each with a word of the reason.
var refusedHosts = []struct{ host, why string }{
	// this machine
	{"127.0.0.1", "this machine"},
	{"127.0.0.2", "this machine"},
	{"127.255.255.254", "this machine"},
	{"[::1]", "this machine"},
	{"[0:0:0:0:0:0:0:1]", "this machine"},
	{"0.0.0.0", "this network"},
	{"0.1.2.3", "this network"},
	{"[::]", "no address"},
	// IPv4 in other notations
	{"2130706433", "neither a name nor an address"},
	{"0x7f000001", "neither a name nor an address"},
	{"0x7f.1", "neither a name nor an address"},
	{"127.1", "neither a name nor an address"},
	{"127.0.1", "neither a name nor an address"},
	{"0177.0.0.1", "neither a name nor an address"},
	{"0177.0.0.0x1", "neither a name nor an address"},
	{"127.0.0.1.", "neither a name nor an address"},
	{"017700000001", "neither a name nor an address"},
	{"127.000.000.001", "neither a name nor an address"},
	{"１２７.０.０.１", "this machine"},
	{"127。0。0。1", "this machine"},
	{"①②⑦.0.0.1", "this machine"},
	{"256.256.256.256", "neither a name nor an address"},
	// IPv4 inside IPv6
	{"[::ffff:127.0.0.1]", "mapped"},
	{"[::ffff:7f00:1]", "mapped"},
	{"[::ffff:8.8.8.8]", "mapped"},
	{"[::ffff:0:127.0.0.1]", "translated"},
	{"[::127.0.0.1]", "compatible"},
	{"[::8.8.8.8]", "compatible"},
	{"[64:ff9b::127.0.0.1]", "NAT64"},
	{"[64:ff9b::8.8.8.8]", "NAT64"},
	{"[64:ff9b:1::a00:1]", "NAT64"},
	{"[2002:7f00:1::1]", "6to4"},
	{"[2002:808:808::1]", "6to4"},
	{"[2001::1]", "Teredo"},
	{"[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "Teredo"},
	// private
	{"10.0.0.1", "private"},
	{"10.255.255.255", "private"},
	{"172.16.0.1", "private"},
	{"172.31.255.254", "private"},
	{"192.168.0.1", "private"},
	{"192.168.255.255", "private"},
	{"100.64.0.1", "carrier"},
	{"100.127.255.254", "carrier"},
	{"[fc00::1]", "private"},
	{"[fd12:3456:789a::1]", "private"},
	{"[fd00:ec2::254]", "private"},
	{"[fec0::1]", "site-local"},
	// link-local, where cloud providers offer secrets
	{"169.254.169.254", "link-local"},
	{"169.254.0.1", "link-local"},
	{"[fe80::1]", "link-local"},
	{"[fe80::1%25lo]", "link-local"},
	{"[febf::1]", "link-local"},
	// protocols, documentation, benchmarks
	{"192.0.0.1", "protocols"},
	{"192.0.0.170", "protocols"},
	{"192.31.196.1", "protocols"},
	{"192.52.193.1", "protocols"},
	{"192.175.48.1", "protocols"},
	{"192.88.99.1", "6to4"},
	{"192.0.2.1", "documentation"},
	{"198.51.100.1", "documentation"},
	{"203.0.113.1", "documentation"},
	{"198.18.0.1", "benchmarks"},
	{"198.19.255.255", "benchmarks"},
	{"[2001:db8::1]", "documentation"},
	{"[3fff::1]", "documentation"},
	{"[2001:2::1]", "benchmarks"},
	{"[2001:10::1]", "protocols"},
	{"[2001:20::1]", "protocols"},
	{"[2001:1::1]", "protocols"},
	{"[2620:4f:8000::1]", "protocols"},
	{"[5f00::1]", "segment routing"},
	{"[100::1]", "discard"},
	// multicast, unassigned
	{"224.0.0.1", "multicast"},
	{"239.255.255.250", "multicast"},
	{"[ff02::1]", "multicast"},
	{"[ff0e::1]", "multicast"},
	{"240.0.0.1", "reserved"},
	{"255.255.255.255", "reserved"},
	{"[4000::1]", "not given out"},
	{"[e000::1]", "not given out"},
	{"[1::1]", "not given out"},
	{"[100:0:0:1::1]", "not given out"},
	{"[200::1]", "not given out"},
}

func TestHostsThatAreRefused(t *testing.T) {
	client := outbound.New(outbound.Options{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		t.Errorf("%q was looked up; it should be refused without a look-up", host)
		return nil, errors.New("no look-up")
	}})
	for _, tc := range refusedHosts {
		res, err := client.Get("https://" + tc.host + "/")
		if err == nil {
			res.Body.Close()
		}
		if !errors.Is(err, outbound.ErrForbidden) || !strings.Contains(err.Error(), tc.why) {
			t.Errorf("GET https://%s/ = %v; want ErrForbidden that says %q", tc.host, err, tc.why)
		}
	}
}

// An address that DNS returns is judged like one in a URL.
func TestAddressesOfNamesThatAreRefused(t *testing.T) {
	var answer netip.Addr
	client := outbound.New(outbound.Options{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{answer}, nil
	}})
	for _, tc := range refusedHosts {
		addr, err := netip.ParseAddr(strings.NewReplacer("[", "", "]", "", "%25", "%").Replace(tc.host))
		if err != nil {
			continue // not an address in the form that DNS returns
		}
		answer = addr
		res, err := client.Get("https://gateway.example/")
		if err == nil {
			res.Body.Close()
		}
		if !errors.Is(err, outbound.ErrForbidden) || !strings.Contains(err.Error(), tc.why) {
			t.Errorf("GET of a name at %s = %v; want ErrForbidden that says %q", addr, err, tc.why)
		}
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	for _, url := range []string{
		"http://gateway.example/",
		"https://user:secret@gateway.example/",
		"ftp://gateway.example/",
		"file:///etc/passwd",
		"https://gateway.example:22/",
		"https://gateway.example:80/",
		"https://gateway.example:8443/",
		"https://gateway.example:0/",
		"https://gateway.example:65536/",
	} {
		client := outbound.New(outbound.Options{Lookup: publicAddress})
		res, err := client.Get(url)
		if err == nil {
			res.Body.Close()
		}
		if !errors.Is(err, outbound.ErrForbidden) {
			t.Errorf("GET %s = %v; want ErrForbidden", url, err)
		}
	}
}

func publicAddress(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("93.184.215.14")}, nil
}

// A request whose body is never read is closed all the same.
func TestRefusedRequestsCloseTheirBody(t *testing.T) {
	body := &closing{Reader: strings.NewReader("x")}
	req, err := http.NewRequest(http.MethodPost, "http://gateway.example/", body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outbound.New(outbound.Options{}).Do(req); !errors.Is(err, outbound.ErrForbidden) || !body.closed {
		t.Errorf("POST over http = %v, body closed: %t; want ErrForbidden and a closed body", err, body.closed)
	}
}

type closing struct {
	*strings.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }
