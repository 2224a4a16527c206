package access

import (
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// recent remembers for a while what the store said of domains that sign and of
// addresses that wrote before, so that a busy peer costs no reads. Nothing is let
// in because of it: what does not verify is judged by the store.
type recent struct {
	domains *otter.Cache[amtp.Domain, gateway.Peer]
	senders *otter.Cache[string, struct{}] // by Address.Key
}

// Bounds of what is remembered.
const (
	recentDomains = 4096
	recentSenders = 16384
	recentTime    = time.Minute
)

func newRecent() *recent {
	return &recent{domains: newCache[amtp.Domain, gateway.Peer](recentDomains), senders: newCache[string, struct{}](recentSenders)}
}

func newCache[K comparable, V any](size int) *otter.Cache[K, V] {
	return otter.Must(&otter.Options[K, V]{
		MaximumSize: size, ExpiryCalculator: otter.ExpiryWriting[K, V](recentTime), Executor: func(do func()) { do() },
	})
}
