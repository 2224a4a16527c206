// Package defect contains a defect of the program in the one piece of work that
// met it.
//
// The promise: work that panics in [Contain] ends with an error that has the cause
// and the place, and nothing else ends with it. A goroutine that does one piece of
// work of many does it in Contain: without it a panic there ends the process, and
// after the restart the same message does so again.
package defect

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Error is what a piece of work met that was a defect.
type Error struct {
	Cause any    // what was thrown
	Stack []byte // where
}

func (e *Error) Error() string { return fmt.Sprintf("a defect: %v", e.Cause) }

// Contain does the work and returns its error, or an *Error when it panics.
// Whoever holds locks or counts in the work lets go of them with defer.
func Contain(work func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &Error{Cause: cause, Stack: debug.Stack()}
		}
	}()
	return work()
}

// pause is how long work that met a defect is left alone before it is begun again.
const pause = time.Second

// Keep does work that goes on until it is told to end, and begins it again after
// each defect, of which hear is told. It returns what the work returns.
func Keep(work func() error, hear func(*Error)) error {
	for {
		err := Contain(work)
		var met *Error
		if !errors.As(err, &met) {
			return err
		}
		hear(met)
		time.Sleep(pause)
	}
}
