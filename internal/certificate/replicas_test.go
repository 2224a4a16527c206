package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/postgres"
	"github.com/amtp-go/amtp/internal/test/fakedns"
	"github.com/amtp-go/amtp/internal/test/pebble"
	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// clocked is a store with the clock by which its leases end.
type clocked interface {
	Store
	Now() time.Time
}

// TestReplicas: several gateways on one store need a certificate at the same time. One
// asks the authority, any of them answers its question, and all show the result. When
// seal.key is lost, they get another certificate. On PostgreSQL each has a store of its
// own, and only the database in common.
func TestReplicas(t *testing.T) {
	slow.Test(t, "it obtains certificates for two replicas")
	t.Run("SQLite", func(t *testing.T) {
		one := newStore(t)
		replicas(t, func() clocked { return one })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		url := pgtest.Database(t, "empty", nil)
		replicas(t, func() clocked {
			s, err := postgres.Open(t.Context(), postgres.Options{URL: url})
			must(t, "open", err)
			t.Cleanup(func() { must(t, "close", s.Close()) })
			return s
		})
	})
}

// replicas runs TestReplicas with the store that store opens for each gateway.
func replicas(t *testing.T, store func() clocked) {
	const host = "amtp.shop.example"
	names := fakedns.New(t)
	names.Addrs(host, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	port, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "listen", err)
	_, number, err := net.SplitHostPort(port.Addr().String())
	must(t, "port", err)
	at, err := strconv.Atoi(number)
	must(t, "port", err)
	authority := pebble.New(t, pebble.Options{DNS: names.Addr(), HTTPPort: at, TLSPort: 1})
	client := trusting(t, authority.CAFile)
	replica := func(key byte) *ACME {
		seal, err := gateway.NewSeal(bytes.Repeat([]byte{key}, gateway.SealKeySize))
		must(t, "seal", err)
		s := store()
		a, err := NewACME(t.Context(), ACMEOptions{
			Hosts: []string{host}, Directory: authority.Directory, HTTP: true, Client: client, Version: "test",
			Store: s, Seal: seal, Now: s.Now, Log: slog.New(slog.DiscardHandler),
		})
		must(t, "NewACME", err)
		return a
	}
	var bystander *ACME // answers, and asks for nothing itself
	var mu sync.Mutex
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		bystander.Challenges().ServeHTTP(w, r)
	})}
	go server.Serve(port) // until it is closed
	t.Cleanup(func() { server.Close() })

	for i, key := range []byte{1, 2} {
		mu.Lock()
		bystander = replica(key)
		mu.Unlock()
		replicas := []*ACME{replica(key), replica(key), replica(key)}
		var wg sync.WaitGroup
		for _, a := range replicas {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				if _, err := a.Renew(ctx, false); err != nil {
					t.Errorf("renew with seal %d: got %v, want no error", key, err)
				}
			})
		}
		wg.Wait()
		if n := authority.Issued(); n != i+1 {
			t.Errorf("with seal %d: got %d certificates in all, want %d", key, n, i+1)
		}
		first := serial(replicas[0])
		for _, a := range replicas {
			if got := serial(a); got == "" || got != first {
				t.Errorf("with seal %d: got serials %q and %q, want the same", key, got, first)
			}
		}
	}
}

// trusting is a client that trusts the authorities in a file.
func trusting(t *testing.T, file string) *http.Client {
	t.Helper()
	b, err := os.ReadFile(filepath.Clean(file))
	must(t, "read", err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
