package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Retention says how long messages and keys are kept, and how the purge works.
type Retention struct {
	gateway.Retention
	Batch int           // messages that one round of the purge examines
	Pause time.Duration // between two rounds
	Every time.Duration // after a round that found nothing more
}

const day = 24 * time.Hour

// Bounds of the times. Less than a minute would purge messages while they are read; a
// hundred years are as good as for ever.
const (
	shortestKept = time.Minute
	longestKept  = 36500 * day
)

// maxPurge is how many messages one round of the purge may examine: with more, senders
// would have to wait.
const maxPurge = 5000

func (r *Retention) settings() []setting {
	const sharing = "; with several recipients the longest time counts"
	def := gateway.DefaultRetention()
	return []setting{
		{path: "retention.acknowledged", env: "AMTP_RETENTION_ACKNOWLEDGED", def: formatDays(def.Acknowledged),
			value:   kept(&r.Acknowledged, shortestKept),
			meaning: "How long the content of a message is kept after its recipient acknowledged it" + sharing + "."},
		{path: "retention.unacknowledged", env: "AMTP_RETENTION_UNACKNOWLEDGED", def: formatDays(def.Unacknowledged),
			value:   kept(&r.Unacknowledged, shortestKept),
			meaning: "How long the content of a message is kept if its recipient does not acknowledge it. After that the inbox shows the message without content."},
		{path: "retention.sent", env: "AMTP_RETENTION_SENT", def: formatDays(def.Sent),
			value:   kept(&r.Sent, shortestKept),
			meaning: "How long the content of a message is kept after another gateway accepted it."},
		{path: "retention.failed", env: "AMTP_RETENTION_FAILED", def: formatDays(def.Failed),
			value:   kept(&r.Failed, shortestKept),
			meaning: "How long the content of a message is kept after its delivery failed."},
		{path: "retention.status", env: "AMTP_RETENTION_STATUS", def: formatDays(def.Status),
			value:   kept(&r.Status, gateway.MinKeys),
			meaning: "How long the status of a message is kept after its last change. After that the gateway no longer knows the message. A domain that no longer writes is remembered for the same time, but at least 30 days."},
		{path: "retention.idempotency", env: "AMTP_RETENTION_IDEMPOTENCY", def: formatDays(def.Keys),
			value:   kept(&r.Keys, gateway.MinKeys),
			meaning: "How long an idempotency key is remembered after the last change of its message, but at least as long as the content."},
		{path: "retention.batch", env: "AMTP_RETENTION_BATCH", def: "500", value: upTo(&r.Batch, maxPurge),
			meaning: "How many messages one round of the purge examines."},
		{path: "retention.pause", env: "AMTP_RETENTION_PAUSE", def: "200ms", value: duration(&r.Pause),
			meaning: "How long the purge pauses between two rounds."},
		{path: "retention.every", env: "AMTP_RETENTION_EVERY", def: "1h", value: duration(&r.Every),
			meaning: "How long the purge pauses when no more messages were due."},
	}
}

// kept binds a field that holds a time for which things are kept.
func kept(p *time.Duration, shortest time.Duration) value {
	parse := func(s string) (time.Duration, error) {
		d, err := parseDays(s)
		if err == nil && (d < shortest || d > longestKept) {
			err = fmt.Errorf("%s is not between %s and %s", brief(s), formatDays(shortest), formatDays(longestKept))
		}
		return d, err
	}
	v := bind(p, "days", parse, formatDays)
	v.bounds = formatDays(shortest) + " to " + formatDays(longestKept)
	return v
}

// parseDays reads whole days, or a duration.
func parseDays(s string) (time.Duration, error) {
	if digits, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
			return time.Duration(n) * day, nil
		}
	}
	d, err := parseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%s is not a time to keep things: write days, such as 30d, or a duration, such as 12h",
			brief(s))
	}
	return d, nil
}

func formatDays(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return formatDuration(d)
}

// upTo binds a count with its own upper bound.
func upTo(p *int, most int) value {
	v := count(p)
	set := v.set
	v.set = func(s string) error {
		if n, err := parseCount(s); err == nil && n > most {
			return fmt.Errorf("%s is more than %d", brief(s), most)
		}
		return set(s)
	}
	v.bounds = fmt.Sprintf("1 to %d", most)
	return v
}

// checkRetention refuses a status that is kept for less time than the content.
func (l *loader) checkRetention() {
	r := l.cfg.Retention
	for _, other := range []struct {
		path string
		kept time.Duration
	}{
		{"retention.acknowledged", r.Acknowledged}, {"retention.unacknowledged", r.Unacknowledged},
		{"retention.sent", r.Sent},
		{"retention.failed", r.Failed}, {"retention.idempotency", r.Keys},
	} {
		if other.kept > r.Status {
			l.refuse(other.path, "is longer than retention.status, "+formatDays(r.Status)+": raise that as well")
		}
	}
}
