package sqlite

import (
	"sync"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// prefetched are parcels of jobs that were leased a moment ago. The writer reads them
// while it leases the jobs. To read a parcel separately takes a snapshot, and costs
// more than to sign it. Each parcel is taken once. A write that might change one drops
// all of them. A parcel that is not here is read from the database.
type prefetched struct {
	mu      sync.Mutex
	parcels map[gateway.JobID]gateway.Parcel
}

// Bounds of the prefetched parcels: 8 MiB together. To read a larger message costs
// little compared to sending it.
const (
	maxPrefetched     = 512
	maxPrefetchedSize = 16 << 10 // bytes of one body
)

// put adds parcels.
func (p *prefetched) put(list []gateway.Parcel) {
	if len(list) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parcels == nil || len(p.parcels)+len(list) > maxPrefetched { // these parcels were not taken
		p.parcels = make(map[gateway.JobID]gateway.Parcel, maxPrefetched)
	}
	for _, parcel := range list {
		p.parcels[parcel.ID] = parcel
	}
}

// take returns and drops the parcel of a lease.
func (p *prefetched) take(job gateway.JobID, fence int64) (gateway.Parcel, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	parcel, ok := p.parcels[job]
	if !ok || parcel.Fence != fence {
		return gateway.Parcel{}, false
	}
	delete(p.parcels, job)
	return parcel, true
}

// drop removes the parcel of one job.
func (p *prefetched) drop(job gateway.JobID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.parcels, job)
}

// clear removes all parcels.
func (p *prefetched) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.parcels)
}

// prefetch reads a leased job's parcel, which is available after the lease is
// committed.
func (w *writer) prefetch(j store.QueuedJob) error {
	if j.Size > maxPrefetchedSize || len(w.pending.parcels) == maxPrefetched {
		return nil
	}
	p, err := w.parcel(w.dir, j, true)
	w.pending.parcels = append(w.pending.parcels, p)
	return err
}
