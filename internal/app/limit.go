package app

import (
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/limits"
	"github.com/amtp-go/amtp/internal/operate"
)

// limit builds what bounds the number of messages and of connections that callers
// cause.
func (a *App) limit() {
	tallies, _ := a.store.(gateway.Tallies) // only a store that several gateways share has tallies
	a.conns = newConnections(a.cfg.Limits.Connections, a.cfg.Limits.ConnectionsPerAddress, a.cfg.Server.TrustedProxies)
	a.limits = limits.New(limits.Options{
		Messages: int64(a.cfg.Limits.MessagesPerMinute), Bytes: a.cfg.Limits.BytesPerMinute,
		Largest: a.cfg.Message.MaxSize,
		Now:     a.store.Now, Shared: tallies, Disk: operate.DiskRoom(a.cfg),
	})
}
