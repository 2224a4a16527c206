package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/privateca"
)

// The domains, and the work with a message from one to the other.
const (
	homeDomain = "a.example"
	awayDomain = "b.example"
	endToEnd   = "federation"
)

// idleMessages is how many messages are sent one by one to measure the latency.
const idleMessages = 300

// crowd is how many clients send at once.
const crowd = 64

// federation measures the whole way of a message to another domain: accepted at A,
// carried over TLS 1.3 with a signature, verified and on disk at B, settled at A. The
// same load to a recipient of A is measured for comparison.
func (b *bench) federation(ctx context.Context) error {
	n := b.Messages / 4
	for round := range b.Rounds {
		b.progress("federation: %d clients, %d messages, round %d of %d", crowd, n, round+1, b.Rounds)
		if err := b.quietly(func() error { return b.federateOnce(ctx, n) }); err != nil {
			return err
		}
	}
	r := b.report
	local, whole, idle := r.row(endToEnd, "local", crowd), r.row(endToEnd, "end to end", crowd),
		r.row(endToEnd, "end to end", 1)
	r.ratio("federation, 64 clients: rate, end to end / local", whole, local, perSecond)
	r.figure("federation, one message at idle: p50", spreadOf(idle.Samples, p50).Median/1000, "ms")
	r.figure("federation, one message at idle: p99", spreadOf(idle.Samples, p99).Median/1000, "ms")
	r.figure("federation: processor time of both gateways for a message",
		spreadOf(whole.Samples, serverCPU).Median, "µs")
	return nil
}

// federateOnce is one round on two new gateways.
func (b *bench) federateOnce(ctx context.Context, n int) (err error) {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pair, err := b.neighbours(ctx, dir)
	if err != nil {
		return err
	}
	here, there := pair.here, pair.there
	defer func() { err = errors.Join(err, here.stop(), there.stop()) }()
	local, err := measure(ctx, here.process, submissions(here.process, crowd, n, b.Payload))
	if err != nil {
		return err
	}
	b.measured(endToEnd, "local", crowd, local)
	here.recipient = there.recipient
	idle, err := b.oneByOne(ctx, here, there)
	if err != nil {
		return err
	}
	b.measured(endToEnd, "end to end", 1, idle)
	whole, err := pair.through(ctx, n, b.Payload)
	if err != nil {
		return err
	}
	b.measured(endToEnd, "end to end", crowd, whole)
	return there.verify(ctx, n+idleMessages)
}

// through measures n messages from their acceptance at A until A knows that B has the
// last. The processor time is that of both gateways, to the end; B's work does not
// count as the work of other processes.
func (p *neighbours) through(ctx context.Context, n, payload int) (sample, error) {
	began, before, err := time.Now(), clocks{}, error(nil)
	here, there := p.here.pid, p.there.pid
	if before, err = readClocks(here); err != nil {
		return sample{}, err
	}
	away, err := processTime(there)
	if err != nil {
		return sample{}, err
	}
	s, err := measure(ctx, p.here.process, submissions(p.here.process, crowd, n, payload))
	if err != nil {
		return s, err
	}
	if err := p.here.settled(ctx); err != nil {
		return s, err
	}
	took := time.Since(began)
	after, err := readClocks(here)
	if err != nil {
		return s, err
	}
	awayAfter, err := processTime(there)
	if err != nil {
		return s, err
	}
	own, client := after.server-before.server+awayAfter-away, after.client-before.client
	s.Rate = float64(n) / took.Seconds()
	s.Server = micros(own) / float64(n)
	s.Others = max(0, (after.machine-before.machine-own-client).Seconds()/took.Seconds())
	return s, nil
}

// neighbours are two gateways that know each other.
type neighbours struct {
	here, there *gateway
	away        launch // starts that gateway again, at the same address
}

