package automail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// box is an inbox and an intake, with the calls that they received.
type box struct {
	EchoStore
	items    []gateway.InboxItem
	acked    map[amtp.MessageID]bool
	failAck  int // so many acknowledgements fail, as if the process had been killed before
	accepted []*amtp.Message
	refuse   error
}

func (b *box) Inbox(context.Context, gateway.Acting, gateway.InboxFilter) (gateway.InboxPage, error) {
	var page gateway.InboxPage
	for _, i := range b.items {
		if !b.acked[i.ID] {
			page.Items = append(page.Items, i)
		}
	}
	return page, nil
}

func (b *box) Ack(_ context.Context, _ gateway.Acting, id amtp.MessageID, _ time.Time) (gateway.Mark, error) {
	if b.failAck > 0 {
		b.failAck--
		return gateway.Mark{}, errors.New("killed")
	}
	b.acked[id] = true
	return gateway.Mark{}, nil
}

func (b *box) Accept(_ context.Context, p gateway.Principal, m *amtp.Message, _ gateway.RequestID) (*amtp.SendResult,
	error) {
	if b.refuse != nil {
		return nil, b.refuse
	}
	b.accepted = append(b.accepted, m)
	return &amtp.SendResult{}, nil
}

func newEcho(t *testing.T, items ...gateway.InboxItem) (*Echo, *box) {
	t.Helper()
	b := &box{items: items, acked: map[amtp.MessageID]bool{}}
	return &Echo{Store: b, Acceptor: b, Domain: "shop.example", Now: func() time.Time { return noon },
		Log:   slog.New(slog.DiscardHandler),
		agent: gateway.Agent{ID: 7, Address: address(t, "echo@shop.example")}}, b
}

func address(t *testing.T, s string) amtp.Address {
	t.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// item is a message that is answered, with more members.
func item(t *testing.T, n int, more string) gateway.InboxItem {
	t.Helper()
	id := amtp.MessageID(fmt.Sprintf("01a204dc-8339-7ac7-ac52-%012d", n))
	return gateway.InboxItem{
		Envelope: gateway.Envelope{ID: id, Sender: address(t, "alice@far.example"), Class: gateway.ClassDomain,
			ReceivedAt: noon, Subject: "Probe"},
		Body: []byte(`{"sender":"alice@far.example","recipients":["echo@shop.example"]` + more + `}`),
	}
}

// TestWhoIsAnswered: verified senders and those here, and never a program.
func TestWhoIsAnswered(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*gateway.InboxItem)
		more   string
		want   bool
	}{
		"verified":   {func(*gateway.InboxItem) {}, `,"payload":1`, true},
		"local":      {func(i *gateway.InboxItem) { i.Class = gateway.ClassAgent }, ``, true},
		"unverified": {func(i *gateway.InboxItem) { i.Class = gateway.ClassAnonymous }, ``, false},
		"bridged": {func(i *gateway.InboxItem) {
			i.Class, i.Found.Bridged = gateway.ClassAnonymous, true
		}, ``, false},
		"marked automatic": {func(*gateway.InboxItem) {},
			`,"headers":{"Auto-Submitted":"auto-replied"}`, false},
		"marked not automatic": {func(*gateway.InboxItem) {}, `,"headers":{"auto-submitted":"no"}`, true},
		"a response":           {func(*gateway.InboxItem) {}, `,"response_type":"workflow_response"`, false},
		"a report":             {func(i *gateway.InboxItem) { i.Class = gateway.ClassGateway }, ``, false},
		"another echo": {func(i *gateway.InboxItem) {
			i.Sender = address(t, "Echo@far.example")
		}, ``, false},
		"the daemon of a domain": {func(i *gateway.InboxItem) {
			i.Sender = address(t, "mailer-daemon@far.example")
		}, ``, false},
		"one whose body was taken": {func(i *gateway.InboxItem) { i.Body = nil }, ``, false},
	} {
		i := item(t, 1, tc.more)
		tc.change(&i)
		e, b := newEcho(t, i)
		if err := e.drain(t.Context()); err != nil || (len(b.accepted) == 1) != tc.want || !b.acked[i.ID] {
			t.Errorf("%s: %d answers, acknowledged %t, %v; want an answer: %t, acknowledged", name, len(b.accepted),
				b.acked[i.ID], err, tc.want)
		}
	}
}

// TestOnceAfterACrash: after a crash between the answer and the acknowledgement, it
// makes the same answer again, and the intake recognises it.
func TestOnceAfterACrash(t *testing.T) {
	i := item(t, 1, `,"payload":{"a":1}`)
	e, b := newEcho(t, i)
	b.failAck = 1
	if err := e.drain(t.Context()); err == nil {
		t.Fatal("a failed acknowledgement is no error")
	}
	again, _ := newEcho(t, i)
	again.Store, again.Acceptor = b, b
	again.Now = func() time.Time { return noon.Add(time.Hour) }
	if err := again.drain(t.Context()); err != nil || len(b.accepted) != 2 {
		t.Fatalf("after the crash: %d answers, %v; want the first once more", len(b.accepted), err)
	}
	first, second := b.accepted[0], b.accepted[1]
	one, err := first.Fingerprint()
	two, err2 := second.Fingerprint()
	if err != nil || err2 != nil || first.MessageID != second.MessageID ||
		first.IdempotencyKey != second.IdempotencyKey || one != two {
		t.Errorf("the two answers are not the same message: %+v, %+v", first, second)
	}
}

