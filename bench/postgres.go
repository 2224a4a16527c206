package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/store/postgres/pgtest"
)

// replicaCounts are how many gateways share a database in one row each.
var replicaCounts = []int{1, 2, 4}

// How many messages are sent one by one through one replica to a reader at
// another: with notices, and without them, where each waits for a poll.
const (
	noticed = 300
	polled  = 60
)

// postgres measures gateways on one PostgreSQL, which runs on the same machine, in
// turns with the bare handler: the durable accept through one, two and four of
// them, how soon a reader at one hears of what another accepted, and what the
// queue costs when much waits.
func (b *bench) postgres(ctx context.Context) (err error) {
	// The server runs as another user, who has to find its directory.
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return err
	}
	server, err := pgtest.StartIn("", b.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
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
		r.ratio(fmt.Sprintf("postgres, 64 clients: rate, %d replicas / 1", n), r.row("postgres", replicasName(n), crowd), one, perSecond)
	}
	if err := b.acrossReplicas(ctx, server); err != nil {
		return err
	}
	return b.backlog(ctx, server)
}

func replicasName(n int) string {
	if n == 1 {
		return "1 replica"
	}
	return fmt.Sprintf("%d replicas", n)
}

// replicasOnce is one round: the bare handler, and so many replicas as each row
// has, take the same load.
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
			s, err := measureReplicas(ctx, server, replicas, b.Messages, b.Payload)
			if err != nil {
				return err
			}
			b.measured("postgres", replicasName(n), crowd, s)
			return replicas[0].verify(ctx, b.Messages)
		})
	}
	return err
}

// onReplicas runs use with n gateways on a new database, of which the first has
// registered the two agents of all.
func (b *bench) onReplicas(ctx context.Context, server *pgtest.Server, n int, parameters string, use func([]*gateway) error) (err error) {
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

// measureReplicas drives the replicas together, each with its share of the clients
// and of the messages. The server's processor time is that of the replicas and of
// PostgreSQL.
func measureReplicas(ctx context.Context, server *pgtest.Server, replicas []*gateway, n, payload int) (sample, error) {
	used := func() (server1, client, machine time.Duration, err error) {
		db, err := familyTime(server.PID())
		if err != nil {
			return 0, 0, 0, err
		}
		sum := db
		var c clocks
		for _, g := range replicas {
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
	driven, errs := make([]driven, len(replicas)), make([]error, len(replicas))
	began := time.Now()
	for i, g := range replicas {
		l := submissions(g.process, crowd/len(replicas), n/len(replicas), payload)
		group.Go(func() { driven[i], errs[i] = l.drive(ctx) })
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
		P999: micros(times.quantile(0.999)), Max: micros(times.max), Server: each(server1 - server0), Client: each(client1 - client0),
		Others: max(0, others.Seconds()/took.Seconds()),
	}, nil
}

// acrossReplicas measures how soon a reader that waits at one replica has what
// another accepted: with notices, and behind a proxy that pools transactions,
// where there are none and replicas look every second.
func (b *bench) acrossReplicas(ctx context.Context, server *pgtest.Server) error {
	for _, way := range []struct {
		name, parameters string
		messages         int
	}{{"with NOTIFY", "", noticed}, {"without NOTIFY", "&pgbouncer=true", polled}} {
		b.progress("postgres: from one replica to a reader at another, %s, %d messages", way.name, way.messages)
		err := b.onReplicas(ctx, server, 2, way.parameters, func(replicas []*gateway) error {
			s, err := b.oneByOne(ctx, replicas[0], replicas[1], way.messages)
			if err == nil {
				b.report.figure("accepted at A until read at B, "+way.name+": p50", s.P50/1000, "ms")
				b.report.figure("accepted at A until read at B, "+way.name+": p99", s.P99/1000, "ms")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
