package limits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// hall is a Limits with a clock that the test sets.
type hall struct {
	*Limits
	t   testing.TB
	now time.Time
}

func open(t testing.TB, o Options) *hall {
	h := &hall{t: t, now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	o.Now = func() time.Time { return h.now }
	if o.Messages == 0 {
		o.Messages = 1
	}
	if o.Bytes == 0 {
		o.Bytes = 1 << 30
	}
	h.Limits = New(o)
	return h
}

// visit is a message with its sender and the address from which it comes.
type visit struct {
	class  class
	from   string // address
	sender string
	inbox  string
	bytes  int
}

func message(t testing.TB, sender, to string, bytes int) *amtp.Message {
	t.Helper()
	pad := make([]byte, max(bytes-120, 0))
	for i := range pad {
		pad[i] = 'x'
	}
	m, refused := amtp.ParseMessage(fmt.Appendf(nil, `{"version":"1.0","sender":%q,"recipients":[%q],"payload":%q}`,
		sender, to, pad))
	if refused != nil {
		t.Fatal(refused)
	}
	return m
}

func principal(m *amtp.Message, c class, from string) *gateway.Principal {
	p := &gateway.Principal{From: netip.MustParseAddr(from)}
	switch c {
	case local:
		p.Agent = &gateway.Agent{Address: m.Sender}
		return p
	case known:
		p.Settled = true
		fallthrough
	case newcomer:
		p.Found.Result = amtp.AuthPass
	}
	p.Domain = m.Sender.Domain()
	return p
}

// comes offers a message and returns the refusal.
func (h *hall) comes(v visit) *amtp.Error {
	h.t.Helper()
	m := message(h.t, v.sender, v.inbox, v.bytes)
	each, refused := h.Admit(principal(m, v.class, v.from), m, m.Recipients, 0)
	for _, e := range each {
		if e != nil {
			return e
		}
	}
	return refused
}

// count returns how many messages that the function makes are accepted before one is
// refused, and by which limit that was.
func (h *hall) count(most int, next func(i int) visit) (int, string) {
	h.t.Helper()
	for i := range most {
		if e := h.comes(next(i)); e != nil {
			if e.Code != amtp.CodeRateLimitExceeded || e.RetryAfter < time.Second {
				h.t.Fatalf("message %d is refused with %s after %v, want RATE_LIMIT_EXCEEDED and a second or more", i,
					e.Code, e.RetryAfter)
			}
			return i, e.Details["limit"].(string)
		}
	}
	return most, ""
}

func v4(i, j int) string { return fmt.Sprintf("198.%d.%d.%d", 18+i>>8&1, i&255, j&255) }

// TestEveryKind: each kind is bounded by its own rate, while everything else about the
// messages changes.
func TestEveryKind(t *testing.T) {
	any := func(i int) visit {
		return visit{stranger, fmt.Sprintf("2001:db8:%x::1", i), fmt.Sprintf("s%d@d%d.example", i, i),
			fmt.Sprintf("i%d@ours.example", i), 0}
	}
	for _, tc := range []struct {
		name  string
		limit string
		want  int
		next  func(i int) visit
	}{
		{"IPv4 address", "address", 10, func(i int) visit { v := any(i); v.from = "192.0.2.1"; return v }},
		{"IPv4 /24", "network", 40, func(i int) visit { v := any(i); v.from = fmt.Sprintf("192.0.2.%d", i); return v }},
		{"IPv6 /64", "address", 10, func(i int) visit {
			v := any(i)
			v.from = fmt.Sprintf("2001:db8::%x", i+1)
			return v
		}},
		{"IPv6 /56", "network", 40, func(i int) visit {
			v := any(i)
			v.from = fmt.Sprintf("2001:db8:0:%x::1", i)
			return v
		}},
		{"IPv6 /48", "site", 160, func(i int) visit {
			v := any(i)
			v.from = fmt.Sprintf("2001:db8:0:%x::1", i<<8&0xffff|i>>8)
			return v
		}},
		{"IPv4 in IPv6", "address", 10, func(i int) visit {
			v := any(i)
			v.from = []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2]
			return v
		}},
		{"a domain that proves nothing", "domain", 10, func(i int) visit {
			v := any(i)
			v.sender = fmt.Sprintf("s%d@far.example", i)
			return v
		}},
		{"a sender that proves nothing", "sender", 5, func(i int) visit {
			v := any(i)
			v.sender = "ann@far.example"
			return v
		}},
		{"an inbox, for strangers", "inbox", 40, func(i int) visit {
			v := any(i)
			v.inbox = "bob@ours.example"
			return v
		}},
		{"a new domain that signs", "domain", 100, func(i int) visit {
			v := any(i)
			v.class, v.sender = newcomer, fmt.Sprintf("s%d@far.example", i)
			return v
		}},
		{"a sender of it", "sender", 50, func(i int) visit {
			v := any(i)
			v.class, v.sender = newcomer, "ann@far.example"
			return v
		}},
		{"one address of new domains that sign", "address", 100, func(i int) visit {
			v := any(i)
			v.class, v.from = newcomer, "192.0.2.1"
			return v
		}},
		{"a domain that has signed for long", "domain", 500, func(i int) visit {
			v := any(i)
			v.class, v.sender = known, fmt.Sprintf("s%d@far.example", i)
			return v
		}},
		{"a sender of it", "sender", 250, func(i int) visit {
			v := any(i)
			v.class, v.sender = known, "ann@far.example"
			return v
		}},
		{"an inbox, for those", "inbox", 2000, func(i int) visit {
			v := any(i)
			v.class, v.inbox = known, "bob@ours.example"
			return v
		}},
		{"an agent here", "sender", 5000, func(i int) visit {
			v := any(i)
			v.class, v.sender = local, "ann@ours.example"
			return v
		}},
	} {
		h := open(t, Options{})
		if got, limit := h.count(tc.want+1, tc.next); got != tc.want || limit != tc.limit {
			t.Errorf("%s: %d messages are taken and then refused by %q, want %d by %q", tc.name, got, limit,
				tc.want, tc.limit)
		}
		if e := h.comes(any(50_000)); e != nil {
			t.Errorf("%s: meanwhile another caller is refused: %v", tc.name, e)
		}
	}
}

