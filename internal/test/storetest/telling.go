package storetest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// telling are the promises about receipts.
func telling() []promise {
	return []promise{
		{"Ack and MarkRead write what is owed of a verified message from elsewhere", ackOwes},
		{"nothing is owed of any other message", nothingOwed},
		{"an Ack is added to the row that waits, and there is one for each message and recipient", ackIsAdded},
		{"an Ack after a read mark that was told waits for a minute", ackWaits},
		{"a second Ack or read mark owes nothing", secondOwesNothing},
		{"a receipt names the message as its sender does", receiptNames},
		{"a receipt says whether the agent has written to the domain", receiptKnows},
		{"a receipt says what is said of the agent", receiptWish},
		{"ReceiptDomains lists domains in order, those behind after only", receiptDomains},
		{"OwedReceipts returns those due, the earliest first, within both limits", owedInOrder},
		{"SettleReceipts forgets, but for what was added to since", settledReceipts},
		{"DropReceipts forgets what was due before, and the earliest beyond the most", droppedReceipts},
		{"TakeReceipts tells the sender", takesReceipts},
		{"TakeReceipts finds a message by the id under which it left", takesByPeerID},
		{"TakeReceipts passes over whatever is not the domain's", takesNothing},
		{"a time outside what can be is brought to its bounds", takesWithinBounds},
		{"TakeReceipts again changes nothing", takesOnce},
		{"what a recipient elsewhere did only the sender sees", receiptIsPrivate},
	}
}

// far posts a verified message from an address in another domain.
func (w *world) far(from string, to ...person) amtp.MessageID {
	w.Helper()
	return w.post(letter{remote: from, class: gateway.ClassDomain, to: to}).ID
}

const ages = 1000 * time.Hour

// owed returns the receipts that are due for a domain at a late time, when all are due.
func (w *world) owed(d amtp.Domain) []gateway.OwedReceipt {
	w.Helper()
	return w.owedAt(d, morning.Add(ages))
}

func (w *world) owedAt(d amtp.Domain, now time.Time) []gateway.OwedReceipt {
	w.Helper()
	list, more, err := w.store.OwedReceipts(w.ctx, d, now, 1000, 1<<30)
	if err != nil || more {
		w.Fatalf("OwedReceipts = more %t, %v, want all", more, err)
	}
	return list
}

// owedOne returns the only receipt for a domain.
func (w *world) owedOne(d amtp.Domain) gateway.OwedReceipt {
	w.Helper()
	list := w.owed(d)
	if len(list) != 1 {
		w.Fatalf("%d receipts are owed to %s, want 1", len(list), d)
	}
	return list[0]
}

func ackOwes(w *world) {
	bob, carol := w.agent("bob"), w.agent("carol")
	id := w.far("alice@far.example", bob, carol)
	read := w.markRead(bob, id)
	o := w.owedOne("far.example")
	w.sameTime("Read", o.Read, read.At)
	w.sameTime("Acked", o.Acked, time.Time{})
	same(w, "Recipient", o.Receipt.Recipient, bob.Address)
	same(w, "Sender", o.Sender.String(), "alice@far.example")
	same(w, "Class", o.Class, gateway.ClassDomain)
	same(w, "Agent", o.Agent, bob.ID)
	same(w, "body is there", len(o.Body) > 0, true)
	mark := w.ack(carol, id)
	list := w.owed("far.example")
	if len(list) != 2 {
		w.Fatalf("%d receipts are owed, want 2", len(list))
	}
	w.sameTime("Acked of carol", list[1].Acked, mark.At)
	w.sameTime("Read of carol", list[1].Read, time.Time{})
}

func nothingOwed(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for name, id := range map[string]amtp.MessageID{
		"one here": w.send(alice, bob),
		"a stranger": w.post(letter{remote: "who@far.example", class: gateway.ClassAnonymous,
			to: []person{bob}}).ID,
		"the gateway": w.post(letter{remote: "mailer-daemon@" + domain, class: gateway.ClassGateway,
			to: []person{bob}}).ID,
		"their daemon":     w.far("mailer-daemon@far.example", bob),
		"their receipts":   w.far("amtp-receipts@far.example", bob),
		"their echo":       w.far("Echo@far.example", bob),
		"their postmaster": w.far("postmaster@far.example", bob),
	} {
		w.markRead(bob, id)
		w.ack(bob, id)
		for _, d := range []amtp.Domain{"far.example", domain} {
			if list := w.owed(d); len(list) != 0 {
				w.Errorf("for a message from %s, %d receipts are owed to %s, want none", name, len(list), d)
			}
		}
	}
}

