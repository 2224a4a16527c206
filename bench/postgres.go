package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/pgtest"
)

// replicaCounts are the numbers of gateways that share a database, with one row each.
var replicaCounts = []int{1, 2, 4}

// How many messages are sent one by one through one replica to a reader at another:
// with notices, and without notices, where each waits for a poll.
const (
	noticed = 300
	polled  = 60
)

// inboxes is the number of inboxes among which the clients divide their messages.
const inboxes = 16

// onServer runs use with a new PostgreSQL, whose files are on the disk.
func (b *bench) onServer(use func(*pgtest.Server) error) error {
	// The server runs as another user, who must reach its directory.
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return err
	}
	server, err := pgtest.StartIn("", b.dir)
	if err != nil {
		return err
	}
	return errors.Join(use(server), server.Stop())
}

// postgres measures gateways on one PostgreSQL, which runs on the same machine, in
// turns with the bare handler. It measures the durable accept through one, two and four
// gateways, and how soon a reader at one gets a message that another accepted.
func (b *bench) postgres(ctx context.Context) error {
	return b.onServer(func(server *pgtest.Server) error {
		if err := b.replicas(ctx, server); err != nil {
			return err
		}
		return b.acrossReplicas(ctx, server)
	})
}

// postgresQueue measures the cost of the queue when many messages wait.
func (b *bench) postgresQueue(ctx context.Context) error {
	return b.onServer(func(server *pgtest.Server) error { return b.backlog(ctx, server) })
}

func (b *bench) replicas(ctx context.Context, server *pgtest.Server) error {
	for round := range b.Rounds {
		b.progress("postgres: %d clients, %d messages, round %d of %d", crowd, b.Messages, round+1, b.Rounds)
		if err := b.quietly(func() error { return b.replicasOnce(ctx, server) }); err != nil {
			return err
		}
	}
	r := b.report
	bare, one := r.row("postgres", bareFloor, crowd), r.row("postgres", replicasName(1), crowd)
	r.ratio("postgres, 64 clients: rate, 1 replica / bare", one, bare, perSecond)
	for _, n := range replicaCounts[1:] {
		r.ratio(fmt.Sprintf("postgres, 64 clients: rate, %d replicas / 1", n),
			r.row("postgres", replicasName(n), crowd), one, perSecond)
	}
	return nil
}

func replicasName(n int) string {
	if n == 1 {
		return "1 replica"
	}
	return fmt.Sprintf("%d replicas", n)
}

