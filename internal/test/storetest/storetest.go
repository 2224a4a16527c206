// Package storetest is the contract of gateway.Store as tests: one for every sentence of
// the comments in internal/gateway (store.go, job.go, senderdomain.go, document.go,
// lease.go, receipt.go, taking.go, clock.go, threads.go, labels.go and searching.go), under
// the name of the method and the words of the sentence. Every store passes all of them.
package storetest

import (
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
)

// promise is one sentence of the contract, with the function that checks it.
type promise struct {
	sentence string
	check    func(*world)
}

// Run checks a store. open returns a new and empty store, and ends it after the test.
func Run(t *testing.T, open func(t *testing.T) gateway.Store) {
	for _, method := range []struct {
		name     string
		promises []promise
	}{
		{"Accept", accepting()},
		{"Accept retries", retrying()},
		{"Accept strangers", strangers()},
		{"Accept ids", naming()},
		{"Accept threads", threading()},
		{"Accept at once", acceptingAtOnce()},
		{"Accept to elsewhere", queueing()},
		{"Waiting, Work", waiting()},
		{"Claim", claiming()},
		{"Settle", settling()},
		{"Jobs", operating()},
		{"Dead letters", burying()},
		{"Message", reading()},
		{"Messages", listing()},
		{"Search", searching()},
		{"Inbox", boxes()},
		{"Inbox, Newest", narrowing()},
		{"Inbox cursor", cursors()},
		{"Depth, MarkRead, Ack", marking()},
		{"Threads", conversing()},
		{"Label", labelling()},
		{"Take", taking()},
		{"Watch", watching()},
		{"Agents", registering()},
		{"Readdress", readdressing()},
		{"Keys", unlocking()},
		{"Acting", acting()},
		{"Members", membership()},
		{"Holders", holders()},
		{"Later work", lapsing()},
		{"Peers", peering()},
		{"Documents", sealing()},
		{"Receipts", telling()},
		{"Leases", leasing()},
		{"Purge", purging()},
		{"Pause", pausing()},
		{"Store", living()},
	} {
		t.Run(method.name, func(t *testing.T) {
			for _, p := range method.promises {
				t.Run(p.sentence, func(t *testing.T) { p.check(newWorld(t, open(t))) })
			}
		})
	}
}

// RunDurable checks what a store remembers. open opens the store in dir, which is empty
// at first, and is called again for the same dir after a Close.
func RunDurable(t *testing.T, open func(t *testing.T, dir string) gateway.Store) {
	for _, p := range remembering() {
		t.Run(p.sentence, func(t *testing.T) {
			dir := t.TempDir()
			w := newWorld(t, open(t, dir))
			w.reopen = func() gateway.Store { return open(t, dir) }
			p.check(w)
		})
	}
}
