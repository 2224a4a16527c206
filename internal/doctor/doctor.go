// Package doctor finds out what is in order and what is not, of everything that a message
// needs on its way: the identity, the gateway, its clock and data directory, its domain, its
// peers and its queue.
//
// The promise: it says what it found as values, see [Finding], always in the same order, and
// names the next step for each point that is not in order. A point that could not be looked
// at is skipped, never taken for good. Nothing is changed, no key is shown, and no message is
// sent but the probe that somebody asked for. Judgements are functions of what was seen:
// [JudgeDomain], [JudgeClock], [JudgeGateway], [JudgeQueue]; [Examination] and [DomainLooker] go
// and look. Nothing here prints.
package doctor

import "fmt"

// Finding is one point that was looked at.
type Finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped,omitempty"` // it could not be looked at, and that is no fault of its own
	Text    string `json:"text"`              // what is so, or what is wrong
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

// skipped is a point that cannot be looked at from here, which is no fault.
func skipped(name, format string, args ...any) Finding {
	return Finding{Name: name, OK: true, Skipped: true, Text: fmt.Sprintf(format, args...)}
}
