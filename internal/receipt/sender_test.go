package receipt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// owes is a store with owed receipts only.
type owes struct {
	Store
	mu    sync.Mutex
	rows  map[amtp.Domain][]gateway.OwedReceipt // in the order in which they are due
	due   map[int64]time.Time                   // by row; the zero time means at once
	took  []gateway.Receipt                     // by TakeReceipts
	from  amtp.Domain
	fail  error
	clock gateway.ClockState
}

func (s *owes) Clock() gateway.ClockState { return s.clock }

func (s *owes) ReceiptDomains(_ context.Context, after amtp.Domain, limit int) (list []amtp.Domain, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, rows := range s.rows {
		if d > after && len(rows) > 0 {
			list = append(list, d)
		}
	}
	slices.Sort(list)
	return list[:min(limit, len(list))], s.fail
}

func (s *owes) OwedReceipts(_ context.Context, to amtp.Domain, now time.Time, limit, _ int) (list []gateway.OwedReceipt,
	more bool, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.rows[to] {
		if !s.due[o.Row].After(now) {
			list = append(list, o)
		}
	}
	return list[:min(limit, len(list))], len(list) > limit, s.fail
}

func (s *owes) SettleReceipts(_ context.Context, list []gateway.OwedReceipt, again time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range list {
		to := o.Sender.Domain()
		s.rows[to] = slices.DeleteFunc(s.rows[to], func(r gateway.OwedReceipt) bool {
			if r.Row == o.Row {
				s.due[r.Row] = again
			}
			return r.Row == o.Row && r.Receipt == o.Receipt
		})
	}
	return nil
}

func (s *owes) DropReceipts(context.Context, amtp.Domain, time.Time, int, int) (int, error) {
	return 0, s.fail
}

func (s *owes) TakeReceipts(_ context.Context, from amtp.Domain, list []gateway.Receipt, _ time.Time) (int, error) {
	s.took, s.from = list, from
	return len(list), s.fail
}

func (s *owes) left(d amtp.Domain) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows[d])
}

// peerGate is the gateway of all other domains, and the courier to it.
type peerGate struct {
	mu      sync.Mutex
	now     map[gateway.Destination]int // calls under way
	most    int                         // the most calls to one domain at the same time
	all     int                         // the most calls to all domains at the same time
	parcels []gateway.Parcel
	say     func(gateway.Parcel) gateway.Outcome
	took    time.Duration
}

func (g *peerGate) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	g.mu.Lock()
	if g.now == nil {
		g.now = map[gateway.Destination]int{}
	}
	g.now[p.Destination]++
	g.most = max(g.most, g.now[p.Destination])
	together := 0
	for _, n := range g.now {
		together += n
	}
	g.all = max(g.all, together)
	g.parcels = append(g.parcels, p)
	g.mu.Unlock()
	select {
	case <-time.After(g.took):
	case <-ctx.Done():
	}
	g.mu.Lock()
	g.now[p.Destination]--
	g.mu.Unlock()
	o := gateway.Outcome{Event: gateway.Success}
	if g.say != nil {
		o = g.say(p)
	}
	return p.All(o)
}

func (g *peerGate) calls() []gateway.Parcel {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.parcels)
}

func address(s string) amtp.Address {
	a, err := amtp.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

var ask = []byte(`{"sender":"alice@far.example","recipients":["bob@shop.example"],"payload":{"text":"hello"}}`)

// owed returns a receipt of bob that the default rule sends.
func owed(row int64, to string) gateway.OwedReceipt {
	return gateway.OwedReceipt{
		Row: row, Agent: 7, Written: true, Sender: address("alice@" + to), Class: gateway.ClassDomain, Body: ask,
		Receipt: gateway.Receipt{Message: amtp.NewMessageID(), Recipient: address("bob@shop.example"),
			Read: time.Now()},
	}
}

func newSender(list ...gateway.OwedReceipt) (*Sender, *owes, *peerGate, *bytes.Buffer) {
	store, gate, log := &owes{rows: map[amtp.Domain][]gateway.OwedReceipt{}, due: map[int64]time.Time{}}, &peerGate{},
		&bytes.Buffer{}
	for _, o := range list {
		d := o.Sender.Domain()
		store.rows[d] = append(store.rows[d], o)
	}
	return &Sender{
		Store: store, Courier: gate, Wants: func(context.Context, amtp.Domain) (bool, error) { return true, nil },
		Signs:  func() bool { return true },
		Domain: "shop.example", Policy: gateway.ReceiptPolicy{Rule: gateway.ReceiptsKnown}, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}, store, gate, log
}

// runFor runs the sender for the duration d of the bubble's clock.
func runFor(t *testing.T, s *Sender, d time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run = %v, want no error", err)
	}
}

