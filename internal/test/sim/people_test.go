package sim

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/google/uuid"
)

// maxLetters bounds the number of letters, including answers.
const maxLetters = 14

// letter is a message as its sender knows it.
type letter struct {
	name    string
	from    *person
	to      []string
	body    []byte
	text    string
	answers *letter // the letter that this one answers, or nil

	tries   int
	id      amtp.MessageID       // the id under which it was accepted, "" until then
	told    map[string]amtp.Code // recipients that the answer refused, and why
	due     time.Time            // by which an answer is wanted, zero for no such time
	refused bool                 // whether the whole letter was refused
	gone    map[string]bool      // recipients for whom an operator cancelled it, or may have
}

// answered reports whether the sender knows the result, or has an id by which to ask
// for it.
func (l *letter) answered() bool { return l.id != "" || l.refused }

// write makes the body of a letter that is written so long after the beginning. Some
// letters say by when an answer is wanted.
func (l *letter) write(r *rand.Rand, at time.Duration) {
	w := l.from.site.w
	l.text = strings.Repeat("lorem ipsum ", r.IntN(40))
	l.told, l.gone = make(map[string]amtp.Code), make(map[string]bool)
	doc := map[string]any{
		"version": "1.0", "sender": l.from.address, "recipients": l.to, "subject": l.name,
		"payload": map[string]string{"n": l.name, "text": l.text},
	}
	key := func() string {
		return uuid.NewHash(sha256.New(), uuid.Nil, fmt.Append(nil, l.name, r.Uint64()), 4).String()
	}
	switch r.IntN(4) {
	case 0:
		doc["message_id"] = key()
	case 1:
		doc["message_id"], doc["idempotency_key"] = key(), key()
	default:
		doc["idempotency_key"] = key()
	}
	if luck := w.seed.at("due", l.name); luck.IntN(3) == 0 {
		l.due = w.began.Add(at + time.Duration(luck.Int64N(int64(3*time.Minute)))).UTC().Truncate(time.Millisecond)
		doc["headers"] = map[string]string{amtp.HeaderAnswerBy: l.due.Format(time.RFC3339Nano)}
	}
	if l.answers != nil {
		doc["in_reply_to"] = l.from.box[l.answers.name].id()
	}
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err) // strings cannot fail
	}
	l.body = body
}

// person is an agent with a key, or a mailbox with the keys of its members, and with
// what its inbox has contained.
type person struct {
	address string
	site    *site
	key     string
	keys    []string                   // all that may act in the inbox
	box     map[string]*held           // by the name of the letter
	reports map[string]map[string]bool // ids of reports, by the id of the message and the recipient
	notices map[string][]*notice       // that no answer came, by the id of the message
}

func newPerson(s *site, address string, keys ...string) *person {
	return &person{address: address, site: s, key: keys[0], keys: keys, box: make(map[string]*held),
		reports: make(map[string]map[string]bool), notices: make(map[string][]*notice)}
}

// held is one letter as its recipient got it.
type held struct {
	ids     map[string]bool // the ids under which it was in the inbox
	answers string          // in_reply_to
	there   bool            // whether it was in the inbox at the last read
	acking  bool            // whether an acknowledgement was requested, and not refused
	acked   bool            // whether the acknowledgement was confirmed
	leases  []*lease        // in the order in which they were given
}

// id returns the id of the letter.
func (h *held) id() string {
	for id := range h.ids {
		return id
	}
	return ""
}

// post writes a letter for the first time.
func (w *world) post(l *letter) {
	w.letter = append(w.letter, l)
	w.send(l)
}

// send sends a letter, and repeats it until there is an answer.
func (w *world) send(l *letter) {
	if !slices.Contains(w.letter, l) {
		return // it was not written, and is not repeated
	}
	l.tries++
	status, answer := l.from.site.call(http.MethodPost, "/v1/messages", l.from.key, l.body)
	w.trace.add("%s sends %s to %s, %d. time: %d", l.from.address, l.name, strings.Join(l.to, " "), l.tries, status)
	switch {
	case status == http.StatusAccepted:
		w.accepted(l, answer)
	case status == 0, status >= 500, status == http.StatusTooManyRequests:
		w.trace.count("sends without an answer")
		w.later(w.seed.between(time.Second, 30*time.Second, "send", l.name, l.tries), func() { w.send(l) })
	case l.id != "":
		w.fault("%s was accepted and then refused with %d %s", l.name, status, answer)
	default:
		l.refused = true
		w.trace.count("letters refused")
	}
}

