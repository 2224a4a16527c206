package crashtest

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

var (
	bob   = address("bob@localhost")
	carol = address("carol@localhost")
)

func address(s string) amtp.Address {
	a, err := amtp.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// TestTheLedgerFindsEveryBrokenPromise: each case is a story in which the gateway did
// one thing wrong.
func TestTheLedgerFindsEveryBrokenPromise(t *testing.T) {
	good := Item{"m", "id-1", []byte("payload")}
	for _, c := range []struct {
		name, want string
		inbox      []Item
		story      func(*Ledger)
	}{
		{"lost", "is lost", nil, func(l *Ledger) { l.Accepted("m", "id-1", false) }},
		{"lost after it was seen", "is lost", nil, func(l *Ledger) {
			l.Accepted("m", "id-1", false)
			l.Seen(bob, []Item{good}, l.Now())
		}},
		{"twice on a page", "twice on one page", []Item{good, {"m", "id-2", []byte("payload")}}, func(*Ledger) {}},
		{"twice at different times", "twice, as id-1 and as id-2", []Item{{"m", "id-2", []byte("payload")}},
			func(l *Ledger) {
				l.Seen(bob, []Item{good}, l.Now())
			}},
		{"under another id than the 202 said", "it was accepted as id-9", []Item{good},
			func(l *Ledger) { l.Accepted("m", "id-9", false) }},
		{"two ids for one message", "as id-1 and then as id-2", []Item{good}, func(l *Ledger) {
			l.Accepted("m", "id-1", false)
			l.Accepted("m", "id-2", true)
		}},
		{"one id for two messages", "which is the id of m", []Item{good}, func(l *Ledger) {
			l.Attempt("n", []amtp.Address{bob}, nil)
			l.Accepted("m", "id-1", false)
			l.Accepted("n", "id-1", false)
		}},
		{"other bytes", "another payload", []Item{{"m", "id-1", []byte("payload?")}}, func(*Ledger) {}},
		{"never sent", "no client sent to it", []Item{good, {"x", "id-2", nil}}, func(*Ledger) {}},
		{"sent to another", "no client sent to it", []Item{{"n", "id-2", nil}}, func(l *Ledger) {
			l.Attempt("n", []amtp.Address{carol}, nil)
		}},
		{"refused, yet there", "which was refused", []Item{good}, func(l *Ledger) { l.Refused("m") }},
		{"accepted, then refused", "then refused", []Item{good}, func(l *Ledger) {
			l.Accepted("m", "id-1", false)
			l.Refused("m")
		}},
		{"refused, then accepted", "then accepted", nil, func(l *Ledger) {
			l.Refused("m")
			l.Accepted("m", "id-1", false)
		}},
		{"acknowledgement undone", "again after its acknowledgement", []Item{good}, func(l *Ledger) {
			l.Seen(bob, []Item{good}, l.Now())
			l.Acknowledged(bob, "m")
		}},
	} {
		l := NewLedger()
		l.Attempt("m", []amtp.Address{bob}, []byte("payload"))
		c.story(l)
		faults := l.Settle(map[amtp.Address][]Item{bob: c.inbox})
		if len(faults) == 0 || !strings.Contains(strings.Join(faults, "\n"), c.want) {
			t.Errorf("%s: faults = %q, want one with %q", c.name, faults, c.want)
		}
	}
}

func TestTheLedgerIsContentWithWhatIsAllowed(t *testing.T) {
	l := NewLedger()
	send := func(name string, to ...amtp.Address) Item {
		l.Attempt(name, to, []byte(name))
		return Item{name, amtp.MessageID("id-" + name), []byte(name)}
	}
	kept, acked := send("kept", bob, carol), send("acked", bob)
	l.Accepted("kept", kept.ID, false)
	l.Accepted("kept", kept.ID, true)
	l.Accepted("acked", acked.ID, false)
	unanswered := send("unanswered", bob)
	send("never arrived", bob)
	send("refused", bob)
	l.Refused("refused")

	early := l.Now()
	l.Seen(bob, []Item{kept, acked}, early)
	l.Acknowledged(bob, "acked")
	l.Acknowledged(bob, "acked")
	l.Seen(bob, []Item{acked}, early) // this read began before the acknowledgement

	faults := l.Settle(map[amtp.Address][]Item{bob: {kept, unanswered}, carol: {kept}})
	if len(faults) > 0 {
		t.Errorf("faults = %q, want none", faults)
	}
	want := Counts{Attempted: 5, Accepted: 2, Refused: 1, Seen: 4, Acknowledged: 1, Replayed: 1}
	if got := l.Counts(); got != want {
		t.Errorf("counts = %+v, want %+v", got, want)
	}
	if got := l.AcknowledgedIDs(bob, 10); len(got) != 1 || got[0] != acked.ID {
		t.Errorf("AcknowledgedIDs = %v, want %v", got, acked.ID)
	}
}
