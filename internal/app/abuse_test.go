//go:build unix

package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// The attacks that a gateway must withstand while it serves clients that behave.
const (
	slowConnections = 5000
	wrongLogins     = 10_000
	longPolls       = 1000
	announcements   = 200       // connections that announce a body and never send it
	maxMemory       = 512 << 20 // of the attackers too, which are in the same process
	softMemory      = 384 << 20
	hardCap         = patience // of one request of the client that behaves; the benchmark measures the time
)

// TestUnderAbuse: thousands of connections crawl, bombs explode and keys are guessed.
// Meanwhile a client that behaves is served, and memory stays bounded.
// BenchmarkUnderAbuse measures by which factor its latency grows.
func TestUnderAbuse(t *testing.T) {
	slow.Test(t, "it besieges a gateway for half a minute")
	// The soft limit at which the garbage collector works harder. Without a limit a
	// heap may grow to a multiple of its live data.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(softMemory))
	g := openGateway(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	s := besiege(ctx, g)
	took, err := g.behave(ctx, 300, s.done)
	s.stop()
	if err != nil {
		t.Errorf("the client that behaves, after %d requests: %v", len(took), err)
	}
	if peak := s.peak.Load(); peak >= maxMemory {
		t.Errorf("memory in use was %d MiB, want less than %d", peak>>20, maxMemory>>20)
	}
	if s.opened.Load() <= int64(s.width/2) || s.cut.Load() == 0 {
		t.Errorf("%d slow connections were opened and %d cut, want %d and some", s.opened.Load(), s.cut.Load(), s.width)
	}
	if s.logins.Load() == 0 || s.bombs.Load() == 0 {
		t.Errorf("%d logins and %d bombs were tried, want some", s.logins.Load(), s.bombs.Load())
	}
	if wrong := s.wrong.Load(); wrong != nil {
		t.Error(*wrong)
	}
	t.Logf("%d slow connections, %d opened in all; %d wrong logins; %d bombs; %d requests of the client that behaves, p99 %v; %d MiB at most",
		s.width, s.opened.Load(), s.logins.Load(), s.bombs.Load(), len(took), percentile(took, 99), s.peak.Load()>>20)
}

// BenchmarkUnderAbuse measures the latency of a client that behaves before and
// during the siege.
func BenchmarkUnderAbuse(b *testing.B) {
	g := openGateway(b)
	forever := make(chan struct{})
	close(forever)
	quiet, err := g.behave(b.Context(), 1000, forever)
	if err != nil {
		b.Fatal(err)
	}
	s := besiege(b.Context(), g)
	defer s.stop()
	s.gathered(b.Context())
	b.ResetTimer()
	during, err := g.behave(b.Context(), max(1000, b.N), forever)
	if err != nil {
		b.Fatal(err)
	}
	before, now := percentile(quiet, 99), percentile(during, 99)
	b.ReportMetric(float64(before.Microseconds())/1000, "quiet-p99-ms")
	b.ReportMetric(float64(now.Microseconds())/1000, "siege-p99-ms")
	b.ReportMetric(float64(now)/float64(before), "p99-ratio")
	b.ReportMetric(float64(s.peak.Load()>>20), "peak-MiB")
	b.ReportMetric(float64(s.width), "slow-conns")
}

func percentile(took []time.Duration, p int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[len(sorted)*p/100]
}

// besieged is a running gateway with one agent.
type besieged struct {
	url, host string
	key       string // of alice, the agent that behaves
	other     string // of mallory, an attacker
}

func openGateway(tb testing.TB) *besieged {
	tb.Helper()
	dir := tb.TempDir()
	cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_SERVER_ADDRESS=127.0.0.1:0",
		"AMTP_DATA_DIR=" + dir, "AMTP_AUTH_REQUIRED=true"}})
	if err != nil {
		tb.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	runTheWhile(tb, a)
	admin, err := os.ReadFile(filepath.Join(dir, "admin.key"))
	if err != nil {
		tb.Fatal(err)
	}
	g := &besieged{url: a.URL(), host: strings.TrimPrefix(a.URL(), "http://")}
	for name, key := range map[string]*string{"alice": &g.key, "mallory": &g.other} {
		status, body, err := g.ask(tb.Context(), http.DefaultClient, "POST", "/v1/admin/agents",
			`{"address":"`+name+`"}`, "X-Admin-Key", strings.TrimSpace(string(admin)))
		var made struct {
			APIKey string `json:"api_key"`
		}
		if err != nil || status != http.StatusCreated || json.Unmarshal(body, &made) != nil {
			tb.Fatalf("register: %d %s %v", status, body, err)
		}
		*key = made.APIKey
	}
	return g
}

