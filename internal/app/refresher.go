package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/keyring"
)

// refresher makes a gateway sign with the key that another gateway on the same store
// has begun to use.
type refresher struct {
	keys *keyring.Keyring
	log  *slog.Logger
}

// keysEvery is how often the store is asked for the signing keys. Until then the
// gateway signs with the former key, which stays valid for longer than a message may
// take to arrive.
const keysEvery = 30 * time.Second

// Run asks for the keys until ctx ends.
func (r *refresher) Run(ctx context.Context) error {
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.keys.Refresh(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("the signing keys cannot be read", "cause", err)
		}
	}
}
