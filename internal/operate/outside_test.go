package operate

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/limits"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// peer is another gateway, or the part of it that a caller sees. It answers with the
// User-Agent and speaks TLS with a certificate for example.com. put fills its places
// into settings.
func peer(t *testing.T, newest uint16) (put func(string) string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.UserAgent())
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MaxVersion: newest}
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	return strings.NewReplacer("{port}", fmt.Sprint(at.Port()), "{ca}", file).Replace
}

// outsideOf returns the Outside of a gateway with these variables.
func outsideOf(t *testing.T, put func(string) string, env ...string) *Outside {
	t.Helper()
	all := []string{"AMTP_DATA_DIR=" + t.TempDir()}
	for _, pair := range env {
		all = append(all, put(pair))
	}
	cfg, _, err := config.Load(config.Sources{Environ: all})
	if err != nil {
		t.Fatalf("Load of %q: %v", all, err)
	}
	o, err := NewOutside(cfg, "1.2.3", nil)
	if err != nil {
		t.Fatalf("NewOutside of %q: %v", all, err)
	}
	t.Cleanup(o.Client.CloseIdleConnections)
	return o
}

// call finds the gateway of b.example and calls it.
func (o *Outside) call(t *testing.T) (string, error) {
	found, err := o.Domains.Gateway(t.Context(), "b.example")
	if err != nil {
		return "", err
	}
	res, err := o.Client.Get(found.Gateway)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// TestOutside goes from the settings to the answer of a gateway, over real DNS and TLS.
func TestOutside(t *testing.T) {
	const (
		byName    = "v=amtp1;gateway=https://example.com:{port}"
		byAddress = "v=amtp1;gateway=https://127.0.0.1:{port}"
		ca        = "AMTP_OUTBOUND_CA_FILE={ca}"
		mock      = "AMTP_DNS_MOCK_MODE=true"
	)
	for _, tc := range []struct {
		name string
		txt  string   // the record of b.example; "" for none
		env  []string // in addition to the name server
		tls  uint16   // the newest version that the peer speaks
		want error
	}{
		{"found in DNS and allowed", byName, []string{ca, "AMTP_OUTBOUND_ALLOW=127.0.0.0/8"}, 0, nil},
		{"found in DNS and allowed by host", byName, []string{ca, "AMTP_OUTBOUND_ALLOW=example.com:{port}"}, 0, nil},
		{"found in DNS", byName, []string{ca}, 0, outbound.ErrForbidden},
		{"found in DNS, its port alone is allowed", byName, []string{ca, "AMTP_OUTBOUND_ALLOW=:{port}"}, 0,
			outbound.ErrForbidden},
		{"found in DNS by its address", byAddress, []string{ca}, 0, outbound.ErrForbidden},
		{"not to be found", "", nil, 0, discovery.ErrNoDomain},
		{"a peer by name", "", []string{ca, `AMTP_PEERS={"b.example":"` + byName + `"}`}, 0, nil},
		{"a peer by address", "", []string{ca, `AMTP_PEERS={"b.example":"` + byAddress + `"}`}, 0, nil},
		{"a peer with old TLS", "", []string{ca, `AMTP_PEERS={"b.example":"` + byName + `"}`,
			"AMTP_TLS_MIN_VERSION=1.2"}, tls.VersionTLS12, nil},
		{"a mock record", "", []string{ca, mock, `AMTP_DNS_MOCK_RECORDS={"b.example":"` + byName + `"}`}, 0, nil},
		{"a mock record without its mode", "", []string{ca, `AMTP_DNS_MOCK_RECORDS={"b.example":"` + byName + `"}`}, 0,
			discovery.ErrNoDomain},
		{"mock mode, found in DNS", byName, []string{ca, mock, "AMTP_OUTBOUND_ALLOW=127.0.0.0/8"}, 0,
			discovery.ErrNoDomain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			put := peer(t, tc.tls)
			server := fakedns.New(t)
			server.Addrs("example.com", []netip.Addr{netip.MustParseAddr("127.0.0.1")})
			if tc.txt != "" {
				server.TXT("_amtp.b.example", time.Hour, put(tc.txt))
			}
			o := outsideOf(t, put, append(tc.env, "AMTP_DNS_RESOLVERS="+server.Addr().String())...)
			got, err := o.call(t)
			if !errors.Is(err, tc.want) || err == nil && got != "AMTP/1.0 (amtp/1.2.3)" {
				t.Errorf("the call = %q, %v; want the error %v", got, err, tc.want)
			}
		})
	}
}

