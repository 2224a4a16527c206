package amtp

import (
	"encoding/json"
	"time"
)

// TimeFormat is the form of times on the wire: UTC, milliseconds, Z.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Time is a point in time that is written with milliseconds in UTC, which every
// client's parser reads, and read from any RFC 3339 form.
type Time struct{ time.Time }

// MarshalJSON writes the time in TimeFormat.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(TimeFormat)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, TimeFormat)
	return append(b, '"'), nil
}

// UnmarshalJSON reads any RFC 3339 time; null and "" are the zero time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == nil || *s == "" {
		*t = Time{}
		return nil
	}
	parsed, err := time.Parse(time.RFC3339Nano, *s)
	*t = Time{parsed}
	return err
}
