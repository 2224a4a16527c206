package store

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
)

// TestSlotsAreGivenInTurn: one caller asks for a hundred slots, two others for one
// each.
func TestSlotsAreGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2, 1)
		var order []int64
		next := make(chan struct{})
		take := func(caller int64) {
			release, err := s.Take(t.Context(), caller)
			if err != nil {
				t.Error(err)
				return
			}
			order = append(order, caller) // one at a time: each waits for next
			<-next
			release()
		}
		for range 100 {
			go take(1)
			synctest.Wait()
		}
		if len(order) != 1 {
			t.Fatalf("%d slots of one caller, want 1 of the 2", len(order))
		}
		go take(2)
		synctest.Wait()
		go take(3)
		synctest.Wait()
		if !slices.Equal(order, []int64{1, 2}) {
			t.Fatalf("the slots went to %v, want 1 and 2 at once", order)
		}
		for range 102 {
			next <- struct{}{}
			synctest.Wait()
		}
		if at := slices.Index(order, 3); at > 3 {
			t.Errorf("the third caller was served as number %d, want it before the hundred of the first", at)
		}
		if len(order) != 102 || s.free != 2 || len(s.taken)+len(s.waits)+len(s.order) > 0 {
			t.Errorf("%d were served and %+v is left, want 102 and nothing", len(order), s)
		}
	})
}

// TestSlotsOfWhoLeft: a caller that stops waiting has no slot and takes none.
func TestSlotsOfWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 1)
		release, err := s.Take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := s.Take(ctx, 2)
			left <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; err != context.Canceled {
			t.Errorf("Take = %v, want the end of the context", err)
		}
		release()
		release() // a second call has no effect
		if s.free != 1 || len(s.taken)+len(s.waits)+len(s.order) > 0 {
			t.Errorf("%+v is left, want one free slot", s)
		}
	})
}
