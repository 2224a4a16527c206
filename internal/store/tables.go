package store

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"time"
)

// ColumnKind is the type of the values in a column: int64, string, []byte or bool. Any
// value may also be nil.
type ColumnKind int

// The kinds.
const (
	Number ColumnKind = iota
	Text
	Bytes
	Truth
)

// Column is one column that both stores have.
type Column struct {
	Name string
	Kind ColumnKind
}

// Table is one table that both stores have, with the columns that a move from one store
// to the other copies. The first Key columns identify a row. None of them is nil, and
// both stores order rows by their bytes.
type Table struct {
	Name    string
	Key     int
	Columns []Column
}

// Tables returns all tables whose rows must survive. It leaves out counters and the
// pause, which are in Counters, and leases, which end by themselves.
func Tables() []Table {
	return []Table{
		table("agent", 1, numbers("id"), texts("name", "domain", "mode"),
			blobs("target", "description", "role", "capabilities", "schemas"),
			truths("listed"), numbers("created", "active", "removed"), texts("receipts", "kind", "members"),
			numbers("max_deliveries")),
		table("agent_key", 1, texts("id"), numbers("agent"), blobs("hash"), numbers("created", "used")),
		table("message", 1, numbers("id"), blobs("uuid"), numbers("sender_agent"), texts("sender"),
			numbers("class", "trust"), blobs("authentication"),
			numbers("received", "stamped", "request"), blobs("given_id", "subject", "in_reply_to", "thread",
				"fingerprint", "body"), numbers("author", "priority")),
		table("delivery", 1, numbers("seq", "message", "agent"), texts("address"),
			numbers("state", "changed", "delivered", "acked", "read", "leases", "job", "attempts"), texts("code"),
			blobs("reason", "thread"),
			truths("pushed", "further"), numbers("place", "first_try", "last_try", "dead", "generation", "refused",
				"redriven", "hidden", "taken", "token"), texts("holder")),
		table("job", 1, numbers("id"), texts("destination"),
			numbers("message", "state", "changed", "fence", "attempts", "due", "lease", "begun",
				"first_try", "last_try", "rekeys", "redriven", "size"), texts("code"), blobs("reason"),
			numbers("since", "same", "turn"), texts("troubles", "payload")),
		table("dedup", 1, blobs("key"), numbers("message", "used")),
		table("alias", 4, blobs("id"), numbers("agent"), texts("sender"), blobs("variant"), numbers("message")),
		table("label", 3, numbers("message", "agent"), texts("name")),
		table("contact", 2, numbers("agent"), texts("domain")),
		table("met", 2, texts("sender"), numbers("agent", "message"), texts("domain")),
		table("receipt", 2, numbers("message", "agent"), texts("domain"), numbers("read", "acked", "refused", "due")),
		table("peer", 1, texts("domain"), numbers("first_seen", "last_seen", "first_signed", "last_signed")),
		table("document", 2, texts("kind", "name"), blobs("sealed", "facts"), numbers("created")),
	}
}

// MissingColumn returns the first column of this release that a database lacks, "" for
// none. columns returns the columns of a table in the database.
func MissingColumn(columns func(table string) ([]string, error)) (table, column string, err error) {
	for _, t := range Tables() {
		found, err := columns(t.Name)
		if err != nil {
			return "", "", err
		}
		for _, name := range t.Names() {
			if !slices.Contains(found, name) {
				return t.Name, name, nil
			}
		}
	}
	return "", "", nil
}

func table(name string, key int, columns ...[]Column) Table {
	t := Table{Name: name, Key: key}
	for _, list := range columns {
		t.Columns = append(t.Columns, list...)
	}
	return t
}

func columns(kind ColumnKind, names []string) []Column {
	list := make([]Column, len(names))
	for i, name := range names {
		list[i] = Column{Name: name, Kind: kind}
	}
	return list
}

func numbers(names ...string) []Column { return columns(Number, names) }
func texts(names ...string) []Column   { return columns(Text, names) }
func blobs(names ...string) []Column   { return columns(Bytes, names) }
func truths(names ...string) []Column  { return columns(Truth, names) }

// Names returns the names of the columns.
func (t *Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// Counters are the last numbers that a store has given out, and since when the store is
// paused. Each number is given out only once.
type Counters struct {
	Agent, Message, Delivery, Job int64
	Paused                        time.Time
}

// Batch collects the rows of one step of a move. They are in memory twice, with their
// bodies.
type Batch struct {
	Rows  [][]any
	bytes int
}

const (
	batchRows  = 5000
	batchBytes = 16 << 20
)

// Add adds a row, and reports whether the batch is full.
func (b *Batch) Add(row []any) (full bool) {
	b.Rows = append(b.Rows, row)
	for _, v := range row {
		switch v := v.(type) {
		case string:
			b.bytes += len(v)
		case []byte:
			b.bytes += len(v)
		}
	}
	return len(b.Rows) >= batchRows || b.bytes >= batchBytes
}

// Digest is a hash over rows in their order. Two stores with the same digest have the
// same rows in the table.
type Digest struct {
	Rows int64
	sum  hash.Hash
	room []byte
}

// Add adds a row.
func (d *Digest) Add(row []any) {
	if d.sum == nil {
		d.sum = sha256.New()
	}
	d.room = d.room[:0]
	for _, v := range row {
		d.room = appendValue(d.room, v)
	}
	d.sum.Write(d.room)
	d.Rows++
}

// Sum returns the hash of all rows so far.
func (d *Digest) Sum() [32]byte {
	if d.sum == nil {
		return sha256.Sum256(nil)
	}
	return [32]byte(d.sum.Sum(nil))
}

// appendValue encodes a value so that different lists of values never have the same
// encoding.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 'n'), uint64(v))
	case string:
		return append(binary.BigEndian.AppendUint64(append(b, 't'), uint64(len(v))), v...)
	case []byte:
		return append(binary.BigEndian.AppendUint64(append(b, 'b'), uint64(len(v))), v...)
	case bool:
		if v {
			return append(b, '1')
		}
		return append(b, '0')
	}
	return append(b, '-')
}
