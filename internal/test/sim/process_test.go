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
	leaseTime = 2 * time.Minute // the default of the configuration
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
	gone   chan struct{}  // closed when the process vanishes: its requests then get no answer
	calls  sync.WaitGroup // requests that it is serving
}

// door is the API of a gateway. Making its routes takes longer than serving all
// requests of a simulation. So processes use doors again, one after the other; a door
// keeps no state.
type door struct {
	httpapi.Server
	handler http.Handler
}

var doors = sync.Pool{New: func() any {
	d := &door{Server: httpapi.Server{MaxMessage: 1 << 20, InFlight: 64 << 20}}
	d.handler = d.Handler()
	return d
}}

// records answers access's questions from the records that other domains publish, like
// internal/app.
type records struct {
	domains   *discovery.Finder
	strangers *discovery.Budget
}

// addrOf returns an address, the zero value for text that is no address.
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

// stalled is a store that attempts use after they have lost their lease. A process may
// stop for minutes in the middle of an attempt, and go on when another attempt has
// begun.
type stalled struct {
	queue.Store
	site *site
}

// Claim leases jobs, and makes the earlier attempts at them end too late.
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

// late is the end of an attempt that goes on after the next one has begun. It asks for
// its message, and reports all of its recipients as done. The store must refuse both.
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

// seldom is a store that is polled less often. The queue polls it for jobs for which no
// bell rang, and the receipts for domains to which receipts are owed. In a simulation
// of minutes these calls would cost more than all others.
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

// newProcess wires a gateway over its store like internal/app. The listener, DNS and
// the connections to other gateways are the simulation's.
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
		gateway.KindReport:   &automail.Reporter{Acceptor: in, Agents: store, Domain: s.domain},
		gateway.KindDeadline: &automail.Deadline{Acceptor: in, Store: store, Domain: s.domain, Now: now},
		gateway.KindRemote:   remote,
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

// watch has the store check its clock, like internal/app.
func (p *process) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		_, _ = p.store.NoteClock(ctx) // a state that cannot be stored now is stored the next time
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

// run starts the loops, each a little later than the one before. So their periodic work
// is never due at the same moment.
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

// over reports whether the process has ended, or is about to because its store failed.
// Then it gets no request and sends no answer.
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

// vanish ends the process like SIGKILL: its requests get no answer, and its answers
// reach no caller.
func (p *process) vanish() {
	close(p.gone)
	p.leave()
}

// leave ends the loops and waits for the requests that are being served.
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

// request is a request as it reaches a gateway.
type request struct {
	method, path string
	header       http.Header
	body         []byte
	from         string // address and port of the caller
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
