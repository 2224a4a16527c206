// Two agents with a client that ogen made: go run . URL NAME
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-faster/jx"
	"github.com/ogen-go/ogen/ogenerrors"

	"example.test/clients/ogen/amtp"
)

var ctx = context.Background()

// key is an agent's key, or "" for none.
type key string

// AgentKey implements amtp.SecuritySource.
func (k key) AgentKey(context.Context, amtp.OperationName) (amtp.AgentKey, error) {
	if k == "" {
		return amtp.AgentKey{}, ogenerrors.ErrSkipClientSecurity
	}
	return amtp.AgentKey{Token: string(k)}, nil
}

// AgentKeyHeader implements amtp.SecuritySource.
func (key) AgentKeyHeader(context.Context, amtp.OperationName) (amtp.AgentKeyHeader, error) {
	return amtp.AgentKeyHeader{}, ogenerrors.ErrSkipClientSecurity
}

// AdminKey implements amtp.SecuritySource.
func (key) AdminKey(context.Context, amtp.OperationName) (amtp.AdminKey, error) {
	return amtp.AdminKey{}, ogenerrors.ErrSkipClientSecurity
}

// AdminBearer implements amtp.SecuritySource.
func (key) AdminBearer(context.Context, amtp.OperationName) (amtp.AdminBearer, error) {
	return amtp.AdminBearer{}, ogenerrors.ErrSkipClientSecurity
}

func client(url, k string) *amtp.Client {
	c, err := amtp.NewClient(url, key(k))
	check("client", err)
	return c
}

func check(step string, err error) {
	if err != nil {
		fmt.Println(step, err)
		os.Exit(1)
	}
}

// must returns the expected answer, or ends the story.
func must[T any](step string, answer any, err error) T {
	check(step, err)
	brought, ok := answer.(T)
	if !ok {
		check(step, fmt.Errorf("%T %+v", answer, answer))
	}
	return brought
}

// refused prints an answer that must be a refusal.
func refused(step string, status int, answer amtp.Refusal) {
	e := answer.Error
	whole := e.Message != "" && e.RequestID != "" && !time.Time(e.Timestamp).IsZero()
	fmt.Printf("%s: %d %s, whole: %t\n", step, status, e.Code, whole)
}

func setup(url, agent string, capabilities ...string) *amtp.Client {
	a, err := client(url, "").RegisterAgent(ctx, &amtp.NewAgent{
		Address:      agent,
		DeliveryMode: amtp.NewOptNilNewAgentDeliveryMode(amtp.NewAgentDeliveryModePull),
		Capabilities: amtp.NewOptNilStringArray(capabilities),
	}, amtp.RegisterAgentParams{})
	made := must[*amtp.RegisterAgentCreated]("setup", a, err).Response
	fmt.Printf("setup: %s by %s\n", made.Address, made.DeliveryMode)
	return client(url, made.APIKey)
}

func main() {
	url, name := os.Args[1], os.Args[2]
	ann := setup(url, "ann-"+name)
	bob := setup(url, "bob-"+name, "quotes-"+name)
	from, to := amtp.Address("ann-"+name+"@localhost"), amtp.Address("bob-"+name+"@localhost")
	id := send(ann, from, to, name)
	ask(ann, id)
	read(bob, string(to), id)
	look(ann, id, name)
	refusals(ann, from, to)
}

func send(ann *amtp.Client, from, to amtp.Address, name string) amtp.MessageID {
	a, err := ann.SendMessage(ctx, &amtp.NewMessage{
		Sender: from, Recipients: []amtp.Address{to}, Subject: amtp.NewOptNilString("Prices"),
		IdempotencyKey: amtp.NewOptNilString("prices-" + name), Payload: jx.Raw(`{"text":"What do 500 bolts cost?"}`),
	}, amtp.SendMessageParams{})
	sent := must[*amtp.SendResultHeaders]("send", a, err).Response
	fmt.Printf("send: %s to %s\n", sent.Status, sent.Recipients[0].Address)
	return sent.MessageID
}

func ask(ann *amtp.Client, id amtp.MessageID) {
	a, err := ann.GetMessageStatus(ctx, amtp.GetMessageStatusParams{ID: id})
	status := must[*amtp.MessageStatusHeaders]("status", a, err).Response
	next := "null"
	if at, ok := status.NextRetry.Get(); ok {
		next = at.String()
	}
	fmt.Printf("status: %s, next retry %s\n", status.Status, next)

	l, err := ann.ListMessages(ctx, amtp.ListMessagesParams{Sent: amtp.NewOptFlag(true),
		Status: amtp.NewOptListMessagesStatus(amtp.ListMessagesStatusDelivered)})
	mine := must[*amtp.MessageListHeaders]("list", l, err).Response
	fmt.Printf("list: %d sent by %s\n", len(mine.Messages), mine.Messages[0].Sender)
}

func read(bob *amtp.Client, to string, id amtp.MessageID) {
	i, err := bob.ReadInbox(ctx, amtp.ReadInboxParams{Recipient: to})
	inbox := must[*amtp.InboxPageHeaders]("inbox", i, err).Response
	letter := inbox.Messages[0]
	fmt.Printf("inbox: %d, %s, %s, %s\n", inbox.Count, letter.Status, letter.Trust, letter.Payload)

	r, err := bob.MarkRead(ctx, amtp.MarkReadParams{Recipient: to, ID: id})
	fmt.Printf("read: %s\n", must[*amtp.ReadResultHeaders]("read", r, err).Response.Status)
	a, err := bob.Acknowledge(ctx, amtp.AcknowledgeParams{Recipient: to, ID: id})
	fmt.Printf("ack: %s\n", must[*amtp.AckResultHeaders]("ack", a, err).Response.Status)
}

func look(ann *amtp.Client, id amtp.MessageID, name string) {
	a, err := ann.GetMessageStatus(ctx, amtp.GetMessageStatusParams{ID: id})
	at := must[*amtp.MessageStatusHeaders]("status", a, err).Response.Recipients[0]
	fmt.Printf("status: read %t, acknowledged %t\n", at.Read.Value, at.Acknowledged.Value)

	d, err := ann.DiscoverAgents(ctx, amtp.DiscoverAgentsParams{
		Capability: amtp.NewOptString("quotes-" + name), ActiveOnly: amtp.NewOptFlag(true),
		DeliveryMode: amtp.NewOptDeliveryMode(amtp.DeliveryModePull),
	})
	found := must[*amtp.AgentListHeaders]("discover", d, err).Response
	fmt.Printf("discover: %d, %s\n", found.AgentCount, found.Agents[0].Address)
}

func refusals(ann *amtp.Client, from, to amtp.Address) {
	s, err := ann.SendMessage(ctx, &amtp.NewMessage{Sender: from, Recipients: []amtp.Address{"no-" + to},
		Payload: jx.Raw(`{}`)}, amtp.SendMessageParams{})
	refused("unknown recipient", 404, must[*amtp.NoRecipientHeaders]("unknown recipient", s, err).Response)
	i, err := ann.ReadInbox(ctx, amtp.ReadInboxParams{Recipient: string(to)})
	refused("another's inbox", 403, must[*amtp.NotYoursHeaders]("another's inbox", i, err).Response)
	k, err := ann.GetMessage(ctx, amtp.GetMessageParams{ID: "/"})
	refused("no path", 404, must[*amtp.NoMessageHeaders]("no path", k, err).Response)
}