// TestOneMessage checks the form of a message with receipts.
func TestOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := owed(1, "far.example")
		o.Acked = o.Read.Add(time.Second)
		s, store, gate, _ := newSender(o)
		runFor(t, s, 10*time.Second)
		calls := gate.calls()
		if len(calls) != 1 || store.left("far.example") != 0 {
			t.Fatalf("%d calls and %d receipts left, want one and none", len(calls), store.left("far.example"))
		}
		p := calls[0]
		m, refused := amtp.ParseMessage(p.Body)
		if refused != nil {
			t.Fatal(refused)
		}
		if m.Sender.String() != "amtp-receipts@shop.example" || len(m.Recipients) != 1 ||
			m.Recipients[0].String() != "amtp-receipts@far.example" ||
			!m.Automatic() || !gateway.IsReserved(m.Sender.Local()) || p.Destination != "far.example" ||
			p.Envelope.ID != m.MessageID {
			t.Errorf("the message is %s to %s", p.Body, p.Destination)
		}
		want := fmt.Sprintf(`{"version":"1.0","message_type":"receipts","receipts":[{"message_id":"%s","recipient":"bob@shop.example","read_at":"%s","acknowledged_at":"%s"}]}`,
			o.Message, o.Read.UTC().Format(amtp.TimeFormat), o.Acked.UTC().Format(amtp.TimeFormat))
		if string(m.Payload) != want {
			t.Errorf("payload\n got %s\nwant %s", m.Payload, want)
		}
		list, err := read(m.Payload)
		if err != nil || len(list) != 1 || list[0].Message != o.Message || !list[0].Read.Equal(o.Read) {
			t.Errorf("read again it is %+v, %v", list, err)
		}
	})
}