func ackIsAdded(w *world) {
	bob := w.agent("bob")
	id := w.far("alice@far.example", bob)
	read := w.markRead(bob, id)
	mark := w.ack(bob, id)
	o := w.owedOne("far.example")
	w.sameTime("Read", o.Read, read.At)
	w.sameTime("Acked", o.Acked, mark.At)
	same(w, "due since the read mark", len(w.owedAt("far.example", read.At)), 1)
}

func ackWaits(w *world) {
	bob := w.agent("bob")
	id := w.far("alice@far.example", bob)
	read := w.markRead(bob, id)
	w.works("SettleReceipts", w.store.SettleReceipts(w.ctx, w.owed("far.example"), w.now()))
	same(w, "receipts after they were settled", len(w.owed("far.example")), 0)
	mark := w.ack(bob, id)
	same(w, "receipts due at once", len(w.owedAt("far.example", mark.At.Add(gateway.ReceiptPace-time.Microsecond))), 0)
	list := w.owedAt("far.example", mark.At.Add(gateway.ReceiptPace))
	if len(list) != 1 {
		w.Fatalf("%d receipts are due after a minute, want 1", len(list))
	}
	w.sameTime("Read", list[0].Read, read.At)
	w.sameTime("Acked", list[0].Acked, mark.At)
}

func secondOwesNothing(w *world) {
	bob := w.agent("bob")
	id := w.far("alice@far.example", bob)
	w.markRead(bob, id)
	w.works("SettleReceipts", w.store.SettleReceipts(w.ctx, w.owed("far.example"), w.now()))
	w.markRead(bob, id)
	same(w, "receipts after a second read mark", len(w.owed("far.example")), 0)
	w.ack(bob, id)
	w.works("SettleReceipts", w.store.SettleReceipts(w.ctx, w.owed("far.example"), w.now()))
	w.ack(bob, id)
	same(w, "receipts after a second Ack", len(w.owed("far.example")), 0)
}

func receiptNames(w *world) {
	bob := w.agent("bob")
	for _, given := range []amtp.MessageID{"", "01890000-0000-7000-8000-00000000000A", "order-7"} {
		id := w.post(letter{remote: "alice@far.example", class: gateway.ClassDomain, to: []person{bob}, id: given}).ID
		w.ack(bob, id)
		o := w.owedOne("far.example")
		want := given
		if want == "" {
			want = id
		}
		same(w, "Message", o.Message, want)
		w.works("SettleReceipts", w.store.SettleReceipts(w.ctx, []gateway.OwedReceipt{o}, w.now()))
	}
}

func receiptKnows(w *world) {
	bob, carol := w.agent("bob"), w.agent("carol")
	w.ack(bob, w.far("alice@far.example", bob))
	same(w, "Written before", w.owedOne("far.example").Written, false)
	w.mail(carol, "alice@far.example") // another agent
	w.mail(bob, "alice@other.example")
	same(w, "Written by others, and to others", w.owedOne("far.example").Written, false)
	w.mail(bob, "Somebody@FAR.example")
	w.mail(bob, "alice@far.example")
	same(w, "Written after", w.owedOne("far.example").Written, true)
	w.remove(bob)
	same(w, "Written by one that is gone", w.owedOne("far.example").Written, false)
}

func receiptWish(w *world) {
	bob := w.agent("bob")
	w.ack(bob, w.far("alice@far.example", bob))
	for _, wish := range []gateway.ReceiptWish{gateway.ReceiptsAlways, gateway.ReceiptsNever, gateway.ReceiptsDefault} {
		_, err := w.store.UpdateAgent(w.ctx, gateway.Acting{}, bob.ID, func(a *gateway.Agent) error {
			a.Receipts = wish
			return nil
		})
		w.works("UpdateAgent", err)
		same(w, "Wish", w.owedOne("far.example").Wish, wish)
	}
}