func (g *besieged) ask(ctx context.Context, client *http.Client, method, path, body, name, key string) (int,
	[]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, g.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(name, key)
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// behave sends, reads and acknowledges, at least that many requests and until done, and
// returns how long each took. The first request that fails or takes longer than the
// hard cap is an error.
func (g *besieged) behave(ctx context.Context, atLeast int, done <-chan struct{}) (took []time.Duration, err error) {
	client := &http.Client{Timeout: hardCap, Transport: &http.Transport{}}
	step := func(method, path, body string, want int) ([]byte, error) {
		began := time.Now()
		status, answer, err := g.ask(ctx, client, method, path, body, "Authorization", "Bearer "+g.key)
		took = append(took, time.Since(began))
		if err == nil && status != want {
			err = fmt.Errorf("%s %s: got %d %s, want %d", method, path, status, answer, want)
		}
		return answer, err
	}
	for {
		answer, err := step("POST", "/v1/messages",
			`{"sender":"alice@localhost","recipients":["alice@localhost"],"payload":{"text":"`+strings.Repeat("x",
				1000)+`"}}`, 202)
		if ctx.Err() != nil {
			return took, nil
		}
		if err != nil {
			return took, err
		}
		var sent struct {
			MessageID string `json:"message_id"`
		}
		if err := json.Unmarshal(answer, &sent); err != nil {
			return took, err
		}
		if answer, err = step("GET", "/v1/inbox/alice@localhost?limit=10", "", 200); err == nil &&
			!strings.Contains(string(answer), sent.MessageID) {
			err = fmt.Errorf("the inbox lacks the message that was sent: %s", answer)
		}
		if ctx.Err() != nil {
			return took, nil
		}
		if err != nil {
			return took, err
		}
		if _, err := step("DELETE", "/v1/inbox/alice@localhost/"+sent.MessageID, "", 200); err != nil &&
			ctx.Err() == nil {
			return took, err
		}
		if len(took) < atLeast {
			continue
		}
		select {
		case <-done:
			return took, nil
		case <-ctx.Done():
			return took, nil
		default:
		}
	}
}

// siege is all attacks on a gateway at once.
type siege struct {
	g      *besieged
	width  int           // slow connections at once
	done   chan struct{} // closed when all logins and bombs were tried
	cancel context.CancelFunc
	group  sync.WaitGroup

	opened, cut, logins, bombs atomic.Int64
	peak                       atomic.Uint64
	wrong                      atomic.Pointer[string] // an answer that no input may cause
}

func besiege(ctx context.Context, g *besieged) *siege {
	ctx, cancel := context.WithCancel(ctx)
	s := &siege{g: g, done: make(chan struct{}), cancel: cancel, width: slowConnections}
	var files syscall.Rlimit
	// The Go runtime has already raised the limit as far as it may. Both ends of every
	// connection are in this process.
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && files.Cur < 2*slowConnections+4000 {
		s.width = max(100, int(files.Cur/2)-2000)
	}
	const crews = 8
	for range crews {
		s.group.Go(func() { s.crawl(ctx, s.width/crews) })
	}
	s.group.Go(func() { s.watch(ctx) })
	s.group.Go(func() { s.announce(ctx) })
	s.group.Go(func() { s.wait(ctx) })
	var finite sync.WaitGroup
	for range 4 {
		finite.Go(func() { s.guess(ctx, wrongLogins/4) })
	}
	finite.Go(func() { s.explode(ctx) })
	finite.Go(func() {
		s.gathered(ctx)
		for s.cut.Load() == 0 && ctx.Err() == nil { // slow headers are cut after five seconds
			pause(ctx, 50*time.Millisecond)
		}
	})
	s.group.Go(func() {
		finite.Wait()
		close(s.done)
		for ctx.Err() == nil {
			s.explode(ctx)
			s.guess(ctx, 1000)
		}
	})
	return s
}

// gathered waits until the slow connections are open.
func (s *siege) gathered(ctx context.Context) {
	for s.opened.Load() < int64(s.width/8*8) && ctx.Err() == nil {
		pause(ctx, 50*time.Millisecond)
	}
}

func (s *siege) stop() {
	s.cancel()
	s.group.Wait()
}

// crawl keeps connections open that send their header one byte at a time. It opens
// another for each that the gateway closes.
func (s *siege) crawl(ctx context.Context, width int) {
	const header = "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: 0123456789"
	conns := make([]net.Conn, width)
	at := make([]int, width)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	for ctx.Err() == nil {
		for i := range conns {
			if conns[i] == nil && ctx.Err() == nil {
				conn, err := net.Dial("tcp", s.g.host)
				if err != nil {
					continue
				}
				s.opened.Add(1)
				conns[i], at[i] = conn, 0
			}
			if conns[i] == nil {
				continue
			}
			if _, err := io.WriteString(conns[i], header[at[i]:at[i]+1]); err != nil {
				s.cut.Add(1)
				conns[i].Close()
				conns[i] = nil
			}
			at[i] = min(at[i]+1, len(header)-1)
		}
		pause(ctx, time.Second)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// announce opens connections that announce large bodies and send none.
func (s *siege) announce(ctx context.Context) {
	for range announcements {
		conn, err := net.Dial("tcp", s.g.host)
		if err != nil {
			continue
		}
		defer conn.Close()
		_, _ = io.WriteString(conn,
			"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n{")
	}
	<-ctx.Done()
}

// wait keeps many requests waiting at an inbox.
func (s *siege) wait(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{}}
	var group sync.WaitGroup
	for range longPolls {
		group.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = s.g.ask(ctx, client, "GET", "/v1/inbox/mallory@localhost?wait=30", "", "Authorization",
					"Bearer "+s.g.other)
			}
		})
	}
	group.Wait()
}

