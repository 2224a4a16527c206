package storetest

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// kept is what a test knows of one message over a year. It states the rules of
// gateway.Retention a second time, for local recipients and in another form.
type kept struct {
	letter
	first    gateway.Accepted
	received time.Time
	acked    map[gateway.AgentID]time.Time
	bodyless bool // a round found the body due; an acknowledgement does not bring it back
	keyless  bool
}

func (k *kept) bodyEnds() (last time.Time) {
	for _, p := range k.to {
		end := k.received.Add(keep.Unacknowledged)
		if at, is := k.acked[p.ID]; is {
			end = at.Add(keep.Acknowledged)
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

func (k *kept) changed() time.Time {
	last := k.received
	for _, at := range k.acked {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// statusEnds is never before the key is forgotten. The key is not forgotten before the
// body.
func (k *kept) statusEnds() time.Time { return k.changed().Add(keep.Status) }

func (k *kept) keyEnds() time.Time {
	end := k.changed().Add(keep.Keys)
	if body := k.bodyEnds(); body.After(end) && !k.bodyless {
		return body // the key stays as long as the body
	}
	return end
}

// aYear lets people write and acknowledge for more than a year. It purges every few
// days and checks every rule after every round.
func aYear(w *world) {
	random := rand.New(rand.NewPCG(3, 5))
	people := []person{w.agent("alice"), w.agent("bob"), w.agent("carol")}
	var all []*kept
	for day := 1; day < 600; day += 1 + random.IntN(15) {
		now := morning.Add(time.Duration(day) * days)
		w.ticks.Store(int64(now.Sub(morning) / time.Second))
		for range random.IntN(4) {
			all = append(all, w.someLetter(random, people, len(all)))
		}
		for _, k := range all {
			w.someAck(random, k)
		}
		at := w.now()
		w.purge(keep, at)
		for i, k := range all {
			w.obeys(k, at, i == len(all)-1)
		}
		all = w.retried(random, all, at)
	}
}

func (w *world) someLetter(random *rand.Rand, people []person, n int) *kept {
	w.Helper()
	k := &kept{letter: letter{from: people[0], to: people[1 : 2+random.IntN(2)], text: "letter " + strconv.Itoa(n)},
		acked: make(map[gateway.AgentID]time.Time)}
	k.key = "k" + strconv.Itoa(n)
	k.first = w.post(k.letter)
	k.received = w.read(k.from, k.first.ID).ReceivedAt
	return k
}

func (w *world) someAck(random *rand.Rand, k *kept) {
	w.Helper()
	for _, p := range k.to {
		if _, done := k.acked[p.ID]; done || random.IntN(12) > 0 {
			continue
		}
		if mark, err := w.store.Ack(w.ctx, gateway.Acting{Agent: p.ID}, k.first.ID, w.now()); err == nil {
			k.acked[p.ID] = mark.At
		}
	}
}

// obeys checks one message after a round at that time.
func (w *world) obeys(k *kept, at time.Time, newest bool) {
	w.Helper()
	rec, err := w.store.Message(w.ctx, gateway.Reader{Everyone: true}, k.first.ID)
	gone := !at.Before(k.statusEnds()) && !newest
	if same(w, k.text+" is gone at "+at.String(), err != nil, gone); err != nil {
		return
	}
	k.bodyless = k.bodyless || !at.Before(k.bodyEnds())
	k.keyless = k.keyless || !at.Before(k.keyEnds())
	same(w, k.text+" has a body at "+at.String(), rec.Body != nil, !k.bodyless)
	same(w, k.text+" has its deliveries at "+at.String(), len(rec.Deliveries), len(k.to))
}

// retried repeats some letters. A letter whose key is remembered is the same message,
// any other is a new one.
func (w *world) retried(random *rand.Rand, all []*kept, at time.Time) []*kept {
	w.Helper()
	for _, k := range all {
		if random.IntN(20) > 0 {
			continue
		}
		again := w.post(k.letter)
		same(w, k.text+" is remembered at "+at.String(), again.Replayed, !k.keyless)
		if !again.Replayed {
			k.first, k.acked, k.bodyless, k.keyless = again, make(map[gateway.AgentID]time.Time), false, false
			k.received = w.read(k.from, again.ID).ReceivedAt
		}
	}
	return all
}