// TestWhoIsTold checks the policy row by row. A message that no agent wrote is never owed a
// receipt.
func TestWhoIsTold(t *testing.T) {
	known, all, off := gateway.ReceiptPolicy{Rule: gateway.ReceiptsKnown},
		gateway.ReceiptPolicy{Rule: gateway.ReceiptsAll}, gateway.ReceiptPolicy{Rule: gateway.ReceiptsOff}
	with := func(p gateway.ReceiptPolicy, r gateway.ReceiptRule) gateway.ReceiptPolicy {
		p.Domains = map[amtp.Domain]gateway.ReceiptRule{"far.example": r}
		return p
	}
	stranger := func(o *gateway.OwedReceipt) { o.Written = false }
	wish := func(w gateway.ReceiptWish, written bool) func(*gateway.OwedReceipt) {
		return func(o *gateway.OwedReceipt) { o.Wish, o.Written = w, written }
	}
	nothing := func(*gateway.OwedReceipt) {}
	for name, tc := range map[string]struct {
		policy gateway.ReceiptPolicy
		change func(*gateway.OwedReceipt)
		want   bool
	}{
		"known, written to":          {known, nothing, true},
		"known, never written to":    {known, stranger, false},
		"all, never written to":      {all, stranger, true},
		"off, written to":            {off, nothing, false},
		"off but for this domain":    {with(off, gateway.ReceiptsKnown), nothing, true},
		"all but for this domain":    {with(all, gateway.ReceiptsOff), nothing, false},
		"known, all for this domain": {with(known, gateway.ReceiptsAll), stranger, true},
		"known, the agent always":    {known, wish(gateway.ReceiptsAlways, false), true},
		"known, the agent never":     {known, wish(gateway.ReceiptsNever, true), false},
		"all, the agent never":       {all, wish(gateway.ReceiptsNever, true), false},
		"off, the agent always":      {off, wish(gateway.ReceiptsAlways, true), false},
		"off here, the agent always": {with(all, gateway.ReceiptsOff), wish(gateway.ReceiptsAlways, true), false},
		"a rule that there is not":   {gateway.ReceiptPolicy{}, nothing, false},
		"the message's own agent echo": {all, func(o *gateway.OwedReceipt) {
			o.Receipt.Recipient = address("echo@shop.example")
		}, false},
		"an agent without an address": {all, func(o *gateway.OwedReceipt) {
			o.Receipt.Recipient = amtp.Address{}
		}, false},
		"a message that is gone": {all, func(o *gateway.OwedReceipt) {
			o.Sender, o.Body = amtp.Address{}, nil
		}, false},
		"a member of the group that was named": {all, func(o *gateway.OwedReceipt) {
			o.Receipt.Recipient = address("carol@shop.example")
		}, false},
		"the recipient in other letters": {all, func(o *gateway.OwedReceipt) {
			o.Receipt.Recipient = address("Bob@shop.example")
		}, true},
		"a message without its content": {all, func(o *gateway.OwedReceipt) { o.Body = nil }, false},
	} {
		o := owed(1, "far.example")
		tc.change(&o)
		if got := tc.policy.Owes(&o); got != tc.want {
			t.Errorf("%s: owed %t, want %t", name, got, tc.want)
		}
	}
	every := with(all, gateway.ReceiptsAll)
	for _, class := range []gateway.Class{0, gateway.ClassAgent, gateway.ClassAnonymous, gateway.ClassGateway} {
		o := owed(1, "far.example")
		o.Class, o.Wish = class, gateway.ReceiptsAlways
		if every.Owes(&o) {
			t.Errorf("a sender of class %d, who proved no domain, is owed a receipt", class)
		}
	}
	for _, from := range []string{"mailer-daemon", "Mailer-Daemon", "postmaster", "abuse", "echo", "amtp-receipts",
		"AMTP-anything"} {
		o := owed(1, "far.example")
		o.Sender, o.Wish = address(from+"@far.example"), gateway.ReceiptsAlways
		if every.Owes(&o) {
			t.Errorf("%s is owed a receipt", o.Sender)
		}
	}
	for _, more := range []string{
		`"headers":{"auto-submitted":"auto-generated"}`, `"headers":{"Auto-Submitted":"auto-replied"}`,
		`"response_type":"workflow_response"`,
		`"payload":{"message_type":"delivery_failure"}`, `"payload":{"message_type":"receipts","receipts":[]}`,
	} {
		o := owed(1, "far.example")
		o.Wish, o.Body = gateway.ReceiptsAlways,
			[]byte(`{"sender":"alice@far.example","recipients":["bob@shop.example"],`+more+`}`)
		if every.Owes(&o) {
			t.Errorf("a message with %s is owed a receipt", more)
		}
	}
	o := owed(1, "far.example")
	m, err := message("far.example", "shop.example", []gateway.OwedReceipt{o}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if o.Body, o.Sender = m.Raw(), m.Sender; every.Owes(&o) {
		t.Error("a receipt is owed a receipt")
	}
}

// TestStorm: ten thousand acknowledgements cause twenty calls, one after the other.
func TestStorm(t *testing.T) {
	slow.Test(t, "it sends ten thousand receipts")
	synctest.Test(t, func(t *testing.T) {
		var list []gateway.OwedReceipt
		for i := range 10_000 {
			list = append(list, owed(int64(i+1), "far.example"))
		}
		s, store, gate, _ := newSender(list...)
		gate.took = 100 * time.Millisecond
		runFor(t, s, time.Minute)
		if calls := len(gate.calls()); calls != 20 || gate.most != 1 || store.left("far.example") != 0 {
			t.Errorf("%d calls, %d at once, %d receipts left; want 20, one at once, none left", calls, gate.most,
				store.left("far.example"))
		}
	})
}

// TestFewAtOnce: many slow domains take turns, and none has two calls.
func TestFewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list []gateway.OwedReceipt
		for i := range 40 {
			list = append(list, owed(int64(i+1), fmt.Sprintf("d%02d.example", i)))
		}
		s, store, gate, _ := newSender(list...)
		gate.took = 5 * time.Second
		runFor(t, s, 5*time.Minute)
		left := 0
		for i := range 40 {
			left += store.left(amtp.Domain(fmt.Sprintf("d%02d.example", i)))
		}
		if len(gate.calls()) != 40 || gate.most != 1 || gate.all > atOnce || left != 0 {
			t.Errorf("%d calls, %d to one domain and %d in all at once, %d left; want 40, 1, at most %d, none",
				len(gate.calls()), gate.most, gate.all, left, atOnce)
		}
	})
}