func TestUnknownAuthorityIsRefused(t *testing.T) {
	put := peer(t, 0)
	o := outsideOf(t, put, `AMTP_PEERS={"b.example":"v=amtp1;gateway=https://127.0.0.1:{port}"}`)
	var refused *tls.CertificateVerificationError
	if got, err := o.call(t); !errors.As(err, &refused) {
		t.Errorf("the call = %q, %v; want the certificate to be refused", got, err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	put := peer(t, tls.VersionTLS12)
	o := outsideOf(t, put, "AMTP_OUTBOUND_CA_FILE={ca}",
		`AMTP_PEERS={"b.example":"v=amtp1;gateway=https://127.0.0.1:{port}"}`)
	if got, err := o.call(t); err == nil {
		t.Errorf("a call over TLS 1.2 = %q, want an error", got)
	}
}

// TestPlainPeer: a gateway without TLS is called when two settings allow it.
func TestPlainPeer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "plain") }))
	t.Cleanup(s.Close)
	o := outsideOf(t, func(s string) string { return s }, "AMTP_DNS_ALLOW_HTTP=true", "AMTP_DNS_MOCK_MODE=true",
		`AMTP_DNS_MOCK_RECORDS={"b.example":"v=amtp1;gateway=`+s.URL+`"}`)
	if got, err := o.call(t); got != "plain" {
		t.Errorf("the call = %q, %v; want plain", got, err)
	}
}

// TestKeyOfAPeer: the operator's table also has keys, and strangers' look-ups use the
// same domains.
func TestKeyOfAPeer(t *testing.T) {
	o := outsideOf(t, func(s string) string { return s }, "AMTP_DNS_MOCK_MODE=true",
		`AMTP_PEERS={"k1._amtpkey.b.example":"v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYEGi6h1vzrHdL6SF02XaGH0TWbDcBdFvex3jdOYE1tpyNC1GrIL2Z0XzXD996Kv61YuWryy0nRh5SZ7FXBOK0w=="}`)
	strangers := discovery.NewBudget(o.Domains, (*limits.Limits)(nil))
	key, err := strangers.Key(t.Context(), netip.MustParseAddr("192.0.2.1"), "b.example", "k1")
	if err != nil || key.Algorithm != amtp.ES256 {
		t.Errorf("Key = %+v, %v; want the key in the table", key, err)
	}
}

// TestHowLongOutsideRemembers: an answer of DNS is cached at most as long as the
// settings say.
func TestHowLongOutsideRemembers(t *testing.T) {
	server := fakedns.New(t)
	server.TXT("_amtp.b.example", time.Hour, "v=amtp1;gateway=https://gw.b.example")
	o := outsideOf(t, func(s string) string { return s }, "AMTP_DNS_RESOLVERS="+server.Addr().String(),
		"AMTP_DNS_CACHE_TTL=90s")
	if found, err := o.Domains.Gateway(t.Context(), "b.example"); err != nil || found.TTL != 90*time.Second {
		t.Errorf("Gateway = %+v, %v; want one that is remembered for 90s", found, err)
	}
}

// TestNeighboursAreGateways: gateways of others may be on the network and the machine
// of this one, if they are called over TLS. Endpoints of agents may not.
func TestNeighboursAreGateways(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:443": "0.0.0.0:443", ":8443": "[::]:8443", "[::]:443": "[::]:443", "192.0.2.1:443": "192.0.2.1:443",
		"gw.example:443": "[::]:443", "127.0.0.1:0": "127.0.0.1:0", "": "invalid AddrPort",
	} {
		var cfg config.Config
		cfg.Server.Address = address
		if o := gateways(outbound.Options{}, cfg); o.NotHere || !o.NotSelf || o.Listener.String() != want {
			t.Errorf("gateways of others, from %q: %+v, want all but the listener at %s", address, o, want)
		}
		if o := gateways(outbound.Options{PlainHTTP: true}, cfg); !o.NotHere || o.NotSelf {
			t.Errorf("gateways of others over plain HTTP: %+v, want none of this machine and its networks", o)
		}
		if o, err := Pushes(cfg, "1.2.3"); err != nil || !o.NotHere || o.NotSelf {
			t.Errorf("endpoints of agents: %+v, %v; want none of this machine and its networks", o, err)
		}
	}
}
