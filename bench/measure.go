package main

import (
	"context"
	"os"
	"slices"
	"time"
)

// A sample is the result of one load on one server.
type sample struct {
	Rate   float64 `json:"per_second"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	P999   float64 `json:"p99_9_us"`
	Max    float64 `json:"max_us"`
	Server float64 `json:"server_cpu_us"` // processor time per request
	Client float64 `json:"client_cpu_us"` // the same of this program
	Others float64 `json:"other_cores"`   // processors that all other processes used meanwhile
}

// measure drives the load against the process and measures the machine meanwhile.
func measure(ctx context.Context, p *process, l load) (sample, error) {
	before, err := readClocks(p.pid)
	if err != nil {
		return sample{}, err
	}
	d, err := l.drive(ctx)
	if err != nil {
		return sample{}, err
	}
	after, err := readClocks(p.pid)
	if err != nil {
		return sample{}, err
	}
	server, client := after.server-before.server, after.client-before.client
	others := after.machine - before.machine - server - client
	each := func(t time.Duration) float64 { return micros(t) / float64(l.n) }
	return sample{
		Rate:   float64(l.n) / d.took.Seconds(),
		P50:    micros(d.times.quantile(0.5)),
		P99:    micros(d.times.quantile(0.99)),
		P999:   micros(d.times.quantile(0.999)),
		Max:    micros(d.times.max),
		Server: each(server),
		Client: each(client),
		Others: max(0, others.Seconds()/d.took.Seconds()),
	}, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// clocks are the processor times used so far.
type clocks struct{ server, client, machine time.Duration }

func readClocks(pid int) (clocks, error) {
	var c clocks
	for id, into := range map[int]*time.Duration{pid: &c.server, os.Getpid(): &c.client} {
		used, err := processTime(id)
		if err != nil {
			return c, err
		}
		*into = used
	}
	machine, err := machineTime()
	c.machine = machine
	return c, err
}

// A spread is a median and the range around it.
type spread struct{ Median, Min, Max float64 }

// spreadOf returns the spread of one member over the samples; there must be at least
// one.
func spreadOf(samples []sample, member func(sample) float64) spread {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = member(s)
	}
	return spreadAmong(values)
}

// spreadAmong returns the spread of the values; there must be at least one. It sorts
// them.
func spreadAmong(values []float64) spread {
	slices.Sort(values)
	n := len(values)
	return spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}
}

// The members of a sample, for spreadOf.
func perSecond(s sample) float64  { return s.Rate }
func p50(s sample) float64        { return s.P50 }
func p99(s sample) float64        { return s.P99 }
func p999(s sample) float64       { return s.P999 }
func longest(s sample) float64    { return s.Max }
func serverCPU(s sample) float64  { return s.Server }
func clientCPU(s sample) float64  { return s.Client }
func otherCores(s sample) float64 { return s.Others }
