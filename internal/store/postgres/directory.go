package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// catchUp is the version up to which the directory in memory equals the database's. One
// query runs at a time. It answers all callers that asked before it began.
type catchUp struct {
	turn    sync.Mutex // held by the caller that runs the query
	mu      sync.Mutex
	begun   int64        // number of queries that began
	ended   int64        // the last of these that has ended
	err     error        // the result of the last query
	version atomic.Int64 // of the last change that the directory has; set by the holder of turn
	lost    atomic.Int64 // how often the database may have lost changes that the directory has
	read    atomic.Int64 // of these, how many preceded the last complete read of the directory
	fresh   time.Time    // the directory has every change up to this time
}

// catchUp updates the directory in memory to the state of the database at some moment
// after the call began.
func (s *Store) catchUp(ctx context.Context) error {
	c := &s.caught
	c.mu.Lock()
	after := c.begun
	c.mu.Unlock()
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	if c.ended > after { // another caller's query began after our call
		defer c.mu.Unlock()
		return c.err
	}
	c.begun++
	number, at := c.begun, time.Now()
	c.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, readTime) // for all callers that asked
	defer cancel()
	err := s.fault(s.borrow(limited, func(db conn) error { return s.renew(limited, db) }))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended, c.err = number, err; err == nil {
		c.fresh = at
	}
	return err
}

// isFresh reports whether the directory equals the database's a moment ago.
func (s *Store) isFresh() bool {
	s.caught.mu.Lock()
	defer s.caught.mu.Unlock()
	return time.Since(s.caught.fresh) < freshFor && s.caught.lost.Load() == s.caught.read.Load()
}

// freshFor is how long the directory is trusted when the database does not answer,
// because a key may have been revoked through another replica.
const freshFor = 3 * time.Second

const agentColumns = `a.id, a.name, a.domain, a.mode, a.target, a.description, a.role, a.capabilities, a.schemas, a.listed, a.created, a.active,
	a.removed IS NOT NULL, a.receipts, a.kind, a.members, a.max_deliveries`

// agent is the target of the columns of an agent.
type agent struct {
	gateway.Agent
	id, created, active                              int64
	name, domain                                     string
	target, description, role, capabilities, schemas []byte
	removed                                          bool
	receipts, kind, members                          string
}

func (a *agent) into() []any {
	return []any{&a.id, &a.name, &a.domain, &a.DeliveryMode, &a.target, &a.description, &a.role, &a.capabilities,
		&a.schemas, &a.Listed,
		&a.created, &a.active, &a.removed, &a.receipts, &a.kind, &a.members, &a.MaxDeliveries}
}

// read returns the agent that was scanned last.
func (a *agent) read() gateway.Agent {
	found := a.Agent
	store.ReadAgent(&found, a.name+"@"+a.domain, string(a.capabilities), string(a.schemas), a.members)
	found.ID, found.Target, found.Description, found.Role = gateway.AgentID(a.id), string(a.target),
		string(a.description), string(a.role)
	found.Receipts, found.Kind = gateway.ReceiptWish(a.receipts), gateway.AgentKind(a.kind)
	found.CreatedAt, found.LastActive = store.FromMicros(a.created), store.FromMicros(a.active)
	return found
}

