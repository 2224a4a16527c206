package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// plan holds the decisions that a seed makes before the simulation begins. Decisions in
// the middle of an operation are made there, see seed.at.
type plan struct {
	weather weather
	splits  []split
	length  time.Duration // until everything works again
}

// weather says how often things fail.
type weather struct {
	network, dns, disk float64
	strict             bool // the domains publish that they sign all their messages
	receipts           bool // receipts are sent
}

// split is a time in which every post from one site meets the same trouble.
type split struct {
	from         *site
	begins, ends time.Duration
	what         trouble
}

// clocks are the errors to which a clock is set.
var clocks = []time.Duration{
	-time.Second, time.Second, -4 * time.Minute, 4 * time.Minute, -time.Hour, time.Hour,
	-2 * day, 2 * day, -8 * day, 8 * day, -400 * day, 400 * day,
}

const day = 24 * time.Hour

// draw makes the plan and puts its events on the agenda.
func (w *world) draw() {
	r := w.seed.at("plan")
	w.length = 2*time.Minute + time.Duration(r.Int64N(int64(4*time.Minute)))
	w.weather = weather{
		network: one(r, []float64{0, 0.1, 0.3, 0.6}), dns: one(r, []float64{0, 0, 0.1, 0.4}),
		disk:   one(r, []float64{0, 0.2, 0.6}),
		strict: r.IntN(2) == 0, receipts: r.IntN(3) == 0,
	}
	for _, s := range w.sites {
		w.later(0, s.start)
	}
	w.drawLetters(r)
	w.drawReaders(r)
	w.drawFaults(r)
	w.drawClocks(r)
	w.drawOperators(r)
	w.drawWorkers(r)
	w.later(w.length, w.heal)
}

// moment returns a time before everything works again.
func (w *world) moment(r *rand.Rand) time.Duration {
	return time.Second + time.Duration(r.Int64N(int64(w.length-time.Second)))
}

// often schedules do up to most times.
func (w *world) often(r *rand.Rand, most int, do func(n int, r *rand.Rand)) {
	for n := range r.IntN(most + 1) {
		place := r.Uint64()
		w.later(w.moment(r), func() { do(n, w.seed.at("often", place)) })
	}
}

func (w *world) drawLetters(r *rand.Rand) {
	for i := range 3 + r.IntN(5) {
		from := one(r, w.writers)
		l := &letter{name: fmt.Sprintf("m%d", i+1), from: from}
		everybody := []string{"nobody@a.example", "nobody@b.example"}
		switch r.IntN(32) { // most letters are for recipients that exist
		case 0: // a letter for a domain that does not exist takes a quarter of an hour
			everybody = append(everybody, "somebody@c.example")
		case 1, 2, 3:
		default:
			everybody = nil
		}
		for _, p := range w.people {
			if p != from {
				everybody = append(everybody, p.address)
			}
		}
		r.Shuffle(len(everybody), func(i, j int) { everybody[i], everybody[j] = everybody[j], everybody[i] })
		l.to = everybody[:1+r.IntN(min(3, len(everybody)))]
		at := w.moment(r)
		l.write(r, at)
		w.later(at, func() { w.post(l) })
		for range r.IntN(3) {
			w.later(at+time.Duration(r.Int64N(int64(2*time.Minute))), func() { w.send(l) })
		}
	}
}

func (w *world) drawReaders(r *rand.Rand) {
	for _, p := range w.people {
		w.often(r, 4, func(int, *rand.Rand) { w.read(p, true) })
	}
}

func (w *world) drawWorkers(r *rand.Rand) {
	for _, p := range w.people {
		w.often(r, 4, func(_ int, r *rand.Rand) { w.claim(p, r) })
	}
}

func (w *world) drawFaults(r *rand.Rand) {
	w.often(r, one(r, []int{0, 1, 1, 2}), func(n int, r *rand.Rand) {
		s := one(r, w.sites)
		s.kill(faultfs.Loss(r.IntN(int(faultfs.Losses))))
		w.trace.count("kills")
		w.later(w.seed.between(time.Millisecond, 90*time.Second, "down", n), s.start)
	})
	w.often(r, r.IntN(2), func(n int, r *rand.Rand) {
		s := one(r, w.sites)
		s.stop()
		w.later(w.seed.between(time.Millisecond, 20*time.Second, "pause", n), s.start)
	})
	if w.weather.disk > 0 {
		w.often(r, 3, func(n int, r *rand.Rand) {
			s := one(r, w.sites)
			s.disk.Fail(s.fault(r, 1+r.IntN(30)))
			w.later(w.seed.between(5*time.Second, time.Minute, "room", n), func() { s.disk.Heal() })
		})
	}
	for range r.IntN(3) {
		begins := w.moment(r)
		w.splits = append(w.splits, split{
			from: one(r, w.sites), begins: begins, ends: begins + time.Duration(r.Int64N(int64(2*time.Minute))),
			what: one(r, []trouble{refused, silent, unheard, busy}),
		})
	}
}

func (w *world) drawClocks(r *rand.Rand) {
	w.often(r, 3, func(_ int, r *rand.Rand) {
		s := one(r, w.sites)
		s.set.Store(true)
		switch r.IntN(5) {
		case 0:
			s.clock.jump(0)
		case 1:
			s.clock.stop()
		default:
			s.clock.jump(one(r, clocks))
		}
		w.trace.add("the clock of %s shows %s", s.name(), s.clock.Now().Round(0).Sub(w.began.Round(0)))
		w.trace.count("clocks set")
	})
}

func (w *world) drawOperators(r *rand.Rand) {
	w.often(r, 1, func(_ int, r *rand.Rand) { w.cancel(one(r, w.sites), r) })
	w.often(r, 2, func(_ int, r *rand.Rand) { w.redrive(one(r, w.sites)) })
	w.often(r, 1, func(_ int, r *rand.Rand) { w.hasten(one(r, w.sites), r) })
	w.often(r, 2, func(_ int, r *rand.Rand) { one(r, w.sites).purge() })
}
