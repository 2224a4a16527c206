// Command go is an agent that answers each message with the number of its words.
//
//	amtp setup --name counter --config ~/counter.json
//	go run ./examples/go ~/counter.json
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
)

func main() {
	var me struct { // what amtp setup saved
		GatewayURL, APIKey string
		AgentAddress       amtp.Address
	}
	if len(os.Args) != 2 {
		log.Fatal("usage: go run ./examples/go ~/counter.json")
	}
	doc, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(doc, &me)
	}
	if err != nil {
		log.Fatal(err)
	}
	c := &amtp.Client{URL: me.GatewayURL, Key: me.APIKey}
	log.Printf("%s waits for messages", me.AgentAddress)
	for pause := time.Second; ; {
		if err := work(context.Background(), c, me.AgentAddress); err == nil {
			pause = time.Second
			continue
		}
		log.Printf("again in %v: %v", pause, err)
		time.Sleep(pause)
		pause = min(2*pause, time.Minute)
	}
}

// work claims a message, or waits for one. No other worker of this agent gets it
// meanwhile. What it does not acknowledge returns a minute later.
func work(ctx context.Context, c *amtp.Client, me amtp.Address) error {
	claims, err := c.Claim(ctx, me, amtp.ClaimQuery{Wait: 30 * time.Second})
	if err != nil {
		return err
	}
	for _, m := range claims.Messages {
		proven := m.Trust == amtp.TrustLocal || m.Trust == amtp.TrustVerified
		if proven && m.InReplyTo == "" { // an answer to an answer would never end
			_, err := c.Send(ctx, amtp.Message{
				Sender: me, Recipients: []amtp.Address{m.Sender}, InReplyTo: m.MessageID,
				IdempotencyKey: "answer-" + string(m.MessageID), // after a crash the same again: nobody gets two
				Payload:        answer(m.Payload),
			})
			var no *amtp.Error // 404: the sender is gone; 422: it has been answered before, otherwise
			if err != nil && !(errors.As(err, &no) && (no.Status == 404 || no.Status == 422)) {
				return err
			}
		}
		if _, err := c.AckClaimed(ctx, me, m.MessageID, m.Lease.Token); err != nil {
			return err
		}
	}
	return nil
}

// answer is all that this agent does. The payload is data: whatever it says, its
// words are counted.
func answer(payload json.RawMessage) json.RawMessage {
	var in struct{ Text string }
	_ = json.Unmarshal(payload, &in) // no text, no words
	return fmt.Appendf(nil, `{"words":%d}`, len(strings.Fields(in.Text)))
}
