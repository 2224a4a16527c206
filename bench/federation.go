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
	"github.com/amtp-go/amtp/internal/privateca"
)

// The domains, and the work with a message from one to the other.
const (
	homeDomain = "a.example"
	awayDomain = "b.example"
	endToEnd   = "federation"
)

// idleMessages is how many messages are sent one by one for the latency.
const idleMessages = 300

// crowd is how many send at once.
const crowd = 64

// federation measures the whole way of a message to another domain: accepted at
// A, carried over TLS 1.3 with a signature, verified and on disk at B, settled
// at A. Beside it stands the same load to a recipient of A.
func (b *bench) federation(ctx context.Context) error {
	n := b.Messages / 4
	for round := range b.Rounds {
		b.progress("federation: %d clients, %d messages, round %d of %d", crowd, n, round+1, b.Rounds)
		if err := b.quietly(func() error { return b.federateOnce(ctx, n) }); err != nil {
			return err
		}
	}
	r := b.report
	local, whole, idle := r.row(endToEnd, "local", crowd), r.row(endToEnd, "end to end", crowd), r.row(endToEnd, "end to end", 1)
	r.ratio("federation, 64 clients: rate, end to end / local", whole, local, perSecond)
	r.figure("federation, one message at idle: p50", spreadOf(idle.Samples, p50).Median/1000, "ms")
	r.figure("federation, one message at idle: p99", spreadOf(idle.Samples, p99).Median/1000, "ms")
	r.figure("federation: processor time of A for a message", spreadOf(whole.Samples, serverCPU).Median, "µs")
	return nil
}

// federateOnce is one round on two fresh gateways.
func (b *bench) federateOnce(ctx context.Context, n int) (err error) {
	dir, err := b.fresh()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	here, there, err := b.neighbours(ctx, dir)
	if err != nil {
		return err
	}
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
	began := time.Now()
	whole, err := measure(ctx, here.process, submissions(here.process, crowd, n, b.Payload))
	if err != nil {
		return err
	}
	if err := here.settled(ctx); err != nil {
		return err
	}
	whole.Rate = float64(n) / time.Since(began).Seconds()
	b.measured(endToEnd, "end to end", crowd, whole)
	return there.verify(ctx, n+idleMessages)
}

// neighbours starts two gateways that know each other, as if from DNS.
func (b *bench) neighbours(ctx context.Context, dir string) (here, there *gateway, err error) {
	ca, err := privateca.New(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, nil, err
	}
	cert, key, err := ca.Certificate(dir, "127.0.0.1")
	if err != nil {
		return nil, nil, err
	}
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool}, ForceAttemptHTTP2: true}}
	home, away := filepath.Join(dir, "here"), filepath.Join(dir, "there")
	// The first life of A makes its key.
	here, err = startGateway(ctx, b.binary, home, launch{settings: []string{"AMTP_DOMAIN=" + homeDomain}})
	if err != nil {
		return nil, nil, err
	}
	published, err := here.published(ctx)
	if err := errors.Join(err, here.stop()); err != nil {
		return nil, nil, err
	}
	there, err = startGateway(ctx, b.binary, away, launch{http: trusting, settings: []string{
		"AMTP_DOMAIN=" + awayDomain, "AMTP_TLS_CERT_FILE=" + cert, "AMTP_TLS_KEY_FILE=" + key, "AMTP_PEERS=" + published,
	}})
	if err != nil {
		return nil, nil, err
	}
	peers, err := json.Marshal(map[string]string{awayDomain: "v=amtp1;gateway=" + there.url + ";auth=sig"})
	if err == nil {
		here, err = startGateway(ctx, b.binary, home, launch{settings: []string{
			"AMTP_DOMAIN=" + homeDomain, "AMTP_PEERS=" + string(peers), "AMTP_OUTBOUND_CA_FILE=" + ca.File,
		}})
	}
	if err != nil {
		return nil, nil, errors.Join(err, there.stop())
	}
	if err := errors.Join(here.register(ctx), there.register(ctx)); err != nil {
		return nil, nil, errors.Join(err, here.stop(), there.stop())
	}
	return here, there, nil
}

// published is what the gateway's domain would have in DNS, as AMTP_PEERS.
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

// oneByOne sends one message after the other, each when the one before was seen
// in its inbox.
func (b *bench) oneByOne(ctx context.Context, here, there *gateway) (sample, error) {
	from := &amtp.Client{URL: here.url, Key: here.sender.Key}
	to := &amtp.Client{URL: there.url, Key: there.recipient.Key, HTTP: there.http}
	payload := newPayload(b.Payload)
	var times histogram
	began, after := time.Now(), ""
	for range idleMessages {
		sent := time.Now()
		_, err := from.Send(ctx, amtp.Message{Sender: here.sender.Address, Recipients: []amtp.Address{there.recipient.Address}, Payload: payload})
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
		Rate: idleMessages / time.Since(began).Seconds(), P50: micros(times.quantile(0.5)), P99: micros(times.quantile(0.99)),
		P999: micros(times.quantile(0.999)), Max: micros(times.max),
	}, nil
}

// settled waits until the gateway has nothing left to deliver.
func (g *gateway) settled(ctx context.Context) error {
	c, err := g.operator()
	if err != nil {
		return err
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for left := true; left; {
		left = false
		for _, s := range []amtp.Status{amtp.StatusQueued, amtp.StatusDelivering, amtp.StatusRetrying} {
			page, err := c.Messages(ctx, amtp.MessageQuery{Status: s, Limit: 1})
			if err != nil {
				return err
			}
			if left = page.Total > 0; left {
				break
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