func receiptDomains(w *world) {
	bob := w.agent("bob")
	for i := range 3 {
		for _, d := range []string{"c.example", "a.example", "b.example"} {
			w.ack(bob, w.far(fmt.Sprintf("p%d@%s", i, d), bob))
		}
	}
	for _, tc := range []struct {
		after amtp.Domain
		limit int
		want  []amtp.Domain
	}{
		{"", 10, []amtp.Domain{"a.example", "b.example", "c.example"}},
		{"", 2, []amtp.Domain{"a.example", "b.example"}},
		{"b.example", 10, []amtp.Domain{"c.example"}},
		{"c.example", 10, nil},
	} {
		got, err := w.store.ReceiptDomains(w.ctx, tc.after, tc.limit)
		w.works("ReceiptDomains", err)
		sameList(w, fmt.Sprintf("%d domains behind %q", tc.limit, tc.after), got, tc.want)
	}
}

func owedInOrder(w *world) {
	bob := w.agent("bob")
	var sent []amtp.MessageID
	var marks []gateway.Mark
	for range 5 {
		sent = append(sent, w.far("alice@far.example", bob))
	}
	for _, id := range sent {
		marks = append(marks, w.ack(bob, id))
	}
	take := func(now time.Time, limit, bodies int) (got []amtp.MessageID, more bool) {
		list, more, err := w.store.OwedReceipts(w.ctx, "far.example", now, limit, bodies)
		w.works("OwedReceipts", err)
		for i := range list {
			got = append(got, list[i].Message)
		}
		return got, more
	}
	got, more := take(marks[2].At, 10, 1<<20)
	sameList(w, "due at the third", got, sent[:3])
	same(w, "more at the third", more, false)
	got, more = take(marks[4].At, 2, 1<<20)
	sameList(w, "two", got, sent[:2])
	same(w, "more than two", more, true)
	got, more = take(marks[4].At, 10, 1)
	sameList(w, "one byte", got, sent[:1])
	same(w, "more than a byte", more, true)
	got, more = take(marks[4].At, 5, 1<<20)
	sameList(w, "all", got, sent)
	same(w, "more than all", more, false)
}

func settledReceipts(w *world) {
	bob := w.agent("bob")
	first, second := w.far("alice@far.example", bob), w.far("alice@far.example", bob)
	w.markRead(bob, first)
	w.markRead(bob, second)
	taken := w.owed("far.example")
	mark := w.ack(bob, second) // while they are being sent
	again := mark.At.Add(time.Hour)
	w.works("SettleReceipts", w.store.SettleReceipts(w.ctx, taken, again))
	same(w, "due before", len(w.owedAt("far.example", again.Add(-time.Microsecond))), 0)
	list := w.owedAt("far.example", again)
	if len(list) != 1 || list[0].Message != second {
		w.Fatalf("%d receipts are left, want that of the second message", len(list))
	}
	w.sameTime("Acked", list[0].Acked, mark.At)
	w.works("SettleReceipts", w.store.SettleReceipts(w.ctx, list, again))
	w.works("SettleReceipts of what is gone", w.store.SettleReceipts(w.ctx, list, again))
	same(w, "left", len(w.owed("far.example")), 0)
}

func droppedReceipts(w *world) {
	bob := w.agent("bob")
	var sent []amtp.MessageID
	var marks []gateway.Mark
	for range 8 {
		id := w.far("alice@far.example", bob)
		sent, marks = append(sent, id), append(marks, w.ack(bob, id))
	}
	w.ack(bob, w.far("alice@other.example", bob))
	drop := func(before time.Time, most, limit, want int) {
		w.Helper()
		n, err := w.store.DropReceipts(w.ctx, "far.example", before, most, limit)
		w.works("DropReceipts", err)
		same(w, "dropped", n, want)
	}
	left := func(want []amtp.MessageID) {
		w.Helper()
		var got []amtp.MessageID
		for _, o := range w.owed("far.example") {
			got = append(got, o.Message)
		}
		sameList(w, "left", got, want)
	}
	drop(marks[0].At, 100, 10, 0)
	drop(marks[2].At, 100, 1, 1)
	drop(marks[2].At, 100, 10, 1)
	left(sent[2:])
	drop(marks[2].At, 4, 1, 1)
	drop(marks[2].At, 4, 10, 1)
	left(sent[4:])
	drop(marks[2].At, 4, 10, 0)
	same(w, "left for another", len(w.owed("other.example")), 1)
}

