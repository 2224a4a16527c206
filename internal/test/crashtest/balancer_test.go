package crashtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/datadir"
)

// balancer is a load balancer with health checks. It gives each request to the next
// replica that is ready. A request that a replica did not accept at all goes to the
// next; a request without an answer fails.
type balancer struct {
	server   *httptest.Server
	replicas []*Gateway
	client   *http.Client

	mu   sync.Mutex
	next int
	down map[*Gateway]bool
}

// How often a replica is asked whether it is ready, and how long each question may
// take.
const (
	healthEvery = 100 * time.Millisecond
	healthTime  = 500 * time.Millisecond
)

func newBalancer(ctx context.Context, t *testing.T, replicas []*Gateway) *balancer {
	b := &balancer{replicas: replicas, down: make(map[*Gateway]bool), client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64,
			DialContext: (&net.Dialer{Timeout: time.Second}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	b.server = httptest.NewServer(b)
	checking, stop := context.WithCancel(ctx)
	var checks sync.WaitGroup
	for _, g := range replicas {
		checks.Go(func() { b.watch(checking, g) })
	}
	t.Cleanup(func() {
		stop()
		checks.Wait()
		b.server.Close()
		b.client.CloseIdleConnections()
	})
	return b
}

// watch asks one replica repeatedly whether it is ready.
func (b *balancer) watch(ctx context.Context, g *Gateway) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ok := b.healthy(ctx, g)
		b.mu.Lock()
		b.down[g] = !ok
		b.mu.Unlock()
	}
}

func (b *balancer) healthy(ctx context.Context, g *Gateway) bool {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	url, err := g.URL(ctx)
	if err != nil {
		return false
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ready", nil)
	if err != nil {
		return false
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// pick returns the address of the next running replica that is not known to be down, ""
// for none.
func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.replicas {
		g := b.replicas[b.next%len(b.replicas)]
		b.next++
		g.mu.Lock()
		url := g.url
		g.mu.Unlock()
		if url != "" && !b.down[g] {
			return url
		}
	}
	return ""
}

// ServeHTTP implements http.Handler.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller has gone
	}
	for range b.replicas {
		base := b.pick()
		if base == "" {
			break
		}
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", strings.TrimPrefix(base, "http://"), ""
		out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(sent)), int64(len(sent)), nil
		resp, err := b.client.Do(out)
		var dial *net.OpError
		switch {
		case err == nil:
			pass(w, resp)
			return
		case errors.As(err, &dial) && dial.Op == "dial":
			continue // the replica received nothing
		}
		http.Error(w, "the replica did not answer", http.StatusBadGateway)
		return
	}
	http.Error(w, "no replica is ready", http.StatusServiceUnavailable)
}

// pass passes an answer on.
func pass(w http.ResponseWriter, resp *http.Response) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		http.Error(w, "the answer of the replica was cut off", http.StatusBadGateway)
		return
	}
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // the caller may have gone
}

// URL implements Place.
func (b *balancer) URL(context.Context) (string, error) { return b.server.URL, nil }

// AdminKey implements Place: all replicas have the same key.
func (b *balancer) AdminKey(context.Context) (string, error) {
	key, err := os.ReadFile(filepath.Join(b.replicas[0].dir, datadir.AdminKeyFile))
	return strings.TrimSpace(string(key)), err
}
