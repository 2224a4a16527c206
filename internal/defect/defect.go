// Package defect limits a defect of the program to the one piece of work that triggers
// it.
//
// The promise: work that panics in [Contain] ends with an error that has the cause and
// the stack, and no other work ends with it. A goroutine that does one piece of work of
// many does it in Contain. Otherwise a panic would end the process, and the same message
// would end it again after the restart.
package defect

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Error is the defect that a piece of work triggered.
type Error struct {
	Cause any    // the value of the panic
	Stack []byte // where it happened
}

func (e *Error) Error() string { return fmt.Sprintf("a defect: %v", e.Cause) }

// Contain does the work and returns its error, or an *Error if it panics. Work that holds
// locks or counts must release them with defer.
func Contain(work func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &Error{Cause: cause, Stack: debug.Stack()}
		}
	}()
	return work()
}

// pause is the time between a defect and the next start of the work.
const pause = time.Second

// Keep does work that runs until it is told to end. After each defect it calls hear and
// starts the work again. It returns the error that the work returns.
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

// Aside does the work on a goroutine of its own and returns when it is done. So the stack
// of the caller stays small, which may wait for long afterwards. A panic of the work
// becomes one of the caller.
func Aside(work func()) {
	done := make(chan error)
	go func() {
		done <- Contain(func() error {
			work()
			return nil
		})
	}()
	if err := <-done; err != nil {
		met := err.(*Error)
		panic(fmt.Sprintf("%v\n%s", met.Cause, met.Stack))
	}
}
