// Package doctor examines everything that a message needs on its way: the identity, the
// gateway, its clock and data directory, its domain, its peers and its queue.
//
// The promise: it returns its results as values, see [Finding], always in the same
// order, and names the next step for each point that is not in order. A point that
// could not be checked is skipped, and never counts as in order. It changes nothing,
// shows no key, and sends no message except a probe that the user asked for.
// [JudgeDomain], [JudgeClock], [JudgeGateway] and [JudgeQueue] are functions of
// collected facts; [Examination] and [DomainLooker] collect them. Nothing here prints.
package doctor

import "fmt"

// Finding is the result of one point.
type Finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped,omitempty"` // the point could not be checked, and that is no fault of its own
	Text    string `json:"text"`              // the state, or what is wrong
	Mend    string `json:"mend,omitempty"`    // how to fix it
	Note    string `json:"note,omitempty"`    // what could be better although it is in order
}

// Wrong counts the findings that are not in order.
func Wrong(list []Finding) (n int) {
	for _, f := range list {
		if !f.OK && !f.Skipped {
			n++
		}
	}
	return n
}

func good(name, format string, args ...any) Finding {
	return Finding{Name: name, OK: true, Text: fmt.Sprintf(format, args...)}
}

func bad(name, mend, format string, args ...any) Finding {
	return Finding{Name: name, Text: fmt.Sprintf(format, args...), Mend: mend}
}

// skipped is a point that cannot be checked from here, which is no fault.
func skipped(name, format string, args ...any) Finding {
	return Finding{Name: name, OK: true, Skipped: true, Text: fmt.Sprintf(format, args...)}
}
