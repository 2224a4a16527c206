package limits

import (
	"math/rand/v2"
	"net/netip"

	"github.com/amtp-go/amtp/internal/gateway"
)

// entriesOfKind is how many names of one kind are remembered. Beyond it the one that
// used least is forgotten, of a few: whoever invents names forgets his own.
const entriesOfKind = 8192

// samples is of how many names the one that used least is forgotten.
const samples = 4

// name is what is counted: a network, or else a text.
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

// table has what is used, by name.
type table struct {
	named map[name]*entry
	list  []*entry // the same, in any order
}

// entry is what one name used.
type entry struct {
	name    name
	index   int // in the list of the table
	spent   gateway.Spent
	unsent  [2]int64 // the part of it that the other gateways on the store do not know
	refused int64    // how often the name was refused, since it is remembered
}

// entry returns the entry of a name, made when there is none.
func (t *table) entry(of name) *entry {
	e := t.named[of]
	if e == nil {
		if len(t.list) >= entriesOfKind {
			t.forget()
		}
		e = &entry{name: of, index: len(t.list)}
		if t.named == nil {
			t.named = make(map[name]*entry)
		}
		t.named[of], t.list = e, append(t.list, e)
	}
	return e
}

// forget makes room for one entry.
func (t *table) forget() {
	var least *entry
	var until int64
	for range samples {
		e := t.list[rand.IntN(len(t.list))]
		if at := max(e.spent[0], e.spent[1]); least == nil || at < until {
			least, until = e, at
		}
	}
	last := t.list[len(t.list)-1]
	t.list[least.index], last.index = last, least.index
	t.list[len(t.list)-1] = nil
	t.list = t.list[:len(t.list)-1]
	delete(t.named, least.name)
}