// neighbours starts two gateways that know each other, as if from DNS.
func (b *bench) neighbours(ctx context.Context, dir string) (*neighbours, error) {
	ca, err := privateca.New(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.Certificate(dir, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool},
		ForceAttemptHTTP2: true}}
	home, away := filepath.Join(dir, "here"), filepath.Join(dir, "there")
	published, err := b.firstLife(ctx, home)
	if err != nil {
		return nil, err
	}
	p := &neighbours{away: launch{http: trusting, settings: []string{
		"AMTP_DOMAIN=" + awayDomain, "AMTP_TLS_CERT_FILE=" + cert, "AMTP_TLS_KEY_FILE=" + key,
		"AMTP_PEERS=" + published,
	}}}
	if p.there, err = startGateway(ctx, b.binary, away, p.away); err != nil {
		return nil, err
	}
	p.away.settings = append(p.away.settings, "AMTP_SERVER_ADDRESS="+p.there.addr)
	peers, err := json.Marshal(map[string]string{awayDomain: "v=amtp1;gateway=" + p.there.url + ";auth=sig"})
	if err == nil {
		p.here, err = startGateway(ctx, b.binary, home, launch{settings: []string{
			"AMTP_DOMAIN=" + homeDomain, "AMTP_PEERS=" + string(peers), "AMTP_OUTBOUND_CA_FILE=" + ca.File,
		}})
	}
	if err != nil {
		return nil, errors.Join(err, p.there.stop())
	}
	if err := errors.Join(p.here.register(ctx), p.there.register(ctx)); err != nil {
		return nil, errors.Join(err, p.here.stop(), p.there.stop())
	}
	return p, nil
}

// firstLife has a gateway make its key, and returns the records that its domain
// publishes.
func (b *bench) firstLife(ctx context.Context, dir string) (string, error) {
	g, err := startGateway(ctx, b.binary, dir, launch{settings: []string{"AMTP_DOMAIN=" + homeDomain}})
	if err != nil {
		return "", err
	}
	published, err := g.published(ctx)
	return published, errors.Join(err, g.stop())
}

// published returns the records that the gateway's domain would have in DNS, as
// AMTP_PEERS.
func (g *gateway) published(ctx context.Context) (string, error) {
	c, err := g.operator()
	if err != nil {
		return "", err
	}
	keys, err := c.SigningKeys(ctx)
	if err != nil {
		return "", err
	}
	records := map[string]string{homeDomain: "v=amtp1;gateway=https://127.0.0.1;auth=sig"}
	for _, k := range keys.Keys {
		records[k.Name] = k.Record
	}
	text, err := json.Marshal(records)
	return string(text), err
}

// oneByOne sends one message after the other, each when the one before has arrived.
func (b *bench) oneByOne(ctx context.Context, here, there *gateway) (sample, error) {
	from := &amtp.Client{URL: here.url, Key: here.sender.Key}
	to := &amtp.Client{URL: there.url, Key: there.recipient.Key, HTTP: there.http}
	payload := newPayload(b.Payload)
	var times histogram
	began, after := time.Now(), ""
	for range idleMessages {
		sent := time.Now()
		_, err := from.Send(ctx, amtp.Message{Sender: here.sender.Address,
			Recipients: []amtp.Address{there.recipient.Address}, Payload: payload})
		if err != nil {
			return sample{}, err
		}
		page, err := to.Inbox(ctx, there.recipient.Address, amtp.InboxQuery{After: after, Wait: 20 * time.Second})
		if err != nil {
			return sample{}, err
		}
		if len(page.Messages) != 1 {
			return sample{}, fmt.Errorf("%d messages arrived where one was sent", len(page.Messages))
		}
		times.record(time.Since(sent))
		after = page.NextCursor
	}
	return sample{
		Rate: idleMessages / time.Since(began).Seconds(), P50: micros(times.quantile(0.5)),
		P99:  micros(times.quantile(0.99)),
		P999: micros(times.quantile(0.999)), Max: micros(times.max),
	}, nil
}

// settled waits until the gateway has nothing left to deliver. The question costs the
// gateway little, however much is left.
func (g *gateway) settled(ctx context.Context) error {
	c, err := g.operator()
	if err != nil {
		return err
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		list, err := c.Jobs(ctx, admin.JobQuery{Limit: 1})
		if err != nil || len(list.Jobs) == 0 {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
