package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// indexer takes messages into the search index, a few at a time. The store keeps its place.
type indexer struct {
	store interface {
		IndexMail(ctx context.Context, limit int) (gateway.Indexed, error)
	}
	log *slog.Logger

	newest int64 // the newest delivery at the last step
	failed bool  // the last step failed, and that was logged
}

const (
	indexStep  = 100         // messages in one step
	indexEach  = time.Second // between two looks for new mail
	indexAgain = 10 * time.Second
)

// While mail arrives, the index works a tenth of the time, and half of the time otherwise:
// for each part of work this many parts of rest.
const (
	restBusy  = 9
	restQuiet = 1
)

// Run fills the index until ctx ends, which is no error. While it fails, for example on a
// full disk, it tries again at intervals; the messages are stored and delivered all the same.
func (x *indexer) Run(ctx context.Context) error {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		}
		began := time.Now()
		done, err := x.store.IndexMail(ctx, indexStep)
		if errors.Is(err, gateway.ErrClosed) || ctx.Err() != nil {
			return nil
		}
		x.note(err)
		rest.Reset(x.rest(&done, time.Since(began), err))
	}
}

// rest returns the time to the next step.
func (x *indexer) rest(done *gateway.Indexed, took time.Duration, err error) time.Duration {
	arrives := done.Newest > x.newest
	x.newest = done.Newest
	switch {
	case err != nil:
		return indexAgain
	case !done.More:
		return indexEach
	case arrives:
		return restBusy * took
	}
	return restQuiet * took
}

// note logs once that the index cannot be filled, and once that it can be again.
func (x *indexer) note(err error) {
	switch {
	case err != nil && !x.failed:
		x.log.Warn("the search index cannot be filled now; new messages are not found meanwhile", "cause", err)
	case err == nil && x.failed:
		x.log.Info("the search index is filled again")
	}
	x.failed = err != nil
}
