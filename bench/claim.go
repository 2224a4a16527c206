package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/amtp-go/amtp"
)

// claimClients is how many workers claim and acknowledge at once.
const claimClients = 64

// claim measures workers that claim one message at a time and acknowledge it under its
// lease. Both calls are durable. A message is two requests. The bare handler answers the
// same requests and stores nothing.
func (b *bench) claim(ctx context.Context) error {
	for round := range b.Rounds {
		b.progress("claim: %d clients, %d messages, round %d of %d", claimClients, b.Messages, round+1, b.Rounds)
		if err := b.quietly(func() error { return b.claimOnce(ctx) }); err != nil {
			return err
		}
	}
	r := b.report
	ours, bare := r.row("claim", gatewayServer, claimClients), r.row("claim", bareFloor, claimClients)
	r.ratio(fmt.Sprintf("claim and ack, %d clients: rate, gateway / bare", claimClients), ours, bare, perSecond)
	return nil
}

// claimOnce is one round.
func (b *bench) claimOnce(ctx context.Context) error {
	err := b.onGateway(ctx, func(g *gateway) error {
		if err := g.fill(ctx, b.Messages, b.Payload); err != nil {
			return err
		}
		return b.claimAll(ctx, g.process)
	})
	if err != nil {
		return err
	}
	return b.onFloor(ctx, bareFloor, func(p *process) error { return b.claimAll(ctx, p) })
}

// claimAll claims and acknowledges all messages but the last few: a client that has no turn
// left does not begin with another one.
func (b *bench) claimAll(ctx context.Context, p *process) error {
	s, err := measure(ctx, p, workers(p, claimClients, 2*(b.Messages-claimClients)))
	if err == nil {
		b.measured("claim", p.name, claimClients, s)
	}
	return err
}

// workers is the load of n requests of workers. Each worker claims a message and then
// acknowledges it.
func workers(p *process, clients, n int) load {
	all := make([]claimWorker, clients)
	source := func(client int) func(int) []byte {
		return func(int) []byte { return all[client].next(p) }
	}
	heard := func(client int, body []byte) error { return all[client].heard(body) }
	return load{addr: p.addr, clients: clients, n: n, status: http.StatusOK, source: source, heard: heard}
}

// claimWorker is one worker. held is the message that it has claimed.
type claimWorker struct {
	held struct {
		MessageID amtp.MessageID `json:"message_id"`
		Lease     amtp.Lease     `json:"lease"`
	}
	request []byte
}

func (w *claimWorker) next(p *process) []byte {
	if w.held.MessageID == "" {
		w.request = fmt.Appendf(w.request[:0], "POST /v1/inbox/%s/claim HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
			"Content-Length: 0\r\n\r\n", p.recipient.Address, p.addr, p.recipient.Key)
		return w.request
	}
	w.request = fmt.Appendf(w.request[:0],
		"DELETE /v1/inbox/%s/%s?lease=%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		p.recipient.Address, w.held.MessageID, w.held.Lease.Token, p.addr, p.recipient.Key)
	return w.request
}

// heard takes the answer to the last request.
func (w *claimWorker) heard(body []byte) error {
	if w.held.MessageID != "" {
		w.held.MessageID = ""
		return nil
	}
	var page struct {
		Messages []json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return err
	}
	if len(page.Messages) != 1 {
		return fmt.Errorf("a claim returned %d messages, want 1", len(page.Messages))
	}
	return json.Unmarshal(page.Messages[0], &w.held)
}
