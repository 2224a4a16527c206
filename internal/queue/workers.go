package queue

import "time"

// workers runs functions, each at once and in a goroutine of its own. A goroutine that
// has finished waits a while for more work. Its stack has grown to the size that an
// attempt needs; growing a new one for every attempt costs as much as reading the
// message.
type workers struct {
	next    chan func()
	stopped chan struct{} // closed when no more work comes
}

// idleTime is how long an idle goroutine waits for more work.
const idleTime = time.Second

func newWorkers() workers { return workers{next: make(chan func()), stopped: make(chan struct{})} }

// stop ends the goroutines that wait.
func (c workers) stop() { close(c.stopped) }

// do runs the work in another goroutine.
func (c workers) do(work func()) {
	select {
	case c.next <- work:
	default:
		go c.work(work)
	}
}

func (c workers) work(work func()) {
	rest := time.NewTimer(idleTime)
	defer rest.Stop()
	for {
		work()
		rest.Reset(idleTime)
		select {
		case work = <-c.next:
		case <-rest.C:
			return
		case <-c.stopped:
			return
		}
	}
}