// delivered posts a message to addresses in other domains, and settles it as delivered.
func (w *world) delivered(from person, id amtp.MessageID, to ...string) amtp.MessageID {
	w.Helper()
	canonical := w.post(letter{from: from, far: to, id: id}).ID
	for _, address := range to {
		d := gateway.Destination(w.address(address).Domain())
		jobs := w.claim(w.now(), d)
		for _, j := range jobs {
			p, err := w.store.Parcel(w.ctx, j.ID, j.Fence)
			w.works("Parcel", err)
			now := w.now()
			c := p.All(gateway.Outcome{Event: gateway.Success})
			w.settle(p.Settle(c, now))
		}
	}
	return canonical
}

// takes gives the store receipts from a domain.
func (w *world) takes(from amtp.Domain, now time.Time, list ...gateway.Receipt) int {
	w.Helper()
	n, err := w.store.TakeReceipts(w.ctx, from, list, now)
	if err != nil {
		w.Fatalf("TakeReceipts = %v, want no error", err)
	}
	return n
}

func takesReceipts(w *world) {
	alice := w.agent("alice")
	id := w.delivered(alice, "", "bob@far.example", "carol@far.example")
	bob, carol := w.address("BOB@far.example"), w.address("carol@far.example")
	read, acked, refused := w.now(), w.now(), w.now()
	now := w.now()
	same(w, "changed", w.takes("far.example", now, gateway.Receipt{Message: id, Recipient: bob, Read: read}), 1)
	r := w.read(alice, id)
	w.sameTime("ReadAt", r.Status(w.now()).Recipients[0].ReadAt.Time, read)
	same(w, "read", r.Status(w.now()).Recipients[0].Read, true)
	same(w, "state", r.Deliveries[0].State, gateway.Delivered)
	delivered := r.Deliveries[0].Delivered
	n := w.takes("far.example", now, gateway.Receipt{Message: id, Recipient: bob, Read: now, Acked: acked},
		gateway.Receipt{Message: id, Recipient: carol, Refused: refused})
	same(w, "changed", n, 2)
	r = w.read(alice, id)
	status := r.Status(w.now())
	same(w, "state after the Ack", r.Deliveries[0].State, gateway.Acknowledged)
	same(w, "acknowledged", status.Recipients[0].Acknowledged, true)
	w.sameTime("AcknowledgedAt", status.Recipients[0].AcknowledgedAt.Time, acked)
	w.sameTime("ReadAt stays", status.Recipients[0].ReadAt.Time, read)
	w.sameTime("DeliveredAt stays", status.Recipients[0].DeliveredAt.Time, delivered)
	same(w, "status", status.Status, amtp.StatusDelivered)
	same(w, "carol acknowledged", status.Recipients[1].Acknowledged, false)
	same(w, "carol refused", status.Recipients[1].Refused, true)
	w.sameTime("RefusedAt", status.Recipients[1].RefusedAt.Time, refused)
}

func takesByPeerID(w *world) {
	alice := w.agent("alice")
	bob := w.address("bob@far.example")
	const v4 = "5f9a2d7e-52b6-4a3b-9d15-0a6f2a1c7e11"
	id := w.delivered(alice, v4, "bob@far.example")
	same(w, "canonical id", id, v4)
	abroad := amtp.PeerMessageID(id)
	same(w, "changed", w.takes("far.example", w.now(), gateway.Receipt{Message: abroad, Recipient: bob,
		Acked: w.now()}), 1)
	same(w, "acknowledged", w.read(alice, id).Deliveries[0].State, gateway.Acknowledged)
}

