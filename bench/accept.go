package main

import (
	"context"
	"fmt"
)

// accept measures the durable accept, with each number of clients, on new servers in
// turns.
func (b *bench) accept(ctx context.Context) error {
	for _, clients := range b.Clients {
		n := b.Messages
		if clients == 1 {
			n /= 4
		}
		for round := range b.Rounds {
			b.progress("accept: %d clients, %d messages, round %d of %d", clients, n, round+1, b.Rounds)
			if err := b.quietly(func() error { return b.acceptOnce(ctx, clients, n) }); err != nil {
				return err
			}
		}
		b.compareAccepts(clients)
	}
	return nil
}

// acceptOnce is one round: each server takes the same load.
func (b *bench) acceptOnce(ctx context.Context, clients, n int) error {
	measured := func(p *process) error {
		s, err := measure(ctx, p, submissions(p, clients, n, b.Payload))
		if err == nil {
			b.measured("accept", p.name, clients, s)
		}
		return err
	}
	for _, word := range []string{bareFloor, logFloor} {
		if err := b.onFloor(ctx, word, measured); err != nil {
			return err
		}
	}
	return b.onGateway(ctx, func(g *gateway) error {
		if err := measured(g.process); err != nil {
			return err
		}
		return g.verify(ctx, n)
	})
}

func (b *bench) compareAccepts(clients int) {
	r := b.report
	bare, log := r.row("accept", bareFloor, clients), r.row("accept", logFloor, clients)
	ours := r.row("accept", gatewayServer, clients)
	name := func(what string) string { return fmt.Sprintf("accept, %d clients: %s", clients, what) }
	r.ratio(name("rate, gateway / bare"), ours, bare, perSecond)
	r.ratio(name("rate, gateway / log"), ours, log, perSecond)
	r.ratio(name("p50, gateway / log"), ours, log, p50)
	r.quotient(name("p99.9 / p99 of the gateway"), spreadOf(ours.Samples, p999), spreadOf(ours.Samples, p99))
}
