package sim

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/courier"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/httpapi"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/limits"
	"github.com/amtp-go/amtp/internal/operator"
	"github.com/amtp-go/amtp/internal/queue"
	"github.com/amtp-go/amtp/internal/receipt"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

const (
	adminKey  = "the key of the administrator"
	leaseTime = 2 * time.Minute // as configured where nobody says otherwise
)

// process is one run of a gateway, from its start to its end.
type process struct {
	site  *site
	store *sqlite.Store
	queue *queue.Queue
	door  *door
	loops []func(context.Context) error

	ctx    context.Context // of its loops
	cancel context.CancelFunc
	ended  sync.WaitGroup
	gone   chan struct{}  // closed when it vanishes: nothing that it asked for is answered
	calls  sync.WaitGroup // requests that it works on
}

// door is the API of a gateway. To make its routes takes longer than to serve all
// requests of a simulation, so that doors are used again, by one process after the
// other; they keep nothing.
type door struct {
	httpapi.Server
	handler http.Handler
}

var doors = sync.Pool{New: func() any {
	d := &door{Server: httpapi.Server{MaxMessage: 1 << 20, InFlight: 64 << 20}}
	d.handler = d.Handler()
	return d
}}

// records answers access's questions from what other domains publish, as
// internal/app does.
type records struct {
	domains   *discovery.Finder
	strangers *discovery.Budget
}

// addrOf returns an address, the zero value for what is none.
func addrOf(from string) (addr netip.Addr) {
	addr, _ = netip.ParseAddr(from)
	return addr
}

// Signs implements access.Records.
func (r records) Signs(ctx context.Context, from string, d amtp.Domain) (bool, error) {
	found, err := r.strangers.Gateway(ctx, addrOf(from), d)
	switch {
	case err == nil:
		return found.Signs(), nil
	case errors.Is(err, discovery.ErrNone), errors.Is(err, discovery.ErrNoDomain), errors.Is(err, discovery.ErrInvalid):
		return false, nil
	case errors.Is(err, discovery.ErrBudget):
		return false, access.ErrBudget
	}
	return false, err
}

// Key implements access.Records.
func (r records) Key(ctx context.Context, from string, d amtp.Domain, selector string) (amtp.KeyRecord, error) {
	key, err := r.strangers.Key(ctx, addrOf(from), d, selector)
	if errors.Is(err, discovery.ErrBudget) {
		return key, access.ErrBudget
	}
	return key, err
}

// stalled is a store to which attempts that have lost their lease come back: a process
// may stand still for minutes in the middle of one, and go on when another has begun.
type stalled struct {
	queue.Store
	site *site
}

// Claim leases jobs, and has the attempts at them before end too late.
func (s *stalled) Claim(ctx context.Context, wanted []gateway.Claiming, now,
	lease time.Time) ([]gateway.Claimed, error) {
	got, err := s.Store.Claim(ctx, wanted, now, lease)
	for _, c := range got {
		for i := range c.Jobs {
			if j := &c.Jobs[i]; j.Fence > 1 && s.site.w.seed.at("stalled", s.site.name(), s.site.runs, int64(j.ID),
				j.Fence).IntN(4) == 0 {
				s.late(ctx, j, now)
			}
		}
	}
	return got, err
}

// late is what an attempt does that goes on when the next has begun: it asks for its
// message, and says that all of its recipients are done. Both must be refused.
func (s *stalled) late(ctx context.Context, j *gateway.Job, now time.Time) {
	if _, err := s.Store.Parcel(ctx, j.ID, j.Fence-1); err == nil {
		s.site.w.fault("%s hands out job %d of %s under a lease that is over", s.site.domain, j.ID, j.Destination)
	}
	p, err := s.Store.Parcel(ctx, j.ID, j.Fence)
	if err != nil {
		return // as on a broken disk
	}
	s.site.w.trace.count("attempts that ended after their lease")
	late := gateway.Settlement{Job: j.ID, Fence: j.Fence - 1, Now: now}
	for _, r := range p.Recipients {
		late.Results = append(late.Results, gateway.Result{Delivery: r.ID, Event: gateway.Success})
	}
	if err := s.Store.Settle(ctx, late); err == nil {
		s.site.w.fault("%s takes the end of an attempt at job %d of %s whose lease is over", s.site.domain, j.ID,
			j.Destination)
	}
}

// seldom is a store that is asked less often for what nothing told of: by the queue
// for what no bell rang for, and for the domains that are owed receipts. In a
// simulation of minutes these questions would cost more than all else.
type seldom struct {
	*sqlite.Store
	waiting, owed time.Time // not to be asked before
}

// Waiting implements queue.Store.
func (s *seldom) Waiting(ctx context.Context, after gateway.Destination, limit int) ([]gateway.Waiting, error) {
	if after == "" && time.Now().Before(s.waiting) {
		return nil, nil
	}
	s.waiting = time.Now().Add(55 * time.Second)
	return s.Store.Waiting(ctx, after, limit)
}

// ReceiptDomains implements receipt.Store.
func (s *seldom) ReceiptDomains(ctx context.Context, after amtp.Domain, limit int) ([]amtp.Domain, error) {
	if after == "" && time.Now().Before(s.owed) {
		return nil, nil
	}
	s.owed = time.Now().Add(15 * time.Second)
	return s.Store.ReceiptDomains(ctx, after, limit)
}

