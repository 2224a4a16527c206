package automail_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/gateway"
)

func (w *world) deadline() *automail.Deadline {
	return &automail.Deadline{Acceptor: w.reporter.Acceptor, Store: w.store, Domain: "a.example",
		Now: func() time.Time { return w.now }}
}

// ask has alice send a message that wants an answer by a time.
func (w *world) ask(by time.Time, to ...string) amtp.MessageID {
	w.t.Helper()
	list, _ := json.Marshal(to) // strings cannot fail
	m, refused := amtp.ParseMessage(fmt.Appendf(nil,
		`{"sender":"alice@a.example","subject":"Prices","recipients":%s,"payload":"SECRET","headers":{"answer-by":%q}}`,
		list, by.Format(time.RFC3339)))
	if refused != nil {
		w.t.Fatal(refused)
	}
	r, err := w.reporter.Acceptor.Accept(context.Background(), w.asAlice(), m, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.MessageID
}

// answer has an agent answer a message of alice.
func (w *world) answer(a gateway.Agent, id amtp.MessageID) {
	w.t.Helper()
	m, refused := amtp.ParseMessage(fmt.Appendf(nil,
		`{"sender":%q,"recipients":["alice@a.example"],"payload":1,"in_reply_to":%q}`, a.Address, id))
	if refused != nil {
		w.t.Fatal(refused)
	}
	if _, err := w.reporter.Acceptor.Accept(context.Background(), gateway.Principal{Agent: &a}, m, 1); err != nil {
		w.t.Fatal(err)
	}
}

// notices returns the payloads of the notices in alice's inbox.
func (w *world) notices() (list []map[string]any) {
	w.t.Helper()
	page, err := w.store.Inbox(context.Background(), gateway.Acting{Agent: w.alice.ID}, gateway.InboxFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range page.Items {
		if page.Items[i].Class != gateway.ClassGateway {
			continue
		}
		var m struct{ Payload map[string]any }
		if err := json.Unmarshal(page.Items[i].Body, &m); err != nil {
			w.t.Fatal(err)
		}
		m.Payload["subject"], m.Payload["about"] = page.Items[i].Subject, string(page.Items[i].InReplyTo)
		list = append(list, m.Payload)
	}
	return list
}

// tell runs the job for a deadline, from the claim to its settlement.
func (w *world) tell() bool {
	w.t.Helper()
	p, ok := w.claim(gateway.Deadlines)
	if ok {
		w.settle(p, w.deadline().Carry(context.Background(), p))
	}
	return ok
}

func TestDeadlineSaysWhatIsKnown(t *testing.T) {
	w := newWorld(t)
	bob, carol := w.agent("bob", "pull"), w.agent("carol", "pull")
	id := w.ask(noon.Add(30*time.Minute), "bob@a.example", "carol@a.example", "far@b.example")
	w.answer(bob, id)
	by := gateway.Acting{Agent: carol.ID, Key: "key_carol"}
	got, err := w.store.Take(context.Background(), by, gateway.Take{Max: 1, Until: w.now.Add(3 * time.Hour)}, w.now)
	if err != nil || len(got.Items) != 1 {
		t.Fatalf("Take = %d messages, %v", len(got.Items), err)
	}
	if !w.tell() {
		t.Fatal("no job for the deadline")
	}
	list := w.notices()
	if len(list) != 1 {
		t.Fatalf("%d notices, want one", len(list))
	}
	n := list[0]
	if n["message_type"] != amtp.TypeAnswerDeadline || n["about"] != string(id) ||
		n["subject"] != "No answer yet: Prices" ||
		fmt.Sprint(n["answered"]) != "[bob@a.example]" {
		t.Errorf("notice = %v", n)
	}
	waiting := n["waiting"].([]any)
	if len(waiting) != 2 {
		t.Fatalf("waiting = %v, want carol and far", waiting)
	}
	c, f := waiting[0].(map[string]any), waiting[1].(map[string]any)
	if c["address"] != "carol@a.example" || c["claimed"] != true || c["read"] != true || c["status"] != "delivered" {
		t.Errorf("carol = %v, want read and claimed", c)
	}
	if f["address"] != "far@b.example" || f["status"] != "queued" || f["read"] != false || f["claimed"] != false {
		t.Errorf("far = %v, want queued", f)
	}
	if w.tell() {
		t.Error("the job is there after the notice")
	}
}

func TestDeadlineIsSilent(t *testing.T) {
	for name, before := range map[string]func(w *world, bob gateway.Agent, id amtp.MessageID){
		"after the answer": func(w *world, bob gateway.Agent, id amtp.MessageID) { w.answer(bob, id) },
		"when the sender was removed": func(w *world, _ gateway.Agent, _ amtp.MessageID) {
			if err := w.store.RemoveAgent(context.Background(), gateway.Acting{}, w.alice.ID, w.now); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bob := w.agent("bob", "pull")
			before(w, bob, w.ask(noon.Add(time.Minute), "bob@a.example"))
			for range 2 {
				w.tell()
			}
			if _, waits := w.claim(gateway.Deadlines); waits {
				t.Error("the job is not done")
			}
			page, err := w.store.Messages(context.Background(), gateway.Reader{Everyone: true},
				gateway.MessageFilter{Limit: 9})
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Messages {
				if page.Messages[i].Class == gateway.ClassGateway {
					t.Errorf("a notice was written: %s", page.Messages[i].Subject)
				}
			}
		})
	}
}

// mailbox registers the shared mailbox support with members.
func (w *world) mailbox(members ...gateway.Agent) {
	w.t.Helper()
	box := gateway.Agent{Address: w.address("support@a.example"), DeliveryMode: "pull", Kind: gateway.SharedMailbox,
		CreatedAt: w.now, LastActive: w.now}
	for _, m := range members {
		box.Members = append(box.Members, m.ID)
	}
	if _, err := w.store.AddAgent(context.Background(), box, gateway.Key{}); err != nil {
		w.t.Fatal(err)
	}
}

// answerFrom has an address in another domain answer a message of alice.
func (w *world) answerFrom(address string, id amtp.MessageID) {
	w.t.Helper()
	m, refused := amtp.ParseMessage(fmt.Appendf(nil,
		`{"sender":%q,"recipients":["alice@a.example"],"payload":1,"in_reply_to":%q}`, address, id))
	if refused != nil {
		w.t.Fatal(refused)
	}
	alice := []gateway.Recipient{{Agent: w.alice.ID}}
	_, err := w.store.Accept(context.Background(), gateway.Acceptance{Message: m, Recipients: alice,
		Envelope: gateway.Envelope{ID: amtp.NewMessageID(), Sender: m.Sender, Class: gateway.ClassDomain,
			ReceivedAt: w.now, Timestamp: w.now, InReplyTo: id}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestDeadlineCountsMembers: who answers in its own name counts for the mailbox or the
// group that was asked, and for no other recipient.
func TestDeadlineCountsMembers(t *testing.T) {
	for name, tc := range map[string]struct {
		to                []string
		answer            []string
		answered, waiting []string // no notice when waiting is nil
	}{
		"a member of the mailbox": {to: []string{"support@a.example"}, answer: []string{"bob@a.example"}},
		"a member, and an agent is silent": {to: []string{"support@a.example", "carol@a.example"},
			answer:   []string{"bob@a.example"},
			answered: []string{"bob@a.example"}, waiting: []string{"carol@a.example"}},
		"no member": {to: []string{"support@a.example"}, answer: []string{"carol@a.example"},
			answered: []string{"carol@a.example"}, waiting: []string{"support@a.example"}},
		"the asker itself": {to: []string{"support@a.example"}, answer: []string{"alice@a.example"},
			answered: []string{}, waiting: []string{"support@a.example"}},
		"somebody of the other domain": {to: []string{"team@b.example"}, answer: []string{"x@b.example"}},
		"a third domain": {to: []string{"team@b.example"}, answer: []string{"x@c.example"},
			answered: []string{"x@c.example"}, waiting: []string{"team@b.example"}},
		"a gateway": {to: []string{"team@b.example"}, answer: []string{"mailer-daemon@b.example"},
			answered: []string{}, waiting: []string{"team@b.example"}},
		"a recipient only for itself": {to: []string{"x@b.example", "y@b.example"}, answer: []string{"y@b.example"},
			answered: []string{"y@b.example"}, waiting: []string{"x@b.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			here := map[string]gateway.Agent{"alice@a.example": w.alice, "bob@a.example": w.agent("bob", "pull"),
				"carol@a.example": w.agent("carol", "pull")}
			w.mailbox(here["bob@a.example"])
			id := w.ask(noon.Add(time.Minute), tc.to...)
			for _, a := range tc.answer {
				if agent, local := here[a]; local {
					w.answer(agent, id)
				} else {
					w.answerFrom(a, id)
				}
			}
			w.tell()
			list := w.notices()
			if tc.waiting == nil {
				if len(list) != 0 {
					t.Errorf("notices = %v, want none", list)
				}
				return
			}
			if len(list) != 1 {
				t.Fatalf("%d notices, want one", len(list))
			}
			var waiting []string
			for _, k := range list[0]["waiting"].([]any) {
				waiting = append(waiting, k.(map[string]any)["address"].(string))
			}
			if fmt.Sprint(list[0]["answered"]) != fmt.Sprint(tc.answered) || !slices.Equal(waiting, tc.waiting) {
				t.Errorf("answered %v, waiting %v; want %v and %v", list[0]["answered"], waiting, tc.answered,
					tc.waiting)
			}
		})
	}
}

// TestDeadlineOnce: the notice is in the inbox once, also when the process ends between
// the notice and the end of its job, and the facts have changed since.
func TestDeadlineOnce(t *testing.T) {
	w := newWorld(t)
	w.agent("bob", "pull")
	id := w.ask(noon.Add(time.Minute), "bob@a.example")
	for range 3 {
		p, ok := w.claim(gateway.Deadlines)
		if !ok {
			t.Fatal("no job")
		}
		w.deadline().Carry(context.Background(), p) // and is killed
		if bob, err := w.store.AgentNamed(context.Background(), w.address("bob@a.example")); err != nil {
			t.Fatal(err)
		} else if _, err := w.store.MarkRead(context.Background(), gateway.Acting{Agent: bob.ID}, id,
			w.now); err != nil {
			t.Fatal(err)
		}
	}
	if !w.tell() {
		t.Fatal("no job")
	}
	if n := len(w.notices()); n != 1 {
		t.Errorf("%d notices, want one", n)
	}
}

// TestDeadlineWaits: a job that comes too early, because the clock was wrong when it was
// stored, waits until the time in the message.
func TestDeadlineWaits(t *testing.T) {
	w := newWorld(t)
	w.agent("bob", "pull")
	w.ask(noon.Add(2*time.Hour), "bob@a.example")
	now := w.now
	p, ok := w.claim(gateway.Deadlines)
	for !ok {
		p, ok = w.claim(gateway.Deadlines)
	}
	d := w.deadline()
	d.Now = func() time.Time { return now }
	c := d.Carry(context.Background(), p)
	if len(c.Outcomes) != 1 || c.Outcomes[0].Event != gateway.Postpone || c.Outcomes[0].RetryAfter != 2*time.Hour {
		t.Errorf("too early = %+v, want to be postponed by two hours", c.Outcomes)
	}
	if len(w.notices()) != 0 {
		t.Error("a notice was written too early")
	}
}