// TestFiftyTimes: a known domain that signs may send 50 times as much as a stranger's
// domain, in messages and in bytes.
func TestFiftyTimes(t *testing.T) {
	all := ratesOf(&Options{Messages: 120, Bytes: 1 << 20, Largest: 10 << 20})
	for u := range 2 {
		a, b := all[stranger][domain][u], all[known][domain][u]
		if b.Burst != 50*a.Burst || b.Period != a.Period {
			t.Errorf("a stranger's domain has %+v, one that is known %+v; want 50 times as much", a, b)
		}
	}
	for c := range all {
		for w := range all[c] {
			if r := all[c][w]; r[1].Burst > 0 && r[1].Burst < 20<<20 {
				t.Errorf("%s: two of the largest messages do not fit into %d bytes",
					kind{class(c), what(w)}.name(""), r[1].Burst)
			}
		}
	}
}

// TestBytesAtOnce: at most 4 GiB, or the bytes of one minute, may come at once from one
// other domain, address or network, whatever its rate. An agent here may send as many
// times a stranger's bytes as a stranger's messages.
func TestBytesAtOnce(t *testing.T) {
	for _, bytes := range []int64{1 << 10, 1 << 20, 16 << 20, 1 << 30, 1 << 40} {
		all := ratesOf(&Options{Messages: 1200, Bytes: bytes, Largest: 10 << 20})
		for c := range all {
			for w, f := range factors[c] {
				r := all[c][w][1]
				if f[1] == 0 {
					continue
				}
				minute := bytes * f[1] / 2
				if most := max(4<<30, minute); class(c) != local && r.Burst > most {
					t.Errorf("%s, of %d: %d bytes at once, want at most %d", kind{class(c), what(w)}.name(""), bytes,
						r.Burst, most)
				}
				if got := perMinute(r.Burst, r.Period); r.Burst > 20<<20 &&
					(got > minute+minute/1000 || got < minute-minute/1000) {
					t.Errorf("%s, of %d: %d bytes a minute, want %d", kind{class(c), what(w)}.name(""),
						bytes, got, minute)
				}
				if class(c) == local && f[0] != f[1] {
					t.Errorf("an agent has %d times as many messages and %d times as many bytes", f[0], f[1])
				}
			}
		}
	}
}

