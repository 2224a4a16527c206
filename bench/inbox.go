package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	shortInbox = 1_000  // messages in the inbox with which the long one is compared
	step       = 10_000 // messages after which memory is first measured
	pageSize   = 100    // messages of one page
	pageReads  = 2_000  // reads of that page per round
)

// inbox measures the cost of a long inbox: the time to read a page of it and a page of
// a short one, the memory of the gateway, and its directory after a clean end.
func (b *bench) inbox(ctx context.Context) error {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	empty, err := b.emptyDirectory(ctx, filepath.Join(dir, "empty"))
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	g, err := startGateway(ctx, b.binary, data, launch{})
	if err != nil {
		return err
	}
	if err := errors.Join(b.fillAndRead(ctx, g), g.stop()); err != nil {
		return err
	}
	full, err := diskUse(data)
	each := float64(full-empty) / float64(b.Pending)
	b.report.figure("disk per message", each, "bytes")
	b.report.figure("disk per message beyond its payload", each-float64(b.Payload), "bytes")
	return err
}

// emptyDirectory returns the size of a directory whose gateway has registered its
// agents and has ended.
func (b *bench) emptyDirectory(ctx context.Context, dir string) (int64, error) {
	g, err := startGateway(ctx, b.binary, dir, launch{})
	if err != nil {
		return 0, err
	}
	if err := errors.Join(g.register(ctx), g.stop()); err != nil {
		return 0, err
	}
	return diskUse(dir)
}

// fillAndRead fills the long inbox, measures memory meanwhile, and reads the inbox.
func (b *bench) fillAndRead(ctx context.Context, g *gateway) error {
	if err := g.register(ctx); err != nil {
		return err
	}
	b.progress("inbox: filling it with %d messages", b.Pending)
	first, err := b.fillTo(ctx, g, step)
	if err != nil {
		return err
	}
	all, err := b.fillTo(ctx, g, b.Pending-step)
	if err != nil {
		return err
	}
	b.report.figure(fmt.Sprintf("resident memory, %d queued", step), mebi(first), "MiB")
	b.report.figure(fmt.Sprintf("resident memory, %d queued", b.Pending), mebi(all), "MiB")
	b.report.figure("memory per 10,000 queued", mebi(all-first)*1024*10_000/float64(b.Pending-step), "KiB")
	if err := b.readPages(ctx, g); err != nil {
		return err
	}
	return g.verify(ctx, b.Pending)
}

// fillTo sends n messages and returns the gateway's memory after them.
func (b *bench) fillTo(ctx context.Context, g *gateway, n int) (int64, error) {
	if err := g.fill(ctx, n, b.Payload); err != nil {
		return 0, err
	}
	return residentSize(g.pid)
}

// readPages reads the oldest messages of the long inbox and of a short one in turns.
// For comparison it also sends submissions to the bare handler.
func (b *bench) readPages(ctx context.Context, long *gateway) error {
	read := func(name string, g *gateway) error {
		s, err := measure(ctx, g.process, pages(g.process, pageReads, pageSize))
		if err == nil {
			b.measured("page of 100", name, 1, s)
		}
		return err
	}
	longName, shortName := fmt.Sprintf("gateway, %d pending", b.Pending), fmt.Sprintf("gateway, %d pending", shortInbox)
	err := b.onGateway(ctx, func(short *gateway) error {
		if err := short.fill(ctx, shortInbox, b.Payload); err != nil {
			return err
		}
		round := func() error {
			return errors.Join(read(shortName, short), read(longName, long), b.acceptOnBare(ctx))
		}
		for range b.Rounds {
			if err := b.quietly(round); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r := b.report
	longRow, shortRow := r.row("page of 100", longName, 1), r.row("page of 100", shortName, 1)
	r.ratio("page of 100: p50, long inbox / short inbox", longRow, shortRow, p50)
	r.ratio("page of 100: p50, short inbox / one accept of the bare handler", shortRow,
		r.row("page of 100", bareFloor, 1), p50)
	return nil
}

// acceptOnBare adds a row of submissions to the bare handler to those of the pages.
func (b *bench) acceptOnBare(ctx context.Context) error {
	return b.onFloor(ctx, bareFloor, func(p *process) error {
		s, err := measure(ctx, p, submissions(p, 1, pageReads, b.Payload))
		if err == nil {
			b.measured("page of 100", bareFloor, 1, s)
		}
		return err
	})
}
