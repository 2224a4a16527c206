package access

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/cache"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Bounds of the warnings about flagged messages: strangers cause them, and must not
// fill the log.
const (
	flagPause   = time.Hour // between two warnings about one domain
	flagDomains = 4096      // domains whose last warning is remembered
	flagLines   = 60        // warnings in an hour about all domains together
)

// flags counts the messages that were accepted without proof of their sender, and warns
// of them. All counts are in memory: a restart begins anew.
type flags struct {
	log *slog.Logger

	unsigned, invalid, unavailable atomic.Int64

	mu     sync.Mutex
	warned *cache.Cache[amtp.Domain, time.Time]
	hour   time.Time // the beginning of the hour in which lines are counted
	lines  int
}

func newFlags(log *slog.Logger) flags {
	return flags{log: log, warned: cache.New[amtp.Domain, time.Time](flagDomains)}
}

// raise counts a message and warns of it, once an hour for each domain.
func (f *flags) raise(ctx context.Context, caller *gateway.Principal, now time.Time) {
	result := amtp.Reason(caller.Found.Reason).Verification()
	switch result {
	case amtp.SenderUnsigned:
		f.unsigned.Add(1)
	case amtp.SenderKeyUnavailable:
		f.unavailable.Add(1)
	default:
		f.invalid.Add(1)
	}
	if f.mayWarn(caller.Domain, now) {
		f.log.WarnContext(ctx, "a message was accepted without proof of its sender", "domain",
			string(caller.Domain),
			"result", string(result), "reason", caller.Found.Reason, "policy", string(caller.Found.Policy))
	}
}

// mayWarn reports whether a warning about the domain is due now, and counts it.
func (f *flags) mayWarn(d amtp.Domain, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last, ok := f.warned.Get(d); ok && now.Sub(last).Abs() < flagPause {
		return false
	}
	if now.Sub(f.hour).Abs() >= flagPause {
		f.hour, f.lines = now, 0
	}
	if f.lines >= flagLines {
		return false
	}
	f.lines++
	f.warned.Set(d, now)
	return true
}

// Flagged returns how many messages this process has accepted without proof of their
// sender, because the policy is to flag them.
func (p *DomainVerifier) Flagged() admin.FlaggedCounts {
	f := &p.flags
	return admin.FlaggedCounts{Unsigned: f.unsigned.Load(), Invalid: f.invalid.Load(),
		KeyUnavailable: f.unavailable.Load()}
}
