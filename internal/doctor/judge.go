package doctor

import (
	"cmp"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/render"
)

// JudgeGateway says whether the gateway at the URL can store, from its two answers. resume
// is the command that ends the pause of a restored gateway.
func JudgeGateway(url string, health *amtp.Health, ready *amtp.Health, resume string) Finding {
	const name = "gateway"
	switch {
	case ready.Ready != nil && !*ready.Ready:
		return bad(
			name,
			"look at its log, and at its disk: amtp check",
			"%s answers, and cannot store messages now: %s",
			url,
			cmp.Or(ready.Reason, "it does not say why"),
		)
	case health.Components["delivery"] == "paused":
		return bad(name, "if this is the gateway that is to go on: "+resume,
			"%s was restored from a backup and accepts no messages until that is confirmed", url)
	}
	return good(name, "%s answers, version %s, and can store", url, cmp.Or(health.Version, "unknown"))
}

// maxSkew is how far the clocks may differ. Beyond ten minutes the gateway no longer
// accepts a message's own time.
const maxSkew = 2 * time.Minute

// JudgeClock compares the gateway's time with our times before and after the request,
// and says whether the gateway trusts its own clock.
func JudgeClock(began, ended time.Time, health *amtp.Health) Finding {
	const name = "clock"
	theirs := health.Timestamp.Time
	if theirs.IsZero() {
		return skipped(name, "the gateway does not say what time it is there")
	}
	skew := time.Duration(0)
	switch {
	case theirs.Before(began):
		skew = began.Sub(theirs)
	case theirs.After(ended):
		skew = theirs.Sub(ended)
	}
	if skew > maxSkew {
		return bad(name, "set the clock of whichever is wrong", "the gateway's clock and this one differ by %v",
			skew.Round(time.Second))
	}
	d := health.Clock
	if d == nil {
		return good(name, "the gateway's and this one agree")
	}
	const day = 24 * time.Hour
	jumped, waits := time.Duration(d.Jumped)*time.Second, time.Duration(d.Waits)*time.Second
	held := "for " + render.Spell(waits) + " more nothing is removed or given up there because of its age"
	switch {
	case d.AtStart:
		return bad(name, "if the gateway was off for that long, wait; else see what sets its machine's clock",
			"when the gateway started, its clock showed %s than when it ran last; %s", shifted(jumped), held)
	case jumped > 0 && jumped <= 3*day:
		return good(name, "the gateway's and this one agree; it jumped by %s, as after a sleep, and %s",
			render.Spell(jumped), held)
	}
	return bad(name, "see what sets its machine's clock, and whether it is right now",
		"the gateway's clock jumped: it shows %s than it would have; %s", shifted(jumped), held)
}

// shifted says how far a clock moved.
func shifted(by time.Duration) string {
	if by < 0 {
		return render.Spell(-by) + " earlier"
	}
	return render.Spell(by) + " later"
}

// JudgeSenders says which domains wrote to the gateway. at writes a time.
func JudgeSenders(list []admin.PeerSeen, at func(time.Time) string) Finding {
	const name = "seen"
	if len(list) == 0 {
		return good(name, "no other domain has written here yet")
	}
	last := list[0]
	for _, s := range list {
		if s.Last.After(last.Last.Time) {
			last = s
		}
	}
	return good(name, "%s wrote here, the last %s, %s", render.Plural(len(list), "domain"), last.Domain,
		at(last.Last.Time))
}

// JudgePeer returns the findings about a peer: one when the peer works, else one for
// each point that is wrong.
func JudgePeer(d amtp.Domain, r *admin.PeerReport) (list []Finding) {
	name := "peer " + string(d)
	if r.OK {
		list = append(list, good(name, "works in both directions"))
	}
	for _, point := range r.Points {
		if !point.OK {
			list = append(
				list,
				bad(name, cmp.Or(point.Mend, "amtp peer check "+string(d)), "%s: %s", point.Name, point.Text),
			)
		}
	}
	return list
}

// JudgeQueue reports the messages that wait for their delivery. Deadlines and expiries,
// which only wait for their time, do not count.
func JudgeQueue(list *admin.JobList) Finding {
	const name = "queue"
	waiting := list.Count
	for i := range list.Jobs {
		if kind := list.Jobs[i].Kind; kind == "deadline" || kind == "expiry" {
			waiting--
		}
	}
	var ill []string
	for _, d := range list.Destinations {
		if d.Failures > 0 {
			ill = append(ill, string(d.Destination))
		}
	}
	switch {
	case len(ill) > 0:
		return bad(
			name,
			"amtp queue list",
			"%s waits; nothing gets through to %s",
			render.Plural(waiting, "message"),
			strings.Join(ill, ", "),
		)
	case waiting > 0:
		return good(name, "%s on the way", render.Plural(waiting, "message"))
	}
	return good(name, "nothing waits")
}
