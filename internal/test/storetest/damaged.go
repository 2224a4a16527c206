package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Damage is a row of the store that cannot be read: an address that a later release no
// longer parses, or a flipped bit.
type Damage string

// The rows that RunDamaged damages, named by the part that cannot be read.
const (
	DamagedRecipient Damage = "recipient"        // the address a@bad.example of a delivery becomes "a b@bad.example"
	DamagedSender    Damage = "sender"           // the sender x@far.example of a message becomes "x y@far.example"
	DamagedFinding   Damage = "finding"          // what the store knows of that sender becomes "{"
	DamagedName      Damage = "name of an agent" // the name of the agent carl becomes "c rl"
	DamagedLists     Damage = "lists of an agent"
	DamagedJob       Damage = "state of a job" // the state of the job for bad.example becomes 42
	DamagedLease     Damage = "leased job"     // the same for a job that is leased for an hour
	DamagedDead      Damage = "dead letter"    // the state of the failed delivery to a@dead.example becomes 42
)

// RunDamaged checks that an unreadable row affects only itself, and that lists show it
// as damaged. damage does the damage while the store is closed.
func RunDamaged(t *testing.T, open func(t *testing.T, dir string) gateway.Store,
	damage func(t *testing.T, dir string, d Damage)) {
	for _, d := range []struct {
		damage Damage
		check  func(*hurt)
	}{
		{DamagedRecipient, recipientLost}, {DamagedSender, senderLost}, {DamagedFinding, findingLost},
		{DamagedName, nameLost},
		{DamagedLists, listsLost}, {DamagedJob, jobLost}, {DamagedLease, jobLost}, {DamagedDead, deadLost},
	} {
		t.Run(string(d.damage), func(t *testing.T) {
			dir := t.TempDir()
			h := newHurt(newWorld(t, open(t, dir)))
			h.works("Close", h.store.Close())
			damage(t, dir, d.damage)
			h.store = open(t, dir)
			d.check(h)
			h.others(d.damage)
		})
	}
}

// hurt is a world with rows of every kind, one of which is damaged.
type hurt struct {
	*world
	alice, bob, carl person
	from, between    amtp.MessageID // in bob's inbox: from another domain, and from alice
	good, bad        amtp.MessageID // waiting for good.example and bad.example
	dead             amtp.MessageID // a message that failed at dead.example
}

func newHurt(w *world) *hurt {
	h := &hurt{world: w, alice: w.agent("alice"), bob: w.agent("bob"), carl: w.agent("carl")}
	h.from = w.post(letter{remote: "x@far.example", class: gateway.ClassDomain, to: []person{h.bob}}).ID
	h.between = w.send(h.alice, h.bob, h.carl)
	h.dead = w.mail(h.alice, "a@dead.example")
	w.fail("dead.example", w.now())
	w.fail(gateway.Reports, w.now())
	h.good, h.bad = w.mail(h.alice, "a@good.example"), w.mail(h.alice, "a@bad.example")
	return h
}

// others checks everything that the lists and look-ups show besides the damaged row.
func (h *hurt) others(d Damage) {
	everyone := gateway.Reader{Everyone: true}
	page, err := h.store.Messages(h.ctx, everyone, gateway.MessageFilter{Limit: 100})
	h.works("Messages", err)
	same(h.world, "messages in the list of all", len(page.Messages), 5)
	page, err = h.store.Messages(h.ctx, gateway.Reader{Agent: h.alice.ID},
		gateway.MessageFilter{Sent: true, Limit: 100})
	h.works("Messages", err)
	same(h.world, "messages that alice sent", len(page.Messages), 4)
	sameList(h.world, "inbox", h.inbox(h.bob), []amtp.MessageID{h.from, h.between})
	for _, id := range []amtp.MessageID{h.from, h.between, h.good, h.bad, h.dead} {
		_, err := h.store.Message(h.ctx, everyone, id)
		h.works("Message", err)
	}
	if d != DamagedDead {
		same(h.world, "dead letters", len(h.world.dead(gateway.DeadFilter{Destination: "dead.example"})), 1)
	}
	if _, err := h.store.AgentNamed(h.ctx, h.bob.Address); err != nil {
		h.Errorf("AgentNamed = %v, want bob", err)
	}
	if _, _, err := h.store.KeyOwner(h.ctx, h.bob.key.Hash, h.now()); err != nil {
		h.Errorf("KeyOwner = %v, want bob", err)
	}
	h.send(h.alice, h.bob)
	_, err = h.store.Purge(h.ctx, keep, h.now(), 0, 100)
	h.works("Purge", err)
	moved, err := h.store.Readdress(h.ctx, domain, "new.example")
	h.works("Readdress", err)
	if !strings.Contains(listOf(moved.Moved), "bob@new.example") {
		h.Errorf("Readdress moved %v, want bob among them", moved.Moved)
	}
}

