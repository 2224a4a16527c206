package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"
)

// fullWAL is how much of the WAL a starting gateway must have to read. It is close to
// the 24 MiB at which a running one copies the WAL into the database.
const fullWAL = 20 << 20

// restart measures how long a gateway with a long inbox takes to be ready after it was
// killed under load with a full WAL. For comparison it measures one that starts on an
// empty directory.
func (b *bench) restart(ctx context.Context) error {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var empty, full []float64
	for round := range b.Rounds {
		g, took, err := b.timedStart(ctx, filepath.Join(dir, fmt.Sprint("empty", round)))
		if err != nil {
			return err
		}
		empty = append(empty, took)
		if err := g.stop(); err != nil {
			return err
		}
	}
	g, _, err := b.timedStart(ctx, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	b.progress("restart: filling an inbox with %d messages", b.Pending)
	if err := errors.Join(g.register(ctx), g.fill(ctx, b.Pending, b.Payload)); err != nil {
		return errors.Join(err, g.stop())
	}
	// From here on messages go to the other inbox. That one is read to its end to check
	// that nothing was lost.
	g.sender, g.recipient = g.recipient, g.sender
	sent, least := 0, int64(math.MaxInt64)
	for range b.Rounds {
		answered, wal, err := b.killFull(ctx, g)
		if err != nil {
			return err
		}
		sent, least = sent+answered, min(least, wal)
		again, took, err := b.timedStart(ctx, g.dir)
		if err != nil {
			return err
		}
		b.progress("restart: ready after %.0f ms, with a WAL of %.0f MiB", took, mebi(wal))
		again.sender, again.recipient = g.sender, g.recipient
		full, g = append(full, took), again
	}
	r := b.report
	r.figure("start until ready, empty directory", spreadAmong(empty).Median, "ms")
	r.figure(fmt.Sprintf("start until ready, %d queued, WAL of %.0f MiB left by SIGKILL", b.Pending, mebi(least)),
		spreadAmong(full).Median, "ms")
	return errors.Join(b.keptAll(ctx, g, sent), g.stop())
}

// timedStart starts a gateway and returns how many milliseconds passed until it said
// that it is ready.
func (b *bench) timedStart(ctx context.Context, dir string) (*gateway, float64, error) {
	began := time.Now()
	g, err := startGateway(ctx, b.binary, dir, launch{})
	return g, micros(time.Since(began)) / 1000, err
}

// killFull sends messages until the WAL is full and kills the gateway. It returns how
// many were answered and the length of the WAL.
func (b *bench) killFull(ctx context.Context, g *gateway) (answered int, wal int64, err error) {
	load := submissions(g.process, killClients, math.MaxInt32, b.Payload)
	driven, ended := 0, make(chan error, 1)
	go func() {
		d, err := load.drive(ctx)
		driven = int(d.times.n)
		ended <- err
	}()
	for wal < fullWAL && err == nil && pause(ctx, time.Millisecond) {
		wal, err = walLength(g.dir)
	}
	err = errors.Join(err, ctx.Err(), g.cmd.Process.Kill())
	_ = g.cmd.Wait()  // it was killed
	broken := <-ended // the kill ends the load
	if err == nil && broken == nil {
		err = errors.New("the load ended although the gateway was killed")
	}
	if err == nil {
		wal, err = walLength(g.dir)
	}
	return driven, wal, err
}

// killClients is how many requests may be without an answer at the kill.
const killClients = 64

// walLength returns how many bytes of the WAL the next start must read, as the head of
// the WAL's index says: the page size is at offset 14, the last frame at 16.
func walLength(dir string) (int64, error) {
	f, err := os.Open(filepath.Join(dir, "amtp.db-shm"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var head [20]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0, err
	}
	page, last := binary.NativeEndian.Uint16(head[14:]), binary.NativeEndian.Uint32(head[16:])
	return int64(page) * int64(last), nil
}

// keptAll checks that no answered message is lost, and that the inbox has only messages
// that were sent.
func (b *bench) keptAll(ctx context.Context, g *gateway, answered int) error {
	ids, _, err := g.inbox(ctx)
	if err != nil {
		return err
	}
	if len(ids) < answered || len(ids) > answered+b.Rounds*killClients {
		return fmt.Errorf("the inbox has %d messages; %d were answered before the kills, %d more may have been sent",
			len(ids), answered, b.Rounds*killClients)
	}
	return nil
}
