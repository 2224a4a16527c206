package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A load is a closed loop: every client sends its next request as soon as it has read
// the last answer, until n requests were sent in all.
type load struct {
	addr    string
	clients int
	n       int
	status  int // that every answer must have
	// source makes the requests of one client. It returns a function from the number of
	// the request, 0 to n-1 over all clients, to its bytes. They stay valid until the
	// next call.
	source func(client int) func(i int) []byte
	// heard takes the body of each answer to a client, nil for no need.
	heard func(client int, body []byte) error
	every time.Duration // the least time between two requests of a client
	after func() error  // follows each answer, and counts as part of it; nil for nothing
}

// A driven is the result of a load.
type driven struct {
	took  time.Duration
	times histogram
}

// drive runs the load. The connections are opened before the clock starts. An answer
// with another status, or any other failure, ends the load and is the error; no error
// is tolerated.
func (l load) drive(ctx context.Context) (driven, error) {
	conns := make([]*conn, l.clients)
	for i := range conns {
		c, err := dial(l.addr)
		if err != nil {
			return driven{}, err
		}
		defer c.net.Close()
		conns[i] = c
	}
	stop := context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.net.Close()
		}
	})
	defer stop()

	var (
		next  atomic.Int64
		group sync.WaitGroup
		times = make([]histogram, l.clients)
		errs  = make([]error, l.clients)
	)
	begin := time.Now()
	for i, c := range conns {
		group.Go(func() { errs[i] = l.client(c, i, &next, &times[i]) })
	}
	group.Wait()
	d := driven{took: time.Since(begin)}
	for i := range times {
		d.times.merge(&times[i])
	}
	if err := ctx.Err(); err != nil {
		return d, err
	}
	return d, errors.Join(errs...)
}

// client is one of the loop's clients.
func (l load) client(c *conn, number int, next *atomic.Int64, times *histogram) error {
	request := l.source(number)
	var last time.Time // of the last request
	for {
		i := int(next.Add(1)) - 1
		if i >= l.n {
			return nil
		}
		bytes := request(i)
		time.Sleep(time.Until(last.Add(l.every)))
		sent := time.Now()
		last = sent
		a, err := c.do(bytes)
		if err == nil && l.after != nil {
			err = l.after()
		}
		if err != nil {
			next.Store(int64(l.n))
			return fmt.Errorf("request %d: %w", i, err)
		}
		times.record(time.Since(sent))
		if a.status != l.status {
			next.Store(int64(l.n))
			return fmt.Errorf("request %d: answered %d, want %d: %s", i, a.status, l.status, a.body)
		}
		if l.heard == nil {
			continue
		}
		if err := l.heard(number, a.body); err != nil {
			next.Store(int64(l.n))
			return fmt.Errorf("request %d: %w", i, err)
		}
	}
}
