package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/amtp-go/amtp"
)

// longest is the longest visibility, delay and pause of a worker. Three of them are less
// than the time between the end of all faults and the first look at what is left.
const longest = 19 * time.Second

// lease is what a worker was told of its lease on a letter. The times are true times. A
// gateway whose clock was set may end a lease earlier or later.
type lease struct {
	token   string
	key     string
	attempt int
	live    time.Time // until then nobody else gets the letter
	over    time.Time // from then on the token is worth nothing
	unsure  bool      // a request that ends or extends it got no answer
}

// claim takes messages of an inbox, and does with each what the seed decides.
func (w *world) claim(p *person, r *rand.Rand) {
	visibility := time.Second + time.Duration(r.Int64N(int64(longest-time.Second))).Truncate(time.Second)
	key := one(r, p.keys)
	for _, m := range w.claimed(p, key, 1+r.IntN(5), visibility) {
		if name := w.taken(p, key, m, visibility); name != "" {
			w.work(p, name, len(p.box[name].leases)-1)
		}
	}
}

// claimed makes the request and returns the messages of the answer.
func (w *world) claimed(p *person, key string, most int, visibility time.Duration) []amtp.InboxMessage {
	status, answer := p.site.call(http.MethodPost, "/v1/inbox/"+p.address+"/claim", key,
		fmt.Appendf(nil, `{"max":%d,"visibility":%q}`, most, visibility))
	w.trace.add("a worker of %s claims for %v: %d", p.address, visibility, status)
	if status != http.StatusOK {
		if status != 0 && status < 500 {
			w.fault("a claim in the inbox of %s was refused: %d %s", p.address, status, answer)
		}
		return nil
	}
	var page amtp.Claims
	if err := json.Unmarshal(answer, &page); err != nil {
		w.fault("a claim in the inbox of %s has an answer that cannot be read: %v", p.address, err)
	}
	return page.Messages
}

// taken records a message that was claimed just now, and returns the name of the letter.
// It returns "" for a message of the gateway, which the worker acknowledges at once.
func (w *world) taken(p *person, key string, m amtp.InboxMessage, visibility time.Duration) string {
	if m.Lease == nil {
		w.fault("%s was claimed from the inbox of %s without a lease", m.MessageID, p.address)
		return ""
	}
	name := w.found(p, &m)
	if name == "" {
		p.site.call(http.MethodDelete, p.lease(string(m.MessageID), "", m.Lease.Token), key, nil)
		return ""
	}
	now := time.Now()
	h := p.box[name]
	l := &lease{token: m.Lease.Token, key: key, attempt: m.Lease.Attempt, live: now.Add(visibility),
		over: now.Add(visibility)}
	for _, old := range h.leases {
		if old.token == l.token || old.attempt >= l.attempt {
			w.fault("%s was claimed from %s as attempt %d and then as attempt %d, the tokens %s and %s", name,
				p.address, old.attempt, l.attempt, old.token, l.token)
		}
		if w.steady(p) && !old.unsure && now.Before(old.live) {
			w.fault("%s in the inbox of %s is under two live leases: it was claimed again %v before the end of attempt %d",
				name, p.address, old.live.Sub(now), old.attempt)
		}
	}
	if len(h.leases) > 0 {
		w.trace.count("letters claimed again")
	}
	h.leases = append(h.leases, l)
	w.trace.count("claims")
	w.trace.add("a worker of %s gets %s, attempt %d", p.address, name, l.attempt)
	return name
}

// steady reports whether the leases of an inbox end when they should.
func (w *world) steady(p *person) bool { return !p.site.set.Load() }

// lease returns the path of a call under a lease; what is "" for an acknowledgement.
func (p *person) lease(id, what, token string) string {
	path := "/v1/inbox/" + p.address + "/" + id
	if what != "" {
		return path + "/" + what
	}
	return path + "?lease=" + token
}

