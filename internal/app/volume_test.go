package app_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/amtp-go/amtp/internal/wallclock"
)

// harbour is a real gateway of ours.example behind a proxy on this machine, which
// states the address of each caller. It has the signer of signed.example, and a clock
// that the test sets.
type harbour struct {
	t      testing.TB
	url    string
	dir    string
	signer *amtp.Signer
	keys   map[string]string
	ahead  atomic.Int64 // by which the clock is ahead, ns
	stands atomic.Int64 // the time at which the clock stands still, ns since 1970; 0 while it runs
	n      int

	mu  sync.Mutex
	log bytes.Buffer
}

// Write implements io.Writer, for the log.
func (h *harbour) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

// lines returns the log lines that contain the text.
func (h *harbour) lines(text string) (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for line := range strings.Lines(h.log.String()) {
		if strings.Contains(line, text) {
			list = append(list, line)
		}
	}
	return list
}

// clock returns the time of the harbour.
func (h *harbour) clock() time.Time {
	now := time.Now()
	if at := h.stands.Load(); at != 0 {
		now = time.Unix(0, at)
	}
	return now.Add(time.Duration(h.ahead.Load()))
}

// newHarbour runs a gateway with more settings NAME=value and the agents alice and bob.
func newHarbour(t testing.TB, settings ...string) *harbour {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &harbour{t: t, dir: t.TempDir(), keys: map[string]string{}}
	if h.signer, err = amtp.NewSigner("k1", private); err != nil {
		t.Fatal(err)
	}
	records, err := json.Marshal(map[string]string{"k1._amtpkey.signed.example": h.signer.KeyRecord().String()})
	if err != nil {
		t.Fatal(err)
	}
	environ := append([]string{"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DATA_DIR=" + h.dir, "AMTP_DOMAIN=ours.example",
		"AMTP_DNS_MOCK_MODE=true",
		"AMTP_DNS_MOCK_RECORDS=" + string(records)}, settings...)
	const proxies = "AMTP_SERVER_TRUSTED_PROXIES="
	if !slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, proxies) }) {
		environ = append(environ, proxies+"127.0.0.1")
	}
	cfg, _, err := config.Load(config.Sources{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	clock := wallclock.Clock{Now: h.clock, Obeyed: true}
	a, err := app.NewBy(clock, cfg, slog.New(slog.NewTextHandler(h, nil)))
	if err != nil {
		t.Fatal(err)
	}
	runTheWhile(t, a)
	h.url = a.URL()
	for _, name := range []string{"alice", "bob"} {
		made, err := h.admin().Register(t.Context(), amtp.NewAgent{Address: name})
		if err != nil {
			t.Fatal(err)
		}
		h.keys[name] = made.APIKey
	}
	return h
}

func (h *harbour) admin() *admin.Client {
	h.t.Helper()
	key, err := os.ReadFile(filepath.Join(h.dir, "admin.key"))
	if err != nil {
		h.t.Fatal(err)
	}
	return &admin.Client{Client: amtp.Client{URL: h.url, AdminKey: strings.TrimSpace(string(key))}}
}

// stand stops the clock, so that no allowance regrows however slow the machine is.
func (h *harbour) stand() { h.stands.Store(time.Now().UnixNano()) }

// pass advances the clock.
func (h *harbour) pass(d time.Duration) { h.ahead.Add(int64(d)) }

// cargo is a message, with its sender and the address from which it comes.
type cargo struct {
	from   string // address of the caller
	sender string
	to     string
	pad    int
	key    string
}

// brings posts a message and returns the status, the error and Retry-After.
func (h *harbour) brings(c cargo) (int, amtp.Error, int) {
	h.t.Helper()
	h.n++
	at := h.clock().UTC().Format(time.RFC3339)
	body := fmt.Appendf(nil,
		`{"version":"1.0","message_id":"m%d","idempotency_key":"k%d","timestamp":"%s","sender":%q,"recipients":[%q],"payload":%q}`,
		h.n, h.n, at, c.sender, c.to, strings.Repeat("x", c.pad))
	if strings.HasSuffix(c.sender, "@signed.example") {
		var err error
		if body, err = h.signer.Sign(body); err != nil {
			h.t.Fatal(err)
		}
	}
	return h.ask("POST", "/v1/messages", string(body), c.from, c.key)
}

func (h *harbour) ask(method, path, body, from, key string) (int, amtp.Error, int) {
	h.t.Helper()
	r, err := http.NewRequest(method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", "203.0.113.250, "+from) // the first address may be written by anybody
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	var said struct{ Error amtp.Error }
	if err := json.Unmarshal(raw, &said); err != nil {
		h.t.Fatalf("the answer is no JSON: %v: %s", err, raw)
	}
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return resp.StatusCode, said.Error, after
}

// TestLimits tests every limit on messages, over HTTP. Everything else about the
// messages varies, so that only one limit is reached. The answer is 429 and says when
// to come again. Callers that the limit does not concern are served.
func TestLimits(t *testing.T) {
	slow.Test(t, "it sends two thousand messages")
	// Fields of a message that reaches no limit by itself.
	any := func(i int) cargo {
		return cargo{from: fmt.Sprintf("2001:db8:%x::1", i), sender: fmt.Sprintf("s%d@d%d.example", i, i),
			to: []string{"bob", "alice"}[i%2] + "@ours.example"}
	}
	signed := func(i int) cargo { c := any(i); c.sender = fmt.Sprintf("s%d@signed.example", i); return c }
	for _, tc := range []struct {
		what     string
		known    bool // whether signed.example has signed for a day
		settings []string
		limit    string
		unit     string
		want     int // messages that are accepted
		next     func(i int) cargo
	}{
		{"an address", false, nil, "address", "messages", 10, func(i int) cargo {
			c := any(i)
			c.from = "198.51.100.1"
			c.sender = fmt.Sprintf("s%d@d%d.example", i, i%3)
			return c
		}},
		{"a /24", false, nil, "network", "messages", 40, func(i int) cargo {
			c := any(i)
			c.from, c.sender = fmt.Sprintf("198.51.100.%d", i), fmt.Sprintf("s%d@d%d.example", i, i%8)
			return c
		}},
		{"a /64", false, nil, "address", "messages", 10, func(i int) cargo {
			c := any(i)
			c.from, c.sender = fmt.Sprintf("2001:db8::%x", i+1), fmt.Sprintf("s%d@d%d.example", i, i%3)
			return c
		}},
		{"a /56", false, nil, "network", "messages", 40, func(i int) cargo {
			c := any(i)
			c.from, c.sender = fmt.Sprintf("2001:db8:0:%x::1", i), fmt.Sprintf("s%d@d%d.example", i, i%8)
			return c
		}},
		{"a domain that proves nothing", false, nil, "domain", "messages", 10, func(i int) cargo {
			c := any(i)
			c.sender = fmt.Sprintf("s%d@far.example", i)
			return c
		}},
		{"a sender that proves nothing", false, nil, "sender", "messages", 5, func(i int) cargo {
			c := any(i)
			c.sender = "ann@far.example"
			return c
		}},
		{"an inbox", false, nil, "inbox", "messages", 40, func(i int) cargo {
			c := any(i)
			c.to = "bob@ours.example"
			return c
		}},
		{"bytes", false, []string{"AMTP_MESSAGE_MAX_SIZE=32KiB", "AMTP_LIMITS_BYTES_PER_MINUTE=1KiB"}, "domain",
			"bytes", 2, func(i int) cargo {
				c := any(i)
				c.sender, c.pad = fmt.Sprintf("s%d@far.example", i), 30_000
				return c
			}},
		{"a domain that signs since today", false, nil, "domain", "messages", 100, signed},
		{"a sender there", false, nil, "sender", "messages", 50, func(i int) cargo {
			c := signed(i)
			c.sender = "ann@signed.example"
			return c
		}},
		{"a domain that has signed for a day", true, nil, "domain", "messages", 500, signed},
		{"a sender there", true, nil, "sender", "messages", 250, func(i int) cargo {
			c := signed(i)
			c.sender = "ann@signed.example"
			return c
		}},
		{"an agent here", false, []string{"AMTP_MESSAGE_MAX_SIZE=32KiB", "AMTP_LIMITS_BYTES_PER_MINUTE=1KiB"}, "sender",
			"bytes", 1085, func(i int) cargo {
				return cargo{from: "198.51.100.7", sender: "alice@ours.example",
					to: []string{"bob", "alice"}[i%2] + "@ours.example", pad: 30_000, key: "alice"}
			}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			h := newHarbour(t, append([]string{"AMTP_LIMITS_MESSAGES_PER_MINUTE=1"}, tc.settings...)...)
			h.stand()
			if tc.known {
				if status, e, _ := h.brings(signed(9000)); status != http.StatusAccepted {
					t.Fatalf("the first message of the domain: %d %v", status, e)
				}
				h.pass(25 * time.Hour)
			}
			for i := range tc.want + 20 {
				c := tc.next(i)
				c.key = h.keys[c.key]
				status, e, after := h.brings(c)
				if status == http.StatusAccepted {
					continue
				}
				if i != tc.want || status != http.StatusTooManyRequests ||
					e.Code != amtp.CodeRateLimitExceeded || after < 1 ||
					e.Details["limit"] != tc.limit || e.Details["unit"] != tc.unit {
					t.Fatalf("message %d: %d %v %v, Retry-After %d; want %d to be taken and then 429 RATE_LIMIT_EXCEEDED, of the %s, in %s",
						i, status, e.Code, e.Details, after, tc.want, tc.limit, tc.unit)
				}
				if status, e, _ := h.brings(any(8001)); status != http.StatusAccepted && tc.limit != "inbox" {
					t.Errorf("meanwhile another caller is answered %d %v", status, e)
				}
				if status, e, _ := h.brings(cargo{from: "192.0.2.77", sender: "bob@ours.example",
					to: "alice@ours.example", key: h.keys["bob"]}); status != http.StatusAccepted {
					t.Errorf("meanwhile an agent here is answered %d %v", status, e)
				}
				h.pass(time.Duration(after) * time.Second)
				if status, e, _ := h.brings(c); status != http.StatusAccepted {
					t.Errorf("after %d seconds it is answered %d %v, want 202", after, status, e)
				}
				return
			}
			t.Errorf("all %d messages were taken, want %d and then 429", tc.want+20, tc.want)
		})
	}
}

// TestLimitsOnQuestions: the limits on new domains that a caller makes the gateway look
// up, on other requests without a key, and on small pages of the directory.
func TestLimitsOnQuestions(t *testing.T) {
	h := newHarbour(t, "AMTP_LIMITS_MESSAGES_PER_MINUTE=2")
	h.stand()
	refused := func(status int, e amtp.Error, after int) bool {
		return status == http.StatusTooManyRequests && e.Code == amtp.CodeRateLimitExceeded && after >= 1
	}
	for i := range 11 {
		status, e, after := h.brings(cargo{from: "198.51.100.1", sender: fmt.Sprintf("s@d%d.example", i),
			to: "bob@ours.example"})
		if i < 10 && status != http.StatusAccepted || i == 10 &&
			(!refused(status, e, after) || e.Details["unit"] != "new domains") {
			t.Errorf("the answer to new domain %d is %d %v %v, Retry-After %d; want ten to be looked up, and then 429",
				i, status, e.Code, e.Details, after)
		}
	}
	for i := range 21 {
		status, e, after := h.ask("GET", "/v1/discovery/agents", "", "198.51.100.2", "")
		if i < 20 && status != http.StatusOK || i == 20 && !refused(status, e, after) {
			t.Errorf("question %d is answered %d %v, Retry-After %d; want twenty answers, and then 429", i, status,
				e.Code, after)
		}
	}
	if status, e, _ := h.ask("GET", "/v1/discovery/agents", "", "198.51.100.2",
		h.keys["bob"]); status != http.StatusOK {
		t.Errorf("an agent at that address is answered %d %v, want 200", status, e)
	}
	for i := range 21 {
		status, e, after := h.ask("POST", "/v1/messages", `{"version":`, "198.51.100.3", "")
		if i < 20 && status != http.StatusBadRequest || i == 20 && !refused(status, e, after) {
			t.Errorf("bad message %d is answered %d %v, Retry-After %d; want twenty times 400, and then 429", i, status,
				e.Code, after)
		}
	}
}

// TestAProxyThatIsNotTrusted: what such a proxy says of its callers is ignored, and the
// log says once that there is one.
func TestAProxyThatIsNotTrusted(t *testing.T) {
	h := newHarbour(t, "AMTP_LIMITS_MESSAGES_PER_MINUTE=1", "AMTP_SERVER_TRUSTED_PROXIES=192.0.2.0/24")
	for i := range 12 { // of one address, if the header were believed
		status, e, _ := h.brings(cargo{from: "198.51.100.1", sender: fmt.Sprintf("s@d%d.example", i),
			to: "bob@ours.example"})
		if status != http.StatusAccepted {
			t.Errorf("message %d from this machine: %d %v, want 202", i, status, e)
		}
	}
	untold := newHarbour(t, "AMTP_SERVER_TRUSTED_PROXIES=")
	for range 3 {
		untold.brings(cargo{from: "198.51.100.1", sender: "ann@far.example", to: "bob@ours.example"})
	}
	if lines := untold.lines("server.trusted_proxies does not name"); len(lines) != 1 {
		t.Errorf("the log has %q, want one line", lines)
	}
}

// TestShortDisk: strangers are refused while the disk is short; agents and known
// domains are served.
func TestShortDisk(t *testing.T) {
	h := newHarbour(t)
	signed := cargo{from: "198.51.100.1", sender: "ann@signed.example", to: "bob@ours.example"}
	if status, e, _ := h.brings(signed); status != http.StatusAccepted {
		t.Fatalf("with room, the first message of the domain: %d %v", status, e)
	}
	short := newHarbour(t, "AMTP_LIMITS_FREE_SPACE=1024GiB")
	status, e, after := short.brings(cargo{from: "198.51.100.1", sender: "ann@far.example", to: "bob@ours.example"})
	if status != http.StatusServiceUnavailable || e.Code != amtp.CodeTemporaryFailure || after < 1 {
		t.Errorf("a stranger while the disk is short: %d %v, Retry-After %d; want 503 TEMPORARY_FAILURE", status,
			e.Code, after)
	}
	if status, e, _ := short.brings(cargo{from: "198.51.100.1", sender: "alice@ours.example", to: "bob@ours.example",
		key: short.keys["alice"]}); status != http.StatusAccepted {
		t.Errorf("an agent while the disk is short: %d %v, want 202", status, e)
	}
}

// TestReadForNothing: after one signed message the gateway does not read everything
// else from that address.
func TestReadForNothing(t *testing.T) {
	h := newHarbour(t, "AMTP_LIMITS_MESSAGES_PER_MINUTE=1")
	h.stand()
	const from = "198.51.100.1"
	if status, e, _ := h.brings(cargo{from: from, sender: "ann@signed.example",
		to: "bob@ours.example"}); status != http.StatusAccepted {
		t.Fatalf("the signed message: %d %v", status, e)
	}
	limits := map[any]int{}
	for range 120 {
		status, e, after := h.brings(cargo{from: from, sender: "ann@far.example", to: "bob@ours.example"})
		if status != http.StatusAccepted && (status != http.StatusTooManyRequests || after < 1) {
			t.Fatalf("a message of the flood: %d %v, Retry-After %d; want 202 or 429", status, e, after)
		}
		limits[e.Details["limit"]]++
	}
	if limits[nil] != 5 || limits["sender"] != 100 || limits["address"] != 15 {
		t.Errorf("of 120 messages of one sender: %v; want 5 taken, 100 read and refused for the sender, and 15 refused unread for the address",
			limits)
	}
	if status, e, _ := h.brings(cargo{from: "198.51.100.2", sender: "ann@signed.example",
		to: "bob@ours.example"}); status != http.StatusAccepted {
		t.Errorf("the domain, from another address: %d %v", status, e)
	}
}

// TestMuchShorterDisk: below half of the mark only some domains are served: those to
// which an agent wrote, and those that have signed for a month. A domain that has
// signed since yesterday is not.
func TestMuchShorterDisk(t *testing.T) {
	h := newHarbour(t, "AMTP_LIMITS_FREE_SPACE=1024GiB")
	brings := func(when string, want int) {
		t.Helper()
		status, e, after := h.brings(cargo{from: "198.51.100.1", sender: "ann@signed.example", to: "bob@ours.example"})
		if status != want || want != http.StatusAccepted && (e.Code != amtp.CodeTemporaryFailure || after < 1) {
			t.Errorf("%s: %d %v, Retry-After %d; want %d", when, status, e.Code, after, want)
		}
	}
	brings("the first message", http.StatusServiceUnavailable)
	h.pass(25 * time.Hour)
	brings("of a domain that signs since yesterday", http.StatusServiceUnavailable)
	h.pass(28 * 24 * time.Hour)
	brings("of one that signs since less than a month", http.StatusServiceUnavailable)
	if status, e, _ := h.brings(cargo{from: "198.51.100.7", sender: "alice@ours.example", to: "ann@signed.example",
		key: h.keys["alice"]}); status != http.StatusAccepted {
		t.Fatalf("an agent writes to it: %d %v", status, e)
	}
	h.pass(2 * time.Minute)
	brings("after an agent wrote to it", http.StatusAccepted)
	if err := h.admin().DeleteAgent(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	h.pass(2 * time.Minute)
	brings("without that agent", http.StatusServiceUnavailable)
	h.pass(2 * 24 * time.Hour)
	brings("of one that has signed for a month", http.StatusAccepted)
}

// TestStrangersLinesAreSampled: of the log lines that strangers cause, ten a second are
// written, and the next line counts the others.
func TestStrangersLinesAreSampled(t *testing.T) {
	h := newHarbour(t, "AMTP_LIMITS_FREE_SPACE=1024GiB")
	h.stand()
	spam := cargo{from: "198.51.100.1", sender: "ann@far.example", to: "bob@ours.example"}
	for range 50 {
		if status, e, _ := h.brings(spam); status != http.StatusServiceUnavailable {
			t.Fatalf("a stranger while the disk is short: %d %v, want 503", status, e)
		}
	}
	if n := len(h.lines("request failed")); n != 10 {
		t.Errorf("50 refused strangers in one second caused %d lines, want 10", n)
	}
	h.pass(time.Second)
	h.brings(spam)
	if lines := h.lines("left_out=40"); len(lines) != 1 {
		t.Errorf("a second later the log has %q, want one line that counts the 40 others", lines)
	}
}

// TestLimitsAreShown: the operator sees how much is used, and by whom.
func TestLimitsAreShown(t *testing.T) {
	h := newHarbour(t, "AMTP_LIMITS_MESSAGES_PER_MINUTE=1")
	h.stand()
	for range 6 {
		h.brings(cargo{from: "198.51.100.1", sender: "ann@far.example", to: "bob@ours.example"})
	}
	report, err := h.admin().Limits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if report.Disk == nil || report.Disk.Free <= 0 || report.Connections == nil || report.Connections.Most != 8192 ||
		len(report.Limits) == 0 {
		t.Errorf("the report says nothing of the disk, of connections or of limits: %+v", report)
	}
	for _, u := range report.Used {
		if u.Class == admin.LimitStranger && u.Of == admin.LimitSender {
			if u.Name != "ann@far.example" || u.Messages != 5 || u.Refused != 1 || u.Share < 0.9 {
				t.Errorf("of the sender: %+v, want 5 messages used and one refused", u)
			}
			return
		}
	}
	t.Errorf("the report does not have the sender: %+v", report.Used)
}