// TestEachDomainHasItsTurn: some domains are always owed receipts. Ten times as many domains
// as there are slots wait behind them, and each has its turn.
func TestEachDomainHasItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list []gateway.OwedReceipt
		for i := range 10 * atOnce {
			list = append(list, owed(int64(i+1), fmt.Sprintf("d%02d.example", i)))
		}
		s, store, gate, _ := newSender(list...)
		gate.took = 2 * time.Second
		row := int64(1000)
		gate.say = func(p gateway.Parcel) gateway.Outcome { // after each call the domain is owed another
			store.mu.Lock()
			defer store.mu.Unlock()
			d := p.Destination.Domain()
			row++
			store.rows[d] = append(store.rows[d], owed(row, string(d)))
			return gateway.Outcome{Event: gateway.Success}
		}
		runFor(t, s, 5*time.Minute)
		told := make(map[gateway.Destination]int)
		for _, p := range gate.calls() {
			told[p.Destination]++
		}
		if len(told) != 10*atOnce {
			t.Errorf("%d of %d domains were told something in 5 minutes: %v", len(told), 10*atOnce, told)
		}
	})
}

// TestCalmDown: a stream of receipts is gathered into few calls. The next receipt for the
// same message waits for a minute.
func TestCalmDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, gate, _ := newSender(owed(1, "far.example"))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		for i := range 600 { // ten a second for a minute
			time.Sleep(100 * time.Millisecond) // of the clock of the bubble
			store.mu.Lock()
			store.rows["far.example"] = append(store.rows["far.example"], owed(int64(i+2), "far.example"))
			store.mu.Unlock()
		}
		stop()
		<-done
		if calls := len(gate.calls()); calls < 8 || calls > 13 {
			t.Errorf("%d calls in a minute, want one in about five seconds", calls)
		}
	})
}

// TestAddedMeanwhile: a message is acknowledged while the receipt for its read mark is sent.
// The acknowledgement is sent a minute later.
func TestAddedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, gate, _ := newSender(owed(1, "far.example"))
		acked := time.Now().Add(time.Second)
		gate.say = func(gateway.Parcel) gateway.Outcome {
			store.mu.Lock()
			store.rows["far.example"][0].Acked = acked
			store.mu.Unlock()
			return gateway.Outcome{Event: gateway.Success}
		}
		begun := time.Now()
		runFor(t, s, gateway.ReceiptPace-time.Second)
		if n := len(gate.calls()); n != 1 {
			t.Fatalf("%d calls within a minute, want 1", n)
		}
		runFor(t, s, 20*time.Second)
		calls := gate.calls()
		if len(calls) != 2 || store.left("far.example") != 0 || time.Since(begun) < gateway.ReceiptPace {
			t.Fatalf("%d calls, %d left, want a second one and none", len(calls), store.left("far.example"))
		}
		if !strings.Contains(string(calls[1].Body), `"acknowledged_at"`) ||
			strings.Contains(string(calls[0].Body), `"acknowledged_at"`) {
			t.Errorf("sent %s and then %s, want the acknowledgement in the second", calls[0].Body, calls[1].Body)
		}
	})
}

// TestNobodyAsks: there is no call, and no receipt is kept, in three cases: the domain does
// not ask for receipts, there is no key, or the rule sends nothing.
func TestNobodyAsks(t *testing.T) {
	for name, change := range map[string]func(*Sender){
		"no feature": func(s *Sender) {
			s.Wants = func(context.Context, amtp.Domain) (bool, error) { return false, nil }
		},
		"no key": func(s *Sender) { s.Signs = func() bool { return false } },
		"off":    func(s *Sender) { s.Policy.Rule = gateway.ReceiptsOff },
	} {
		synctest.Test(t, func(t *testing.T) {
			s, store, gate, _ := newSender(owed(1, "far.example"))
			change(s)
			runFor(t, s, time.Minute)
			if len(gate.calls()) != 0 || store.left("far.example") != 0 {
				t.Errorf("%s: %d calls, %d left, want none", name, len(gate.calls()), store.left("far.example"))
			}
		})
	}
}

