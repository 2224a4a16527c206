package limits

import (
	"math/rand/v2"
	"net/netip"

	"github.com/amtp-go/amtp/internal/gateway"
)

// entriesOfKind is how many names of one kind are remembered. Beyond it, of a few names
// the one that used least is forgotten: a caller that invents names evicts its own.
const entriesOfKind = 8192

// samples is how many names are compared to find the one to forget.
const samples = 4

// name is the key of a count: a network, or else a text.
type name struct {
	network netip.Prefix
	text    string
}

func (n name) String() string {
	if n.text == "" {
		return n.network.String()
	}
	return n.text
}

// table has the used rates by name.
type table struct {
	named map[name]*entry
	list  []*entry // the same, in any order
	until []int64  // for each of the list, when all that it used has come back
}

// entry is what one name used.
type entry struct {
	name    name
	index   int // in the list of the table, -1 when it was forgotten
	spent   gateway.Spent
	tried   gateway.Spent // by messages that were read and not accepted; of an address
	unsent  [2]int64      // the part of it that the other replicas do not know
	refused int64         // how often the name was refused while it is remembered
}

// add adds the entry of a name that has none.
func (t *table) add(of name) *entry {
	if len(t.list) >= entriesOfKind {
		t.forget()
	}
	e := &entry{name: of, index: len(t.list)}
	if t.named == nil {
		t.named = make(map[name]*entry)
	}
	t.named[of], t.list, t.until = e, append(t.list, e), append(t.until, 0)
	return e
}

// set notes what an entry used.
func (t *table) set(e *entry, spent gateway.Spent) {
	e.spent = spent
	if e.index >= 0 {
		t.until[e.index] = max(spent[0], spent[1], e.tried[0], e.tried[1])
	}
}

// forget makes room for one entry.
func (t *table) forget() {
	at := rand.IntN(len(t.list))
	for range samples - 1 {
		if other := rand.IntN(len(t.list)); t.until[other] < t.until[at] {
			at = other
		}
	}
	e, last := t.list[at], len(t.list)-1
	t.list[at], t.until[at] = t.list[last], t.until[last]
	t.list[at].index, e.index = at, -1
	t.list[last] = nil
	t.list, t.until = t.list[:last], t.until[:last]
	delete(t.named, e.name)
}
