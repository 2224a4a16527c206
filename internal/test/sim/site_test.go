package sim

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/test/faultfs"
	"github.com/amtp-go/amtp/internal/wallclock"
	"github.com/ncruces/go-sqlite3/vfs"
)

// site is a machine on which a gateway runs, with its clock and its disk.
type site struct {
	w      *world
	domain amtp.Domain
	*image
	clock clock
	set   atomic.Bool // whether the clock was ever set: leases may end early
	disk  *faultfs.Disk
	dir   string
	way   chan struct{} // the way to its door; holds a token while a post is answered
	runs  int           // how often a gateway was started here

	mu   sync.Mutex
	live *process // nil while none runs
}

// name is the site's short name in traces.
func (s *site) name() string { return string(s.domain[:1]) }

func (w *world) newSite(domain amtp.Domain) *site {
	s := &site{w: w, domain: domain, image: images[domain], way: make(chan struct{}, 1)}
	s.insert(map[string][]byte{sqlite.FileName: s.database})
	return s
}

// insert gives the site a disk with the files.
func (s *site) insert(files map[string][]byte) {
	s.remove()
	dir, err := scratch()
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.dir, s.disk = dir, faultfs.InMemory(s.w.t, dir, files)
}

// remove removes the disk.
func (s *site) remove() {
	if s.disk == nil {
		return
	}
	vfs.Unregister("amtp+" + s.disk.Name)
	s.disk.Unplug()
	if err := os.RemoveAll(s.dir); err != nil {
		s.w.t.Error(err)
	}
	s.disk = nil
}

// running returns the running gateway, nil if there is none.
func (s *site) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// enter returns the running gateway, and counts a request for which it waits before it
// ends. It returns nil if no gateway runs.
func (s *site) enter() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != nil {
		s.live.calls.Add(1)
	}
	return s.live
}

func (s *site) put(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = p
}

// start starts a gateway. If a fault of the disk stops the start, it is tried again a
// while later, as a supervisor would.
func (s *site) start() {
	if s.running() != nil {
		return
	}
	s.runs++
	r := s.w.seed.at("start", s.name(), s.runs)
	if !s.w.healed.Load() && r.Float64() < s.w.weather.disk/4 {
		s.disk.Fail(s.fault(r, 1+r.IntN(12)))
	}
	log := s.w.trace.logger(s.name())
	store, err := sqlite.Open(sqlite.Options{Dir: s.dir, VFS: s.disk.Name, Log: log, Readers: 1, Reserve: reserveSize,
		Clock: wallclock.Clock{Now: s.clock.Now, Ran: func() time.Duration { return time.Since(s.w.began) }}})
	if err != nil {
		if s.disk.Hits() == 0 && !s.disk.Off() {
			s.w.fault("the gateway of %s does not start on a sound disk: %v", s.domain, err)
		}
		s.w.trace.add("%s does not start", s.name())
		s.w.trace.count("starts that failed")
		s.lose(faultfs.Killed)
		s.w.later(s.w.seed.between(time.Second, 20*time.Second, "again", s.name(), s.runs), s.start)
		return
	}
	s.w.trace.add("%s starts", s.name())
	p := newProcess(s, store, log)
	s.put(p)
	p.run()
}

// fault returns the fault of the n-th call of the disk from now on.
func (s *site) fault(r interface{ IntN(int) int }, n int) faultfs.Fault {
	const failing = faultfs.Write | faultfs.Sync | faultfs.Truncate
	switch r.IntN(4) {
	case 0:
		return faultfs.Fault{Ops: failing, N: n, Err: syscall.EIO}
	case 1:
		return faultfs.Fault{Ops: failing, N: n, Err: syscall.ENOSPC, Lasting: r.IntN(2) == 0}
	default:
		return faultfs.Fault{Ops: faultfs.Any, N: n, Cut: true}
	}
}

// kill ends the gateway at once. loss says what becomes of data that its disk did not
// sync.
func (s *site) kill(loss faultfs.Loss) {
	p := s.running()
	if p == nil {
		return
	}
	s.w.trace.add("%s is killed, %s", s.name(), loss)
	s.w.net.killed(s.name())
	s.disk.Cut() // the disk keeps nothing that the gateway does from now on
	s.put(nil)
	p.vanish()
	s.loseAfter(loss, p)
}

// loseAfter removes the lost data from the disk.
func (s *site) loseAfter(loss faultfs.Loss, p *process) {
	left := s.disk.Left(loss, s.w.seed.at("loss", s.name(), s.runs))
	if p != nil {
		p.store.Close() // of a process that has ended; an error is expected
	}
	s.insert(left)
}

func (s *site) lose(loss faultfs.Loss) { s.loseAfter(loss, nil) }

// stop ends the gateway in order.
func (s *site) stop() {
	p := s.running()
	if p == nil {
		return
	}
	s.w.trace.add("%s is stopped", s.name())
	s.put(nil)
	p.leave()
	err := p.store.Close()
	if err != nil && s.disk.Hits() == 0 {
		s.w.fault("the gateway of %s does not close: %v", s.domain, err)
	}
	s.lose(faultfs.Killed)
}

// failed restarts a gateway after its store reported that it is no longer to be
// trusted. The process ends, and another is started.
func (s *site) failed(p *process) {
	if s.running() != p {
		return
	}
	r := s.w.seed.at("failed", s.name(), s.runs)
	loss := faultfs.Killed
	if s.disk.Off() {
		loss = faultfs.Loss(r.IntN(int(faultfs.Losses)))
	}
	s.w.trace.count("failures of the disk")
	s.kill(loss)
	s.w.later(s.w.seed.between(time.Second, time.Minute, "after", s.name(), s.runs), s.start)
}

// call makes a client's request at the gateway's door. The status is 0 when there is no
// answer; then the gateway may or may not have done what was asked.
func (s *site) call(method, path, key string, body []byte) (int, []byte) {
	p := s.enter()
	if p == nil {
		return 0, nil
	}
	h := http.Header{"Authorization": {"Bearer " + key}}
	if key == adminKey {
		h = http.Header{"X-Admin-Key": {key}}
	}
	status, _, answer := p.serve(request{method: method, path: path, header: h, body: body, from: "198.51.100.7:40000"})
	if p.over() && status >= 300 {
		return 0, nil // only the effect of the request counts
	}
	return status, answer
}

// purge has the gateway remove data that has outlived its retention, like internal/app.
func (s *site) purge() {
	p := s.running()
	if p == nil {
		return
	}
	if clock := p.store.Clock(); !clock.Believed() {
		s.w.trace.add("%s purges nothing, for it does not believe its clock", s.name())
		s.w.trace.count("purges that waited")
		return
	}
	var sum gateway.Purged
	for after, done := int64(0), false; !done; {
		did, err := p.store.Purge(context.Background(), gateway.DefaultRetention(), p.store.Now(), after, 100)
		if err != nil {
			break // for example on a full disk; the next purge does it
		}
		after, done = did.Next, did.Done
		sum.Bodies += did.Bodies
		sum.Messages += did.Messages
	}
	s.w.trace.add("%s purges: %d bodies, %d messages", s.name(), sum.Bodies, sum.Messages)
	s.w.trace.count("purges")
}

func (s *site) String() string { return fmt.Sprintf("the gateway of %s", s.domain) }
