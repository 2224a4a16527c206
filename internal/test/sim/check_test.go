package sim

import (
	"encoding/json"
	"net/http"

	"github.com/amtp-go/amtp"
)

// check compares what the gateways show with their earlier answers, after everything
// has worked for a while.
func (w *world) check() {
	for _, s := range w.sites {
		jobs, ok := s.jobs()
		if !ok {
			w.fault("the gateway of %s does not answer when all is well", s.domain)
		}
		for _, j := range jobs {
			w.fault("%s %s of %q at %s still waits, until %v, after %d attempts: %s", j.State, j.Kind,
				j.Subject, s.domain,
				j.NextAttempt, j.Attempts, j.ErrorMessage)
		}
	}
	for _, p := range w.people {
		if !w.read(p, false) {
			w.fault("the inbox of %s cannot be read when all is well", p.address)
		}
	}
	for _, l := range w.letter {
		w.checkLetter(l)
	}
	for _, p := range w.people {
		w.drain(p)
	}
}

func (w *world) checkLetter(l *letter) {
	if !l.answered() {
		w.fault("%s was not answered when all was well", l.name)
		return
	}
	shown, ok := w.status(l)
	if ok {
		w.checkDeadline(l, shown)
	}
	for _, to := range l.to {
		p := w.person(to)
		copies := 0
		if p != nil && p.box[l.name] != nil {
			copies = len(p.box[l.name].ids)
			w.checkAnswer(l, p)
		}
		if copies > 1 {
			w.fault("%s is in the inbox of %s as %d messages", l.name, to, copies)
		}
		switch {
		case l.refused && copies > 0:
			w.fault("%s was refused and is in the inbox of %s", l.name, to)
		case ok:
			w.checkRecipient(l, to, shown[to], copies)
		}
	}
}

// status returns the state of a letter as its sender is shown it, by recipient.
func (w *world) status(l *letter) (map[string]amtp.RecipientStatus, bool) {
	if l.refused {
		return nil, false
	}
	status, answer := l.from.site.call(http.MethodGet, "/v1/messages/"+string(l.id)+"/status", l.from.key, nil)
	var s amtp.MessageStatus
	if status != http.StatusOK || json.Unmarshal(answer, &s) != nil {
		w.fault("%s was accepted and its status is %d %s", l.name, status, answer)
		return nil, false
	}
	by := make(map[string]amtp.RecipientStatus)
	for _, r := range s.Recipients {
		by[r.Address.Key()] = r
	}
	return by, true
}

// checkRecipient compares the state shown for one recipient with its inbox and with the
// reports that the sender got.
func (w *world) checkRecipient(l *letter, to string, r amtp.RecipientStatus, copies int) {
	about := l.name + " for " + to
	if l.told[to] != "" {
		if copies > 0 || r.Status != "" {
			w.fault("%s was refused in the answer, and is %q and in %d inboxes", about, r.Status, copies)
		}
		return
	}
	w.checkMarks(l, to, r)
	switch r.Status {
	case amtp.StatusDelivered:
		w.trace.count("deliveries")
		if copies != 1 {
			w.fault("%s is delivered and %d times in the inbox", about, copies)
		}
	case amtp.StatusFailed:
		reports := len(l.from.reports[string(l.id)+" "+to])
		switch {
		case l.gone[to]:
			w.trace.count("failures by cancellation")
		case reports == 0:
			w.fault("%s failed (%s) and its sender was not told", about, r.ErrorCode)
		default:
			w.trace.count("failures told")
		}
		if reports > 1+w.redrives {
			w.fault("%s failed and its sender was told %d times", about, reports)
		}
		if w.person(to) != nil && !l.gone[to] {
			w.fault("%s failed although its recipient is there: %s %s", about, r.ErrorCode, r.ErrorMessage)
		}
		if copies > 0 && !w.net.isUnsure(about) {
			w.fault("%s failed and is in the inbox", about)
		}
	default:
		w.fault("%s is %q when nothing is left to be done", about, r.Status)
	}
}

// checkMarks compares an acknowledgement that the sender is shown with what the
// recipient did.
func (w *world) checkMarks(l *letter, to string, r amtp.RecipientStatus) {
	var h held
	p := w.person(to)
	if p != nil && p.box[l.name] != nil {
		h = *p.box[l.name]
	}
	if r.Acknowledged && !h.acking {
		w.fault("%s is acknowledged by %s, who did not", l.name, to)
	}
	if h.acked && p.site == l.from.site && !r.Acknowledged {
		w.fault("%s is not acknowledged, and %s did", l.name, to)
	}
}

// checkAnswer checks that the writer of a letter finds it by the id that an answer
// names.
func (w *world) checkAnswer(l *letter, p *person) {
	if l.answers == nil || l.answers.id == "" || p != l.answers.from {
		return
	}
	w.trace.count("answers that arrived")
	named := p.box[l.name].answers
	status, answer := p.site.call(http.MethodGet, "/v1/messages/"+named+"/status", p.key, nil)
	var s amtp.MessageStatus
	if status != http.StatusOK || json.Unmarshal(answer, &s) != nil || s.MessageID != l.answers.id {
		w.fault("%s answers %s, which is %s, and names it %q: %d %s", l.name, l.answers.name, l.answers.id, named,
			status, answer)
	}
}

// person returns the person with an address, nil if there is none.
func (w *world) person(address string) *person {
	for _, p := range w.people {
		if p.address == address {
			return p
		}
	}
	return nil
}