// work does something with a letter that was claimed. Some workers vanish, and some are
// too slow.
func (w *world) work(p *person, name string, n int) {
	r := w.seed.at("work", p.address, name, n)
	soon := time.Duration(r.Int64N(int64(longest)))
	switch r.IntN(6) {
	case 0:
		w.trace.count("workers that vanished")
	case 1, 2:
		w.later(soon, func() { w.finish(p, name, n) })
	case 3:
		late := time.Until(p.box[name].leases[n].over) + soon
		w.later(late, func() { w.finish(p, name, n) })
	case 4:
		w.later(soon/4, func() { w.change(p, name, n, "nack", "delay", soon.Truncate(time.Second)) })
		w.later(soon/2, func() { w.finish(p, name, n) })
	case 5:
		w.later(soon/4, func() { w.change(p, name, n, "extend", "visibility", time.Second+soon.Truncate(time.Second)) })
		w.later(soon, func() { w.finish(p, name, n) })
	}
}

// finish acknowledges a letter under a lease, whether or not it still holds.
func (w *world) finish(p *person, name string, n int) {
	h := p.box[name]
	l, before := h.leases[n], h.acking
	status, _ := p.site.call(http.MethodDelete, p.lease(h.id(), "", l.token),
		one(w.seed.at("finish", p.address, name, n), p.keys), nil)
	w.trace.add("a worker of %s acknowledges %s, attempt %d: %d", p.address, name, l.attempt, status)
	w.judge(p, name, n, status, before)
	switch {
	case status == http.StatusOK:
		h.acking, h.acked = true, true
		w.trace.count("acknowledgements under a lease")
	case status == 0 || status >= 500:
		h.acking = true
	}
}

// change gives a letter back or extends its lease.
func (w *world) change(p *person, name string, n int, what, field string, d time.Duration) {
	h := p.box[name]
	l, before := h.leases[n], h.acking
	body := fmt.Appendf(nil, `{"lease":%q,%q:%q}`, l.token, field, d)
	status, _ := p.site.call(http.MethodPost, p.lease(h.id(), what, l.token), l.key, body)
	w.trace.add("a worker of %s calls %s for %s, attempt %d: %d", p.address, what, name, l.attempt, status)
	if before {
		if status == http.StatusOK && h.acked {
			w.fault("%s for %s in the inbox of %s works after the acknowledgement", what, name, p.address)
		}
		l.unsure = true
		return
	}
	w.judge(p, name, n, status, false)
	now := time.Now()
	switch {
	case status == http.StatusOK && what == "nack":
		l.live, l.over = now.Add(d), now
		w.trace.count("letters given back")
	case status == http.StatusOK:
		l.live, l.over = now.Add(d), now.Add(d)
		w.trace.count("leases extended")
	case status == 0 || status >= 500:
		l.unsure = true
	}
}

// judge compares the answer to a call under a lease with what is known of the lease. done
// says that an acknowledgement was requested before: it is answered again.
func (w *world) judge(p *person, name string, n, status int, done bool) {
	h := p.box[name]
	l, newest, now := h.leases[n], n == len(h.leases)-1, time.Now()
	about := fmt.Sprintf("%s in the inbox of %s, attempt %d", name, p.address, l.attempt)
	switch {
	case status == http.StatusOK && !newest:
		w.fault("%s: a lease is accepted after attempt %d began", about, h.leases[len(h.leases)-1].attempt)
	case status == http.StatusOK && !done && w.steady(p) && !l.unsure && !now.Before(l.over):
		w.fault("%s: a lease is accepted %v after its end", about, now.Sub(l.over))
	case status == http.StatusConflict && newest && !done && w.steady(p) && !l.unsure && now.Before(l.live) &&
		now.Before(l.over):
		w.fault("%s: a lease is refused %v before its end", about, l.over.Sub(now))
	case status == http.StatusConflict:
		w.trace.count("leases refused")
	case status != http.StatusOK && status != 0 && status < 500:
		w.fault("%s: a call under the lease is answered with %d", about, status)
	}
}

