package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
)

// TestDoctorOfAClock: what the doctor says of a gateway that does not believe its
// clock.
func TestDoctorOfAClock(t *testing.T) {
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
		x := &examination{program: &program{now: func() time.Time { return now }}}
		x.clock(now, &amtp.Health{Timestamp: amtp.Time{Time: now}, Clock: c.doubt})
		if len(x.list) != 1 || x.list[0].OK != c.good || !strings.Contains(x.list[0].Text, c.says) ||
			c.good == (x.list[0].Mend != "") {
			t.Errorf("%s: the doctor says %+v, want %v and %q", name, x.list, c.good, c.says)
		}
	}
}
