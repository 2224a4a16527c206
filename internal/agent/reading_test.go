package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// shelf is a store with one inbox. Of its messages those with an even number match every
// filter, and a page looks at few.
type shelf struct {
	gateway.Store
	bells *store.Bells

	mu    sync.Mutex
	last  int64
	reads map[int64]int // how often a page began behind a number
	err   error
	slow  func() // runs in the middle of a read
}

const (
	mine    = gateway.AgentID(7)
	shelved = 10 // messages that a page looks at
)

func newShelf(messages int64) *shelf {
	return &shelf{bells: store.NewBells(), last: messages, reads: make(map[int64]int)}
}

func (s *shelf) Watch(id gateway.AgentID) (<-chan struct{}, func()) { return s.bells.Watch(id) }

func (s *shelf) Inbox(_ context.Context, by gateway.Acting, f gateway.InboxFilter) (gateway.InboxPage, error) {
	s.mu.Lock()
	page := gateway.InboxPage{Next: f.After}
	s.reads[f.After]++
	for seq := f.After + 1; seq <= s.last; seq++ {
		if page.HasMore = seq > f.After+shelved; page.HasMore {
			page.Incomplete = true
			break
		}
		page.Next = seq
		if seq%2 == 0 {
			page.Items = append(page.Items, gateway.InboxItem{Seq: seq})
			break
		}
	}
	page.HasMore = page.Next < s.last
	slow, err := s.slow, s.err
	s.mu.Unlock()
	if slow != nil {
		slow()
	}
	return page, err
}

// enter adds messages, and rings for them.
func (s *shelf) enter(numbers ...int64) {
	s.mu.Lock()
	for _, n := range numbers {
		s.last = n
	}
	s.mu.Unlock()
	for _, n := range numbers {
		s.bells.Ring([]store.Entry{{Agent: mine, Seq: n}})
	}
}

func (s *shelf) open() (*Reading, chan struct{}) {
	stopping := make(chan struct{})
	agents := &Agents{Store: s, Now: time.Now, Stopping: stopping}
	return agents.Read(Mailbox{Acting: gateway.Acting{Agent: mine}}, gateway.InboxFilter{InReplyTo: "x"}), stopping
}

// odd is a store whose messages never match.
type odd struct{ *shelf }

func (o odd) Inbox(ctx context.Context, by gateway.Acting, f gateway.InboxFilter) (gateway.InboxPage, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads[f.After]++
	next := min(f.After+shelved, o.last)
	return gateway.InboxPage{Next: next, HasMore: next < o.last, Incomplete: next < o.last}, nil
}

// TestBacklogThatDoesNotMatch: it does not end a wait, and is read once.
func TestBacklogThatDoesNotMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := odd{newShelf(10 * shelved)}
		agents := &Agents{Store: s, Now: time.Now}
		began := time.Now()
		page, err := agents.Inbox(t.Context(), Mailbox{Acting: gateway.Acting{Agent: mine}},
			gateway.InboxFilter{InReplyTo: "x"}, 20*time.Second)
		if err != nil || len(page.Items) > 0 || page.HasMore || page.Next != 10*shelved {
			t.Errorf("got %+v, %v; want an empty page behind the backlog", page, err)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("the wait took %v, want 20s", took)
		}
		for after, n := range s.reads {
			if n != 1 {
				t.Errorf("the page behind %d was read %d times, want once", after, n)
			}
		}
		if len(s.reads) != 10 {
			t.Errorf("%d pages were read, want 10", len(s.reads))
		}
	})
}

