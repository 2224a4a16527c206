package postgres

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// peers reads the sender domains that a query with this end finds.
func (c conn) peers(ctx context.Context, end string, args ...any) (list []gateway.SenderDomain, err error) {
	var domain string
	var seen, last, signed, lastSigned int64
	var written bool
	err = c.query(ctx,
		`SELECT domain, first_seen, last_seen, coalesce(first_signed, 0), coalesce(last_signed, 0), EXISTS (SELECT FROM contact c WHERE c.domain = peer.domain) FROM peer `+
			end, args,
		[]any{&domain, &seen, &last, &signed, &lastSigned, &written}, func() error {
			list = append(list, gateway.SenderDomain{
				Domain: amtp.Domain(domain), FirstSeen: store.FromMicros(seen), LastSeen: store.FromMicros(last),
				FirstSigned: store.FromMicros(signed), LastSigned: store.FromMicros(lastSigned), Written: written,
			})
			return nil
		})
	return list, err
}

// SenderDomain returns what is stored about a domain.
func (s *Store) SenderDomain(ctx context.Context, domain amtp.Domain) (gateway.SenderDomain, error) {
	var p gateway.SenderDomain
	err := s.read(ctx, func(ctx context.Context, c conn) error {
		list, err := c.peers(ctx, `WHERE domain = $1`, string(domain))
		if err != nil {
			return err
		}
		if len(list) > 0 {
			p = list[0]
			return nil
		}
		p = gateway.SenderDomain{Domain: domain}
		return c.query(ctx, `SELECT EXISTS (SELECT FROM contact WHERE domain = $1)`, []any{string(domain)},
			[]any{&p.Written}, func() error { return nil })
	})
	times := s.watch.Times(s.Now())
	times.CorrectDomain(&p)
	return p, err
}

// NoteSenderDomain stores that a message of the domain was accepted. Most often this
// changes nothing, and the call only reads.
func (s *Store) NoteSenderDomain(ctx context.Context, domain amtp.Domain, signed bool, now time.Time) error {
	known, err := s.SenderDomain(ctx, domain)
	if err != nil || !known.Learns(signed, now) {
		return err
	}
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		// A time older than one that another call stored in the meantime changes
		// nothing.
		_, err := t.change(ctx, `INSERT INTO peer AS p (domain, first_seen, last_seen, first_signed, last_signed)
				VALUES ($1, $2::bigint, $2::bigint, CASE WHEN $3 THEN $2::bigint END, CASE WHEN $3 THEN $2::bigint END)
				ON CONFLICT (domain) DO UPDATE SET last_seen = greatest(p.last_seen, excluded.last_seen),
					first_signed = coalesce(p.first_signed, excluded.first_signed), last_signed = greatest(p.last_signed, excluded.last_signed)`,
			string(domain), store.Micros(now), signed)
		return err
	})
}

// SenderDomainsPage lists sender domains.
func (s *Store) SenderDomainsPage(ctx context.Context, after amtp.Domain,
	limit int) (list []gateway.SenderDomain, err error) {
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		list, err = c.peers(ctx, `WHERE domain > $1 ORDER BY domain LIMIT $2`, string(after), limit)
		return err
	})
	return list, err
}

// PurgeDomains forgets domains that sent no message since then, and returns how many.
func (s purgeRows) PurgeDomains(ctx context.Context, times *store.Times, since time.Time, limit int) (int, error) {
	return s.peers.Step(limit, func(after store.Position) (int, store.Position, error) {
		did, err := write(ctx, s.Store, func(ctx context.Context, t *tx) (stepped, error) {
			gone, last, err := t.silentPeers(ctx, times, since, after, limit)
			if err != nil || len(gone) == 0 {
				return stepped{last: last}, err
			}
			// The domains' acquaintances are deleted first. If there are many, the
			// domains are left for another call.
			if all, err := t.forgetAcquaintances(ctx, gone); err != nil || !all {
				return stepped{last: last}, err
			}
			// The time is checked again: a domain may send a message while this
			// statement waits for its row.
			n, err := t.change(ctx, `DELETE FROM peer WHERE last_seen <= $1 AND domain = ANY ($2::text[])`,
				store.Micros(since), gone)
			return stepped{int(n), last}, err
		})
		return did.found, did.last, err
	})
}

// stepped is the result of a step of a store.Sweep.
type stepped struct {
	found int
	last  store.Position
}

// silentPeers returns the next domains that sent no message since then. last is the
// position of the last row that it looked at, zero when it reached the end.
func (c conn) silentPeers(ctx context.Context, times *store.Times, since time.Time, after store.Position,
	limit int) (due []string, last store.Position, err error) {
	var at store.Position
	search := store.NewSearch[string](limit)
	err = c.query(ctx, `SELECT domain, last_seen FROM peer WHERE (last_seen, domain) > ($1, $2) AND last_seen <= $3
			ORDER BY last_seen, domain LIMIT $4`, []any{after.Time, after.Name, store.Micros(since), search.Most()},
		[]any{&at.Name, &at.Time}, func() error {
			search.Look(at, at.Name, !times.At(at.Time, 0).After(since))
			return nil
		})
	return search.Found, search.Last(), err
}