// guess sends requests with wrong keys.
func (s *siege) guess(ctx context.Context, n int) {
	client := &http.Client{Transport: &http.Transport{}}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		status, answer, err := s.g.ask(ctx, client, "GET", "/v1/whoami", "", "Authorization",
			fmt.Sprintf("Bearer amtp_%d", i))
		if err != nil {
			continue
		}
		s.logins.Add(1)
		if status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			s.note("a wrong key: got %d %s", status, answer)
		}
	}
}

func (s *siege) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.wrong.CompareAndSwap(nil, &text)
}

// bombs are documents that cost a careless reader much time or memory.
var bombs = sync.OnceValue(func() map[string]string {
	var members strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&members, `"%x":0,`, i)
	}
	return map[string]string{
		"10 MB of brackets":  strings.Repeat("[", 10_000_000),
		"10 MB of braces":    strings.Repeat(`{"a":`, 2_000_000),
		"members":            `{"payload":{` + members.String() + `"x":0}}`,
		"small values":       `{"payload":[` + strings.Repeat("0,", 4_000_000) + `0]}`,
		"an endless number":  `{"payload":` + strings.Repeat("9", 10_000_000) + `}`,
		"a large exponent":   `{"payload":1e999999999}`,
		"exponents":          `{"payload":[` + strings.Repeat("1e400,", 1_500_000) + `0]}`,
		"10 MB of escapes":   `{"payload":"` + strings.Repeat(`\u0061`, 1_600_000),
		"a long member name": `{"` + strings.Repeat("n", 10_000_000) + `":`,
		"recipients": `{"sender":"mallory@localhost","recipients":[` + strings.Repeat(`"alice@localhost",`,
			500_000) + `"alice@localhost"]}`,
		"a deep small object": strings.Repeat(`{"a":[`, 40) + strings.Repeat(`]}`, 40),
	}
})

// explode sends all bombs once.
func (s *siege) explode(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{}}
	for name, bomb := range bombs() {
		if ctx.Err() != nil {
			return
		}
		status, answer, err := s.g.ask(ctx, client, "POST", "/v1/messages", bomb, "Authorization", "Bearer "+s.g.other)
		if err == nil && (status/100 != 4 || len(answer) > 2000) {
			s.note("%s: got %d %.300s", name, status, answer)
		}
		s.bombs.Add(1)
	}
}

// watch records how much memory the whole process uses, including the attackers.
func (s *siege) watch(ctx context.Context) {
	var m runtime.MemStats
	for ctx.Err() == nil {
		runtime.ReadMemStats(&m)
		if used := m.HeapInuse + m.StackInuse; used > s.peak.Load() {
			s.peak.Store(used)
		}
		pause(ctx, 200*time.Millisecond)
	}
}