func takesNothing(w *world) {
	alice, dave := w.agent("alice"), w.agent("dave")
	bob := w.address("bob@far.example")
	id := w.delivered(alice, "", "bob@far.example", "eve@other.example")
	waiting := w.mail(alice, "bob@far.example")
	came := w.far("bob@far.example", dave)
	local := w.send(alice, dave)
	failed := w.mail(alice, "bob@gone.example")
	w.fail("gone.example", w.now())
	at := w.now()
	for name, tc := range map[string]struct {
		from amtp.Domain
		r    gateway.Receipt
	}{
		"of another domain": {"other.example", gateway.Receipt{Message: id, Recipient: bob, Acked: at}},
		"of another's recipient": {"far.example",
			gateway.Receipt{Message: id, Recipient: w.address("eve@other.example"), Acked: at}},
		"of who was not written to": {"far.example",
			gateway.Receipt{Message: id, Recipient: w.address("carol@far.example"), Acked: at}},
		"of nobody": {"far.example", gateway.Receipt{Message: id, Acked: at}},
		"of no message": {"far.example",
			gateway.Receipt{Message: amtp.NewMessageID(), Recipient: bob, Acked: at}},
		"of an id that is no UUID":  {"far.example", gateway.Receipt{Message: "' OR 1", Recipient: bob, Acked: at}},
		"without a time":            {"far.example", gateway.Receipt{Message: id, Recipient: bob}},
		"of a message under way":    {"far.example", gateway.Receipt{Message: waiting, Recipient: bob, Acked: at}},
		"of a message that it sent": {"far.example", gateway.Receipt{Message: came, Recipient: bob, Acked: at}},
		"of a message that it sent us": {"far.example",
			gateway.Receipt{Message: came, Recipient: dave.Address, Acked: at}},
		"of a message here": {domain, gateway.Receipt{Message: local, Recipient: dave.Address, Acked: at}},
		"of a message that failed": {"gone.example", gateway.Receipt{Message: failed,
			Recipient: w.address("bob@gone.example"), Acked: at}},
	} {
		if n := w.takes(tc.from, at.Add(time.Hour), tc.r); n != 0 {
			w.Errorf("the receipt %s changed %d deliveries, want none", name, n)
		}
	}
	for _, d := range w.read(alice, id).Deliveries {
		if d.State != gateway.Delivered || !d.Acked.IsZero() || !d.Read.IsZero() {
			w.Errorf("%s is %v after receipts of others, want delivered and not read", d.Recipient, d.State)
		}
	}
	same(w, "in dave's inbox", len(w.inbox(dave)), 2)
}

func takesWithinBounds(w *world) {
	alice := w.agent("alice")
	id := w.delivered(alice, "", "bob@far.example")
	bob := w.address("bob@far.example")
	delivered := w.read(alice, id).Deliveries[0].Delivered
	now := w.now()
	w.takes("far.example", now, gateway.Receipt{Message: id, Recipient: bob, Read: time.Unix(1, 0),
		Acked: now.Add(ages)})
	d := w.read(alice, id).Deliveries[0]
	w.sameTime("Read before the delivery", d.Read, delivered)
	w.sameTime("Acked in the future", d.Acked, now)
}

func takesOnce(w *world) {
	alice := w.agent("alice")
	id := w.delivered(alice, "", "bob@far.example")
	bob := w.address("bob@far.example")
	at := w.now()
	told := gateway.Receipt{Message: id, Recipient: bob, Read: at, Acked: at}
	same(w, "changed", w.takes("far.example", w.now(), told, told), 1)
	before := w.read(alice, id).Deliveries[0]
	told.Read, told.Acked = w.now(), w.now()
	same(w, "changed again", w.takes("far.example", w.now(), told), 0)
	after := w.read(alice, id).Deliveries[0]
	w.sameTime("Acked", after.Acked, before.Acked)
	w.sameTime("Changed", after.Changed, before.Changed)
}

func receiptIsPrivate(w *world) {
	alice, carol := w.agent("alice"), w.agent("carol")
	id := w.post(letter{from: alice, to: []person{carol}, far: []string{"bob@far.example"}}).ID
	p := w.claimOne("far.example", w.now())
	w.settle(p.Settle(p.All(gateway.Outcome{Event: gateway.Success}), w.now()))
	at := w.now()
	w.takes("far.example", w.now(), gateway.Receipt{Message: id, Recipient: w.address("bob@far.example"), Read: at,
		Acked: at, Refused: at})
	w.markRead(carol, id)
	for _, tc := range []struct {
		who  person
		want string
	}{
		{alice, "[true true true true]"}, // carol's read mark, then bob's three
		{carol, "[true false false false]"},
	} {
		r := w.read(tc.who, id).For(gateway.Reader{Agent: tc.who.ID})
		of := r.Status(w.now()).Recipients
		same(w, "what "+tc.who.Address.Local()+" sees",
			fmt.Sprint([]bool{of[0].Read, of[1].Read, of[1].Acknowledged, of[1].Refused}), tc.want)
		text, err := json.Marshal(of[1])
		w.works("Marshal", err)
		same(w, "times are shown with it", len(text) > 0 && of[1].ReadAt.IsZero() != of[1].Read, true)
	}
}
