// Package operator does the work of a gateway's operator while the gateway runs: jobs
// of the queue and dead letters, the end of a pause, the keys that sign for the domain,
// the certificates. The HTTP API, and any other interface for the operator, calls it.
// The caller has already checked who asks.
//
// Each change is one transaction of the store, so that a crash leaves it done or not. A
// refused request has changed nothing, and its error is an *amtp.Error.
package operator

import (
	"context"
	"crypto"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Operator serves the operator of one gateway.
type Operator struct {
	Store        Store
	Queue        Queue
	Keys         Keyring      // nil without a domain of its own
	Certificates Certificates // nil without TLS
	Domain       amtp.Domain
	Now          func() time.Time
}

// Store is the part of gateway.Store that an Operator needs.
type Store interface {
	JobsPage(context.Context, gateway.JobFilter) (gateway.JobPage, error)
	MakeDue(ctx context.Context, job gateway.JobID, now time.Time) error
	Cancel(ctx context.Context, job gateway.JobID, now time.Time) error
	DeadLetters(context.Context, gateway.DeadFilter) (gateway.DeadPage, error)
	DeadLetter(context.Context, gateway.DeliveryID) (gateway.DeadLetter, error)
	Redrive(ctx context.Context, f gateway.DeadFilter, now time.Time) (int, error)
	PurgeDead(context.Context, gateway.DeadFilter) (int, error)
	Message(ctx context.Context, by gateway.Reader, id amtp.MessageID) (gateway.Record, error)
	Paused() time.Time
	Resume(ctx context.Context) error
}

// Queue carries the jobs. queue.Queue is one.
type Queue interface {
	// Wake makes the queue try a destination at once, whatever its health.
	Wake(gateway.Destination)
	// Destinations returns the health of the destinations; nothing when ctx ends first.
	Destinations(context.Context) []gateway.DestinationHealth
}

// Keyring has the keys that sign for the domain. keyring.Keyring is one.
type Keyring interface {
	Keys(context.Context) ([]admin.SigningKey, error)
	Rotate(context.Context) (admin.SigningKey, error)
	Generate(context.Context, admin.NewSigningKey) (admin.SigningKey, error)
	Import(ctx context.Context, selector string, private crypto.Signer) (admin.SigningKey, error)
	Use(ctx context.Context, selector string, atOnce bool) (admin.SigningKey, error)
	Retire(ctx context.Context, selector string) (admin.SigningKey, error)
}

// Certificates are the certificates of the listener. certificate.Source is one.
type Certificates interface {
	Renew(ctx context.Context, force bool) (changed bool, err error)
	List() admin.CertificateList
}

// MaxPage is how many items one request may name or list.
const MaxPage = 1000

// Resume ends the pause of a gateway that was restored from a backup, and reports
// whether there was one. Only the operator knows whether the gateway from which the
// backup came has really ended.
func (o *Operator) Resume(ctx context.Context) (was bool, err error) {
	was = !o.Store.Paused().IsZero()
	return was, o.Store.Resume(ctx)
}

// canonical returns the id of the message that a given id names, "" when there is none.
func (o *Operator) canonical(ctx context.Context, given amtp.MessageID) (amtp.MessageID, error) {
	if given == "" {
		return "", nil
	}
	rec, err := o.Store.Message(ctx, gateway.Reader{Everyone: true}, given)
	if errors.Is(err, gateway.ErrNotFound) {
		return "", nil
	}
	return rec.ID, err
}
