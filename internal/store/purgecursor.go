package store

import (
	"encoding/json"
	"math"

	"github.com/amtp-go/amtp/internal/gateway"
)

// PurgeSetting is the row of setting that keeps the PurgeCursor.
const PurgeSetting = "purge"

// PurgeCursor is how far the purge has come. Every message up to it, in the order in
// which they were received, has a time at which it is looked at again.
type PurgeCursor struct {
	Received int64             `json:"received"` // µs, of the last message that was looked at the first time
	Message  int64             `json:"message"`  // its row
	Now      int64             `json:"now"`      // µs, of the last call
	Keep     gateway.Retention `json:"keep"`     // of the last call
	Breaks   int64             `json:"breaks"`   // of the clock, until the last call

	Times Times `json:"-"` // how the clock reads what is stored
}

// NewPurgeCursor returns where a call of the purge goes on, after what an earlier one
// stored: "" for none. It begins anew when the times that are stored may be too late:
// they were computed with the retention of then, and counted from the time of then.
// It also begins anew when a message may have come in behind its back, from a clock
// that was behind.
func NewPurgeCursor(stored string, keep gateway.Retention, times Times) (PurgeCursor, error) {
	begin := PurgeCursor{Received: math.MinInt64, Message: math.MinInt64, Now: times.now, Keep: keep,
		Breaks: times.record.Breaks, Times: times}
	if stored == "" {
		return begin, nil
	}
	var w PurgeCursor
	if err := json.Unmarshal([]byte(stored), &w); err != nil {
		return begin, err
	}
	back := min(gateway.LookTime, keep.Shortest())
	if keep.Shorter(w.Keep) || times.now < w.Now-us(back) || w.Breaks != begin.Breaks {
		return begin, nil
	}
	w.Now, w.Keep, w.Times = times.now, keep, times
	return w, nil
}

// Until returns the time, in µs, up to which messages were received that are to be
// looked at the first time.
func (w *PurgeCursor) Until() int64 { return Micros(FromMicros(w.Now).Add(-w.Keep.Shortest())) }

// Pass notes that a message was looked at. One that had its turn changes nothing.
func (w *PurgeCursor) Pass(t Turn) {
	if t.First {
		w.Received, w.Message = t.Received, t.Row
	}
}

// String returns the cursor as it is stored.
func (w *PurgeCursor) String() string {
	b, _ := json.Marshal(w) // numbers cannot fail
	return string(b)
}

// Turn is a message that the purge looks at.
type Turn struct {
	Row      int64
	Received int64 // µs, of one that is looked at the first time
	First    bool
}