// TestAnAgentThatWritesMuch is accepted for any length of time: 2 MB a second.
func TestAnAgentThatWritesMuch(t *testing.T) {
	h := open(t, Options{Messages: 1200, Bytes: 1 << 20, Largest: 10 << 20})
	m := message(t, "ann@ours.example", "bob@ours.example", 10<<20)
	p := principal(m, local, "192.0.2.1")
	for i := range 2000 {
		if each, refused := h.Admit(p, m, m.Recipients, 0); each != nil || refused != nil {
			t.Fatalf("after %v, message %d of an agent with 2 MB a second: %v %v", time.Duration(i)*5*time.Second, i,
				each, refused)
		}
		h.now = h.now.Add(5 * time.Second)
	}
}

// TestBytes are bounded in addition to messages.
func TestBytes(t *testing.T) {
	h := open(t, Options{Messages: 1000, Bytes: 1024, Largest: 1024})
	got, limit := h.count(1000, func(i int) visit {
		return visit{stranger, v4(i, 1), fmt.Sprintf("s%d@far.example", i), fmt.Sprintf("i%d@ours.example", i), 1000}
	})
	if got < 60 || got > 70 || limit != "domain" {
		t.Errorf("%d messages of 1,000 bytes are taken and then refused by %q, want about 65 (64 KiB) by the domain",
			got, limit)
	}
}

// TestWhatIsUsedComesBack: a used rate comes back evenly.
func TestWhatIsUsedComesBack(t *testing.T) {
	h := open(t, Options{})
	ann := func(int) visit { return visit{stranger, "192.0.2.1", "ann@far.example", "bob@ours.example", 0} }
	if got, _ := h.count(100, ann); got != 5 {
		t.Fatalf("%d are taken at first, want 5", got)
	}
	e := h.comes(ann(0))
	h.now = h.now.Add(e.RetryAfter)
	if got, _ := h.count(100, ann); got != 1 {
		t.Errorf("after the wait of %v, %d are taken, want 1", e.RetryAfter, got)
	}
	h.now = h.now.Add(messagePeriod)
	if got, _ := h.count(100, ann); got != 5 {
		t.Errorf("after the whole time %d are taken, want 5", got)
	}
}

// TestARefusedMessageUsesNothing, not even of the limits that it is within.
func TestARefusedMessageUsesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := open(t, Options{})
		for range rapid.IntRange(1, 80).Draw(rt, "messages") {
			v := visit{
				class: class(rapid.IntRange(0, int(local)).Draw(rt, "class")),
				from:  v4(rapid.IntRange(0, 2).Draw(rt, "network"), rapid.IntRange(0, 3).Draw(rt, "address")),
				sender: fmt.Sprintf("s%d@d%d.example", rapid.IntRange(0, 2).Draw(rt, "sender"),
					rapid.IntRange(0, 2).Draw(rt, "domain")),
				inbox: fmt.Sprintf("i%d@ours.example", rapid.IntRange(0, 2).Draw(rt, "inbox")),
			}
			before := h.all()
			refused := h.comes(v)
			if after := h.all(); (refused != nil) != (before == after) {
				rt.Fatalf("%+v: refused with %v, and what is used was %s and is %s", v, refused, before, after)
			}
			h.now = h.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(rt, "pause")) * time.Second)
		}
	})
}

