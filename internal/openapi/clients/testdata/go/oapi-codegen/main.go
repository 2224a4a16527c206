// Two agents with a client that oapi-codegen made: go run . URL NAME
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"example.test/clients/oapi-codegen/amtp"
)

var ctx = context.Background()

// client returns the client of an agent with that key, or one without a key.
func client(url, key string) *amtp.ClientWithResponses {
	c, err := amtp.NewClientWithResponses(url, amtp.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		return nil
	}))
	check("client", err)
	return c
}

func check(step string, err error) {
	if err != nil {
		fmt.Println(step, err)
		os.Exit(1)
	}
}

// must returns the content of an answer, or ends the story.
func must[T any](step string, brought *T, body []byte, status string) *T {
	if brought == nil {
		check(step, fmt.Errorf("%s %s", status, body))
	}
	return brought
}

// refused prints an answer that must be a refusal.
func refused(step string, answer *amtp.Refusal, status int) {
	if answer == nil {
		check(step, fmt.Errorf("status %d, want a refusal", status))
	}
	e := answer.Error
	whole := e.Message != "" && !e.Timestamp.IsZero() && e.RequestId != ""
	fmt.Printf("%s: %d %s, whole: %t\n", step, status, e.Code, whole)
}

func setup(url, agent string, capabilities ...string) *amtp.ClientWithResponses {
	mode := amtp.NewAgentDeliveryModePull
	a, err := client(url, "").RegisterAgentWithResponse(ctx, nil,
		amtp.NewAgent{Address: agent, DeliveryMode: &mode, Capabilities: &capabilities})
	check("setup", err)
	made := must("setup", a.JSON201, a.Body, a.Status())
	fmt.Printf("setup: %s by %s\n", made.Address, made.DeliveryMode)
	return client(url, made.ApiKey)
}

func main() {
	url, name := os.Args[1], os.Args[2]
	ann := setup(url, "ann-"+name)
	bob := setup(url, "bob-"+name, "quotes-"+name)
	from, to := "ann-"+name+"@localhost", "bob-"+name+"@localhost"
	id := send(ann, from, to, name)
	ask(ann, id)
	read(bob, to, id)
	look(ann, id, name)
	refusals(ann, from, to)
}

func send(ann *amtp.ClientWithResponses, from, to, name string) string {
	subject, key := "Prices", "prices-"+name
	a, err := ann.SendMessageWithResponse(ctx, nil, amtp.NewMessage{
		Sender: from, Recipients: []amtp.Address{to}, Subject: &subject, IdempotencyKey: &key,
		Payload: map[string]string{"text": "What do 500 bolts cost?"},
	})
	check("send", err)
	sent := must("send", a.JSON202, a.Body, a.Status())
	fmt.Printf("send: %s to %s\n", sent.Status, sent.Recipients[0].Address)
	return sent.MessageId
}

func ask(ann *amtp.ClientWithResponses, id string) {
	a, err := ann.GetMessageStatusWithResponse(ctx, id, nil)
	check("status", err)
	status := must("status", a.JSON200, a.Body, a.Status())
	next := "null"
	if status.NextRetry != nil {
		next = status.NextRetry.String()
	}
	fmt.Printf("status: %s, next retry %s\n", status.Status, next)

	yes, delivered := true, amtp.ListMessagesParamsStatusDelivered
	l, err := ann.ListMessagesWithResponse(ctx, &amtp.ListMessagesParams{Sent: &yes, Status: &delivered})
	check("list", err)
	mine := must("list", l.JSON200, l.Body, l.Status())
	fmt.Printf("list: %d sent by %s\n", len(mine.Messages), mine.Messages[0].Sender)
}

func read(bob *amtp.ClientWithResponses, to, id string) {
	i, err := bob.ReadInboxWithResponse(ctx, to, &amtp.ReadInboxParams{})
	check("inbox", err)
	inbox := must("inbox", i.JSON200, i.Body, i.Status())
	letter := inbox.Messages[0]
	payload, err := json.Marshal(letter.Payload)
	check("inbox", err)
	fmt.Printf("inbox: %d, %s, %s, %s\n", inbox.Count, letter.Status, letter.Trust, payload)

	r, err := bob.MarkReadWithResponse(ctx, to, id)
	check("read", err)
	fmt.Printf("read: %s\n", must("read", r.JSON200, r.Body, r.Status()).Status)
	a, err := bob.AcknowledgeWithResponse(ctx, to, id, nil)
	check("ack", err)
	fmt.Printf("ack: %s\n", must("ack", a.JSON200, a.Body, a.Status()).Status)
}

func look(ann *amtp.ClientWithResponses, id, name string) {
	a, err := ann.GetMessageStatusWithResponse(ctx, id, nil)
	check("status", err)
	at := must("status", a.JSON200, a.Body, a.Status()).Recipients[0]
	fmt.Printf("status: read %t, acknowledged %t\n", *at.Read, *at.Acknowledged)

	capability, active, pull := "quotes-"+name, true, amtp.DeliveryModePull
	d, err := ann.DiscoverAgentsWithResponse(ctx, &amtp.DiscoverAgentsParams{Capability: &capability,
		ActiveOnly: &active, DeliveryMode: &pull})
	check("discover", err)
	found := must("discover", d.JSON200, d.Body, d.Status())
	fmt.Printf("discover: %d, %s\n", found.AgentCount, found.Agents[0].Address)
}

func refusals(ann *amtp.ClientWithResponses, from, to string) {
	s, err := ann.SendMessageWithResponse(ctx, nil, amtp.NewMessage{Sender: from, Recipients: []amtp.Address{"no-" + to},
		Payload: map[string]string{}})
	check("unknown recipient", err)
	refused("unknown recipient", s.JSON404, s.StatusCode())
	i, err := ann.ReadInboxWithResponse(ctx, to, nil)
	check("another's inbox", err)
	refused("another's inbox", i.JSON403, i.StatusCode())
	m, err := ann.GetMessageWithResponse(ctx, "/", nil)
	check("no path", err)
	refused("no path", m.JSON404, m.StatusCode())
}
