package amtp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
)

// A worker claims a message, works, and acknowledges it under its lease. What it cannot do
// at the moment it gives back, and what it will never do it rejects.
func ExampleClient_Claim() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	for _, task := range []string{`{"task":"wash"}`, `{"task":"fly"}`} {
		write(url, key["alice"], task)
	}

	ctx := context.Background()
	c := &amtp.Client{URL: url, Key: key["bob"]}
	bob, _ := amtp.ParseAddress("bob@localhost")
	for range 2 { // a worker would go on until ctx ends
		claimed, err := c.Claim(ctx, bob, amtp.ClaimQuery{Visibility: 10 * time.Minute, Wait: 30 * time.Second})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, m := range claimed.Messages {
			if string(m.Payload) == `{"task":"fly"}` {
				_, err = c.Reject(ctx, bob, m.MessageID, m.Lease.Token, "I have no wings.")
				fmt.Println("rejected:", err)
				continue
			}
			_, err = c.AckClaimed(ctx, bob, m.MessageID, m.Lease.Token)
			fmt.Println("done:", err)
		}
	}
	// Output:
	// done: <nil>
	// rejected: <nil>
}

// An agent that delegates work waits for the answer to its message. The wait goes on while
// the gateway is restarted.
func ExampleClient_Await() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	asked := write(url, key["alice"], `{"text":"Which colour?"}`)
	answerTo(url, key["bob"], asked, `{"text":"Blue."}`)

	c := &amtp.Client{URL: url, Key: key["alice"]}
	alice, _ := amtp.ParseAddress("alice@localhost")
	page, err := c.Await(context.Background(), alice, amtp.InboxQuery{InReplyTo: asked, Wait: time.Minute}, nil)
	if err != nil || len(page.Messages) == 0 {
		fmt.Println("no answer yet", err)
		return
	}
	fmt.Println(page.Messages[0].Sender, string(page.Messages[0].Payload))
	// Output: bob@localhost {"text":"Blue."}
}

// A program that follows its inbox gets every message once, in order, also when the
// connection is lost.
func ExampleClient_Events() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	for _, n := range []string{"1", "2"} {
		write(url, key["alice"], n)
	}

	c := &amtp.Client{URL: url, Key: key["bob"]}
	bob, _ := amtp.ParseAddress("bob@localhost")
	for event, err := range c.Events(context.Background(), bob, amtp.EventQuery{Full: true}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Message.Sender, string(event.Message.Payload))
		if string(event.Message.Payload) == "2" {
			break // event.Cursor, kept, is where the next program may begin
		}
	}
	// Output:
	// alice@localhost 1
	// alice@localhost 2
}

// A conversation has the messages of both sides in order.
func ExampleClient_AllThread() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	asked := write(url, key["alice"], `{"text":"Which colour?"}`)
	answerTo(url, key["bob"], asked, `{"text":"Blue."}`)

	c := &amtp.Client{URL: url, Key: key["alice"]}
	for m, err := range c.AllThread(context.Background(), asked, amtp.ThreadQuery{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(m.Message.Sender, string(m.Message.Payload))
	}
	// Output:
	// alice@localhost {"text":"Which colour?"}
	// bob@localhost {"text":"Blue."}
}

// A search finds the words in one's own mail. The index is filled after a message was
// accepted, so a page says how many messages it does not know yet.
func ExampleClient_Search() {
	url, key, stop := gateway("alice", "bob")
	defer stop()
	write(url, key["alice"], `{"text":"The annual report is ready."}`)

	ctx := context.Background()
	c := &amtp.Client{URL: url, Key: key["bob"]}
	for {
		page, err := c.Search(ctx, amtp.SearchQuery{Words: "annual report"})
		if err != nil {
			fmt.Println(err)
			return
		}
		if page.Behind > 0 {
			<-time.After(100 * time.Millisecond)
			continue
		}
		for _, m := range page.Messages {
			fmt.Println(m.Sender)
		}
		break
	}
	// Output: alice@localhost
}

// answerTo answers a message of alice's.
func answerTo(url, key string, asked amtp.MessageID, payload string) {
	alice, _ := amtp.ParseAddress("alice@localhost")
	bob, _ := amtp.ParseAddress("bob@localhost")
	c := &amtp.Client{URL: url, Key: key}
	_, err := c.Send(context.Background(), amtp.Message{
		Sender: bob, Recipients: []amtp.Address{alice}, InReplyTo: asked, Payload: json.RawMessage(payload),
	})
	must(err)
}
