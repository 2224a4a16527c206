package main

import (
	"context"
	"fmt"

	"github.com/amtp-go/amtp"
)

// ackClients is how many clients acknowledge at once.
const ackClients = 64

// ack measures the durable acknowledgement of one message at a time. The bare handler
// answers the same requests and stores nothing.
func (b *bench) ack(ctx context.Context) error {
	for round := range b.Rounds {
		b.progress("ack: %d clients, %d messages, round %d of %d", ackClients, b.Messages, round+1, b.Rounds)
		if err := b.quietly(func() error { return b.ackOnce(ctx) }); err != nil {
			return err
		}
	}
	r := b.report
	ours, bare := r.row("ack", gatewayServer, ackClients), r.row("ack", bareFloor, ackClients)
	r.ratio(fmt.Sprintf("ack, %d clients: rate, gateway / bare", ackClients), ours, bare, perSecond)
	return nil
}

// ackOnce is one round.
func (b *bench) ackOnce(ctx context.Context) error {
	if err := b.ackOnGateway(ctx); err != nil {
		return err
	}
	return b.ackOnFloor(ctx)
}

func (b *bench) ackOnGateway(ctx context.Context) error {
	return b.onGateway(ctx, func(g *gateway) error {
		if err := g.fill(ctx, b.Messages, b.Payload); err != nil {
			return err
		}
		ids, _, err := g.inbox(ctx)
		if err != nil {
			return err
		}
		if len(ids) != b.Messages {
			return fmt.Errorf("the inbox has %d messages; %d were acknowledged with 202", len(ids), b.Messages)
		}
		if err := b.ackAll(ctx, g.process, ids); err != nil {
			return err
		}
		return g.verify(ctx, 0)
	})
}

func (b *bench) ackOnFloor(ctx context.Context) error {
	ids := make([]amtp.MessageID, b.Messages)
	for i := range ids {
		ids[i] = amtp.MessageID(fmt.Sprintf("%036d", i))
	}
	return b.onFloor(ctx, bareFloor, func(p *process) error { return b.ackAll(ctx, p, ids) })
}

func (b *bench) ackAll(ctx context.Context, p *process, ids []amtp.MessageID) error {
	s, err := measure(ctx, p, acks(p, ackClients, ids))
	if err == nil {
		b.measured("ack", p.name, ackClients, s)
	}
	return err
}
