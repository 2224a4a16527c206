package queue

import "time"

// workers runs what it is given, each at once and beside all others. A goroutine
// that has finished waits a while for more: its stack has grown to what an
// attempt needs, and growing one anew for every attempt costs as much as reading
// the message.
type workers struct {
	next chan func()
	over chan struct{} // closed when nothing more comes
}

// restTime is how long one of the crew waits for more.
const restTime = time.Second

func newWorkers() workers { return workers{next: make(chan func()), over: make(chan struct{})} }

// end sends home who waits.
func (c workers) end() { close(c.over) }

// do runs the work beside its caller.
func (c workers) do(work func()) {
	select {
	case c.next <- work:
	default:
		go c.work(work)
	}
}

func (c workers) work(work func()) {
	rest := time.NewTimer(restTime)
	defer rest.Stop()
	for {
		work()
		rest.Reset(restTime)
		select {
		case work = <-c.next:
		case <-rest.C:
			return
		case <-c.over:
			return
		}
	}
}