// TestWaitsForTheDoor: while nothing can be stored the message stays.
func TestWaitsForTheDoor(t *testing.T) {
	i := item(t, 1, ``)
	e, b := newEcho(t, i)
	b.refuse = amtp.Errorf(amtp.CodeTemporaryFailure, "busy")
	if err := e.drain(t.Context()); err == nil || b.acked[i.ID] {
		t.Errorf("while the door is shut: %v, acknowledged %t; want an error and the message kept", err, b.acked[i.ID])
	}
	b.refuse = amtp.Errorf(amtp.CodeAgentUnknown, "gone")
	if err := e.drain(t.Context()); err != nil || !b.acked[i.ID] {
		t.Errorf("whose sender is gone: %v, acknowledged %t; want it acknowledged", err, b.acked[i.ID])
	}
}

// deep is a payload with that many levels.
func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// TestOneBadMessage: a message that cannot be answered normally gets a shorter answer,
// or none. Those after it are still answered, once each.
func TestOneBadMessage(t *testing.T) {
	for name, bad := range map[string]struct {
		more    string
		refused amtp.Code
		panics  bool
		answers int  // to both messages
		stays   bool // in the inbox
	}{
		"nested as deeply as a message may be": {`,"payload":` + deep(63), "", false, 2, false},
		"nested so that its answer may be":     {`,"payload":` + deep(61), "", false, 2, false},
		"refused":                              {``, amtp.CodeInvalidMessage, false, 1, false},
		"a failure of the gateway":             {``, amtp.CodeInternal, false, 1, true},
		"a defect":                             {``, "", true, 1, true},
	} {
		one, two := item(t, 1, bad.more), item(t, 2, ``)
		e, b := newEcho(t, one, two)
		e.Acceptor = door(func(ctx context.Context, p gateway.Principal, m *amtp.Message,
			id gateway.RequestID) (*amtp.SendResult, error) {
			switch {
			case m.InReplyTo == one.ID && bad.panics:
				panic("of one message")
			case m.InReplyTo == one.ID && bad.refused != "":
				return nil, amtp.Errorf(bad.refused, "no")
			}
			return b.Accept(ctx, p, m, id)
		})
		for range 10 { // it is looked at again and again
			if err := e.drain(t.Context()); (err != nil) != bad.stays {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if len(b.accepted) != bad.answers || b.acked[one.ID] == bad.stays || !b.acked[two.ID] {
			t.Errorf("%s: %d answers, acknowledged %v; want %d", name, len(b.accepted), b.acked, bad.answers)
		}
		three := item(t, 3, ``)
		b.items = append(b.items, three)
		if _ = e.drain(t.Context()); len(b.accepted) != bad.answers+1 {
			t.Errorf("%s: what failed used up the answers of the domain", name)
		}
	}
}

// door is an intake with the behaviour of a function.
type door func(context.Context, gateway.Principal, *amtp.Message, gateway.RequestID) (*amtp.SendResult, error)

func (d door) Accept(ctx context.Context, p gateway.Principal, m *amtp.Message, id gateway.RequestID) (*amtp.SendResult,
	error) {
	return d(ctx, p, m, id)
}

// TestAnswersAreSmall: for any message, the answer has at most a kilobyte.
func TestAnswersAreSmall(t *testing.T) {
	for _, n := range []int{0, 200, 500, 1000, 100_000} {
		text, err := json.Marshal(strings.Repeat("ä", n))
		if err != nil {
			t.Fatal(err)
		}
		i := item(t, 1, `,"payload":`+string(text))
		i.Subject = strings.Repeat("s", min(n, amtp.MaxSubject))
		e, b := newEcho(t, i)
		if err := e.drain(t.Context()); err != nil || len(b.accepted) != 1 {
			t.Fatalf("a payload of %d characters: %d answers, %v", n, len(b.accepted), err)
		}
		m := b.accepted[0]
		body, err := json.Marshal(m)
		if err != nil || len(body) > maxAnswer {
			t.Errorf("the answer to a payload of %d characters has %d bytes, %v; want at most %d", n, len(body),
				err, maxAnswer)
		}
	}
}

// TestSixAMinute: six answers a minute to one domain, to whichever sender there, and to
// each other domain too.
func TestSixAMinute(t *testing.T) {
	var a answers
	count := func(d amtp.Domain, at time.Time) (n int) {
		for range 20 {
			if a.allow(d, at) {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		domain amtp.Domain
		after  time.Duration
		want   int
	}{
		{"a.example", 0, 6}, {"b.example", 0, 6}, {"a.example", 59 * time.Second, 0}, {"a.example", time.Minute, 6},
		{"a.example", 90 * time.Second, 0},
	} {
		if got := count(tc.domain, noon.Add(tc.after)); got != tc.want {
			t.Errorf("%s after %v: %d answers, want %d", tc.domain, tc.after, got, tc.want)
		}
	}
	for i := range watched + 10 {
		a.allow(amtp.Domain(fmt.Sprintf("d%d.example", i)), noon.Add(2*time.Minute))
	}
	if len(a.domains) > watched || a.allow("new.example", noon.Add(2*time.Minute)) {
		t.Errorf("%d domains are counted, want %d at most and a new one to wait", len(a.domains), watched)
	}
	if !a.allow("new.example", noon.Add(3*time.Minute)) {
		t.Error("a minute later a new domain has no answer")
	}
}
