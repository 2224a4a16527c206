package automail_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is a gateway with its store and its intake, from which alice writes to others.
type world struct {
	t        *testing.T
	store    *sqlite.Store
	reporter *automail.Reporter
	alice    gateway.Agent
	now      time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: noon}
	var err error
	if w.store, err = sqlite.Open(sqlite.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	door := &intake.Intake{Store: w.store, Domain: "a.example", Now: func() time.Time { return w.now }, Federated: true}
	w.reporter = &automail.Reporter{Acceptor: door, Agents: w.store, Domain: "a.example"}
	w.alice = w.agent("alice", "pull")
	return w
}

func (w *world) agent(name, mode string) gateway.Agent {
	w.t.Helper()
	a, err := w.store.AddAgent(context.Background(), gateway.Agent{
		Address: w.address(name + "@a.example"), DeliveryMode: mode, Target: "https://hook.example", CreatedAt: w.now,
		LastActive: w.now,
	}, gateway.Key{ID: "key_" + name, Hash: sha256.Sum256([]byte(name)), CreatedAt: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) address(s string) amtp.Address {
	w.t.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// send has the principal write a message.
func (w *world) send(p gateway.Principal, from, subject string, to ...string) amtp.MessageID {
	w.t.Helper()
	list, _ := json.Marshal(to) // strings cannot fail
	m, refused := amtp.ParseMessage(fmt.Appendf(nil, `{"sender":%q,"subject":%q,"recipients":%s,"payload":"SECRET"}`,
		from, subject, list))
	if refused != nil {
		w.t.Fatal(refused)
	}
	r, err := w.reporter.Acceptor.Accept(context.Background(), p, m, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.MessageID
}

func (w *world) asAlice() gateway.Principal { return gateway.Principal{Agent: &w.alice} }

// claim leases the only job of a destination; ok is false when there is none.
func (w *world) claim(d gateway.Destination) (p gateway.Parcel, ok bool) {
	w.t.Helper()
	w.now = w.now.Add(time.Hour) // behind every lease and delay
	got, err := w.store.Claim(context.Background(), []gateway.Claiming{{Destination: d, Limit: 5}}, w.now,
		w.now.Add(time.Minute))
	if err != nil {
		w.t.Fatal(err)
	}
	if len(got) == 0 || len(got[0].Jobs) == 0 {
		return p, false
	}
	if len(got[0].Jobs) > 1 {
		w.t.Fatalf("%d jobs for %s, want one", len(got[0].Jobs), d)
	}
	if p, err = w.store.Parcel(context.Background(), got[0].Jobs[0].ID, got[0].Jobs[0].Fence); err != nil {
		w.t.Fatal(err)
	}
	return p, true
}

func (w *world) settle(p gateway.Parcel, c gateway.Carriage) {
	w.t.Helper()
	if err := w.store.Settle(context.Background(), p.Settle(c, w.now)); err != nil {
		w.t.Fatal(err)
	}
}

// fail makes the job for a destination fail.
func (w *world) fail(d gateway.Destination) gateway.Parcel {
	w.t.Helper()
	p, ok := w.claim(d)
	if !ok {
		w.t.Fatalf("there is no job for %s", d)
	}
	w.settle(p, p.All(gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeAgentUnknown, Reason: "there is nobody"}))
	return p
}

// report runs the job for reports and settles it.
func (w *world) report() {
	w.t.Helper()
	p, ok := w.claim(gateway.Reports)
	if !ok {
		w.t.Fatal("there is no job for a report")
	}
	c := w.reporter.Carry(context.Background(), p)
	for _, o := range c.Outcomes {
		if o.Event != gateway.Success {
			w.t.Errorf("the report ends with %+v, want success", o)
		}
	}
	w.settle(p, c)
	if _, again := w.claim(gateway.Reports); again {
		w.t.Error("the job for the report is still there")
	}
}

func (w *world) inbox() []gateway.InboxItem {
	w.t.Helper()
	page, err := w.store.Inbox(context.Background(), gateway.Acting{Agent: w.alice.ID}, gateway.InboxFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	return page.Items
}

// TestShape: the report says what failed, why, and when it was last tried. It contains
// nothing of the message. AMTP §8.
func TestShape(t *testing.T) {
	w := newWorld(t)
	id := w.send(w.asAlice(), "alice@a.example", "Lunch <today>", "bob@b.example", "Carol@b.example", "dan@b.example")
	p, _ := w.claim("b.example")
	w.settle(p, gateway.Carriage{Outcomes: []gateway.Outcome{
		{Delivery: p.Recipients[0].ID, Event: gateway.Postpone, Code: amtp.CodeTemporaryFailure, Reason: "not now"},
		{Delivery: p.Recipients[1].ID, Event: gateway.Postpone, Code: amtp.CodeTemporaryFailure, Reason: "not now"},
		{Delivery: p.Recipients[2].ID, Event: gateway.Success},
	}})
	p, _ = w.claim("b.example")
	w.settle(p, gateway.Carriage{Outcomes: []gateway.Outcome{
		{Delivery: p.Recipients[0].ID, Event: gateway.Refuse, Code: amtp.CodeAgentUnknown, Reason: "there is nobody"},
		{Delivery: p.Recipients[1].ID, Event: gateway.Refuse, Code: amtp.CodeMessageTooLarge,
			Reason: "it is too large"},
	}})
	last := w.now
	w.report()

	got := w.inbox()
	if len(got) != 1 {
		t.Fatalf("alice has %d messages, want the report", len(got))
	}
	r := got[0]
	if r.Sender.String() != "mailer-daemon@a.example" || r.Shown().Trust != amtp.TrustLocal || r.InReplyTo != id ||
		r.Thread != id || r.Subject != "Not delivered: Lunch <today>" {
		t.Errorf("the report is from %s, trust %s, to %s in thread %s, %q", r.Sender, r.Shown().Trust, r.InReplyTo,
			r.Thread, r.Subject)
	}
	m, refused := amtp.ParseMessage(r.Body)
	if refused != nil {
		t.Fatal(refused)
	}
	want := fmt.Sprintf(`{"version":"1.0","message_type":"delivery_failure","original_message_id":%q,"original_subject":"Lunch \u003ctoday\u003e",`+
		`"failed_recipients":["bob@b.example","Carol@b.example"],"error_code":"AGENT_UNKNOWN","error_message":"there is nobody","retry_count":1,`+
		`"final_attempt":%q,"failures":[{"address":"bob@b.example","error_code":"AGENT_UNKNOWN","error_message":"there is nobody","attempts":2},`+
		`{"address":"Carol@b.example","error_code":"MESSAGE_TOO_LARGE","error_message":"it is too large","attempts":2}]}`,
		id, last.Format(amtp.TimeFormat))
	if string(m.Payload) != want {
		t.Errorf("payload %s\nwant    %s", m.Payload, want)
	}
	if string(m.Headers) != `{"auto-submitted":"auto-generated"}` {
		t.Errorf("headers %s, want auto-submitted", m.Headers)
	}
	if strings.Contains(string(r.Body), "SECRET") {
		t.Errorf("the report has the message's payload in it: %s", r.Body)
	}
}

// TestOnce: the report is in the inbox once although the job runs repeatedly, also when
// alice has acknowledged it meanwhile.
func TestOnce(t *testing.T) {
	w := newWorld(t)
	w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example")
	w.fail("b.example")
	for range 3 { // killed between the report and its settlement
		p, ok := w.claim(gateway.Reports)
		if !ok {
			t.Fatal("there is no job for the report")
		}
		w.reporter.Carry(context.Background(), p)
	}
	got := w.inbox()
	if len(got) != 1 {
		t.Fatalf("alice has %d reports, want 1", len(got))
	}
	if _, err := w.store.Ack(context.Background(), gateway.Acting{Agent: w.alice.ID}, got[0].ID, w.now); err != nil {
		t.Fatal(err)
	}
	w.report()
	if got := w.inbox(); len(got) != 0 {
		t.Errorf("alice has %d reports again after the acknowledgement", len(got))
	}
}

// TestEachTime: a message that is redriven and fails again is reported again.
func TestEachTime(t *testing.T) {
	w := newWorld(t)
	w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example")
	w.fail("b.example")
	w.report()
	if n, err := w.store.Redrive(context.Background(), gateway.DeadFilter{}, w.now); err != nil || n != 1 {
		t.Fatalf("Redrive = %d, %v", n, err)
	}
	w.fail("b.example")
	w.report()
	if got := w.inbox(); len(got) != 2 {
		t.Errorf("alice has %d reports of two failures, want 2", len(got))
	}
}

// TestRedrivenMeanwhile: when a part of the reported deliveries is redriven before the
// report is settled, the report that alice has stays.
func TestRedrivenMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example", "carol@b.example")
	failed := w.fail("b.example")
	p, _ := w.claim(gateway.Reports)
	w.reporter.Carry(context.Background(), p)
	ids := []gateway.DeliveryID{failed.Recipients[0].ID}
	if n, err := w.store.Redrive(context.Background(), gateway.DeadFilter{IDs: ids}, w.now); err != nil || n != 1 {
		t.Fatalf("Redrive = %d, %v", n, err)
	}
	w.report()
	if got := w.inbox(); len(got) != 1 {
		t.Errorf("alice has %d reports, want 1", len(got))
	}
}

// TestRedrivenBefore: a delivery that is redriven before it was reported is not
// reported.
func TestRedrivenBefore(t *testing.T) {
	w := newWorld(t)
	w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example")
	w.fail("b.example")
	if n, err := w.store.Redrive(context.Background(), gateway.DeadFilter{}, w.now); err != nil || n != 1 {
		t.Fatalf("Redrive = %d, %v", n, err)
	}
	if p, ok := w.claim(gateway.Reports); ok {
		w.settle(p, w.reporter.Carry(context.Background(), p))
	}
	if got := w.inbox(); len(got) != 0 {
		t.Errorf("alice has %d reports of what is under way again, want none", len(got))
	}
}

// TestNobodyToTell: there is no report to a sender that was removed, before the failure
// or after it. There is none about a message from another domain or about a report.
func TestNobodyToTell(t *testing.T) {
	t.Run("removed before the failure", func(t *testing.T) {
		w := newWorld(t)
		w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example")
		if err := w.store.RemoveAgent(context.Background(), gateway.Acting{}, w.alice.ID, w.now); err != nil {
			t.Fatal(err)
		}
		w.fail("b.example")
		if _, ok := w.claim(gateway.Reports); ok {
			t.Error("there is a job for a report")
		}
	})
	t.Run("removed before the report", func(t *testing.T) {
		w := newWorld(t)
		w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example")
		w.fail("b.example")
		if err := w.store.RemoveAgent(context.Background(), gateway.Acting{}, w.alice.ID, w.now); err != nil {
			t.Fatal(err)
		}
		w.report()
		if got := w.inbox(); len(got) != 0 {
			t.Errorf("%d reports in the inbox of who is gone", len(got))
		}
	})
	t.Run("removed, and the name given to another", func(t *testing.T) {
		w := newWorld(t)
		w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example")
		w.fail("b.example")
		if err := w.store.RemoveAgent(context.Background(), gateway.Acting{}, w.alice.ID, w.now); err != nil {
			t.Fatal(err)
		}
		other := w.agentAgain("alice")
		w.report()
		page, err := w.store.Inbox(context.Background(), gateway.Acting{Agent: other.ID}, gateway.InboxFilter{})
		if err != nil || len(page.Items) != 0 {
			t.Errorf("the later namesake has %d reports, %v; want none", len(page.Items), err)
		}
	})
	t.Run("a remote sender", func(t *testing.T) {
		w := newWorld(t)
		hook := w.agent("hook", "push")
		p := gateway.Principal{Domain: "b.example",
			Found: gateway.Finding{Authentication: amtp.Authentication{Result: "pass", Domain: "b.example"}}}
		w.send(p, "bob@b.example", "x", "hook@a.example")
		w.fail(gateway.PushTo(hook.ID))
		if _, ok := w.claim(gateway.Reports); ok {
			t.Error("there is a job for a report")
		}
	})
	t.Run("a report", func(t *testing.T) {
		w := newWorld(t)
		hook := w.agent("hook", "push")
		w.send(gateway.Principal{Agent: &hook}, "hook@a.example", "x", "bob@b.example")
		w.fail("b.example")
		w.report()
		w.fail(gateway.PushTo(hook.ID)) // the report itself, pushed
		if _, ok := w.claim(gateway.Reports); ok {
			t.Error("there is a report about a report")
		}
	})
}

// agentAgain registers a name that was removed.
func (w *world) agentAgain(name string) gateway.Agent {
	w.t.Helper()
	a, err := w.store.AddAgent(context.Background(), gateway.Agent{
		Address: w.address(name + "@a.example"), DeliveryMode: "pull", CreatedAt: w.now, LastActive: w.now,
	}, gateway.Key{ID: "key_again", Hash: sha256.Sum256([]byte("again")), CreatedAt: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// TestUnreadablePayload: a report with an unreadable list of failures still says that
// the message failed.
func TestUnreadablePayload(t *testing.T) {
	w := newWorld(t)
	id := w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example")
	w.fail("b.example")
	p, _ := w.claim(gateway.Reports)
	p.Recipients = nil
	w.reporter.Carry(context.Background(), p)
	got := w.inbox()
	if len(got) != 1 || got[0].InReplyTo != id {
		t.Fatalf("alice has %+v, want one report about %s", got, id)
	}
	m, err := amtp.ParseMessage(got[0].Body)
	if err != nil || !strings.Contains(string(m.Payload), `"failed_recipients":[],"error_code":"INTERNAL"`) {
		t.Errorf("the report says %s, %v; want an internal error", m.Payload, err)
	}
}

// TestPaused: a report that cannot be stored now is made later.
func TestPaused(t *testing.T) {
	w := newWorld(t)
	w.send(w.asAlice(), "alice@a.example", "x", "bob@b.example")
	w.fail("b.example")
	p, _ := w.claim(gateway.Reports)
	if err := w.store.Pause(context.Background(), w.now); err != nil {
		t.Fatal(err)
	}
	c := w.reporter.Carry(context.Background(), p)
	if !c.Down || len(c.Outcomes) != 1 || c.Outcomes[0].Event != gateway.Postpone {
		t.Errorf("the attempt comes to %+v, want it postponed", c)
	}
	w.settle(p, c)
	if err := w.store.Resume(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.report()
	if got := w.inbox(); len(got) != 1 {
		t.Errorf("alice has %d reports, want 1", len(got))
	}
}
