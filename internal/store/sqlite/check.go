package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Finding is the result of one check.
type Finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`           // the good state, or the fault
	Mend string `json:"mend,omitempty"` // how to fix it
}

// useBackup is the fix for damage that only an earlier copy can repair.
const useBackup = "stop the gateway, keep a copy of the directory, and restore the last backup: amtp restore FILE --force"

// Check examines the database in dir without changing it; a gateway may be running.
// Each finding is of one moment. A check that cannot run is a finding as well.
func Check(ctx context.Context, dir string) []Finding {
	return checking{pinned: maxPinned}.run(ctx, dir)
}

// checking is a check that ends its snapshot when the gateway writes too much during
// it.
type checking struct{ pinned int64 } // bytes, see maxPinned

// lookPinned is how often a check measures how much the gateway has written.
const lookPinned = 250 * time.Millisecond

func (k checking) run(ctx context.Context, dir string) []Finding {
	name := filepath.Join(dir, FileName)
	c, err := openToRead(name, nil)
	if err == nil {
		err = c.conn.Exec("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1; ROLLBACK")
	}
	if err != nil {
		if c != nil {
			err = errors.Join(err, c.close())
		}
		return []Finding{{Name: "database", Text: "cannot be opened: " + err.Error(),
			Mend: "is this the data directory of a gateway? If it is: " + useBackup}}
	}
	looks := []func() Finding{c.checkIntegrity, c.checkSchema, c.checkSettings, c.checkPause, c.checkRows}
	for _, q := range slices.Concat(consistency, queueing) {
		looks = append(looks, func() Finding { return c.checkNone(q) })
	}
	var list []Finding
	for _, look := range append(looks, c.checkLeases, c.countAll) {
		list = append(list, k.snapshot(ctx, c, name, look))
	}
	_ = c.close() // nothing is locked
	return list
}

// snapshot makes one finding in one snapshot. It tries again once if the gateway wrote
// too much in the meantime.
func (k checking) snapshot(ctx context.Context, c *statements, name string, look func() Finding) (f Finding) {
	for range 2 {
		limited, pinned := watchPinned(ctx, name, k.pinned)
		old := c.conn.SetInterrupt(limited)
		if _, err := c.exec("BEGIN"); err != nil {
			f = failed(f.Name, err)
		} else {
			f = look()
			c.conn.SetInterrupt(old)
			_, _ = c.exec("ROLLBACK") // nothing was written
		}
		c.conn.SetInterrupt(old)
		if !pinned() {
			return f
		}
	}
	return Finding{Name: f.Name, Text: "was not checked to the end: " + ErrPinned.Error(),
		Mend: "run the check when the gateway has less to do, or make a backup, which is checked completely"}
}

// watchPinned returns a context that ends when the journal has grown by more than most
// bytes. pinned ends the watch, and reports whether the journal has grown that much.
func watchPinned(ctx context.Context, name string, most int64) (limited context.Context, pinned func() bool) {
	limited, cancel := context.WithCancelCause(ctx)
	j := watchJournal(name)
	look := func() {
		if j.grown() > most {
			cancel(ErrPinned)
		}
	}
	look() // a short read may end before the watch begins
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(lookPinned)
		defer tick.Stop()
		for {
			select {
			case <-limited.Done():
				return
			case <-tick.C:
				look()
			}
		}
	})
	return limited, func() bool {
		cancel(nil)
		watch.Wait()
		return errors.Is(context.Cause(limited), ErrPinned)
	}
}

func failed(name string, err error) Finding {
	return Finding{Name: name, Text: "cannot be checked: " + err.Error(), Mend: useBackup}
}

func (c *statements) checkIntegrity() Finding {
	f := Finding{Name: "integrity"}
	faults, err := c.integrity()
	switch {
	case err != nil:
		return failed(f.Name, err)
	case len(faults) > 0:
		f.Text, f.Mend = "the file is damaged: "+strings.Join(faults, "; "), useBackup
	default:
		f.OK, f.Text = true, "every page and every index is sound"
	}
	return f
}

func (c *statements) checkSchema() Finding {
	f := Finding{Name: "schema"}
	facts, err := c.facts()
	newest := NewestSchema()
	switch {
	case err != nil:
		return failed(f.Name, err)
	case facts.Schema > newest:
		f.Text = fmt.Sprintf("is %d, and this release knows %d", facts.Schema, newest)
		f.Mend = "use the release that wrote it, or a newer one"
	case facts.Schema < newest:
		f.OK, f.Text = true, fmt.Sprintf("is %d; the next start of this release brings it to %d", facts.Schema, newest)
	default:
		f.OK, f.Text = true, fmt.Sprintf("is %d, the one of this release", facts.Schema)
	}
	return f
}

// checkSettings checks the durability setting that is in the file. The other one,
// synchronous=FULL, is checked by every connection of a gateway.
func (c *statements) checkSettings() Finding {
	f := Finding{Name: "durability"}
	var mode string
	err := c.query(`PRAGMA journal_mode`, func(s *sqlite3.Stmt) error {
		mode = s.ColumnText(0)
		return nil
	})
	switch {
	case err != nil:
		return failed(f.Name, err)
	case mode == "wal":
		f.OK, f.Text = true, "the journal is a WAL, and a gateway syncs it before it answers"
	case mode == "delete":
		f.OK, f.Text = true, "the journal becomes a WAL at the next start, as after a restore"
	default:
		f.Text, f.Mend = "the journal is "+mode+", which a power cut may lose",
			"start the gateway once; it sets the journal to WAL or refuses"
	}
	return f
}

func (c *statements) checkPause() Finding {
	f := Finding{Name: "delivery", OK: true, Text: "messages are accepted"}
	err := c.query(`SELECT CAST(value AS INTEGER) FROM setting WHERE name = ?`, func(s *sqlite3.Stmt) error {
		f.OK = false
		f.Text = "paused since the restore of " + store.FromMicros(s.ColumnInt64(0)).Format(time.RFC3339) +
			"; messages are refused"
		f.Mend = "if this is the gateway to continue with: amtp restore --confirm"
		return nil
	}, pauseRow)
	if err != nil {
		return failed(f.Name, err)
	}
	return f
}

// nothing is a query that finds no row in a consistent database.
type nothing struct {
	name  string
	sound string // the good state
	fault string // the fault, written after a number
	sql   string
	args  []any
}

// consistency are the rows that refer to each other, and the values that must not be
// missing.
var consistency = []nothing{
	{"deliveries", "every delivery has its message and its recipient", "deliveries without their message or recipient",
		`SELECT count(*) FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = d.message)
			OR agent <> 0 AND NOT EXISTS (SELECT 1 FROM agent a WHERE a.id = d.agent)`, nil},
	{"messages", "every message has a delivery and a sender", "messages without a delivery or a sender",
		`SELECT count(*) FROM message m WHERE NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id)
			OR sender_agent IS NOT NULL AND NOT EXISTS (SELECT 1 FROM agent a WHERE a.id = m.sender_agent)`, nil},
	{"bodies", "every body is there, or was removed after its retention",
		"bodies are missing that no retention removed",
		`SELECT count(*) FROM message m WHERE body IS NULL AND (fingerprint IS NULL OR length(fingerprint) <> 32
			OR EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.state IN (?, ?, ?, ?)))`,
		[]any{int(gateway.Queued), int(gateway.Delivering), int(gateway.Retrying), int(gateway.Held)}},
	{"keys", "every idempotency key has its message", "idempotency keys without their message",
		`SELECT count(*) FROM dedup k WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = k.message)`, nil},
	{"labels", "every label has its message", "labels without their message",
		`SELECT count(*) FROM label l WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = l.message)`, nil},
	{"aliases", "every alias has its message", "aliases without their message",
		`SELECT count(*) FROM alias a WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = a.message)`, nil},
	{"agent keys", "every key has a living agent", "keys without a living agent",
		`SELECT count(*) FROM agent_key k WHERE NOT EXISTS (SELECT 1 FROM agent a WHERE a.id = k.agent AND a.removed IS NULL)`,
		nil},
}

// leases is checked in a database that has them.
var leases = nothing{"leases", "every lease on a message in an inbox is whole",
	"messages in inboxes whose leases are not whole",
	`SELECT count(*) FROM delivery d WHERE token IS NOT NULL AND (hidden IS NULL OR holder IS NULL OR coalesce(leases, 0) < 1)
		OR hidden IS NOT NULL AND (taken IS NULL OR read IS NULL)`, nil}

// queueing is how jobs and their deliveries belong together.
var queueing = []nothing{
	{"waiting deliveries", "every delivery that waits has the job that carries it",
		"deliveries wait for nothing: their job is gone or carries something else",
		`SELECT count(*) FROM delivery d WHERE d.state = ?1 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.id = d.job AND j.message = d.message
			AND j.destination = CASE WHEN d.agent <> 0 THEN ?2 || d.agent ELSE substr(d.address, instr(d.address, '@') + 1) END)`,
		[]any{int(gateway.Queued), gateway.KindPush.Prefix()}},
	{"jobs", "every job has its message and something to carry", "jobs without their message or without a delivery",
		`SELECT count(*) FROM job j WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = j.message AND (m.body IS NOT NULL OR j.destination IN (?5, ?6)))
			OR destination NOT IN (?2, ?5, ?6) AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = j.message AND d.job = j.id AND d.state = ?1)
			OR destination = ?2 AND CASE WHEN json_valid(payload) THEN coalesce(json_array_length(payload, '$.failed'), 0) = 0
				OR EXISTS (SELECT 1 FROM json_each(payload, '$.failed') f WHERE NOT EXISTS
					(SELECT 1 FROM delivery d WHERE d.seq = f.value AND d.message = j.message AND d.state IN (?3, ?4, ?7))) ELSE 1 END`,
		[]any{int(gateway.Queued), string(gateway.Reports), int(gateway.Failed), int(gateway.Expired),
			string(gateway.Deadlines), string(gateway.Expiries), int(gateway.Rejected)}},
	{"attempts", "every job counts its attempts, and is leased while one is made",
		"jobs whose state, lease and counts do not agree, or that are there twice",
		`SELECT count(*) FROM job j WHERE state NOT IN (?1, ?2, ?3) OR (state = ?2) <> (lease IS NOT NULL) OR due < lease
			OR attempts < 0 OR attempts > fence OR (state = ?1) <> (attempts = 0) OR destination <> ?4 AND EXISTS
				(SELECT 1 FROM job k WHERE k.message = j.message AND k.destination = j.destination AND k.id <> j.id)`,
		[]any{int(gateway.Queued), int(gateway.Delivering), int(gateway.Retrying), string(gateway.Reports)}},
	{"dead letters", "every dead letter failed and has its message",
		"dead letters that did not fail or that have no content",
		`SELECT count(*) FROM delivery d WHERE dead IS NOT NULL
			AND (state NOT IN (?, ?, ?) OR NOT EXISTS (SELECT 1 FROM message m WHERE m.id = d.message AND m.body IS NOT NULL))`,
		[]any{int(gateway.Failed), int(gateway.Expired), int(gateway.Rejected)}},
}

func (c *statements) checkNone(q nothing) Finding {
	f := Finding{Name: q.name, OK: true, Text: q.sound}
	err := c.query(q.sql, func(s *sqlite3.Stmt) error {
		if n := s.ColumnInt64(0); n > 0 {
			f.OK, f.Text, f.Mend = false, fmt.Sprintf("%d %s", n, q.fault),
				useBackup+". Please report it as well: no crash may cause this"
		}
		return nil
	}, q.args...)
	if err != nil {
		return failed(f.Name, err)
	}
	return f
}

// leaseSchema is the first schema with leases on messages in inboxes.
const leaseSchema = 2

func (c *statements) checkLeases() Finding {
	facts, err := c.facts()
	switch {
	case err != nil:
		return failed(leases.name, err)
	case facts.Schema < leaseSchema:
		return Finding{Name: leases.name, OK: true, Text: "this schema has none"}
	}
	return c.checkNone(leases)
}

// countAll reports the numbers of agents, messages and deliveries.
func (c *statements) countAll() Finding {
	facts, err := c.facts()
	if err != nil {
		return failed("content", err)
	}
	return Finding{Name: "content", OK: true,
		Text: fmt.Sprintf("%d agents, %d messages, %d deliveries", facts.Agents, facts.Messages, facts.Deliveries)}
}