// TestTrouble: a domain that fails is called less and less often. Receipts that a domain
// refused are not sent again. The log has few lines about either.
func TestTrouble(t *testing.T) {
	for name, tc := range map[string]struct {
		change      func(*Sender, *peerGate)
		least, most int
		left        int
	}{
		"it does not answer": {func(_ *Sender, g *peerGate) {
			g.say = func(gateway.Parcel) gateway.Outcome {
				return gateway.Outcome{Event: gateway.Postpone, Reason: "no answer"}
			}
		}, 10, 30, 1},
		"it asks for two hours": {func(_ *Sender, g *peerGate) {
			g.say = func(gateway.Parcel) gateway.Outcome {
				return gateway.Outcome{Event: gateway.Postpone, Reason: "busy", RetryAfter: 2 * time.Hour}
			}
		}, 6, 8, 1},
		"it refuses": {func(_ *Sender, g *peerGate) {
			g.say = func(gateway.Parcel) gateway.Outcome {
				return gateway.Outcome{Event: gateway.Refuse, Reason: "unknown"}
			}
		}, 1, 1, 0},
		"DNS does not say": {func(s *Sender, _ *peerGate) {
			s.Wants = func(context.Context, amtp.Domain) (bool, error) { return false, errors.New("later") }
		}, 0, 0, 1},
		"it never ends": {func(_ *Sender, g *peerGate) {
			g.took = time.Hour
			g.say = func(gateway.Parcel) gateway.Outcome { return gateway.Outcome{} }
		}, 10, 30, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, store, gate, log := newSender(owed(1, "far.example"))
			tc.change(s, gate)
			runFor(t, s, 14*time.Hour)
			if n := len(gate.calls()); n < tc.least || n > tc.most || store.left("far.example") != tc.left {
				t.Errorf("%s: %d calls, %d left; want %d to %d, and %d", name, n, store.left("far.example"), tc.least,
					tc.most, tc.left)
			}
			if lines := strings.Count(log.String(), "\n"); lines > 5 || strings.Contains(log.String(), "bob@") {
				t.Errorf("%s: the log has %d lines: %s", name, lines, log)
			}
		})
	}
}

// TestRead: a payload without receipts is refused, and receipts that are not valid are left
// out.
func TestRead(t *testing.T) {
	id := amtp.NewMessageID()
	one := fmt.Sprintf(`{"message_id":%q,"recipient":"bob@far.example","acknowledged_at":"2026-11-30T10:00:00Z","more":1}`,
		id)
	many := func(n int) string {
		return `{"message_type":"receipts","receipts":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`
	}
	for doc, want := range map[string]int{
		many(1): 1, many(gateway.MaxReceipts): gateway.MaxReceipts, many(gateway.MaxReceipts + 1): -1,
		`{"message_type":"receipts"}`:                 0,
		`{"message_type":"receipts","receipts":null}`: 0,
		`{"message_type":"receipts","receipts":[{"message_id":"?","recipient":"bob@far.example"},{"message_id":"a","recipient":"bob"},` +
			one + `]}`: 1,
		`{"message_type":"delivery_failure","receipts":[]}`:                   -1,
		`{"receipts":[` + one + `]}`:                                          -1,
		`{"message_type":"receipts","receipts":{}}`:                           -1,
		`{"message_type":"receipts","receipts":[1]}`:                          -1,
		`{"message_type":"receipts","receipts":[{"acknowledged_at":"soon"}]}`: -1,
		`{"message_type":"receipts","message_type":"receipts","receipts":[]}`: -1,
		`[]`: -1, `null`: -1, ``: -1, `"receipts"`: -1,
	} {
		store := &owes{}
		refused := NewTaker(store, time.Now).Take(t.Context(), "far.example", json.RawMessage(doc))
		if want < 0 {
			if refused == nil || gateway.CodeOf(refused) != amtp.CodeInvalidMessage || store.took != nil {
				t.Errorf("Take = %v with %d receipts, want INVALID_MESSAGE_FORMAT; payload %.100s", refused,
					len(store.took), doc)
			}
			continue
		}
		if refused != nil || len(store.took) != want || store.from != "far.example" {
			t.Errorf("Take = %v with %d receipts of %s, want %d; payload %.100s", refused, len(store.took),
				store.from, want, doc)
		}
	}
	if refused := NewTaker(&owes{fail: gateway.ErrBusy}, time.Now).Take(t.Context(), "far.example",
		json.RawMessage(many(1))); refused == nil || gateway.CodeOf(refused) != amtp.CodeTemporaryFailure {
		t.Errorf("while nothing can be stored Take = %v, want TEMPORARY_FAILURE", refused)
	}
}