// newProcess wires a gateway over its store as internal/app does, but for the
// listener, DNS and the connections to others, which are the simulation's.
func newProcess(s *site, store *sqlite.Store, log *slog.Logger) *process {
	p := &process{site: s, store: store, gone: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	now := store.Now
	in := &intake.Intake{Store: store, Domain: s.domain, Now: now, Federated: true}
	finder, err := discovery.New(discovery.Options{Resolver: names{p}, Now: now})
	if err != nil {
		s.w.t.Fatal(err)
	}
	remote := &courier.Remote{
		Finder: finder, Client: &http.Client{Transport: wire{p}}, Memory: store,
		Signer: func() *amtp.Signer { return s.signer },
		Doubt:  finder.Doubt, Known: finder.Known, Now: now, Log: log,
	}
	in.Sizes = remote
	couriers := courier.Router{
		gateway.KindReport: &automail.Reporter{Acceptor: in, Agents: store, Domain: s.domain},
		gateway.KindRemote: remote,
	}
	p.queue = queue.New(&stalled{&seldom{Store: store}, s}, couriers,
		queue.Options{Now: now, Log: log, Lease: leaseTime})
	receipts := &receipt.Sender{
		Store: &seldom{Store: store}, Courier: couriers, Wants: wants(finder), Signs: func() bool { return true },
		Domain: s.domain,
		Policy: gateway.ReceiptPolicy{Rule: gateway.ReceiptsAll}, Now: now, Log: log,
	}
	in.Receipts = receipt.NewTaker(store, now).Take
	known := records{finder, discovery.NewBudget(finder, (*limits.Limits)(nil))}
	p.door = doors.Get().(*door)
	d := &p.door.Server
	d.Intake, d.Store, d.Domain, d.Log, d.Now = in, store, s.domain, log, now
	d.Operator = &operator.Operator{Store: store, Queue: p.queue, Domain: s.domain, Now: now}
	d.Agents = &agent.Agents{Store: store, Domain: s.domain, Now: now, Stopping: p.gone, Queue: p.queue}
	d.Authenticator = &access.Authenticator{Owners: store, Admin: []string{adminKey}, Failures: access.NewFailures()}
	d.Verifier = access.NewDomainVerifier(known, store, gateway.PolicyFlag, log)
	in.Verifier = d.Verifier
	p.loops = []func(context.Context) error{
		p.queue.Run,
		(&queue.Expiry{Store: store, Now: now, Log: log}).Run,
		p.watch,
	}
	if s.w.weather.receipts {
		p.loops = append(p.loops, receipts.Run)
	}
	return p
}

// watch has the store look at its clock, as internal/app does.
func (p *process) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		_, _ = p.store.NoteClock(ctx) // what cannot be stored now is stored the next time
		_ = p.pause(ctx, 5*time.Second)
	}
	return nil
}

func wants(finder *discovery.Finder) func(context.Context, amtp.Domain) (bool, error) {
	return func(ctx context.Context, d amtp.Domain) (bool, error) {
		found, err := finder.Gateway(ctx, d)
		return err == nil && slices.Contains(found.Features, amtp.FeatureReceipts), err
	}
}

// run starts the loops, each a little later than the one before: what they do
// every so often is never due in the same moment.
func (p *process) run() {
	for i, loop := range p.loops {
		p.ended.Go(func() {
			if p.pause(p.ctx, p.site.w.seed.between(0, time.Second, "loop", p.site.name(), p.site.runs, i)) != nil {
				return
			}
			if err := loop(p.ctx); err != nil {
				p.site.w.fault("a part of the gateway of %s ended: %v", p.site.domain, err)
			}
		})
	}
	p.ended.Go(func() {
		select {
		case <-p.store.Failed():
			p.site.w.notice(p)
		case <-p.ctx.Done():
		}
	})
}

// over reports whether the process has ended, or is about to because its store
// failed: then it hears and says nothing more.
func (p *process) over() bool {
	select {
	case <-p.store.Failed():
		return true
	case <-p.ctx.Done():
		return true
	default:
		return false
	}
}

// vanish ends the process as SIGKILL does: what it asked others for is not
// answered any more, and what it answers reaches nobody.
func (p *process) vanish() {
	close(p.gone)
	p.leave()
}

// leave ends the loops and waits for the requests that are worked on.
func (p *process) leave() {
	p.cancel()
	p.ended.Wait()
	p.calls.Wait()
	doors.Put(p.door)
}

var errGone = errors.New("the process is gone")

// pause waits, and ends early with an error when ctx ends or the process is gone.
func (p *process) pause(ctx context.Context, d time.Duration) error {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.gone:
		return errGone
	}
}

// request is one as it reaches a gateway.
type request struct {
	method, path string
	header       http.Header
	body         []byte
	from         string // address and port of who asks
}

// serve answers a request with the real handlers. site.enter returned the process.
func (p *process) serve(q request) (status int, header http.Header, body []byte) {
	defer p.calls.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	u, err := url.ParseRequestURI(q.path)
	if err != nil {
		panic(err) // the paths are ours
	}
	r := (&http.Request{
		Method: q.method, URL: u, RequestURI: q.path, Proto: "HTTP/2.0", ProtoMajor: 2,
		Host: "gw." + string(p.site.domain), Header: q.header.Clone(), RemoteAddr: q.from,
		Body: http.NoBody, ContentLength: int64(len(q.body)),
	}).WithContext(ctx)
	if len(q.body) > 0 {
		r.Body = &arriving{Reader: *bytes.NewReader(q.body)}
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	p.door.handler.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.Bytes()
}

// arriving is the body of a request.
type arriving struct{ bytes.Reader }

// Close implements io.Closer.
func (*arriving) Close() error { return nil }
