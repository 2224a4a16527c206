// Command bench compares a gateway with the limits of the machine.
//
// It builds the real program, runs it as its users do, and drives it over loopback in
// turns with two floors: a bare net/http handler that only decodes the message, and one
// that also appends it to a synced log. Ratios of medians from one run can be compared;
// the absolute figures belong to the machine. Every answer is checked. Afterwards the
// inbox must hold exactly the messages that were answered with 202, or there is no
// report. Nothing of the run is left.
// acknowledged, or there is no report. Nothing survives the run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// settings are the settings of a run.
type settings struct {
	Clients  []int    `json:"clients"`
	Messages int      `json:"messages"` // per load; a quarter of it for a single client
	Rounds   int      `json:"rounds"`
	Payload  int      `json:"payload"` // bytes
	Pending  int      `json:"pending"` // messages in the long inbox
	Only     []string `json:"only"`    // names of works

	json  bool
	dir   string
	plots string
}

// floorCommand is the first argument of this program when it is its own child.
const floorCommand = "floor"

func main() {
	if len(os.Args) == 4 && os.Args[1] == floorCommand {
		exit(serveFloor(os.Args[2], os.Args[3]))
	}
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, s))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// parse reads the flags.
func parse(args []string) (settings, error) {
	var s settings
	var clients, only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&clients, "clients", "1,8,64", "how many clients send at once, one series for each")
	f.IntVar(&s.Messages, "messages", 20_000, "messages per load; a single client sends a quarter of them")
	f.IntVar(&s.Rounds, "rounds", 3, "how often each load is repeated, the servers in turns")
	f.IntVar(&s.Payload, "payload", 1024, "bytes of a message's payload")
	f.IntVar(&s.Pending, "pending", 1_000_000, "messages in the long inbox, and those among which is searched")
	f.StringVar(&only, "only", "", "what to measure, of: "+strings.Join(workNames(), ",")+"; all of it when empty")
	f.BoolVar(&s.json, "json", false, "print the report, with every sample, as JSON")
	f.StringVar(&s.plots, "plots", "", "directory into which plots of the accepts are drawn, as "+throughputFile+
		" and "+latencyFile)
	f.StringVar(&s.dir, "dir", "", "directory on a disk for the data; that for temporary files when empty")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for word := range strings.SplitSeq(clients, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return s, fmt.Errorf("-clients: %q is not a number of clients", word)
		}
		s.Clients = append(s.Clients, n)
	}
	s.Only = workNames()
	if only != "" {
		s.Only = strings.Split(only, ",")
	}
	return s, s.check()
}

// check returns an error for a run that cannot be measured.
func (s settings) check() error {
	for _, name := range s.Only {
		if !slices.Contains(workNames(), name) {
			return fmt.Errorf("-only: %q is none of %s", name, strings.Join(workNames(), ", "))
		}
	}
	switch {
	case s.Messages < 4 || s.Rounds < 1:
		return errors.New("-messages must be at least 4, -rounds at least 1")
	case s.Payload < minPayload:
		return fmt.Errorf("-payload must be at least %d", minPayload)
	case s.Pending < 2*step:
		return fmt.Errorf("-pending must be at least %d", 2*step)
	}
	return nil
}

// run measures and prints the report.
func run(ctx context.Context, s settings) error {
	if err := supported(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "amtp-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := onDisk(dir); err != nil {
		return err
	}
	binary, err := build(ctx, dir)
	if err != nil {
		return err
	}
	b := &bench{settings: s, dir: dir, binary: binary, report: newReport(s)}
	for _, w := range works() {
		if !slices.Contains(s.Only, w.name) {
			continue
		}
		if err := w.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	if s.plots != "" {
		if err := writePlots(s.plots, b.report); err != nil {
			return err
		}
	}
	return b.report.print(os.Stdout, s.json)
}
