package amtp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
)

// Each example runs against a separate gateway; gateway returns its URL and the keys of
// its agents.

// A recipient that does not exist fails alone; the others have the message. If all
// recipients fail, Send returns an error.
func ExampleClient_Send() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	alice, _ := amtp.ParseAddress("alice@localhost")
	bob, _ := amtp.ParseAddress("bob@localhost")
	nobody, _ := amtp.ParseAddress("nobody@localhost")

	c := &amtp.Client{URL: url, Key: key["alice"]}
	sent, err := c.Send(context.Background(), amtp.Message{
		Sender:     alice,
		Recipients: []amtp.Address{bob, nobody},
		Subject:    "Hello",
		Payload:    json.RawMessage(`{"text":"hello"}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range sent.Recipients {
		if r.Status == amtp.StatusFailed {
			fmt.Println(r.Address, r.ErrorCode)
			continue
		}
		fmt.Println(r.Address, r.Status)
	}
	// Output:
	// bob@localhost delivered
	// nobody@localhost AGENT_UNKNOWN
}

// With an idempotency key of its own, a program may repeat a call whose answer it never
// got, even after a restart.
func ExampleClient_Send_repeated() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	alice, _ := amtp.ParseAddress("alice@localhost")
	bob, _ := amtp.ParseAddress("bob@localhost")

	ctx := context.Background()
	c := &amtp.Client{URL: url, Key: key["alice"]}
	m := amtp.Message{
		IdempotencyKey: "order-4711",
		Sender:         alice,
		Recipients:     []amtp.Address{bob},
		Payload:        json.RawMessage(`{"sku":"A-7"}`),
	}
	first, _ := c.Send(ctx, m)
	second, _ := c.Send(ctx, m)
	fmt.Println(second.Replayed, second.MessageID == first.MessageID)
	// Output: true true
}

// An agent reads its inbox and acknowledges the messages with which it is done. Others
// are there again the next time.
func ExampleClient_Inbox() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	write(url, key["alice"], `{"text":"hello"}`)

	ctx := context.Background()
	c := &amtp.Client{URL: url, Key: key["bob"]}
	bob, _ := amtp.ParseAddress("bob@localhost")
	page, err := c.Inbox(ctx, bob, amtp.InboxQuery{Limit: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range page.Messages {
		fmt.Println(m.Sender, m.Trust, string(m.Payload))
		done, err := c.Ack(ctx, bob, m.MessageID)
		fmt.Println(done.Status, err)
	}
	// Output:
	// alice@localhost local {"text":"hello"}
	// acknowledged <nil>
}

func ExampleClient_Status() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	id := write(url, key["alice"], `{"text":"hello"}`)

	c := &amtp.Client{URL: url, Key: key["alice"]}
	s, err := c.Status(context.Background(), id)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Status)
	for _, r := range s.Recipients {
		fmt.Println(r.Address, r.Status, "acknowledged:", r.Acknowledged)
	}
	// Output:
	// delivered
	// bob@localhost delivered acknowledged: false
}

func ExampleClient_Register() {
	url, _, stop := gateway()
	defer stop()

	// A gateway on this machine registers anybody. Any other asks for AdminKey.
	c := &amtp.Client{URL: url}
	r, err := c.Register(context.Background(), amtp.NewAgent{
		Address:      "reviewer",
		Description:  "Reads changes and says what is wrong with them.",
		Capabilities: []string{"code-review"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Key = r.APIKey // shown this once: keep it

	who, err := c.WhoAmI(context.Background())
	fmt.Println(who.Address, who.Agent.Capabilities, err)
	// Output: reviewer@localhost [code-review] <nil>
}

// The life of an agent: wait, work, acknowledge. If the gateway is down, the agent asks
// again after a pause.
func Example_receiveLoop() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	for _, task := range []string{`{"task":"wash"}`, `{"task":"dry"}`} {
		write(url, key["alice"], task)
	}

	ctx := context.Background() // signal.NotifyContext ends it with Ctrl-C
	c := &amtp.Client{URL: url, Key: key["bob"]}
	bob, _ := amtp.ParseAddress("bob@localhost")
	for done := 0; done < 2; { // an agent would go on until ctx ends
		page, err := c.Inbox(ctx, bob, amtp.InboxQuery{Wait: 30 * time.Second})
		if err != nil {
			select {
			case <-time.After(5 * time.Second):
				continue
			case <-ctx.Done():
				return
			}
		}
		for _, m := range page.Messages {
			var order struct {
				Task string `json:"task"`
			}
			if json.Unmarshal(m.Payload, &order) == nil {
				fmt.Println(m.Sender, "asks:", order.Task)
			}
			if _, err := c.Ack(ctx, bob, m.MessageID); err == nil {
				done++
			}
		}
	}
	// Output:
	// alice@localhost asks: wash
	// alice@localhost asks: dry
}

// An answer names the message that it answers. Its idempotency key is derived from that
// message. So an agent that died before it could acknowledge does not answer twice.
func Example_reply() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	write(url, key["alice"], `{"text":"Is it ready?"}`)

	ctx := context.Background()
	c := &amtp.Client{URL: url, Key: key["bob"]}
	bob, _ := amtp.ParseAddress("bob@localhost")
	page, err := c.Inbox(ctx, bob, amtp.InboxQuery{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range page.Messages {
		_, err := c.Send(ctx, amtp.Message{
			Sender:         bob,
			Recipients:     []amtp.Address{m.Sender},
			InReplyTo:      m.MessageID,
			IdempotencyKey: "answer-" + string(m.MessageID),
			Payload:        json.RawMessage(`{"text":"Yes."}`),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = c.Ack(ctx, bob, m.MessageID)
		fmt.Println("answered", m.Sender, err)
	}
	// Output: answered alice@localhost <nil>
}

// A refusal has the protocol's code, and RetryAfter if a later attempt can help. After
// a lost connection it is unknown whether the request arrived: repeat it with the same
// idempotency key.
func Example_errors() {
	url, key, stop := gateway("alice")
	alice, _ := amtp.ParseAddress("alice@localhost")
	bob, _ := amtp.ParseAddress("bob@localhost")
	c := &amtp.Client{URL: url, Key: key["alice"], Retries: -1}
	send := func() {
		_, err := c.Send(context.Background(), amtp.Message{Sender: alice, Recipients: []amtp.Address{bob}})
		var refused *amtp.Error
		var lost *amtp.ConnectError
		switch {
		case errors.As(err, &refused) && refused.Code == amtp.CodeAgentUnknown:
			fmt.Println(refused.Status, "there is no such agent:", refused.Result.Recipients[0].Address)
		case errors.As(err, &refused):
			fmt.Println(refused.Status, refused.Code) // refused.Message is for a person
		case errors.As(err, &lost):
			fmt.Println("no answer")
		}
	}
	send()
	c.Key = "amtp_wrong"
	send()
	stop()
	send()
	// Output:
	// 404 there is no such agent: bob@localhost
	// 401 AUTHENTICATION_FAILED
	// no answer
}

// write sends bob a message from alice.
func write(url, key, payload string) amtp.MessageID {
	alice, _ := amtp.ParseAddress("alice@localhost")
	bob, _ := amtp.ParseAddress("bob@localhost")
	c := &amtp.Client{URL: url, Key: key}
	sent, err := c.Send(context.Background(), amtp.Message{
		Sender: alice, Recipients: []amtp.Address{bob}, Payload: json.RawMessage(payload),
	})
	must(err)
	return sent.MessageID
}