func listOf(addresses []amtp.Address) string {
	var list []string
	for _, a := range addresses {
		list = append(list, a.String())
	}
	return strings.Join(list, " ")
}

// claims leases the jobs for both destinations, one of which is damaged, and returns
// their parcels.
func (h *hurt) claims() (bad, good gateway.Parcel) {
	h.Helper()
	now := h.now().Add(3 * time.Hour)
	jobs := h.claim(now, "bad.example", "good.example")
	if len(jobs) != 2 {
		h.Fatalf("%d jobs were claimed for both destinations, want 2", len(jobs))
	}
	same(h.world, "jobs in the list", len(h.jobs(gateway.JobFilter{})), 2)
	var parcels [2]gateway.Parcel
	for i, j := range jobs {
		p, err := h.store.Parcel(h.ctx, j.ID, j.Fence)
		h.works("Parcel", err)
		parcels[i] = p
	}
	return parcels[0], parcels[1]
}

func recipientLost(h *hurt) {
	shown := h.read(h.alice, h.bad).Deliveries[0]
	status := shown.Status()
	same(h.world, "address that is shown", status.Address.String(), gateway.Unreadable().String())
	same(h.world, "code that is shown", status.ErrorCode, amtp.CodeInternal)
	if !strings.Contains(status.ErrorMessage, `"a b@bad.example"`) {
		h.Errorf("shown text = %q, want it to quote the stored value", status.ErrorMessage)
	}
	bad, good := h.claims()
	same(h.world, "recipient of the good parcel", good.Recipients[0].Damage, "")
	if p := bad.Recipients[0]; p.Damage == "" || !p.Recipient.Equal(gateway.Unreadable()) {
		h.Errorf("recipient of the damaged parcel = %+v, want it to say that it is damaged", p)
	}
	p := parcel{bad}
	h.settle(p.settled(h.world, gateway.Refuse, bad.Recipients...))
	letters := h.world.dead(gateway.DeadFilter{Destination: "bad.example"})
	if len(letters) != 1 {
		h.Fatalf("%d dead letters for bad.example, want 1", len(letters))
	}
	same(h.world, "destination of the dead letter", letters[0].Destination, "bad.example")
	report := h.claimOne(gateway.Reports, h.now())
	same(h.world, "recipients of the report", len(report.Recipients), 1)
	h.settle(report.settled(h.world, gateway.Success, report.Recipients...))
	same(h.world, "redriven", h.redrive(gateway.DeadFilter{Destination: "bad.example"}, h.now()), 1)
	h.oneJob("bad.example")
}

func senderLost(h *hurt) {
	item := h.page(h.bob, wholeInbox).Items[0]
	same(h.world, "sender that is shown", item.Sender.String(), gateway.Unreadable().String())
	same(h.world, "trust of who cannot be read", item.Shown().Trust, amtp.TrustUnverified)
	same(h.world, "it says so", item.Damage != "", true)
	h.claims()
}

func findingLost(h *hurt) {
	item := h.page(h.bob, wholeInbox).Items[0]
	same(h.world, "sender", item.Sender.String(), "x@far.example")
	same(h.world, "trust of whom nothing is known", item.Shown().Trust, amtp.TrustUnverified)
	same(h.world, "it says so", item.Damage != "", true)
	h.claims()
}

func nameLost(h *hurt) {
	_, err := h.store.AgentNamed(h.ctx, h.carl.Address)
	h.fails("AgentNamed of one who cannot be read", err, gateway.ErrNotFound)
	_, _, err = h.store.KeyOwner(h.ctx, h.carl.key.Hash, h.now())
	h.fails("KeyOwner of one who cannot be read", err, gateway.ErrNotFound)
	same(h.world, "agents", len(h.store.Agents(h.ctx)), 2)
	same(h.world, "recipients that are shown", addresses(h.read(h.alice, h.between).Deliveries),
		"bob@shop.example "+gateway.Unreadable().String())
	h.claims()
}

func listsLost(h *hurt) {
	a, err := h.store.AgentNamed(h.ctx, h.carl.Address)
	if err != nil {
		h.Fatalf("AgentNamed = %v, want carl; only its lists are lost", err)
	}
	same(h.world, "capabilities", len(a.Capabilities), 0)
	same(h.world, "it says so", a.Damage != "", true)
	h.works("UpdateAgent", h.update(h.ctx, h.carl.Agent))
	h.claims()
}

func jobLost(h *hurt) {
	bad, _ := h.claims()
	same(h.world, "state of the job", bad.State, gateway.Delivering)
	p := parcel{bad}
	h.settle(p.settled(h.world, gateway.Success, bad.Recipients...))
	same(h.world, "states", states(h.read(h.alice, h.bad).Deliveries), "delivered")
}

func deadLost(h *hurt) {
	same(h.world, "redriven of one that did not fail",
		h.redrive(gateway.DeadFilter{Destination: "dead.example"}, h.now()), 0)
	h.claims()
}
