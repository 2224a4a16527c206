package testnet

import (
	"context"
	"encoding/json"
	"time"

	"github.com/amtp-go/amtp"
)

// Person is an agent with the client that acts for it.
type Person struct {
	Address amtp.Address
	Client  *amtp.Client
	net     *Net
}

// As returns the agent with the address. The first call registers it at the gateway of its
// domain.
func (n *Net) As(address string) *Person {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.people[address]; p != nil {
		return p
	}
	a, err := amtp.ParseAddress(address)
	if err != nil {
		n.t.Fatal(err)
	}
	g := n.gateways[a.Domain()]
	if g == nil {
		n.t.Fatalf("there is no gateway of %s", a.Domain())
	}
	r, err := g.Operator().Register(context.Background(), amtp.NewAgent{Address: address})
	if err != nil {
		n.t.Fatalf("register %s: %v", address, err)
	}
	c := g.Client()
	c.Key = r.APIKey
	p := &Person{Address: a, Client: c, net: n}
	n.people[address] = p
	return p
}

// Send writes a message and returns the gateway's answer.
func (p *Person) Send(subject string, to ...string) amtp.SendResult {
	p.net.t.Helper()
	payload, err := json.Marshal(map[string]string{"text": subject})
	if err != nil {
		p.net.t.Fatal(err)
	}
	return p.Post(amtp.Message{Subject: subject, Payload: payload}, to...)
}

// Post sends a given message.
func (p *Person) Post(m amtp.Message, to ...string) amtp.SendResult {
	p.net.t.Helper()
	m.Sender = p.Address
	for _, address := range to {
		a, err := amtp.ParseAddress(address)
		if err != nil {
			p.net.t.Fatal(err)
		}
		m.Recipients = append(m.Recipients, a)
	}
	r, err := p.Client.Send(context.Background(), m)
	if err != nil {
		p.net.t.Fatalf("%s sends %q: %v", p.Address, m.Subject, err)
	}
	return r
}

// patience is how long an event that must happen may take in a test.
const patience = 5 * time.Minute

// Receives waits until the agent's inbox holds n messages and returns them.
func (p *Person) Receives(n int) []amtp.InboxMessage {
	p.net.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	after, list := "", []amtp.InboxMessage(nil)
	for len(list) < n {
		page, err := p.Client.Inbox(ctx, p.Address, amtp.InboxQuery{After: after, Wait: time.Second})
		if err != nil {
			p.net.t.Fatalf("%s waits for %d messages and has %d: %v", p.Address, n, len(list), err)
		}
		list, after = append(list, page.Messages...), page.NextCursor
	}
	if len(list) > n {
		p.net.t.Fatalf("%s has %d messages, want %d", p.Address, len(list), n)
	}
	return list
}

// Inbox returns the messages in the agent's inbox now.
func (p *Person) Inbox() []amtp.InboxMessage {
	p.net.t.Helper()
	page, err := p.Client.Inbox(context.Background(), p.Address, amtp.InboxQuery{})
	if err != nil {
		p.net.t.Fatalf("%s reads its inbox: %v", p.Address, err)
	}
	return page.Messages
}

// Ack acknowledges a message.
func (p *Person) Ack(id amtp.MessageID) {
	p.net.t.Helper()
	if _, err := p.Client.Ack(context.Background(), p.Address, id); err != nil {
		p.net.t.Fatalf("%s acknowledges %s: %v", p.Address, id, err)
	}
}

// Hears waits until the message has the status, and returns the whole status.
func (p *Person) Hears(id amtp.MessageID, want amtp.Status) amtp.MessageStatus {
	p.net.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := p.Client.Status(ctx, id)
		if err == nil && s.Status == want {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.net.t.Fatalf("%s asks for %s: status %q, %v; want %q", p.Address, id, s.Status, err, want)
		}
	}
}
