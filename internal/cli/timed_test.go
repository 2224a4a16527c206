package cli

import (
	"slices"
	"testing"
	"time"
)

func TestTimedHeaders(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 500, time.UTC)
	for _, tc := range []struct {
		f    timedFlags
		want []string // nil is a usage error
	}{
		{timedFlags{}, []string{}},
		{timedFlags{answerBy: "2h"}, []string{"answer-by=2026-11-30T14:00:01Z"}},
		{timedFlags{answerBy: "3d", priority: "high"}, []string{"answer-by=2026-12-03T12:00:01Z", "priority=high"}},
		{timedFlags{expires: "2026-12-01T09:00:00+01:00"}, []string{"expires=2026-12-01T08:00:00Z"}},
		{timedFlags{expires: "-1h"}, nil},
		{timedFlags{expires: "0s"}, nil},
		{timedFlags{expires: "2020-01-01T00:00:00Z"}, nil},
		{timedFlags{answerBy: "soon"}, nil},
		{timedFlags{answerBy: "d"}, nil},
		{timedFlags{priority: "very"}, nil},
	} {
		got, err := tc.f.headers(now)
		if (err != nil) != (tc.want == nil) || !slices.Equal(got, tc.want) {
			t.Errorf("%+v = %q, %v; want %q", tc.f, got, err, tc.want)
		}
	}
}