// judged makes an acknowledgement without a lease, and compares its answer with the
// leases of others.
func (w *world) judged(p *person, name, key string, call func() int) int {
	h := p.box[name]
	before, began := h.acking, time.Now()
	status := call()
	if len(h.leases) == 0 || before || !w.steady(p) {
		return status
	}
	l := h.leases[len(h.leases)-1]
	if status == http.StatusOK && l.key != key && !l.unsure && began.Before(l.live) && began.Before(l.over) {
		w.fault("%s in the inbox of %s is acknowledged without a lease, %v before the end of another's", name,
			p.address, l.over.Sub(began))
	}
	if status == http.StatusConflict {
		w.trace.count("acknowledgements refused because of a lease")
	}
	return status
}

// drain claims all that is left in an inbox and acknowledges it, when everything works
// and all leases have ended: nothing is left behind.
func (w *world) drain(p *person) {
	left := make(map[string]bool)
	for name, h := range p.box {
		if h.there {
			left[name] = true
		}
	}
	const most = 100
	for range most {
		list := w.claimed(p, p.keys[0], most, time.Minute)
		if len(list) == 0 {
			break
		}
		for _, m := range list {
			name := w.taken(p, p.keys[0], m, time.Minute)
			if name == "" {
				continue
			}
			delete(left, name)
			w.finish(p, name, len(p.box[name].leases)-1)
			if !p.box[name].acked {
				w.fault("%s in the inbox of %s cannot be acknowledged when all is well", name, p.address)
			}
		}
	}
	for name := range left {
		w.fault("%s is in the inbox of %s and cannot be claimed when all is well", name, p.address)
	}
	if w.read(p, false) {
		for name, h := range p.box {
			if h.there {
				w.fault("%s is still in the inbox of %s after all was claimed and acknowledged", name, p.address)
			}
		}
	}
}

// silence is the content of a notice that no answer came.
type silence struct {
	MessageType string `json:"message_type"`
	Answered    []amtp.Address
	Waiting     []struct{ Address amtp.Address }
}

// notice is such a notice in an inbox.
type notice struct {
	id   amtp.MessageID
	came time.Time // by the clock of the gateway
	silence
}

// hears records a notice in an inbox.
func (w *world) hears(p *person, about string, m *amtp.InboxMessage, s silence) {
	for _, n := range p.notices[about] {
		if n.id == m.MessageID {
			return
		}
	}
	w.trace.count("notices that no answer came")
	p.notices[about] = append(p.notices[about], &notice{m.MessageID, m.ReceivedAt.Time, s})
}

// checkDeadline checks that the sender of a letter with a deadline was told once that no
// answer came, and that a letter which all recipients have answered has at most one
// notice, because the answers may have been late.
func (w *world) checkDeadline(l *letter, shown map[string]amtp.RecipientStatus) {
	notices := l.from.notices[string(l.id)]
	answered := func(to string) bool { return l.from.box[l.name+"-"+to] != nil }
	waiting := 0
	for to := range shown {
		if !answered(to) {
			waiting++
		}
	}
	switch {
	case l.due.IsZero() && len(notices) > 0:
		w.fault("the sender of %s was told that no answer came, and never asked for one", l.name)
	case len(notices) > 1:
		w.fault("the sender of %s was told %d times that no answer came", l.name, len(notices))
	case !l.due.IsZero() && waiting > 0 && len(notices) == 0:
		w.fault("%d recipients of %s gave no answer, and its sender was not told", waiting, l.name)
	case !l.due.IsZero() && waiting == 0 && len(notices) == 0:
		w.trace.count("letters that all answered in time")
	}
	for _, n := range notices {
		if w.steady(l.from) && n.came.Before(l.due) {
			w.fault("the sender of %s was told %v too early that no answer came", l.name, l.due.Sub(n.came))
		}
		for _, a := range n.Answered {
			if !answered(a.Key()) {
				w.fault("the sender of %s was told that %s answered, who did not", l.name, a)
			}
		}
		if len(n.Answered)+len(n.Waiting) != len(shown) || len(n.Waiting) == 0 {
			w.fault("the notice about %s names %d recipients that answered and %d others; there are %d", l.name,
				len(n.Answered), len(n.Waiting), len(shown))
		}
	}
}
