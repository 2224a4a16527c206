package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/amtp-go/amtp"
)

const (
	outageWork     = "outage"
	outageMessages = 100_000 // messages that wait for the domain that is down
	// outageCalm is how long the disk gets to catch up with data written in seconds.
	// Until then it slows all messages down, whether they wait or not.
	outageCalm = 15 * time.Second
)

// outage measures the cost of a domain that is down: its effect on accepts for others,
// the memory for its waiting messages, and how fast they arrive when it is back.
// Accepts for others are compared with those of a gateway that has delivered as many
// messages, because any gateway is slower with a larger database. Every accepted
// message must arrive, once.
func (b *bench) outage(ctx context.Context) error {
	if err := b.withNeighbours(ctx, b.noOutage); err != nil {
		return err
	}
	if err := b.withNeighbours(ctx, b.outageOf); err != nil {
		return err
	}
	r := b.report
	up, down := r.row(outageWork, "domain up", crowd), r.row(outageWork, "domain down", crowd)
	r.ratio("outage: accepts for others, domain down / up", down, up, perSecond)
	return nil
}

// withNeighbours runs use with new gateways.
func (b *bench) withNeighbours(ctx context.Context, use func(context.Context, *neighbours) error) (err error) {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pair, err := b.neighbours(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pair.here.stop(), pair.there.stop()) }()
	return use(ctx, pair)
}

// noOutage measures accepts for others after as many messages to a domain that is up.
func (b *bench) noOutage(ctx context.Context, pair *neighbours) error {
	local := pair.here.recipient
	pair.here.recipient = pair.there.recipient
	b.progress("outage: %d messages while the domain is up", b.Messages+outageMessages)
	if _, err := pair.through(ctx, b.Messages+outageMessages, b.Payload); err != nil {
		return err
	}
	pair.here.recipient = local
	return b.beside(ctx, pair, "domain up")
}

// outageOf goes through an outage.
func (b *bench) outageOf(ctx context.Context, pair *neighbours) error {
	local := pair.here.recipient
	pair.here.recipient = pair.there.recipient
	normal, err := pair.through(ctx, b.Messages, b.Payload)
	if err != nil {
		return err
	}
	_, seen, err := pair.there.inbox(ctx)
	if err := errors.Join(err, pair.there.stop()); err != nil {
		return err
	}
	before, err := residentSize(pair.here.pid)
	if err != nil {
		return err
	}
	b.progress("outage: %d messages while it is down", outageMessages)
	if err := pair.here.fill(ctx, outageMessages, b.Payload); err != nil {
		return err
	}
	after, err := residentSize(pair.here.pid)
	if err != nil {
		return err
	}
	pair.here.recipient = local
	if err := b.beside(ctx, pair, "domain down"); err != nil {
		return err
	}
	waited, drained, err := b.back(ctx, pair, seen)
	if err != nil {
		return err
	}
	r := b.report
	r.Ratios = append(r.Ratios, figure{Name: "outage: drained / normal rate",
		Value: outageMessages / drained.Seconds() / normal.Rate})
	r.figure("outage: memory for 100,000 that wait", mebi(after-before), "MiB")
	r.figure("outage: from its return to the first message", waited.Seconds(), "s")
	r.figure("outage: until the last message", drained.Seconds(), "s")
	return pair.there.verify(ctx, b.Messages+outageMessages)
}

// beside measures accepts for a recipient here, when the machine has become quiet.
func (b *bench) beside(ctx context.Context, pair *neighbours, when string) error {
	select {
	case <-time.After(outageCalm):
	case <-ctx.Done():
		return ctx.Err()
	}
	for range b.Rounds {
		s, err := measure(ctx, pair.here.process, submissions(pair.here.process, crowd, b.Messages, b.Payload))
		if err != nil {
			return err
		}
		b.report.add(outageWork, when, crowd, s)
	}
	return nil
}

// back starts the gateway again. It measures the time until the first message after the
// cursor arrives, and until all others have.
func (b *bench) back(ctx context.Context, pair *neighbours, seen string) (waited, drained time.Duration, err error) {
	who, dir := pair.there.recipient, pair.there.dir
	again, err := startGateway(ctx, b.binary, dir, pair.away)
	if err != nil {
		return 0, 0, err
	}
	again.recipient = who
	pair.there = again
	began := time.Now()
	c := amtp.Client{URL: pair.there.url, Key: who.Key, HTTP: pair.there.http}
	for found := false; !found; {
		page, err := c.Inbox(ctx, who.Address, amtp.InboxQuery{Limit: 1, After: seen, Wait: 2 * time.Second})
		if err != nil {
			return 0, 0, err
		}
		found = len(page.Messages) > 0
	}
	waited = time.Since(began)
	b.progress("outage: the first message arrived after %v", waited)
	first := time.Now()
	err = pair.here.settled(ctx)
	return waited, time.Since(first), err
}