func (w *world) accepted(l *letter, answer []byte) {
	var r amtp.SendResult
	if err := json.Unmarshal(answer, &r); err != nil {
		w.fault("the answer to %s is no result: %v", l.name, err)
		return
	}
	if l.refused && !l.due.IsZero() && l.from.site.set.Load() {
		l.refused = false // its deadline was too far ahead by a clock that was wrong
	}
	switch {
	case l.refused:
		w.fault("%s was refused and then accepted", l.name)
	case l.id == "":
		l.id = r.MessageID
		w.trace.count("letters accepted")
		for _, to := range r.Recipients {
			if to.Status == amtp.StatusFailed && to.ErrorCode == amtp.CodeAgentUnknown && to.Attempts == 0 {
				l.told[to.Address.Key()] = to.ErrorCode
			}
		}
	case l.id != r.MessageID:
		w.fault("%s was accepted as %s and then as %s", l.name, l.id, r.MessageID)
	default:
		w.trace.count("repeats recognised")
	}
}

// read reads an inbox. If act is set, it does with each message what the seed decides.
func (w *world) read(p *person, act bool) bool {
	status, answer := p.site.call(http.MethodGet, "/v1/inbox/"+p.address+"?limit=1000", p.key, nil)
	w.trace.add("%s reads: %d", p.address, status)
	if status != http.StatusOK {
		return false
	}
	var page amtp.InboxPage
	if err := json.Unmarshal(answer, &page); err != nil {
		w.fault("the inbox of %s cannot be read: %v", p.address, err)
		return false
	}
	there := make(map[string]bool)
	for i := range page.Messages {
		m := &page.Messages[i]
		name := w.found(p, m)
		if name == "" {
			continue
		}
		if there[name] {
			w.fault("%s is in the inbox of %s twice at once", name, p.address)
		}
		there[name] = true
		if act {
			w.act(p, name, string(m.MessageID))
		}
	}
	for name, h := range p.box {
		if h.there && !there[name] && !h.acking {
			w.fault("%s is gone from the inbox of %s, who did not acknowledge it", name, p.address)
		}
		h.there = there[name]
	}
	return true
}

// found records one message of an inbox and returns the name of the letter, "" for a
// report.
func (w *world) found(p *person, m *amtp.InboxMessage) string {
	var payload struct {
		silence
		Name     string         `json:"n"`
		Text     string         `json:"text"`
		Original string         `json:"original_message_id"`
		Failed   []amtp.Address `json:"failed_recipients"`
	}
	if m.BodyPurged {
		w.fault("the unread message %s in the inbox of %s lost its content", m.MessageID, p.address)
		return ""
	}
	if err := json.Unmarshal(m.Payload, &payload); err != nil {
		w.fault("a payload in the inbox of %s is not what was sent: %s", p.address, m.Payload)
		return ""
	}
	if payload.MessageType == amtp.TypeAnswerDeadline {
		w.hears(p, payload.Original, m, payload.silence)
		return ""
	}
	if payload.Original != "" {
		for _, to := range payload.Failed {
			about := payload.Original + " " + to.Key()
			if p.reports[about] == nil {
				p.reports[about] = make(map[string]bool)
			}
			p.reports[about][string(m.MessageID)] = true
		}
		return ""
	}
	l := w.named(payload.Name)
	if l == nil || l.text != payload.Text || !slices.Contains(l.to, p.address) {
		w.fault("%q in the inbox of %s was not sent there", payload.Name, p.address)
		return ""
	}
	h := p.box[l.name]
	if h == nil {
		h = &held{ids: make(map[string]bool), answers: string(m.InReplyTo)}
		p.box[l.name] = h
		w.trace.add("%s finds %s", p.address, l.name)
	}
	h.ids[string(m.MessageID)] = true
	if h.acked {
		w.fault("%s is in the inbox of %s, who acknowledged it", l.name, p.address)
	}
	return l.name
}

func (w *world) named(name string) *letter {
	for _, l := range w.letter {
		if l.name == name {
			return l
		}
	}
	return nil
}

// act does something with a letter in an inbox, or nothing, as the seed decides.
func (w *world) act(p *person, name, id string) {
	h := p.box[name]
	turn := w.net.turn("act " + p.address + " " + name)
	path := "/v1/inbox/" + p.address + "/" + id
	switch r := w.seed.at("act", p.address, name, turn); r.IntN(5) {
	case 0, 1:
		key := one(r, p.keys)
		status := w.judged(p, name, key, func() int {
			status, _ := p.site.call(http.MethodDelete, path, key, nil)
			return status
		})
		h.acking = h.acking || status < 300 || status >= 500
		h.acked = h.acked || status == http.StatusOK
		w.trace.add("%s acknowledges %s: %d", p.address, name, status)
		w.trace.count("acknowledgements")
	case 2:
		status, _ := p.site.call(http.MethodPost, path+"/read", p.key, nil)
		w.trace.add("%s marks %s: %d", p.address, name, status)
	case 3:
		w.reply(p, name, r)
	}
}

// reply answers a letter.
func (w *world) reply(p *person, name string, r *rand.Rand) {
	l := w.named(name)
	if len(w.letter) >= maxLetters || len(p.keys) > 1 || w.named(name+"-"+p.address) != nil {
		return
	}
	answer := &letter{name: name + "-" + p.address, from: p, to: []string{l.from.address}, answers: l}
	answer.write(r, time.Since(w.began))
	w.trace.count("replies")
	w.post(answer)
}