// TestWaitFindsWhatComes: first what is there, then what enters, each message once.
func TestWaitFindsWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(3)
		r, _ := s.open()
		defer r.Close()
		next := func(want ...int64) {
			t.Helper()
			page, err := r.Next(t.Context(), time.Minute)
			var got []int64
			for _, item := range page.Items {
				got = append(got, item.Seq)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("got %v, %v; want %v", got, err, want)
			}
		}
		next(2)
		go func() {
			time.Sleep(10 * time.Second)
			s.enter(4)
			time.Sleep(10 * time.Second)
			s.enter(5) // does not match
			time.Sleep(10 * time.Second)
			s.enter(6)
		}()
		next(4)
		next(6)
		next()
		if n := s.reads[6]; n != 0 {
			t.Errorf("the end of the inbox was read %d more times, want none: no bell rang", n)
		}
	})
}

// TestNoLostWakeUp: a message that enters while the inbox is read wakes the reader.
func TestNoLostWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(1)
		s.slow = func() { // the read has seen the end; the message enters before the wait begins
			s.slow = nil
			s.enter(2)
		}
		r, _ := s.open()
		defer r.Close()
		began := time.Now()
		page, err := r.Next(t.Context(), time.Minute)
		if err != nil || len(page.Items) != 1 || time.Since(began) > 0 {
			t.Errorf("got %+v, %v after %v; want the message at once", page, err, time.Since(began))
		}
	})
}

// TestWaitEnds: at its time, at the end of the gateway, with its caller, with an error.
func TestWaitEnds(t *testing.T) {
	ends := map[string]struct {
		how  func(s *shelf, stopping chan struct{}, leave func())
		want error
	}{
		"gateway": {how: func(_ *shelf, stopping chan struct{}, _ func()) { close(stopping) }},
		"caller":  {how: func(_ *shelf, _ chan struct{}, leave func()) { leave() }},
		"key": {how: func(s *shelf, _ chan struct{}, _ func()) {
			s.mu.Lock()
			s.err = gateway.ErrRevoked
			s.mu.Unlock()
			s.enter(2)
		}, want: gateway.ErrRevoked},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(1)
				r, stopping := s.open()
				defer r.Close()
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				go func() {
					time.Sleep(time.Second)
					end.how(s, stopping, leave)
				}()
				began := time.Now()
				if _, err := r.Next(ctx, time.Hour); err != end.want || time.Since(began) != time.Second {
					t.Errorf("got %v after %v, want %v after 1s", err, time.Since(began), end.want)
				}
			})
		})
	}
}

// TestOffsetCounts: a wait with an offset counts from where it began.
func TestOffsetCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(3)
		agents := &Agents{Store: s, Now: time.Now}
		r := agents.Read(Mailbox{Acting: gateway.Acting{Agent: mine}}, gateway.InboxFilter{Offset: 5})
		defer r.Close()
		if _, err := r.Next(t.Context(), time.Second); err != nil || r.After() != 0 {
			t.Errorf("the next page begins behind %d (%v), want 0", r.After(), err)
		}
	})
}

// TestNoneLost: readers that come and go, while messages enter, get every message.
func TestNoneLost(t *testing.T) {
	s := newShelf(0)
	const messages, readers = 400, 8
	agents := &Agents{Store: s, Now: time.Now}
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			var got []int64
			for after := int64(0); len(got) < messages/2; {
				r := agents.Read(Mailbox{Acting: gateway.Acting{Agent: mine}}, gateway.InboxFilter{After: after})
				for range 1 + rand.N(4) {
					page, err := r.Next(t.Context(), 5*time.Minute)
					if err != nil || len(page.Items) == 0 {
						t.Errorf("after %d of %d messages: %v", len(got), messages/2, err)
						r.Close()
						return
					}
					for _, item := range page.Items {
						got = append(got, item.Seq)
					}
					if len(got) == messages/2 {
						break
					}
				}
				after = r.After()
				r.Close()
			}
			for i, seq := range got {
				if seq != int64(2*(i+1)) {
					t.Errorf("message %d is %d, want %d", i, seq, 2*(i+1))
					return
				}
			}
		})
	}
	for n := int64(1); n <= messages; n++ {
		s.enter(n)
	}
	all.Wait()
	if watched := s.bells.Watched(); len(watched) > 0 {
		t.Errorf("bells are left for %v", watched)
	}
}
