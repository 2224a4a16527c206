package config

import (
	"testing"
	"time"
)

func TestRetention(t *testing.T) {
	cfg := command{env: []string{"AMTP_RETENTION_ACKNOWLEDGED=36h", "AMTP_RETENTION_STATUS=400d"}}.mustLoad(t)
	if r := cfg.Retention; r.Acknowledged != 36*time.Hour || r.Status != 400*day || r.Unacknowledged != 180*day ||
		r.Keys != 9*day {
		t.Errorf("the retention is %+v", r)
	}
	for _, tc := range []problem{
		{"short keys", command{env: []string{"AMTP_RETENTION_IDEMPOTENCY=8d"}}, "AMTP_RETENTION_IDEMPOTENCY",
			`"8d" is not between 9d and 36500d`},
		{"no time at all", command{env: []string{"AMTP_RETENTION_FAILED=1s"}}, "AMTP_RETENTION_FAILED",
			"is not between 1m and"},
		{"no days", command{env: []string{"AMTP_RETENTION_SENT=30"}}, "AMTP_RETENTION_SENT", "write days, such as 30d"},
		{"a large batch", command{env: []string{"AMTP_RETENTION_BATCH=100000"}}, "AMTP_RETENTION_BATCH",
			"is more than 5000"},
		{"a short status", command{env: []string{"AMTP_RETENTION_STATUS=100d"}}, "default",
			"retention.unacknowledged: is longer than retention.status, 100d"},
	} {
		t.Run(tc.name, tc.test)
	}
}
