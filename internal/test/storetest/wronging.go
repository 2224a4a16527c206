package storetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// wrongly is a world whose clock is wrong at random. It also knows the time that really
// passed.
type wrongly struct {
	*world
	random     *rand.Rand
	alice, bob person
	off        time.Duration // by how much the clock is ahead
	truth      time.Duration
	letters    []*aged
}

// aged is a message with the time at which it was really written.
type aged struct {
	gateway.Accepted
	born time.Duration
	mail bool // whether it goes to another domain
}

func (w *wrongly) passes(d time.Duration) {
	w.Helper()
	w.world.passes(d)
	w.truth += d
}

func (w *wrongly) set(by time.Duration) {
	w.hand.Set(by)
	w.off += by
}

// wrong makes the clock wrong in some way, while the store runs or between two runs.
func (w *wrongly) wrong() {
	w.Helper()
	const long = 60 * time.Minute
	by := []time.Duration{-30 * days, -400 * days, 400 * days, -3650 * days, 3650 * days, 30 * days,
		-time.Hour}[w.random.IntN(7)]
	switch w.random.IntN(3) {
	case 0:
		for stood := time.Duration(0); stood < long; stood += 2 * time.Minute {
			w.hand.Stop(2 * time.Minute)
			w.look()
		}
		w.truth, w.off = w.truth+long, w.off-long
	case 1:
		if by == 30*days { // that may be a gateway that was off
			by = -by
		}
		w.works("Close", w.store.Close())
		w.set(by)
		w.store = w.reopen()
	default:
		w.set(by)
	}
	w.look()
}

// right sets the clock right.
func (w *wrongly) right() {
	w.Helper()
	if by := -w.off; w.random.IntN(3) == 0 && (by < 3*days || by > 180*days) {
		w.works("Close", w.store.Close())
		w.set(by)
		w.store = w.reopen()
	} else {
		w.set(by)
	}
	w.look()
}

func (w *wrongly) write() {
	w.Helper()
	w.letters = append(w.letters, &aged{Accepted: w.post(letter{from: w.alice, to: []person{w.bob}}), born: w.truth},
		&aged{Accepted: w.post(letter{from: w.alice, far: []string{"a@far.example"}}), born: w.truth, mail: true})
}

// carry has attempts fail.
func (w *wrongly) carry() {
	w.Helper()
	now := w.now()
	for _, j := range w.claim(now, "far.example") {
		if w.random.IntN(4) > 0 { // else its process is killed
			w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now.Add(time.Hour),
				Code: "TEMPORARY_FAILURE"})
		}
	}
}

// clear removes and gives up old data as a gateway does: only while the clock is
// trusted.
func (w *wrongly) clear() {
	w.Helper()
	if c := w.look(); c.Believed() {
		w.givesUp()
		w.purge(keep, w.now())
	}
}

// keeps checks that nothing is lost too early.
func (w *wrongly) keeps() {
	w.Helper()
	waiting := make(map[string]bool)
	for _, j := range w.jobs(gateway.JobFilter{Destination: "far.example"}) {
		waiting[string(j.Message)] = true
		if wait := j.Due.Sub(w.hand.Now()); wait > gateway.MaxWait+time.Hour {
			w.Errorf("the next attempt at %s is in %v, want it within a day", j.Message, wait)
		}
	}
	for i, l := range w.letters {
		age := w.truth - l.born
		switch {
		case l.mail && age < gateway.MaxAge-6*time.Hour && !waiting[string(l.ID)]:
			w.Errorf("letter %d is given up after %v", i, age)
		case !l.mail && age < keep.Unacknowledged-days && !w.hasBody(w.bob, l.ID):
			w.Errorf("letter %d is removed after %v", i, age)
		}
	}
}

func wrongClocks(w *world) {
	for seed := range uint64(2) {
		r := &wrongly{world: w, random: rand.New(rand.NewPCG(seed, 7)), alice: w.agent(fmt.Sprint("alice", seed)),
			bob: w.agent(fmt.Sprint("bob", seed))}
		for range 20 {
			r.write()
			r.passes(time.Duration(r.random.IntN(3*24*60)) * time.Minute)
			r.carry()
			r.wrong()
			r.write()
			r.passes(time.Duration(r.random.IntN(5*60)) * time.Minute)
			r.carry()
			r.clear()
			r.keeps()
			r.right()
			r.passes(time.Duration(r.random.IntN(26*60)) * time.Minute)
			r.carry()
			r.clear()
			r.keeps()
		}
		r.passes(2*gateway.MaxAge + 2*days)
		r.clear()
		same(w, "jobs in the end", len(w.jobs(gateway.JobFilter{Destination: "far.example"})), 0)
		w.newest(r.alice, r.bob)
		r.passes(2*keep.Unacknowledged + 2*days)
		r.clear()
		for i, l := range r.letters {
			found, err := w.store.Message(w.ctx, gateway.Reader{Everyone: true}, l.ID)
			if err == nil && found.Body != nil {
				w.Errorf("seed %d: letter %d has content in the end, want none", seed, i)
			}
		}
	}
}