// renew reads the agents that were changed since the last call, each with all of its
// keys. It uses one statement, so that the rows are of one moment.
func (s *Store) renew(ctx context.Context, db conn) error {
	type change struct {
		agent   gateway.Agent
		removed bool
		keys    []gateway.Key
	}
	var list []change
	var a agent
	var key struct {
		id            string
		hash          []byte
		created, used int64
	}
	var version int64
	newest := s.caught.version.Load()
	after := newest
	lost := s.caught.lost.Load()
	anew := lost != s.caught.read.Load()
	if anew {
		newest, after = 0, -1
	}
	err := db.query(ctx, `SELECT `+agentColumns+
		`, a.version, coalesce(k.id, ''), k.hash, coalesce(k.created, 0), coalesce(k.used, 0)
			FROM agent a LEFT JOIN agent_key k ON k.agent = a.id WHERE a.version > $1 ORDER BY a.version, a.id`, []any{after},
		append(a.into(), &version, &key.id, &key.hash, &key.created, &key.used), func() error {
			if last := len(list) - 1; last < 0 || list[last].agent.ID != gateway.AgentID(a.id) {
				list = append(list, change{agent: a.read(), removed: a.removed})
			}
			newest = max(newest, version)
			if key.id != "" {
				k := gateway.Key{ID: key.id, Agent: gateway.AgentID(a.id), CreatedAt: store.FromMicros(key.created),
					LastUsed: store.FromMicros(key.used)}
				copy(k.Hash[:], key.hash)
				c := &list[len(list)-1]
				c.keys = append(c.keys, k)
			}
			return nil
		})
	if err != nil {
		return err
	}
	if anew {
		known := make(map[gateway.AgentID]bool, len(list))
		for i := range list {
			known[list[i].agent.ID] = true
		}
		s.dir.Keep(known)
		s.caught.read.Store(lost)
	}
	for _, c := range list {
		if c.agent.Damage != "" {
			s.log.Error("the row of an agent cannot be read; other agents are not affected", "agent", int64(c.agent.ID), "cause",
				c.agent.Damage)
		}
		s.dir.Renew(c.agent, c.removed, c.keys)
	}
	s.caught.version.Store(newest)
	return nil
}

// know makes sure that the directory has the agents that a row names: one may have been
// registered through another replica a moment ago.
func (s *Store) know(ctx context.Context, ids ...gateway.AgentID) error {
	for _, id := range ids {
		if id != 0 && !s.dir.Knows(id) {
			return s.catchUp(ctx)
		}
	}
	return nil
}

// AgentNamed returns the living agent with the address.
func (s *Store) AgentNamed(ctx context.Context, a amtp.Address) (*gateway.Agent, error) {
	found, err := s.dir.Named(a)
	if err == nil || a.IsZero() {
		return found, err // messages to an agent that was removed just now are refused later
	}
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	return s.dir.Named(a)
}

// Agent returns the living agent with the id.
func (s *Store) Agent(id gateway.AgentID) (*gateway.Agent, error) {
	found, err := s.dir.Agent(id)
	if err == nil || id == 0 {
		return found, err // messages to an agent that was removed just now are refused later
	}
	if err := s.refresh(s.life); err != nil {
		return nil, err
	}
	return s.dir.Agent(id)
}

// Mailboxes returns the shared mailboxes of which the agent is a member.
func (s *Store) Mailboxes(member gateway.AgentID) []*gateway.Agent { return s.dir.Mailboxes(member) }

// AgentsPage lists living agents ordered by address.
func (s *Store) AgentsPage(f gateway.AgentFilter) gateway.AgentPage {
	_ = s.refresh(s.life) // the error is logged
	return s.dir.Page(f, s.bounds.Agents)
}

// Agents returns all living agents ordered by address. While the database is
// unreachable these are the agents known here.
func (s *Store) Agents(ctx context.Context) []*gateway.Agent {
	_ = s.refresh(ctx) // the error is logged
	return s.dir.All()
}

// Keys lists an agent's keys, oldest first.
func (s *Store) Keys(ctx context.Context, agent gateway.AgentID) ([]gateway.Key, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	return s.dir.Keys(agent), nil
}

// KeyOwner returns the agent whose key has the hash, and the key's id.
func (s *Store) KeyOwner(ctx context.Context, hash [32]byte, now time.Time) (*gateway.Agent, string, error) {
	if s.isFresh() {
		if a, id, err := s.dir.KeyOwner(hash, now); err == nil {
			return a, id, nil
		}
	}
	if err := s.refresh(ctx); err != nil {
		return nil, "", err
	}
	return s.dir.KeyOwner(hash, now)
}

// refresh updates the directory for a caller that found nothing. If the caller's
// context has ended, it runs no query. If the context ends later, the query still
// completes, because other callers wait for its result.
func (s *Store) refresh(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.catchUp(s.life)
}
