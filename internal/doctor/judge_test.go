package doctor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/doctor"
)

// TestJudgeClock: the finding about a gateway that does not trust its clock.
func TestJudgeClock(t *testing.T) {
	const day = 24 * 60 * 60
	for name, c := range map[string]struct {
		doubt *amtp.ClockDoubt
		good  bool
		says  string
	}{
		"believed": {nil, true, "the gateway's and this one agree"},
		"a sleep": {&amtp.ClockDoubt{Jumped: 8 * 3600, Waits: 600}, true,
			"it jumped by 8 hours, as after a sleep, and for 10 minutes more nothing is removed or given up"},
		"ahead": {&amtp.ClockDoubt{Jumped: 400 * day, Waits: 3599}, false,
			"the gateway's clock jumped: it shows 400 days later than it would have; for 59 minutes more"},
		"back": {&amtp.ClockDoubt{Jumped: -3600, Waits: 60}, false,
			"it shows 60 minutes earlier than it would have; for 60 seconds more"},
		"another start": {&amtp.ClockDoubt{Jumped: 30 * day, AtStart: true, Waits: day}, false,
			"its clock showed 30 days later than when it ran last; for 24 hours more"},
	} {
		now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
		f := doctor.JudgeClock(now, now, &amtp.Health{Timestamp: amtp.Time{Time: now}, Clock: c.doubt})
		if f.OK != c.good || !strings.Contains(f.Text, c.says) || c.good == (f.Mend != "") {
			t.Errorf("%s: the doctor says %+v, want %v and %q", name, f, c.good, c.says)
		}
	}
}

// TestJudgeClockSkew: only a difference beyond the time of the answer counts.
func TestJudgeClockSkew(t *testing.T) {
	began := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	ended := began.Add(5 * time.Second)
	for _, tt := range []struct {
		theirs time.Time
		ok     bool
	}{
		{began.Add(-2 * time.Minute), true}, {began.Add(-2*time.Minute - time.Second), false},
		{ended.Add(2 * time.Minute), true}, {ended.Add(2*time.Minute + time.Second), false},
	} {
		if f := doctor.JudgeClock(began, ended, &amtp.Health{Timestamp: amtp.Time{Time: tt.theirs}}); f.OK != tt.ok {
			t.Errorf("at %v, asked between %v and %v: %+v, want %v", tt.theirs, began, ended, f, tt.ok)
		}
	}
	if f := doctor.JudgeClock(began, ended, &amtp.Health{}); !f.Skipped {
		t.Errorf("a gateway that says no time: %+v, want it skipped", f)
	}
}

// TestJudgeQueue: a failing destination is a fault; messages on their way are none.
func TestJudgeQueue(t *testing.T) {
	for _, tt := range []struct {
		list admin.JobList
		ok   bool
		says string
	}{
		{admin.JobList{}, true, "nothing waits"},
		{admin.JobList{Count: 2, Destinations: []admin.DestinationHealth{{Destination: "a.example"}}}, true, "2 messages on the way"},
		{admin.JobList{Count: 2, Jobs: []admin.QueuedJob{{Kind: "deadline"}, {Kind: "expiry"}}}, true, "nothing waits"},
		{admin.JobList{Count: 2, Jobs: []admin.QueuedJob{{Kind: "deadline"}, {Kind: "remote"}}}, true,
			"1 message on the way"},
		{admin.JobList{Count: 1, Destinations: []admin.DestinationHealth{{Destination: "a.example", Failures: 3}}},
			false, "1 message waits; nothing gets through to a.example"},
	} {
		if f := doctor.JudgeQueue(&tt.list); f.OK != tt.ok || f.Text != tt.says || f.OK == (f.Mend != "") {
			t.Errorf("%+v: %+v, want %v and %q", tt.list, f, tt.ok, tt.says)
		}
	}
}
