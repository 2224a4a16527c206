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

func scanPeer(s *sqlite3.Stmt) gateway.Peer {
	return gateway.Peer{
		Domain:      amtp.Domain(s.ColumnText(0)),
		FirstSeen:   store.FromMicros(s.ColumnInt64(1)),
		LastSeen:    store.FromMicros(s.ColumnInt64(2)),
		FirstSigned: store.FromMicros(s.ColumnInt64(3)),
		LastSigned:  store.FromMicros(s.ColumnInt64(4)),
	}
}

// Peer returns what is known of a domain.
func (s *Store) Peer(ctx context.Context, domain amtp.Domain) (p gateway.Peer, err error) {
	p.Domain = domain
	err = s.read(ctx, func(r *reader) error {
		return r.query(`SELECT `+peerColumns+` FROM peer WHERE domain = ?`, func(st *sqlite3.Stmt) error {
			p = scanPeer(st)
			return nil
		}, string(domain))
	})
	times := s.watch.Times(s.Now())
	times.RightPeer(&p)
	return p, err
}

// NotePeer remembers that a message of the domain was taken. Most often that is
// known, and reading it is all there is to do.
func (s *Store) NotePeer(ctx context.Context, domain amtp.Domain, signed bool, now time.Time) error {
	known, err := s.Peer(ctx, domain)
	if err != nil || !known.Learns(signed, now) {
		return err
	}
	at := store.Micros(now)
	return s.write(ctx, 64, func(w *writer) error {
		if w.reserve.refuses() && known.FirstSeen.IsZero() {
			return gateway.ErrFull
		}
		// What is older than what another call has written meanwhile changes nothing.
		_, err := w.exec(`INSERT INTO peer (`+peerColumns+`) VALUES (?1, ?2, ?2, iif(?3, ?2, NULL), iif(?3, ?2, NULL))
				ON CONFLICT (domain) DO UPDATE SET last_seen = max(last_seen, ?2), first_signed = iif(?3, coalesce(first_signed, ?2), first_signed),
					last_signed = iif(?3, max(coalesce(last_signed, ?2), ?2), last_signed)`,
			string(domain), at, signed)
		return err
	})
}

// PeersPage lists peers.
func (s *Store) PeersPage(ctx context.Context, after amtp.Domain, limit int) (list []gateway.Peer, err error) {
	err = s.read(ctx, func(r *reader) error {
		list = nil
		return r.query(`SELECT `+peerColumns+` FROM peer WHERE domain > ? ORDER BY domain LIMIT ?`, func(st *sqlite3.Stmt) error {
			list = append(list, scanPeer(st))
			return nil
		}, string(after), limit)
	})
	return list, err
}

// purgePeers forgets domains that wrote nothing since, and returns how many.
func (s *Store) purgePeers(ctx context.Context, times *store.Times, since time.Time, limit int) (gone int, err error) {
	var due []string
	err = s.read(ctx, func(r *reader) error {
		due = nil
		return r.query(`SELECT domain, last_seen FROM peer INDEXED BY peer_seen WHERE last_seen <= ? LIMIT ?`, func(st *sqlite3.Stmt) error {
			if !times.At(st.ColumnInt64(1), 0).After(since) {
				due = append(due, st.ColumnText(0))
			}
			return nil
		}, store.Micros(since), limit)
	})
	if err != nil || len(due) == 0 {
		return 0, err
	}
	var did int
	err = s.write(ctx, 64*len(due), func(w *writer) error {
		did = 0
		for _, domain := range due {
			// It may have written meanwhile. Whom agents met there goes first, and
			// where that is much the domain stays for another call.
			if all, err := w.unmeet(domain); err != nil {
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
		return 0, err // did is not ours while the write goes on
	}
	return did, nil
}