// all returns all used rates as text.
func (h *hall) all() string {
	used := map[string]gateway.Spent{}
	for c := range h.tables {
		for w := range h.tables[c] {
			for _, e := range h.tables[c][w].list {
				used[kind{class(c), what(w)}.name(e.name.String())] = e.spent
			}
		}
	}
	b, err := json.Marshal(used)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// TestOneFullInbox refuses only its own copy of a message. A message for full inboxes
// only is refused.
func TestOneFullInbox(t *testing.T) {
	h := open(t, Options{})
	if got, limit := h.count(100, func(i int) visit {
		return visit{stranger, v4(i, 1), fmt.Sprintf("s%d@d%d.example", i, i), "full@ours.example", 0}
	}); limit != "inbox" {
		t.Fatalf("%d are taken and then refused by %q, want by the inbox", got, limit)
	}
	m,
		refused := amtp.ParseMessage([]byte(`{"version":"1.0","sender":"ann@far.example","recipients":["full@ours.example","bob@ours.example"]}`))
	if refused != nil {
		t.Fatal(refused)
	}
	p := principal(m, stranger, "203.0.113.1")
	each, refused := h.Admit(p, m, m.Recipients, 0)
	if refused != nil || len(each) != 2 || each[0] == nil || each[1] != nil {
		t.Errorf("to a full inbox and another: %v, %v; want the first alone refused", each, refused)
	}
	before := h.all()
	each, refused = h.Admit(p, m, m.Recipients[:1], 0)
	if refused != nil || len(each) != 1 || each[0] == nil || h.all() != before {
		t.Errorf("to the full inbox alone: %v, %v; want it refused and nothing used", each, refused)
	}
}

// TestEveryRecipientCounts, also one that does not exist and gets no message.
func TestEveryRecipientCounts(t *testing.T) {
	h := open(t, Options{})
	m,
		refused := amtp.ParseMessage([]byte(`{"version":"1.0","sender":"ann@far.example","recipients":["bob@ours.example","a@ours.example","b@ours.example","c@ours.example"]}`))
	if refused != nil {
		t.Fatal(refused)
	}
	p := principal(m, stranger, "203.0.113.1")
	if _, refused := h.Admit(p, m, m.Recipients[:1], 0); refused != nil {
		t.Fatal(refused)
	}
	if got, limit := h.count(10, func(int) visit {
		return visit{stranger, "203.0.113.1", "ann@far.example", "bob@ours.example", 0}
	}); got != 1 || limit != "sender" {
		t.Errorf("after a message for four, %d more are taken and then refused by %q; want 1 by the sender", got, limit)
	}
}

// TestTheSameInboxTwice counts twice, but has one entry.
func TestTheSameInboxTwice(t *testing.T) {
	h := open(t, Options{})
	m := message(t, "ann@far.example", "bob@ours.example", 0)
	bob := m.Recipients[0]
	if _, refused := h.Admit(principal(m, stranger, "203.0.113.1"), m, []amtp.Address{bob, bob}, 0); refused != nil {
		t.Fatal(refused)
	}
	t0 := &h.tables[stranger][inbox]
	debt := h.rates[stranger][inbox][0].Debt(t0.list[0].spent[0], h.now.UnixMicro())
	if want := 2 * h.rates[stranger][inbox][0].Cost(1); len(t0.list) != 1 || len(t0.named) != 1 || debt != want {
		t.Errorf("%d entries in the list, %d in the table, %d used; want one, and %d", len(t0.list),
			len(t0.named), debt, want)
	}
}

// TestThisMachineHasNoNetwork: a proxy on this machine brings the messages of all
// callers.
func TestThisMachineHasNoNetwork(t *testing.T) {
	h := open(t, Options{})
	for i, from := range []string{"127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"} {
		if got, limit := h.count(30, func(j int) visit {
			return visit{stranger, from, fmt.Sprintf("s@d%d-%d.example", i, j), fmt.Sprintf("i%d@ours.example", j), 0}
		}); got != 30 {
			t.Errorf("from %s: %d are taken and then refused by %q, want all 30", from, got, limit)
		}
	}
}

// TestMemoryIsBounded: a million names that an attacker chooses leave a bounded number
// of entries. A name that used much is still bounded after them.
func TestMemoryIsBounded(t *testing.T) {
	h := open(t, Options{Messages: 1})
	p := &gateway.Principal{}
	spendAs := func(from netip.Addr, m *amtp.Message) *amtp.Error {
		p.From, p.Domain = from, m.Sender.Domain()
		_, refused := h.Admit(p, m, nil, 1)
		return refused
	}
	heavy := message(t, "heavy@heavy.example", "bob@ours.example", 0)
	for range 5 {
		if refused := spendAs(netip.MustParseAddr("203.0.113.1"), heavy); refused != nil {
			t.Fatal(refused)
		}
	}
	for i := range 20_000 { // with a /64, a /56 and a /48 each
		p.From = netip.AddrFrom16([16]byte{0x20, 0x01, byte(i >> 16), byte(i >> 8), byte(i)})
		h.Failed(p, 1, 0)
	}
	t0 := &h.tables[stranger][sender]
	for i := range 1_000_000 {
		e := t0.add(name{text: "s" + strconv.Itoa(i) + "@far.example"})
		t0.set(e, e.spent.Add([2]int64{1, 1}, h.now.UnixMicro()))
	}
	if len(t0.named) != len(t0.list) || len(t0.list) != entriesOfKind {
		t.Errorf("a million senders leave %d and %d entries, want %d", len(t0.named), len(t0.list), entriesOfKind)
	}
	for i, e := range t0.list {
		if e.index != i || t0.named[e.name] != e || t0.until[i] != max(e.spent[0], e.spent[1]) {
			t.Fatalf("entry %d says that it is %d, and its name or its time is another's", i, e.index)
		}
	}
	if n := h.Entries(); n > 6*entriesOfKind {
		t.Errorf("%d entries are remembered, want at most %d", n, 6*entriesOfKind)
	}
	if refused := spendAs(netip.MustParseAddr("203.0.113.1"), heavy); refused == nil {
		t.Error("a name that used its whole rate is forgotten after names that used one message each")
	}
}

// TestEarly: an address beyond its rate is refused before its message is read, unless
// proven messages come from there.
func TestEarly(t *testing.T) {
	h := open(t, Options{})
	from := netip.MustParseAddr("192.0.2.1")
	p := &gateway.Principal{From: from}
	for range 10 {
		if refused := h.Early(from); refused != nil {
			t.Fatalf("refused early: %v", refused)
		}
		h.Failed(p, 1, 100)
	}
	if refused := h.Early(from); refused == nil || refused.Details["limit"] != "address" {
		t.Errorf("after ten failures: %v, want a refusal of the address", refused)
	}
	if refused := h.Early(netip.MustParseAddr("192.0.2.2")); refused != nil {
		t.Errorf("a neighbour is refused early: %v", refused)
	}
	if refused := h.comes(visit{newcomer, "192.0.2.1", "ann@signed.example", "bob@ours.example", 0}); refused != nil {
		t.Fatalf("a proven message is refused: %v", refused)
	}
	if refused := h.Early(from); refused != nil {
		t.Errorf("after a proven message: %v, want the next message to be read", refused)
	}
}

// TestReadForNothing: a flood may be refused for its content or for any limit. No more
// of it is read than its address may send. A proven message raises that, for the time
// and the domain that it proves. The flood uses no other caller's rate.
func TestReadForNothing(t *testing.T) {
	from := netip.MustParseAddr("192.0.2.1")
	for _, tc := range []struct {
		what  string
		prove class // of a message that came from the address before
		want  int
	}{{"nothing was proven", stranger, 10}, {"a new domain", newcomer, 100}, {"a known domain", known, 5000}} {
		h := open(t, Options{})
		if tc.prove != stranger {
			if refused := h.comes(visit{tc.prove, "192.0.2.1", "ann@signed.example", "bob@ours.example",
				0}); refused != nil {
				t.Fatal(refused)
			}
		}
		read := 0
		flood := func() *amtp.Error {
			for ; read < 3*tc.want; read++ {
				if refused := h.Early(from); refused != nil {
					return refused
				}
				h.Tried(from, 1, 1000) // it is refused for the rate of its sender
			}
			return nil
		}
		refused := flood()
		if refused == nil || read != tc.want || refused.Code != amtp.CodeRateLimitExceeded ||
			refused.RetryAfter < time.Second {
			t.Fatalf("where %s: %d messages are read, and then %v; want %d and a refusal", tc.what, read,
				refused, tc.want)
		}
		if refused := h.Early(netip.MustParseAddr("192.0.2.2")); refused != nil {
			t.Errorf("where %s: a neighbour is refused: %v", tc.what, refused)
		}
		if refused := h.comes(visit{stranger, "192.0.2.1", "ann@far.example", "bob@ours.example", 0}); refused != nil {
			t.Errorf("where %s: messages only read used the rate of sent ones: %v", tc.what, refused)
		}
		h.now = h.now.Add(refused.RetryAfter)
		if again := h.Early(from); again != nil {
			t.Errorf("where %s: after the wait of %v it is refused again: %v", tc.what, refused.RetryAfter, again)
		}
		// Messages that are read for nothing prove nothing, and do not prolong the
		// proof.
		for range 14 {
			h.now = h.now.Add(5 * time.Minute)
			h.Tried(from, 1, 1000)
		}
		read = 0
		if flood(); read > 11 {
			t.Errorf("where %s: an hour later %d are read, want no more than a stranger's 11", tc.what, read)
		}
	}
	h := open(t, Options{Bytes: 1 << 10, Largest: 1 << 10, Messages: 1000})
	for range 65 {
		h.Tried(from, 1, 1<<10)
	}
	if refused := h.Early(from); refused == nil || refused.Details["unit"] != "bytes" {
		t.Errorf("after 65 KiB that were read for nothing: %v, want a refusal for the bytes", refused)
	}
}

// TestWaitAfterFailures: however much failed, a caller that waits as long as it is told
// is served.
func TestWaitAfterFailures(t *testing.T) {
	for _, bytes := range []int64{1, 100_000} {
		h := open(t, Options{Bytes: 1 << 10, Largest: 1 << 10})
		from := netip.MustParseAddr("192.0.2.1")
		for range 1000 {
			h.Failed(&gateway.Principal{From: from}, 3, bytes)
		}
		v := visit{stranger, "192.0.2.1", "ann@far.example", "bob@ours.example", 0}
		refused := h.comes(v)
		if refused == nil {
			t.Fatalf("after 1,000 failures of %d bytes the next message is taken", bytes)
		}
		if early := h.Early(from); early == nil || early.RetryAfter > refused.RetryAfter {
			t.Errorf("before it is read: %v, want a refusal for at most %v", early, refused.RetryAfter)
		}
		h.now = h.now.Add(refused.RetryAfter)
		if early := h.Early(from); early != nil {
			t.Errorf("after the wait of %v it is refused early: %v", refused.RetryAfter, early)
		}
		if again := h.comes(v); again != nil {
			t.Errorf("after the wait of %v it is refused again: %v", refused.RetryAfter, again)
		}
	}
}

// TestRoom: strangers are refused first as the disk runs short, then unfamiliar
// domains. Others are never refused.
func TestRoom(t *testing.T) {
	var free uint64
	h := open(t, Options{Disk: func() (uint64, uint64, bool) { return free, 1000, true }})
	for _, tc := range []struct {
		free    uint64
		refused []class
	}{{1000, nil}, {999, []class{stranger}}, {500, []class{stranger}}, {499, []class{stranger, newcomer, known}},
		{0, []class{stranger, newcomer, known}}, {1000, nil}} {
		free = tc.free
		h.now = h.now.Add(messagePeriod)
		var got []class
		for c := stranger; c <= local; c++ {
			if e := h.comes(visit{c, "192.0.2.1", fmt.Sprintf("s%d@d%d.example", c, c), "bob@ours.example",
				0}); e != nil {
				if e.Code != amtp.CodeTemporaryFailure || e.RetryAfter < time.Second {
					t.Errorf("refused with %s after %v, want TEMPORARY_FAILURE", e.Code, e.RetryAfter)
				}
				got = append(got, c)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(tc.refused) {
			t.Errorf("with %d bytes free the classes %v are refused, want %v", tc.free, got, tc.refused)
		}
		for _, c := range []class{newcomer, known} {
			m := message(t, "ann@friend.example", "bob@ours.example", 0)
			p := principal(m, c, "192.0.2.1")
			p.Familiar = true
			if _, refused := h.Admit(p, m, m.Recipients, 0); refused != nil {
				t.Errorf("with %d bytes free a familiar domain of class %d is refused: %v", tc.free, c, refused)
			}
		}
	}
}

// TestLookUps: one address may cause ten look-ups of new domains in a minute. A look-up
// without an answer counts as five. One network may have twelve under way.
func TestLookUps(t *testing.T) {
	h := open(t, Options{})
	ask := func(from string, answered bool) bool {
		done, refused := h.LookUp(netip.MustParseAddr(from))
		if refused != nil {
			if refused.Code != amtp.CodeRateLimitExceeded || refused.RetryAfter < time.Second {
				t.Errorf("refused with %v after %v", refused, refused.RetryAfter)
			}
			return false
		}
		done(answered)
		return true
	}
	n := 0
	for ask("192.0.2.1", true) {
		n++
	}
	slow := 0
	for ask("198.51.100.1", false) {
		slow++
	}
	if n != 10 || slow != 2 {
		t.Errorf("one address has %d look-ups that are answered and %d that are not, want 10 and 2", n, slow)
	}
	var all []func(bool)
	for i := range 40 {
		if done, refused := h.LookUp(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})); refused == nil {
			all = append(all, done)
		}
	}
	if len(all) != mostLooking {
		t.Errorf("one network has %d look-ups under way, want %d", len(all), mostLooking)
	}
	if !ask("100.64.0.1", true) {
		t.Error("another network has none")
	}
	for _, done := range all {
		done(true)
	}
	if len(h.looking) != 0 {
		t.Errorf("%d networks are remembered as looking, want none", len(h.looking))
	}
	for range 100 {
		if !ask("127.0.0.1", true) {
			t.Fatal("this machine is refused")
		}
	}
}

// town is the store that several gateways share.
type town struct {
	mu    sync.Mutex
	spent map[string]gateway.Spent
	calls int
	away  bool
}

// Tally implements gateway.Tallies.
func (s *town) Tally(_ context.Context, list []gateway.Tally, now time.Time) ([]gateway.Spent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.away {
		return nil, errors.New("away")
	}
	var all []gateway.Spent
	for _, t := range list {
		s.spent[t.Name] = s.spent[t.Name].Add(t.Cost, now.UnixMicro())
		all = append(all, s.spent[t.Name])
	}
	return all, nil
}

// ForgetSpent implements gateway.Tallies.
func (s *town) ForgetSpent(context.Context, time.Time) error { return nil }

// TestReplicasAgree: three gateways accept together what one may, and at most an eighth
// more for each. When it is used up, all refuse. In the usual case a message causes no
// exchange.
func TestReplicasAgree(t *testing.T) {
	shared := &town{spent: map[string]gateway.Spent{}}
	var all []*hall
	for range 3 {
		all = append(all, open(t, Options{Messages: 10, Shared: shared}))
	}
	ann := func(i int) visit {
		return visit{known, v4(i%200, 1), fmt.Sprintf("s%d@far.example", i), fmt.Sprintf("i%d@ours.example", i%97), 0}
	}
	const rate = 5000 // of the domain
	taken := 0
	for i := range 2 * rate {
		if all[i%3].comes(ann(i)) == nil {
			taken++
		}
	}
	if taken < rate || taken > rate+3*rate/waitAt {
		t.Errorf("three gateways took %d messages of one domain, want %d to %d", taken, rate, rate+3*rate/waitAt)
	}
	if most := 2 * 3 * waitAt * 4; shared.calls > most {
		t.Errorf("%d messages caused %d exchanges, want at most %d", 2*rate, shared.calls, most)
	}
	for i, h := range all {
		h.share()
		if e := h.comes(ann(1)); e == nil || e.Details["limit"] != "domain" {
			t.Errorf("afterwards gateway %d answers %v, want a refusal of the domain", i, e)
		}
	}
}

// TestAStoreThatIsAway: the counts that a gateway knows apply, and it shares them
// later.
func TestAStoreThatIsAway(t *testing.T) {
	shared := &town{spent: map[string]gateway.Spent{}, away: true}
	h := open(t, Options{Messages: 100, Shared: shared})
	ann := func(i int) visit {
		return visit{stranger, v4(i%200, i), fmt.Sprintf("s%d@far.example", i), fmt.Sprintf("i%d@ours.example", i), 0}
	}
	if got, limit := h.count(2000, ann); got != 1000 || limit != "domain" {
		t.Errorf("%d are taken and then refused by %q, want 1000 by the domain", got, limit)
	}
	if shared.calls != 1 {
		t.Errorf("the store was asked %d times in a moment, want once: all others would wait for one another",
			shared.calls)
	}
	h.now = h.now.Add(tellEvery)
	if h.comes(ann(1)); shared.calls != 2 {
		t.Errorf("after %v the store was asked %d times, want it asked again", tellEvery, shared.calls)
	}
	shared.away = false
	h.share()
	other := open(t, Options{Messages: 100, Shared: shared})
	if got, _ := other.count(2000, ann); got > 1000/waitAt+1 {
		t.Errorf("the other gateway then takes %d, want at most %d", got, 1000/waitAt+1)
	}
}

// TestView: the report has every rate, and lists first the names that used most.
func TestView(t *testing.T) {
	h := open(t, Options{})
	for i := range 30 {
		h.comes(visit{stranger, v4(i, 1), fmt.Sprintf("s%d@d%d.example", i%3, i%10), "bob@ours.example", 0})
	}
	r := h.View()
	if len(r.Limits) != 6+6+6+2+3+3 || len(r.Used) == 0 || r.Used[0].Share < r.Used[len(r.Used)-1].Share {
		t.Errorf("the report has %d limits and %d names, want 26 and some, the most used first: %+v", len(r.Limits),
			len(r.Used), r.Used)
	}
	for _, u := range r.Used {
		if u.Of == "inbox" && (u.Name != "bob@ours.example" || u.Messages != 30) {
			t.Errorf("of the inbox %q %d messages are used, want bob@ours.example and 30", u.Name, u.Messages)
		}
	}
}

// TestNothingIsBounded by a nil Limits.
func TestNothingIsBounded(t *testing.T) {
	var l *Limits
	m := message(t, "ann@far.example", "bob@ours.example", 0)
	if each, refused := l.Admit(principal(m, stranger, "192.0.2.1"), m, m.Recipients, 0); each != nil ||
		refused != nil {
		t.Error("a nil Limits refuses a message")
	}
	l.Failed(&gateway.Principal{}, 1, 1)
	l.Answered(netip.Addr{}, 1)
	done, refused := l.LookUp(netip.MustParseAddr("192.0.2.1"))
	if l.Early(netip.Addr{}) != nil || l.Asks(netip.Addr{}) != nil || refused != nil {
		t.Error("a nil Limits refuses a request")
	}
	done(true)
}

// BenchmarkAdmit measures the cost of a message of each class.
func BenchmarkAdmit(b *testing.B) {
	for c := stranger; c <= local; c++ {
		b.Run(classWords[c], func(b *testing.B) {
			h := open(b, Options{Messages: 1_000_000})
			m := message(b, "ann@far.example", "bob@ours.example", 1000)
			p := principal(m, c, "2001:db8::1")
			b.ReportAllocs()
			for b.Loop() {
				h.now = h.now.Add(time.Minute)
				if _, refused := h.Admit(p, m, m.Recipients, 0); refused != nil {
					b.Fatal(refused)
				}
			}
		})
	}
}

// BenchmarkInventedNames measures the cost of a message with names that are all new,
// when all tables are full.
func BenchmarkInventedNames(b *testing.B) {
	h := open(b, Options{Messages: 1_000_000})
	m := message(b, "ann@far.example", "bob@ours.example", 1000)
	p := principal(m, stranger, "2001:db8::1")
	i := uint32(0)
	next := func() {
		i++
		p.From = netip.AddrFrom16([16]byte{0x20, 0x01, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		if _, refused := h.Admit(p, m, m.Recipients, 0); refused != nil {
			b.Fatal(refused)
		}
	}
	for range entriesOfKind {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		h.now = h.now.Add(time.Second)
		next()
	}
}
