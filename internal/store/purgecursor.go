package store

import (
	"encoding/json"
	"math"

	"github.com/amtp-go/amtp/internal/gateway"
)

// PurgeSetting is the row of setting that keeps the PurgeCursor.
const PurgeSetting = "purge"

// PurgeCursor is how far the purge has come. Every message up to the cursor, in the
// order of receipt, has a time at which the purge looks at it again.
type PurgeCursor struct {
	Received int64             `json:"received"` // µs, of the last message that had its first look
	Message  int64             `json:"message"`  // its row
	Now      int64             `json:"now"`      // µs, of the last call
	Keep     gateway.Retention `json:"keep"`     // of the last call
	Breaks   int64             `json:"breaks"`   // ClockRecord.Breaks at the last call

	Times Times `json:"-"` // how the clock reads stored times
}

// NewPurgeCursor returns the cursor from which a call of the purge continues. stored is
// the cursor of an earlier call, "" for none. The purge begins again when the stored
// times may be too late. They were computed with the retention of that call, and
// counted from its time. It also begins again when a message may have arrived before
// the cursor, from a clock that was behind.
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

// Until returns the time, in µs, up to which received messages have their first look.
func (w *PurgeCursor) Until() int64 { return Micros(FromMicros(w.Now).Add(-w.Keep.Shortest())) }

// Pass notes that the purge looked at a message. Only a first look moves the cursor.
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
	Received int64 // µs, of a message that has its first look
	First    bool
}
