package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/privateca"
)

const (
	idleWaiters = 10_000 // streams of events of one inbox at which nothing arrives
	idleInboxes = 1_000  // agents, each with one such stream
	wakeEvery   = 10 * time.Millisecond
	wakes       = 1_000 // messages that wake a reader, one every wakeEvery
)

// The servers of this work.
const (
	noWaiters   = "gateway"
	manyWaiters = "gateway, 10,000 idle waiters"
	manyInboxes = "gateway, 1,000 waiting inboxes"
)

// wake measures how soon a waiting reader has a message, from before the message is sent:
// alone, and beside many readers for whom nothing comes. It measures the memory that idle
// readers take, and what they cost others whose messages are accepted.
func (b *bench) wake(ctx context.Context) error {
	if err := mayOpen(idleWaiters + 1000); err != nil {
		return err
	}
	for _, secure := range []bool{false, true} {
		b.progress("wake: the memory of %d waiters, with TLS: %t", idleWaiters, secure)
		if err := b.idleMemory(ctx, secure); err != nil {
			return err
		}
	}
	for round := range b.Rounds {
		b.progress("wake: %d messages, round %d of %d", wakes, round+1, b.Rounds)
		if err := b.quietly(func() error { return b.onRoomyGateway(ctx, b.wakeOnce) }); err != nil {
			return err
		}
	}
	r := b.report
	r.ratio("wake: p99, beside 10,000 waiters / alone", r.row("wake", manyWaiters, 1), r.row("wake", noWaiters, 1), p99)
	r.ratio("accept, 8 clients: per second, with 1,000 waiting inboxes / without",
		r.row("accept beside waiters", manyInboxes, 8),
		r.row("accept beside waiters", noWaiters, 8), perSecond)
	return nil
}

// onRoomyGateway runs use with a new gateway that takes as many connections as needed.
func (b *bench) onRoomyGateway(ctx context.Context, use func(context.Context, *gateway) error) error {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	g, err := startGateway(ctx, b.binary, filepath.Join(dir, "data"),
		launch{settings: roomy()})
	if err != nil {
		return err
	}
	if err = g.register(ctx); err == nil {
		err = use(ctx, g)
	}
	return errors.Join(err, g.stop())
}

// settleTime is long enough for a gateway to return what it needed only while the waiters
// came. It does so a few seconds later.
const settleTime = 10 * time.Second

// idleMemory measures the memory of a new gateway at which many readers wait.
func (b *bench) idleMemory(ctx context.Context, secure bool) error {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	with, protocol := launch{settings: roomy()}, "plain HTTP"
	if secure {
		ca, err := privateca.New(filepath.Join(dir, "ca.pem"))
		if err != nil {
			return err
		}
		cert, key, err := ca.Certificate(dir, "127.0.0.1")
		if err != nil {
			return err
		}
		with.settings = append(with.settings, "AMTP_TLS_CERT_FILE="+cert, "AMTP_TLS_KEY_FILE="+key)
		with.http = &http.Client{Transport: &http.Transport{TLSClientConfig: unverified}}
		protocol = "TLS"
	}
	g, err := startGateway(ctx, b.binary, filepath.Join(dir, "data"), with)
	if err != nil {
		return err
	}
	if err = g.register(ctx); err == nil {
		err = b.measureIdle(ctx, g, protocol)
	}
	return errors.Join(err, g.stop())
}

func (b *bench) measureIdle(ctx context.Context, g *gateway, protocol string) error {
	before, err := residentSize(g.pid)
	if err != nil {
		return err
	}
	waiters, err := openStreams(g, []agent{g.recipient}, idleWaiters)
	if err != nil {
		return err
	}
	defer waiters.close()
	opened, err := residentSize(g.pid)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settleTime):
	}
	after, err := residentSize(g.pid)
	if err != nil {
		return err
	}
	b.progress("wake: resident memory with %s: %.0f MiB", protocol, mebi(after))
	b.report.figure("resident memory, 10,000 idle waiters, "+protocol, mebi(after), "MiB")
	b.report.figure("the same when the last one has come, "+protocol, mebi(opened), "MiB")
	b.report.figure("memory of one idle waiter, "+protocol, float64(after-before)/idleWaiters/1024, "KiB")
	return nil
}

