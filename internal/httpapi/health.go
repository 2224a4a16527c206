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

// health says that the process answers. It touches nothing.
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

// clockDoubt says why the clock is not believed, nil when it is.
func (s *Server) clockDoubt() *amtp.ClockDoubt {
	c := s.Store.Clock()
	if c.Believed() {
		return nil
	}
	waits := (c.Doubt + time.Second - 1) / time.Second
	return &amtp.ClockDoubt{Jumped: int64(c.Jumped / time.Second), AtStart: c.Started, Waits: int64(waits)}
}

// readinessAge is how long a probe's answer stands. Strangers may ask as often
// as they like; the disk is asked once a second.
const readinessAge = time.Second

type readiness struct {
	mu     sync.Mutex
	at     time.Time
	reason string // why nothing can be stored, "" when it can
}

// ready says that messages can be stored: a row was really written and read, and
// nothing else keeps every message from being accepted.
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
	r.at, r.reason = s.Now(), unreadiness(err) // those who waited meanwhile take this answer
	return r.reason
}

// unreadiness is what strangers are told of why nothing can be stored: no path, and
// nobody's name.
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
