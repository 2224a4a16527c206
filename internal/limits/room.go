package limits

import (
	"sync"
	"time"

	"github.com/amtp-go/amtp"
)

// lookEvery is how often the free space of the disk is read.
const lookEvery = time.Second

// roomWait is how long a stranger is asked to wait for room.
const roomWait = time.Minute

// room knows how much of the disk is free.
type room struct {
	look func() (free, least uint64, known bool)

	mu          sync.Mutex
	at          time.Time // when it was read
	free, least uint64
	known       bool
}

// state returns how much is free and how much is needed, at most a second old.
func (r *room) state(now time.Time) (free, least uint64, known bool) {
	if r.look == nil {
		return 0, 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() || now.Sub(r.at).Abs() >= lookEvery {
		r.free, r.least, r.known = r.look()
		r.at = now
	}
	return r.free, r.least, r.known
}

// noRoom refuses a message of the class while the disk is short of space. Strangers are
// refused below the mark, and domains that are not familiar below half of it. Agents and
// familiar domains are served until the disk is full.
func (l *Limits) noRoom(c class, familiar bool, now time.Time) *amtp.Error {
	if c == local || familiar && c != stranger {
		return nil
	}
	free, least, known := l.room.state(now)
	if c != stranger {
		least /= 2
	}
	if !known || free >= least {
		return nil
	}
	l.mu.Lock()
	l.short++
	l.mu.Unlock()
	e := amtp.Errorf(amtp.CodeTemporaryFailure,
		"This gateway is short of disk space and accepts messages only from senders that it knows. Try again later.")
	e.RetryAfter = roomWait
	return e.With("limit", "room")
}
