package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// The two servers of this work: the gateway without a siege, and besieged.
const (
	quietGateway    = "gateway"
	besiegedGateway = "gateway, besieged"
)

// abuse measures how long a client that behaves waits, without a siege and during one,
// and how much memory the gateway then uses.
func (b *bench) abuse(ctx context.Context) error {
	var most int64
	for round := range b.Rounds {
		b.progress("abuse: %d messages, round %d of %d", b.Messages, round+1, b.Rounds)
		err := b.quietly(func() error {
			return b.onGateway(ctx, func(g *gateway) error {
				size, err := b.besiegedOnce(ctx, g)
				most = max(most, size)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	r := b.report
	r.ratio("accept, 1 client: p99, besieged / not", r.row("abuse", besiegedGateway, 1),
		r.row("abuse", quietGateway, 1), p99)
	r.ratio("accept, 1 client: p50, besieged / not", r.row("abuse", besiegedGateway, 1),
		r.row("abuse", quietGateway, 1), p50)
	r.figure("resident memory, besieged, at most", mebi(most), "MiB")
	return nil
}

// besiegedOnce is one round. It returns the gateway's highest memory use.
func (b *bench) besiegedOnce(ctx context.Context, g *gateway) (most int64, err error) {
	behave := func(name string) error {
		s, err := measure(ctx, g.process, submissions(g.process, 1, b.Messages, b.Payload))
		if err == nil {
			b.measured("abuse", name, 1, s)
		}
		return err
	}
	if err := behave(quietGateway); err != nil {
		return 0, err
	}
	s, err := besiege(ctx, g)
	if err != nil {
		return 0, err
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for pause(watching, 100*time.Millisecond) {
			if size, err := residentSize(g.pid); err == nil {
				most = max(most, size)
			}
		}
	})
	err = behave(besiegedGateway)
	b.progress("abuse: %d slow connections at the end, %d wrong logins, %d bombs", s.slow.Load(), s.logins.Load(),
		s.bombs.Load())
	stop()
	watch.Wait()
	return most, errors.Join(err, s.end(), g.verify(ctx, 2*b.Messages))
}
