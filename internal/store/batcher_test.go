package store_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

var errOdd = errors.New("odd")

// TestBatcherAnswersEachItem: every caller gets the result of its own work. Work that
// waits while a batch is committed becomes the next batch.
func TestBatcherAnswersEachItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var sizes []int
		b := store.NewBatcher(func(batch []*store.Item[int]) {
			sizes = append(sizes, len(batch))
			if len(sizes) == 1 {
				<-hold
			}
			for _, item := range batch {
				if item.Work%2 == 1 {
					item.Err = errOdd
				}
			}
		})
		go b.Run()
		var callers sync.WaitGroup
		for n := range 10 {
			callers.Go(func() {
				want := error(nil)
				if n%2 == 1 {
					want = errOdd
				}
				if err := b.Do(t.Context(), n, 1); err != want {
					t.Errorf("work %d: got %v, want %v", n, err, want)
				}
			})
			synctest.Wait()
		}
		close(hold)
		callers.Wait()
		if len(sizes) != 2 || sizes[0] != 1 || sizes[1] != 9 {
			t.Errorf("batches: got %v, want the first alone and nine together", sizes)
		}
		b.Close()
		if err := b.Do(t.Context(), 0, 1); !errors.Is(err, gateway.ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
	})
}

// TestBatcherFinishesWhatACallerLeft: when a caller's context ends, its wait ends and
// its work goes on.
func TestBatcherFinishesWhatACallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		done := 0
		b := store.NewBatcher(func(batch []*store.Item[int]) {
			<-hold
			done += len(batch)
		})
		go b.Run()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- b.Do(ctx, 1, 1) }()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that left: got %v, want context.Canceled", err)
		}
		close(hold)
		b.Close()
		synctest.Wait()
		if done != 1 {
			t.Errorf("work done: got %d, want 1", done)
		}
	})
}

// TestBatcherIsBounded: work that cannot be queued is refused at once.
func TestBatcherIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := store.NewBatcher(func([]*store.Item[int]) {})
		ctx, leave := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() { b.Do(ctx, 1, 100<<20) })
		synctest.Wait()
		if err := b.Do(ctx, 2, 100<<20); !errors.Is(err, gateway.ErrBusy) {
			t.Errorf("200 MB waiting: got %v, want ErrBusy", err)
		}
		leave()
		callers.Wait()
	})
}

// TestBatcherGathersCalmWork: background work that is about to be written together is
// one batch, unless other work is in it.
func TestBatcherGathersCalmWork(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that the writers have not begun yet
	for _, calm := range []bool{true, false} {
		var sizes []int
		b := store.NewBatcher(func(batch []*store.Item[int]) { sizes = append(sizes, len(batch)) })
		var loop, callers sync.WaitGroup
		loop.Go(b.Run)
		do := b.DoBackground
		if !calm {
			do = b.Do
		}
		for n := range 10 {
			callers.Go(func() {
				if err := do(t.Context(), n, 1); err != nil {
					t.Errorf("work %d: got %v, want no error", n, err)
				}
			})
		}
		callers.Wait()
		b.Close()
		loop.Wait()
		if calm != (len(sizes) == 1) {
			t.Errorf("ten pieces of work, calm is %t: got batches of %v, want one batch of the calm ones only", calm,
				sizes)
		}
	}
}