// replicasOnce is one round: the bare handler, and the replicas of each row, take the
// same load.
func (b *bench) replicasOnce(ctx context.Context, server *pgtest.Server) error {
	err := b.onFloor(ctx, bareFloor, func(p *process) error {
		s, err := measure(ctx, p, submissions(p, crowd, b.Messages, b.Payload))
		if err == nil {
			b.measured("postgres", bareFloor, crowd, s)
		}
		return err
	})
	for _, n := range replicaCounts {
		if err != nil {
			return err
		}
		err = b.onReplicas(ctx, server, n, "", func(replicas []*gateway) error {
			readers, err := replicas[0].readers(ctx)
			if err != nil {
				return err
			}
			s, err := measureReplicas(ctx, server, b.shares(replicas, readers))
			if err != nil {
				return err
			}
			b.measured("postgres", replicasName(n), crowd, s)
			for _, reader := range readers {
				replicas[0].recipient = reader
				if err := replicas[0].verify(ctx, b.Messages/inboxes); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return err
}

// onReplicas runs use with n gateways on a new database. The first of them has
// registered both agents.
func (b *bench) onReplicas(ctx context.Context, server *pgtest.Server, n int, parameters string,
	use func([]*gateway) error) (err error) {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	url, err := server.NewDatabase()
	if err != nil {
		return err
	}
	var replicas []*gateway
	defer func() {
		for _, g := range replicas {
			err = errors.Join(err, g.stop())
		}
	}()
	for i := range n {
		settings := []string{"AMTP_DATABASE_URL=" + url + parameters}
		if i > 0 {
			settings = append(settings, "AMTP_SEAL_KEY_FILE="+filepath.Join(dir, "0", "seal.key"))
		}
		g, err := startGateway(ctx, b.binary, filepath.Join(dir, fmt.Sprint(i)), launch{settings: settings})
		if err != nil {
			return err
		}
		replicas = append(replicas, g)
	}
	if err := replicas[0].register(ctx); err != nil {
		return err
	}
	for _, g := range replicas[1:] {
		g.sender, g.recipient = replicas[0].sender, replicas[0].recipient
	}
	return use(replicas)
}

// readers registers the agents that get the messages.
func (g *gateway) readers(ctx context.Context) ([]agent, error) {
	c, err := g.operator()
	if err != nil {
		return nil, err
	}
	list := make([]agent, inboxes)
	for i := range list {
		r, err := c.Register(ctx, amtp.NewAgent{Address: fmt.Sprint("reader", i)})
		if err != nil {
			return nil, err
		}
		list[i] = agent{r.Address, r.APIKey}
	}
	return list, nil
}

// share is the part of a load that goes to one inbox, through one replica.
type share struct {
	*gateway
	load load
}

func (b *bench) shares(replicas []*gateway, readers []agent) []share {
	list := make([]share, len(readers))
	for i, reader := range readers {
		g := replicas[i%len(replicas)]
		p := *g.process
		p.recipient = reader
		list[i] = share{g, submissions(&p, crowd/inboxes, b.Messages/inboxes, b.Payload)}
	}
	return list
}

// measureReplicas drives the shares of a load together. The server's processor
// time is that of the replicas and of PostgreSQL.
func measureReplicas(ctx context.Context, server *pgtest.Server, shares []share) (sample, error) {
	replicas, n := make(map[*gateway]bool), 0
	for _, s := range shares {
		replicas[s.gateway], n = true, n+s.load.n
	}
	used := func() (server1, client, machine time.Duration, err error) {
		db, err := familyTime(server.PID())
		if err != nil {
			return 0, 0, 0, err
		}
		sum := db
		var c clocks
		for g := range replicas {
			if c, err = readClocks(g.pid); err != nil {
				return 0, 0, 0, err
			}
			sum += c.server
		}
		return sum, c.client, c.machine, nil
	}
	server0, client0, machine0, err := used()
	if err != nil {
		return sample{}, err
	}
	var group sync.WaitGroup
	driven, errs := make([]driven, len(shares)), make([]error, len(shares))
	began := time.Now()
	for i, s := range shares {
		group.Go(func() { driven[i], errs[i] = s.load.drive(ctx) })
	}
	group.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return sample{}, err
	}
	server1, client1, machine1, err := used()
	if err != nil {
		return sample{}, err
	}
	times := driven[0].times
	for i := range driven[1:] {
		times.merge(&driven[i+1].times)
	}
	each := func(t time.Duration) float64 { return micros(t) / float64(n) }
	others := (machine1 - machine0) - (server1 - server0) - (client1 - client0)
	return sample{
		Rate: float64(n) / took.Seconds(), P50: micros(times.quantile(0.5)), P99: micros(times.quantile(0.99)),
		P999: micros(times.quantile(0.999)), Max: micros(times.max), Server: each(server1 - server0),
		Client: each(client1 - client0),
		Others: max(0, others.Seconds()/took.Seconds()),
	}, nil
}

// acrossReplicas measures how soon a reader that waits at one replica has a message
// that another accepted. It measures with notices, and behind a proxy that pools
// transactions, where there are no notices and replicas poll every second.
func (b *bench) acrossReplicas(ctx context.Context, server *pgtest.Server) error {
	for _, way := range []struct {
		name, parameters string
		messages         int
	}{{"with NOTIFY", "", noticed}, {"without NOTIFY", "&pgbouncer=true", polled}} {
		b.progress("postgres: from one replica to a reader at another, %s, %d messages", way.name, way.messages)
		err := b.onReplicas(ctx, server, 2, way.parameters, func(replicas []*gateway) error {
			times, err := b.across(ctx, replicas[0], replicas[1], way.messages)
			if err == nil {
				b.report.figure("accepted at A until a reader at B has it, "+way.name+": p50",
					micros(times.quantile(0.5))/1000, "ms")
				b.report.figure("accepted at A until a reader at B has it, "+way.name+": p99",
					micros(times.quantile(0.99))/1000, "ms")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// across sends n messages one by one through one replica, each to a reader that waits
// at another already. It measures the time from the sender's answer to the reader's.
func (b *bench) across(ctx context.Context, here, there *gateway, n int) (*histogram, error) {
	from := &amtp.Client{URL: here.url, Key: here.sender.Key}
	to := &amtp.Client{URL: there.url, Key: here.recipient.Key}
	payload := newPayload(b.Payload)
	var times histogram
	type read struct {
		page amtp.InboxPage
		at   time.Time
		err  error
	}
	after := ""
	for range n {
		came := make(chan read, 1)
		go func() {
			page, err := to.Inbox(ctx, here.recipient.Address, amtp.InboxQuery{After: after, Wait: 20 * time.Second})
			came <- read{page, time.Now(), err}
		}()
		select { // the reader waits by then
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if _, err := from.Send(ctx, amtp.Message{Sender: here.sender.Address,
			Recipients: []amtp.Address{here.recipient.Address}, Payload: payload}); err != nil {
			return nil, err
		}
		sent := time.Now()
		got := <-came
		if got.err != nil {
			return nil, got.err
		}
		if len(got.page.Messages) != 1 {
			return nil, fmt.Errorf("%d messages arrived where one was sent", len(got.page.Messages))
		}
		times.record(max(got.at.Sub(sent), 0))
		after = got.page.NextCursor
	}
	return &times, nil
}
