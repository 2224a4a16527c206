package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// purger removes messages and keys that have outlived their retention, a few messages
// at a time. It remembers its place in memory; after a restart it begins anew, which
// costs only time.
type purger struct {
	store interface {
		Purge(ctx context.Context, keep gateway.Retention, now time.Time, after int64,
			limit int) (gateway.Purged, error)
		Clock() gateway.ClockState
	}
	keep  gateway.Retention
	batch int           // messages that one round checks
	pause time.Duration // between two rounds
	every time.Duration // after a round that reached the end
	now   func() time.Time
	log   *slog.Logger

	after int64          // where the next round begins
	sum   gateway.Purged // what the current walk has removed
}

func (a *App) newPurger() *purger {
	r := a.cfg.Retention
	return &purger{
		store: a.store, keep: r.Retention, batch: r.Batch, pause: r.Pause, every: r.Every,
		now: a.store.Now, log: a.log,
	}
}

// Run purges until ctx ends, which is no error. What a round could not do, for example
// on a full disk, the next walk does. It removes nothing while the clock is doubted.
func (p *purger) Run(ctx context.Context) error {
	rest := time.NewTimer(p.pause)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		}
		if clock := p.store.Clock(); !clock.Believed() {
			rest.Reset(max(min(clock.Doubt, p.every), p.pause))
			continue
		}
		done, err := p.round(ctx)
		switch {
		case errors.Is(err, gateway.ErrClosed) || ctx.Err() != nil:
			return nil
		case err != nil:
			p.log.Warn("data that has outlived its retention cannot be removed now", "cause", err)
			rest.Reset(p.every)
		case done:
			rest.Reset(p.every)
		default:
			rest.Reset(p.pause)
		}
	}
}

// round makes one call, and reports whether the walk has come to its end.
func (p *purger) round(ctx context.Context) (done bool, err error) {
	did, err := p.store.Purge(ctx, p.keep, p.now(), p.after, p.batch)
	if err != nil {
		return false, err
	}
	p.after = did.Next
	p.sum.Bodies += did.Bodies
	p.sum.Messages += did.Messages
	p.sum.Keys += did.Keys
	p.sum.Peers += did.Peers
	p.sum.Agents += did.Agents
	p.sum.Unreadable += did.Unreadable
	if !did.Done {
		return false, nil
	}
	if s := p.sum; s.Bodies+s.Messages+s.Keys+s.Peers+s.Agents+s.Unreadable > 0 {
		p.log.Info("removed data that has outlived its retention", "bodies", s.Bodies, "messages", s.Messages, "keys",
			s.Keys, "domains", s.Peers, "agents", s.Agents, "unreadable", s.Unreadable)
	}
	p.after, p.sum = 0, gateway.Purged{}
	return true, nil
}
