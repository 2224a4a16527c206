package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// health says that the process answers. It makes no query.
func (s *Server) health(c *call) {
	healthy, status, text, part := true, http.StatusOK, "healthy", "healthy"
	select {
	case <-s.Store.Failed():
		healthy, status, text, part = false, http.StatusServiceUnavailable, "unhealthy", "failed"
	default:
	}
	components := map[string]string{"store": part}
	if !s.Store.Paused().IsZero() {
		components["delivery"] = "paused"
	}
	c.reply(status, amtp.Health{
		Status: text, Healthy: &healthy, Timestamp: amtp.Time{Time: s.Now()}, Version: amtp.Version,
		Components: components,
		Clock:      s.clockDoubt(),
	})
}

// clockDoubt says why the clock is not believed. It is nil while the clock is believed.
func (s *Server) clockDoubt() *amtp.ClockDoubt {
	c := s.Store.Clock()
	if c.Believed() {
		return nil
	}
	waits := (c.Doubt + time.Second - 1) / time.Second
	return &amtp.ClockDoubt{Jumped: int64(c.Jumped / time.Second), AtStart: c.Started, Waits: int64(waits)}
}

// readinessAge is how long the result of a probe is valid. Strangers may ask as often as
// they like, and the disk is probed once a second at most.
const readinessAge = time.Second

type readiness struct {
	mu     sync.Mutex
	at     time.Time
	reason string // why nothing can be stored, "" when it can
}

// ready says whether messages can be stored. For that, the probe wrote and read a row,
// and no other cause keeps all messages from being accepted.
func (s *Server) ready(c *call) {
	reason := s.probe()
	ready := reason == ""
	status, text, part := http.StatusOK, "ready", "ready"
	if !ready {
		status, text, part = http.StatusServiceUnavailable, "not_ready", "not_ready"
	}
	c.reply(status, amtp.Health{
		Status: text, Ready: &ready, Timestamp: amtp.Time{Time: s.Now()}, Version: amtp.Version,
		Dependencies: map[string]string{"store": part}, Reason: reason,
	})
}

// probe returns why nothing can be stored, "" when it can.
func (s *Server) probe() string {
	r := &s.readiness
	r.mu.Lock()
	defer r.mu.Unlock()
	now := s.Now()
	if now.Sub(r.at) < readinessAge && now.Sub(r.at) >= 0 && !r.at.IsZero() {
		return r.reason
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.Store.Probe(ctx, now)
	if err != nil {
		s.Log.Warn("not ready", "cause", err)
	}
	r.at, r.reason = s.Now(), unreadiness(err) // requests that waited for the lock take this result
	return r.reason
}

// unreadiness returns the reason why nothing can be stored, in a form for strangers: it
// has no path and no name.
func unreadiness(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, gateway.ErrFull):
		return "the disk is full"
	case errors.Is(err, gateway.ErrAway):
		return "the database is away"
	case errors.Is(err, gateway.ErrClosed):
		return "the store has failed or is closed"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, gateway.ErrBusy):
		return "the store does not answer in time"
	}
	return "the store cannot write"
}
