package storetest

import (
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// BenchGrowth prints the growth table: how long each row of the growth gate takes, in
// microseconds. It compares a store with 1,000 of every thing to one with n of every
// thing and with mail messages between agents here. Each time is the least of up to
// three.
//
// open returns an empty store with its usual bounds.
func BenchGrowth(b *testing.B, n, mail int, open func(b *testing.B) gateway.Store) {
	small, large := clocked(b, open(b), 1000, 1000), clocked(b, open(b), n, mail)
	for i, op := range operations() {
		s, l := small[i], large[i]
		note := ""
		if op.all {
			note = "  returns or changes all"
		}
		b.Logf("%-16s %-40s %9d %9d  %6.1f%s", op.method, op.what, s.Microseconds(), l.Microseconds(),
			float64(l)/float64(max(s, 1)), note)
	}
}

// clocked fills a store and returns the times of the operations in it.
func clocked(b *testing.B, store gateway.Store, n, mail int) (times []time.Duration) {
	b.Helper()
	g := fillWith(b, store, n, mail)
	if b.Failed() {
		b.FailNow()
	}
	for _, op := range operations() {
		least := time.Duration(0)
		for try := range 3 {
			began := time.Now()
			err := op.do(g)
			took := time.Since(began)
			if err != nil && try == 0 {
				b.Errorf("%s %s, beside %d: %v", op.method, op.what, n, err)
			}
			if err != nil { // the operation can be done only once
				break
			}
			if try == 0 || took < least {
				least = took
			}
		}
		times = append(times, least)
	}
	return times
}
