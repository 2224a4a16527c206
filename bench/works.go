package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A bench is one run. Every work starts new servers on new directories and adds its
// results to the report.
type bench struct {
	settings
	dir    string // for all data of the run; removed at its end
	binary string // the gateway
	report *report
	round  []measurement // of the current round
	dirs   int           // the number of directories used so far
}

// A measurement is one sample with its place in the report.
type measurement struct {
	work, server string
	clients      int
	sample       sample
}

// A work is one thing that can be measured.
type work struct {
	name string
	run  func(*bench, context.Context) error
}

// works returns all works in the order in which they run.
func works() []work {
	return []work{
		{"accept", (*bench).accept},
		{"ack", (*bench).ack},
		{"claim", (*bench).claim},
		{"federation", (*bench).federation},
		{outageWork, (*bench).outage},
		{"inbox", (*bench).inbox},
		{"search", (*bench).search},
		{"restart", (*bench).restart},
		{"abuse", (*bench).abuse},
		{"wake", (*bench).wake},
		{"postgres", (*bench).postgres},
		{"postgres-queue", (*bench).postgresQueue},
		{"size", (*bench).size},
	}
}

func workNames() []string {
	var names []string
	for _, w := range works() {
		names = append(names, w.name)
	}
	return names
}

// gatewayServer names the gateway in the report, in contrast to the floors.
const gatewayServer = "gateway"

// onFloor runs use with a new floor.
func (b *bench) onFloor(ctx context.Context, word string, use func(*process) error) error {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, err := startFloor(ctx, word, dir)
	if err != nil {
		return err
	}
	return errors.Join(use(p), p.stop())
}

// onGateway runs use with a new gateway that has its two agents.
func (b *bench) onGateway(ctx context.Context, use func(*gateway) error) error {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	g, err := startGateway(ctx, b.binary, filepath.Join(dir, "data"), launch{})
	if err != nil {
		return err
	}
	err = g.register(ctx)
	if err == nil {
		err = use(g)
	}
	return errors.Join(err, g.stop())
}

// fresh makes an empty directory.
func (b *bench) fresh() (string, error) {
	b.dirs++
	dir := filepath.Join(b.dir, fmt.Sprint(b.dirs))
	return dir, os.Mkdir(dir, 0o700)
}

// maxRepeats is how often one round is repeated at most.
const maxRepeats = 10

// quietly runs one round and adds its results to the report. A round in which others
// used the machine is discarded, whatever its results, and repeated. The last one
// allowed is kept. The report says how often that happened.
func (b *bench) quietly(round func() error) error {
	for repeats := 0; ; repeats++ {
		b.round = b.round[:0]
		if err := round(); err != nil {
			return err
		}
		if repeats == maxRepeats || !b.disturbed() {
			break
		}
		b.report.Repeated++
		b.progress("others used the machine: the round is repeated")
	}
	for _, m := range b.round {
		b.report.add(m.work, m.server, m.clients, m.sample)
	}
	return nil
}

// disturbed reports whether others used the machine in any part of the round.
func (b *bench) disturbed() bool {
	for _, m := range b.round {
		if m.sample.Others > quiet {
			return true
		}
	}
	return false
}

// measured keeps a sample for the current round.
func (b *bench) measured(work, server string, clients int, s sample) {
	b.round = append(b.round, measurement{work, server, clients, s})
}

// progress tells the waiting user what is being done.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// size adds the size of the program and of an idle gateway to the report.
func (b *bench) size(ctx context.Context) error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.report.figure("stripped program", float64(info.Size())/1e6, "MB")
	return b.onGateway(ctx, func(g *gateway) error {
		size, err := residentSize(g.pid)
		b.report.figure("resident memory, idle", mebi(size), "MiB")
		return err
	})
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// diskUse returns the sizes of all files below dir.
func diskUse(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		sum += info.Size()
		return nil
	})
	return sum, err
}
