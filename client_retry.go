package amtp

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Bounds of a call's repetitions.
const (
	maxRetries = 3                      // when the caller names no number
	firstPause = 100 * time.Millisecond // before the first repetition; doubled for each further one
	maxPause   = 10 * time.Second       // if a gateway asks for more, the call is not repeated
)

// pause reports whether a call that failed is tried again, and after how long.
func (c *Client) pause(call call, tried int, err error) (time.Duration, bool) {
	limit := c.Retries
	if limit == 0 {
		limit = maxRetries
	}
	if !call.repeat || tried >= limit {
		return 0, false
	}
	pause := firstPause << min(tried, 6)
	pause = pause*3/4 + rand.N(pause/2)
	var lost *ConnectError
	var refused *Error
	switch {
	case errors.As(err, &lost):
		return pause, true
	case errors.As(err, &refused) && mayPass(refused.Status):
		pause = max(pause, refused.RetryAfter)
		return pause, pause <= maxPause
	}
	return 0, false
}

func mayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		return true
	}
	return false
}

// wait waits. It reports false at once if the context would end first.
func wait(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3).
func retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(min(max(n, 0), 1<<31)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
