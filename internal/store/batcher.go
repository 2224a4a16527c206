// Package store holds what both stores share: the batcher that lets many
// writes share one sync, and the mapping between rows and the gateway's values.
// It contains no SQL.
package store

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Bounds of one batch, and of the queue for the next. In a batch that is too large, the
// first callers wait for the last. At 512 writes per sync, the disk is no longer the
// limit.
const (
	maxBatch        = 512
	maxBatchBytes   = 8 << 20
	maxWaiting      = 16384
	maxWaitingBytes = 128 << 20
)

// Bounds of how long a batch of background work waits for more work to join. It ends
// after calmTurns turns of the scheduler without new work, and after calmTime at the
// latest.
const (
	calmTurns = 16
	calmTime  = 5 * time.Millisecond
)

// Batcher collects the work of many goroutines, most of it writes, and hands it to one
// goroutine or to a few. There is no timer: the work that waits when a batch ends is
// the next batch, and work that comes alone starts at once.
type Batcher[W any] struct {
	commit func([]*Item[W])

	mu     sync.Mutex
	queue  []*Item[W]
	bytes  int
	hasty  int // items in queue that are not calm
	closed bool
	wake   chan struct{} // holds one token while items may wait
	items  sync.Pool
}

// Item is one piece of work. The commit function sets Err. A write whose Err it leaves
// nil is durable when the function returns.
type Item[W any] struct {
	Work W
	Err  error
	size int
	calm bool // added by DoBackground
	done chan struct{}
}

// NewBatcher returns a batcher whose Run calls commit with one batch after another.
// When several calls of Run are active, each has its own batches.
func NewBatcher[W any](commit func([]*Item[W])) *Batcher[W] {
	b := &Batcher[W]{commit: commit, wake: make(chan struct{}, 1)}
	b.items.New = func() any { return &Item[W]{done: make(chan struct{}, 1)} }
	return b
}

// Do has work committed in some batch and returns its error. The error is
// gateway.ErrBusy when too much work waits already, and gateway.ErrClosed after Close.
// In both cases the work was not done and will not be. When ctx ends, Do returns, while
// the work goes on.
func (b *Batcher[W]) Do(ctx context.Context, work W, size int) error {
	return b.do(ctx, work, size, false)
}

// DoBackground is Do for work that no agent waits for, and of which many pieces come at
// nearly the same time. A batch of such work alone waits a moment, so that goroutines
// about to write can join it. Fewer and larger batches are less work for the whole
// machine.
func (b *Batcher[W]) DoBackground(ctx context.Context, work W, size int) error {
	return b.do(ctx, work, size, true)
}

func (b *Batcher[W]) do(ctx context.Context, work W, size int, calm bool) error {
	item := b.items.Get().(*Item[W])
	item.Work, item.Err, item.size, item.calm = work, nil, size, calm
	if err := b.enqueue(item); err != nil {
		b.items.Put(item)
		return err
	}
	select {
	case <-item.done:
		err := item.Err
		var none W
		item.Work = none
		b.items.Put(item)
		return err
	case <-ctx.Done():
		return ctx.Err() // the batch keeps the item, so it is not used again
	}
}

func (b *Batcher[W]) enqueue(item *Item[W]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return gateway.ErrClosed
	}
	if len(b.queue) >= maxWaiting || b.bytes+item.size > maxWaitingBytes && len(b.queue) > 0 {
		return gateway.ErrBusy
	}
	b.queue = append(b.queue, item)
	b.bytes += item.size
	if !item.calm {
		b.hasty++
	}
	if len(b.queue) == 1 {
		b.ring()
	}
	return nil
}

func (b *Batcher[W]) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run commits batches until Close was called and the queue is empty.
func (b *Batcher[W]) Run() {
	batch := make([]*Item[W], 0, maxBatch)
	for open := true; open; {
		_, open = <-b.wake
		for {
			b.linger()
			if batch = b.take(batch[:0]); len(batch) == 0 {
				break
			}
			b.contained(batch)
			for _, item := range batch {
				item.done <- struct{}{}
			}
		}
	}
}

// contained commits a batch. A defect (a panic) becomes the error of every item in the
// batch, and later batches are not affected.
func (b *Batcher[W]) contained(batch []*Item[W]) {
	err := defect.Contain(func() error {
		b.commit(batch)
		return nil
	})
	for _, item := range batch {
		if err != nil {
			item.Err = err
		}
	}
}

// linger lets goroutines that are about to write do so first, while only background
// work waits. On an idle machine no other goroutine can run, and linger returns at
// once.
func (b *Batcher[W]) linger() {
	n := b.calm()
	if n == 0 {
		return
	}
	began, most := time.Now(), 0
	for turns := 0; turns < calmTurns && n > 0 && time.Since(began) < calmTime; turns++ {
		if n > most {
			turns, most = 0, n
		}
		runtime.Gosched()
		n = b.calm()
	}
}

// calm returns the number of items that wait. It returns 0 when one of them is not
// calm, or when the batch is full.
func (b *Batcher[W]) calm() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hasty > 0 || b.closed || len(b.queue) >= maxBatch {
		return 0
	}
	return len(b.queue)
}

// take moves items from the front of the queue into batch, as many as the bounds allow,
// and wakes another Run for the rest.
func (b *Batcher[W]) take(batch []*Item[W]) []*Item[W] {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, bytes := 0, 0
	for n < len(b.queue) && n < maxBatch && (n == 0 || bytes+b.queue[n].size <= maxBatchBytes) {
		bytes += b.queue[n].size
		if !b.queue[n].calm {
			b.hasty--
		}
		n++
	}
	batch = append(batch, b.queue[:n]...)
	rest := copy(b.queue, b.queue[n:])
	clear(b.queue[rest:])
	b.queue = b.queue[:rest]
	b.bytes -= bytes
	if rest > 0 && !b.closed {
		b.ring()
	}
	return batch
}

// Close refuses new work. Run ends when the items that wait have been committed.
func (b *Batcher[W]) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.wake)
	}
}
