package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

const peerColumns = `domain, first_seen, last_seen, first_signed, last_signed`

// isWritten is true when an agent has written to a domain. The parameter with the
// domain follows it.
const isWritten = `EXISTS (SELECT 1 FROM contact c WHERE c.domain = `

func scanPeer(s *sqlite3.Stmt) gateway.SenderDomain {
	return gateway.SenderDomain{
		Domain:      amtp.Domain(s.ColumnText(0)),
		FirstSeen:   store.FromMicros(s.ColumnInt64(1)),
		LastSeen:    store.FromMicros(s.ColumnInt64(2)),
		FirstSigned: store.FromMicros(s.ColumnInt64(3)),
		LastSigned:  store.FromMicros(s.ColumnInt64(4)),
		Written:     s.ColumnBool(5),
	}
}

// SenderDomain returns what is stored about a domain.
func (s *Store) SenderDomain(ctx context.Context, domain amtp.Domain) (p gateway.SenderDomain, err error) {
	err = s.read(ctx, func(r *reader) error {
		p = gateway.SenderDomain{Domain: domain}
		found := false
		err := r.query(`SELECT `+peerColumns+`, `+isWritten+`peer.domain) FROM peer WHERE domain = ?`,
			func(st *sqlite3.Stmt) error {
				p, found = scanPeer(st), true
				return nil
			}, string(domain))
		if err != nil || found {
			return err
		}
		return r.query(`SELECT `+isWritten+`?)`, func(st *sqlite3.Stmt) error {
			p.Written = st.ColumnBool(0)
			return nil
		}, string(domain))
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
	at := store.Micros(now)
	return s.write(ctx, 64, func(w *writer) error {
		if w.reserve.refuses() && known.FirstSeen.IsZero() {
			return gateway.ErrFull
		}
		// A time older than one that another call stored in the meantime changes
		// nothing.
		_, err := w.exec(`INSERT INTO peer (`+peerColumns+`) VALUES (?1, ?2, ?2, iif(?3, ?2, NULL), iif(?3, ?2, NULL))
				ON CONFLICT (domain) DO UPDATE SET last_seen = max(last_seen, ?2), first_signed = iif(?3, coalesce(first_signed, ?2), first_signed),
					last_signed = iif(?3, max(coalesce(last_signed, ?2), ?2), last_signed)`,
			string(domain), at, signed)
		return err
	})
}

// SenderDomainsPage lists sender domains.
func (s *Store) SenderDomainsPage(ctx context.Context, after amtp.Domain,
	limit int) (list []gateway.SenderDomain, err error) {
	err = s.read(ctx, func(r *reader) error {
		list = nil
		return r.query(`SELECT `+peerColumns+`, `+isWritten+
			`peer.domain) FROM peer WHERE domain > ? ORDER BY domain LIMIT ?`, func(st *sqlite3.Stmt) error {
			list = append(list, scanPeer(st))
			return nil
		}, string(after), limit)
	})
	return list, err
}

// PurgeDomains forgets domains that sent no message since then, and returns how many.
func (s purgeRows) PurgeDomains(ctx context.Context, times *store.Times, since time.Time, limit int) (int, error) {
	return s.peers.Step(limit, func(after store.Position) (gone int, last store.Position, err error) {
		var due []string
		err = s.read(ctx, func(r *reader) error {
			due, last, err = r.silentPeers(times, since, after, limit)
			return err
		})
		if err == nil && len(due) > 0 {
			gone, err = s.forgetPeers(ctx, due, since)
		}
		return gone, last, err
	})
}

// silentPeers returns the next domains that sent no message since then. last is the
// position of the last row that it looked at, zero when it reached the end.
func (r *reader) silentPeers(times *store.Times, since time.Time, after store.Position, limit int) (due []string,
	last store.Position, err error) {
	search := store.NewSearch[string](limit)
	err = r.scan(`SELECT domain, last_seen FROM peer INDEXED BY peer_seen
			WHERE (last_seen, domain) > (?, ?) AND last_seen <= ? ORDER BY last_seen, domain LIMIT ?`, func(st *sqlite3.Stmt) bool {
		at := store.Position{Time: st.ColumnInt64(1), Name: st.ColumnText(0)}
		return search.Look(at, at.Name, !times.At(at.Time, 0).After(since))
	}, after.Time, after.Name, store.Micros(since), search.Most())
	return search.Found, search.Last(), err
}

// forgetPeers forgets those of the domains that have still sent no message.
func (s *Store) forgetPeers(ctx context.Context, due []string, since time.Time) (int, error) {
	var did int
	err := s.write(ctx, 64*len(due), func(w *writer) error {
		did = 0
		for _, domain := range due {
			// The domain may have sent a message in the meantime. Its acquaintances are
			// deleted first. If there are many, the domain is left for another call.
			if all, err := w.forgetAcquaintances(domain); err != nil {
				return err
			} else if !all {
				continue
			}
			n, err := w.exec(`DELETE FROM peer WHERE domain = ? AND last_seen <= ?`, domain, store.Micros(since))
			if err != nil {
				return err
			}
			did += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err // the write may still change did
	}
	return did, nil
}