// unverified takes any certificate: this program started the gateway itself.
var unverified = &tls.Config{InsecureSkipVerify: true}

// roomy are the settings of a gateway that takes as many connections as needed.
func roomy() []string { return []string{fmt.Sprintf("AMTP_LIMITS_CONNECTIONS=%d", idleWaiters+1000)} }

// wakeOnce is one round.
func (b *bench) wakeOnce(ctx context.Context, g *gateway) error {
	agents, err := g.idlers(ctx, idleInboxes)
	if err != nil {
		return err
	}
	if err := errors.Join(b.wakeBeside(ctx, g, noWaiters), b.acceptBeside(ctx, g, noWaiters)); err != nil {
		return err
	}
	inboxes, err := openStreams(g, agents, idleInboxes)
	if err != nil {
		return err
	}
	err = b.acceptBeside(ctx, g, manyInboxes)
	inboxes.close()
	if err != nil {
		return err
	}
	waiters, err := openStreams(g, agents[:1], idleWaiters)
	if err != nil {
		return err
	}
	defer waiters.close()
	return b.wakeBeside(ctx, g, manyWaiters)
}

func (b *bench) acceptBeside(ctx context.Context, g *gateway, name string) error {
	s, err := measure(ctx, g.process, submissions(g.process, 8, b.Messages, b.Payload))
	if err == nil {
		b.measured("accept beside waiters", name, 8, s)
	}
	return err
}

// wakeBeside sends messages one after the other, and waits until a reader that follows
// the inbox has each of them.
func (b *bench) wakeBeside(ctx context.Context, g *gateway, name string) error {
	reader, err := openStream(g, g.recipient)
	if err != nil {
		return err
	}
	defer reader.Close()
	events := bufio.NewReader(reader)
	l := submissions(g.process, 1, wakes, b.Payload)
	l.every = wakeEvery
	l.after = func() error {
		for {
			line, err := events.ReadString('\n')
			if err != nil || strings.HasPrefix(line, "data: ") {
				return err
			}
		}
	}
	s, err := measure(ctx, g.process, l)
	if err == nil {
		b.measured("wake", name, 1, s)
	}
	return err
}

// idlers registers agents.
func (g *gateway) idlers(ctx context.Context, n int) ([]agent, error) {
	c, err := g.operator()
	if err != nil {
		return nil, err
	}
	list := make([]agent, n)
	for i := range list {
		r, err := c.Register(ctx, amtp.NewAgent{Address: fmt.Sprintf("idle-%d", i)})
		if err != nil {
			return nil, err
		}
		list[i] = agent{r.Address, r.APIKey}
	}
	return list, nil
}

// streams are open connections at which nothing arrives.
type streams []net.Conn

func (s streams) close() {
	for _, c := range s {
		c.Close()
	}
}

// openStreams opens n streams, of the agents in turns.
func openStreams(g *gateway, of []agent, n int) (streams, error) {
	all := make(streams, 0, n)
	for i := range n {
		c, err := openStream(g, of[i%len(of)])
		if err != nil {
			all.close()
			return nil, fmt.Errorf("stream %d: %w", i+1, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// openStream opens a stream of an agent's new messages, and returns when it has begun.
func openStream(g *gateway, a agent) (net.Conn, error) {
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(g.url, "https:") {
		c = tls.Client(c, unverified)
	}
	_, err = io.WriteString(c, "GET /v1/inbox/"+a.Address.String()+"/events?after=now HTTP/1.1\r\nHost: "+g.addr+
		"\r\nAuthorization: Bearer "+a.Key+"\r\n\r\n")
	if err != nil {
		c.Close()
		return nil, err
	}
	var head strings.Builder
	part := make([]byte, 1024)
	for !strings.Contains(head.String(), "\nid: ") { // the stream begins with its place
		n, err := c.Read(part)
		if head.Write(part[:n]); err != nil {
			c.Close()
			return nil, fmt.Errorf("%w after %.300q", err, head.String())
		}
	}
	return c, nil
}
