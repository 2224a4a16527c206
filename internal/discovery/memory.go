package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/cache"
	"github.com/amtp-go/amtp/internal/defect"
)

// remembered is the number of names that a memory holds. Beyond it, names that were asked
// for once go first, so that a flood of new names does not evict those in use.
const remembered = 10_000

// askTime bounds one question, however many callers wait for it.
const askTime = time.Minute

// How long DNS is not asked again after it failed for a name, by failures in a row.
var pauses = []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second}

// limits bound how long a memory keeps answers.
type limits struct {
	found time.Duration // an answer, at most
	none  time.Duration // the answer that there is none, or no valid one, at most
	stale time.Duration // an answer whose TTL is over, while DNS fails
}

// memory remembers the answers to one kind of question. Its errors are the question's,
// ErrTemporary, or the error of a payer that refused.
type memory[V any] struct {
	ask    func(ctx context.Context, name string) (V, time.Duration, error)
	now    func() time.Time
	limits limits
	names  *cache.Cache[string, known[V]]

	mu       sync.Mutex
	underWay map[string]*question[V]
}

// question is a question to DNS that is under way, for all callers that wait for it.
type question[V any] struct {
	over   chan struct{}
	answer known[V] // valid once over is closed
}

// payer is the account on which a question to DNS is asked.
type payer struct {
	// proven reports whether the question counts as one whose name had an answer before;
	// nil means never. It may ask a store.
	proven func(ctx context.Context) bool
	// pay is called before the question is asked. found says that the name had an answer
	// before. After an error the question is not asked. done is called when the question
	// is over, even if no caller waits any more, with whether it was answered.
	pay func(found bool) (done func(answered bool), err error)
}

// free pays for any question.
var free = payer{pay: func(bool) (func(bool), error) { return func(bool) {}, nil }}

// known is what is remembered about one name. It is never changed, only replaced.
type known[V any] struct {
	value   V
	err     error         // ErrNone, ErrNoDomain or ErrInvalid, with the reason
	learned time.Time     // when DNS answered; zero if it never did
	ttl     time.Duration // for how long the answer is valid
	stale   bool          // it is no longer valid, and DNS does not answer

	failures int       // in a row since then
	failure  error     // the last of them
	again    time.Time // not to be asked before
}

func newMemory[V any](ask func(context.Context, string) (V, time.Duration, error), now func() time.Time,
	l limits) *memory[V] {
	return &memory[V]{ask: ask, now: now, limits: l, underWay: map[string]*question[V]{},
		names: cache.New[string, known[V]](remembered)}
}

// get returns what is known about a name, and asks DNS if that is not enough. A failed
// question is in the error, not in the value. A caller that finds the question under way
// waits for its answer and pays nothing.
func (m *memory[V]) get(ctx context.Context, name string, pay payer) (known[V], error) {
	if k, ok := m.recall(name); ok {
		return k, k.err
	}
	q, err := m.put(ctx, name, pay.pay, pay.proven != nil && pay.proven(ctx))
	if err != nil {
		return known[V]{}, err
	}
	select {
	case <-q.over:
		return q.answer, q.answer.err
	case <-ctx.Done():
		return known[V]{}, fmt.Errorf("%w: %w", ErrTemporary, context.Cause(ctx))
	}
}

// put returns the question for a name that is under way, or asks it. proven says that
// it counts as if the name had had an answer before.
func (m *memory[V]) put(ctx context.Context, name string, pay func(bool) (func(bool), error),
	proven bool) (*question[V], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q := m.underWay[name]; q != nil {
		return q, nil
	}
	q := &question[V]{over: make(chan struct{})}
	before, ok := m.recall(name)
	if ok { // another caller learned it before this one had the lock
		q.answer = before
		close(q.over)
		return q, nil
	}
	done, err := pay(proven || !before.learned.IsZero() && before.err == nil)
	if err != nil {
		return nil, err
	}
	m.underWay[name] = q
	asked := context.WithoutCancel(ctx) // a caller that stops waiting does not stop it for the others
	go func() {
		q.answer = m.contained(asked, name, before)
		m.mu.Lock()
		delete(m.underWay, name)
		m.mu.Unlock()
		done(q.answer.failure == nil && !errors.Is(q.answer.err, ErrTemporary))
		close(q.over)
	}()
	return q, nil
}

// contained is learn, but a defect in it affects one question only, which ends in a
// temporary error.
func (m *memory[V]) contained(ctx context.Context, name string, before known[V]) (k known[V]) {
	err := defect.Contain(func() error {
		k = m.learn(ctx, name, before)
		return nil
	})
	if err != nil {
		return known[V]{err: fmt.Errorf("%w: %w", ErrTemporary, err)}
	}
	return k
}

// shorten makes an answer valid for no longer than ttl from when it was learned, unless
// there is another answer meanwhile.
func (m *memory[V]) shorten(name string, k known[V], ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now, ok := m.names.Get(name); ok && now.learned.Equal(k.learned) && now.ttl > ttl {
		now.ttl = ttl
		m.names.Set(name, now)
	}
}

// restTime is how long an answer counts as new, so that many callers that find no gateway
// at its address cause one question.
const restTime = 5 * time.Second

// doubt makes the next caller ask for the name again, whatever TTL its answer stated. The
// old answer is used while DNS does not answer.
func (m *memory[V]) doubt(name string) {
	k, ok := m.names.Get(name)
	if age := m.now().Sub(k.learned); ok && !k.learned.IsZero() && age >= restTime {
		m.shorten(name, k, age)
	}
}

// recall returns what is known about a name if that answers the question: it is still
// valid, or DNS failed just now. In the latter case it is a stale answer or ErrTemporary.
func (m *memory[V]) recall(name string) (known[V], bool) {
	k, ok := m.names.Get(name)
	if !ok {
		return known[V]{}, false
	}
	now := m.now()
	switch {
	case !k.learned.IsZero() && now.Before(k.learned.Add(k.ttl)):
		return k, true
	case now.Before(k.again):
		return m.fallback(k, now), true
	}
	return k, false
}

// fallback returns the answer of k that may still be used when DNS fails.
func (m *memory[V]) fallback(k known[V], now time.Time) known[V] {
	if !k.learned.IsZero() && k.err == nil && now.Before(k.learned.Add(k.ttl+m.limits.stale)) {
		k.stale = true
		return k
	}
	return known[V]{err: k.failure}
}

// learn asks and remembers the result, together with what was known before.
func (m *memory[V]) learn(ctx context.Context, name string, before known[V]) known[V] {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	value, ttl, err := m.ask(ctx, name)
	now := m.now()
	if errors.Is(err, ErrTemporary) {
		k := before
		k.failure = err
		k.again = now.Add(pauses[min(k.failures, len(pauses)-1)])
		k.failures++
		m.names.Set(name, k)
		return m.fallback(k, now)
	}
	most := m.limits.found
	if err != nil {
		most = m.limits.none
	}
	k := known[V]{value: value, err: err, learned: now, ttl: min(max(ttl, leastTTL), most)}
	m.names.Set(name, k)
	return k
}
