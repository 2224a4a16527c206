package hostile

import (
	"runtime"
	"syscall"
	"time"
)

// rusageThread asks only for the calling thread. getrusage(2)
const rusageThread = 1

// ownThread keeps the goroutine on its thread until release, so that the work of other
// goroutines is not counted.
func ownThread() (release func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// spent returns the processor time of the thread so far.
func spent() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &r); err != nil {
		panic(err) // the arguments are right, and nothing else can fail
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
