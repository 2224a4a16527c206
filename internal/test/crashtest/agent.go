package crashtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/amtp-go/amtp"
)

// An Agent is one client of a gateway that is killed now and then. It repeats a request
// until it has a clear answer.
type Agent struct {
	Address amtp.Address
	key     string
	gateway Place
	http    *http.Client
	ledger  *Ledger
}

// Place is where a gateway is reached: the real program through all its lives, or a
// load balancer before several of them.
type Place interface {
	URL(ctx context.Context) (string, error)
	AdminKey(ctx context.Context) (string, error)
}

// patience is how long one request may take. For the client, a gateway that takes
// longer is the same as one that is down.
const patience = 10 * time.Second

// Register registers an agent at the running gateway.
func Register(ctx context.Context, g Place, l *Ledger, name string) (*Agent, error) {
	return register(ctx, g, l, amtp.NewAgent{Address: name})
}

func register(ctx context.Context, g Place, l *Ledger, a amtp.NewAgent) (*Agent, error) {
	admin, err := g.AdminKey(ctx)
	if err != nil {
		return nil, err
	}
	url, err := g.URL(ctx)
	if err != nil {
		return nil, err
	}
	r, err := (&amtp.Client{URL: url, AdminKey: admin}).Register(ctx, a)
	if err != nil {
		return nil, err
	}
	return &Agent{
		Address: r.Address, key: r.APIKey, gateway: g, ledger: l,
		http: &http.Client{Transport: &http.Transport{}},
	}, nil
}

// Close closes the agent's connections.
func (a *Agent) Close() { a.http.CloseIdleConnections() }

// once makes one call to the gateway's current life, and waits for it if it is down.
// The error is an *amtp.Error when the gateway answered.
func (a *Agent) once(ctx context.Context, call func(context.Context, *amtp.Client) error) error {
	url, err := a.gateway.URL(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(limited, &amtp.Client{URL: url, Key: a.key, HTTP: a.http, Retries: -1})
}

// until repeats a call until it has a clear answer: success or a refusal. It also ends
// with ctx.
func (a *Agent) until(ctx context.Context, call func(context.Context, *amtp.Client) error) error {
	again := time.NewTicker(poll)
	defer again.Stop()
	began := time.Now()
	for {
		err := a.once(ctx, call)
		if err == nil || isRefusal(err) {
			a.ledger.Tried(time.Since(began))
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s has tried for %v, the last time it was told %q: %w", a.Address, time.Since(began),
				err, ctx.Err())
		case <-again.C:
		}
	}
}

// isRefusal reports whether the gateway gave a final answer.
func isRefusal(err error) bool {
	var e *amtp.Error
	return errors.As(err, &e) && e.Status < http.StatusInternalServerError && e.Status != http.StatusTooManyRequests
}

// isLost reports whether it is unknown if the call had an effect.
func isLost(err error) bool {
	var e *amtp.Error
	return err != nil && !errors.As(err, &e)
}

// Client returns a client that uses the agent's key.
func (a *Agent) Client(ctx context.Context) (*amtp.Client, error) {
	url, err := a.gateway.URL(ctx)
	return &amtp.Client{URL: url, Key: a.key, HTTP: a.http}, err
}
