package storetest

import (
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// burying are the promises about deliveries that failed.
func burying() []promise {
	return []promise{
		{"DeadLetters lists dead letters that match, without bodies", deadFiltered},
		{"a page is in the order of IDs and goes on behind After", deadPages},
		{"DeadLetter returns one with its body, or ErrNotFound", deadLetter},
		{"Redrive queues dead letters again, due at once, with a new schedule", redrive},
		{"Redrive again changes nothing", redriveTwice},
		{"or with the schedule of the message's job that there is", redriveJoins},
		{"what was not reported yet is not reported any more", redriveBeforeReport},
		{"nor by a report that is under way", redriveDuringReport},
		{"a report tells of what was tried again and failed again only once", redriveFailsBeforeReport},
		{"after Forgotten Redriven of the job is now", redriveLate},
		{"before that each attempt decides by the age that the message has then", redriveEarly},
		{"what fails again is a dead letter of a later generation", redriveFailsAgain},
		{"Redriven of a job stays what it was first", redrivenOnce},
		{"Redrive of many", redriveMany},
		{"PurgeDead takes letters from the list; the messages keep their failed status", purgeDead},
		{"what was taken from the list is reported all the same", purgeDeadBeforeReport},
		{"a letter goes with its message's body", deadBodiesGo},
	}
}

// failures lets messages fail at three domains, and returns their ids in order.
func (w *world) failures(from person, n int) (ids []amtp.MessageID) {
	w.Helper()
	for i := range n {
		d := fmt.Sprintf("d%d.example", i%3)
		ids = append(ids, w.mail(from, "a@"+d))
		w.fail(gateway.Destination(d), w.now())
	}
	w.fail(gateway.Reports, w.now())
	return ids
}

func deadFiltered(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	ids := w.failures(alice, 6)
	w.send(alice, bob)
	p := w.claimOne(gateway.PushTo(bob.ID), w.now())
	s := p.settled(w, gateway.GiveUp, p.Recipients...)
	s.Results[0].Code = "TEMPORARY_FAILURE"
	w.settle(s)
	all := w.dead(gateway.DeadFilter{})
	same(w, "dead letters", len(all), 7)
	for _, l := range all {
		same(w, "body", l.Body == nil, true)
		same(w, "there is a size", l.Size > 0, true)
	}
	for _, c := range []struct {
		f    gateway.DeadFilter
		want int
	}{
		{gateway.DeadFilter{Destination: "d1.example"}, 2}, {gateway.DeadFilter{Destination: "example"}, 0},
		{gateway.DeadFilter{Destination: gateway.PushTo(bob.ID)}, 1},
		{gateway.DeadFilter{Destination: gateway.PushTo(alice.ID)}, 0},
		{gateway.DeadFilter{Message: ids[4]}, 1}, {gateway.DeadFilter{Message: amtp.NewMessageID()}, 0},
		{gateway.DeadFilter{Message: "token"}, 0},
		{gateway.DeadFilter{Code: "TEMPORARY_FAILURE"}, 1}, {gateway.DeadFilter{Code: "RECIPIENT_NOT_FOUND"}, 6},
		{gateway.DeadFilter{Before: all[2].At}, 2}, {gateway.DeadFilter{Before: all[2].At.Add(time.Microsecond)}, 3},
		{gateway.DeadFilter{IDs: []gateway.DeliveryID{all[5].ID, all[1].ID, 9999}}, 2},
		{gateway.DeadFilter{IDs: []gateway.DeliveryID{}}, 0},
		{gateway.DeadFilter{IDs: []gateway.DeliveryID{all[0].ID, all[1].ID}, Destination: "d1.example"}, 1},
	} {
		same(w, fmt.Sprintf("letters of %+v", c.f), len(w.dead(c.f)), c.want)
	}
}

func deadPages(w *world) {
	w.failures(w.agent("alice"), 7)
	var got []gateway.DeliveryID
	f := gateway.DeadFilter{Limit: 3}
	for _, want := range []int{3, 3, 1} {
		page, err := w.store.DeadLetters(w.ctx, f)
		w.works("DeadLetters", err)
		same(w, "letters of a page", len(page.Letters), want)
		same(w, "has more", page.HasMore, want == 3)
		for _, l := range page.Letters {
			same(w, "in order", l.ID > f.After, true)
			f.After = l.ID
			got = append(got, l.ID)
		}
	}
	var want []gateway.DeliveryID
	for _, l := range w.dead(gateway.DeadFilter{}) {
		want = append(want, l.ID)
	}
	sameList(w, "all pages", got, want)
}

func deadLetter(w *world) {
	alice := w.agent("alice")
	a := w.acceptance(letter{from: alice, far: []string{"a@far.example"}, id: "token"})
	got, err := w.store.Accept(w.ctx, a)
	w.works("Accept", err)
	w.fail("far.example", w.now())
	listed := w.dead(gateway.DeadFilter{})[0]
	l, err := w.store.DeadLetter(w.ctx, listed.ID)
	w.works("DeadLetter", err)
	same(w, "body", string(l.Body), string(a.Message.Raw()))
	same(w, "size", l.Size, len(l.Body))
	a.ID = got.ID
	w.sameEnvelope("letter", l.Envelope, a.Envelope)
	same(w, "delivery", l.Delivery, listed.Delivery)
	w.mail(alice, "a@far.example")
	waits := w.oneJob("far.example").Recipients[0].ID
	for _, id := range []gateway.DeliveryID{0, 9999, waits} {
		_, err := w.store.DeadLetter(w.ctx, id)
		w.fails(fmt.Sprintf("DeadLetter of %d", id), err, gateway.ErrNotFound)
	}
}

func (w *world) redrive(f gateway.DeadFilter, now time.Time) int {
	w.Helper()
	n, err := w.store.Redrive(w.ctx, f, now)
	if err != nil {
		w.Fatalf("Redrive = %v, want no error; %+v", err, f)
	}
	return n
}

func redrive(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	id := w.post(letter{from: alice, to: []person{bob}, far: []string{"a@far.example", "b@far.example"}}).ID
	old := w.claimOne("far.example", w.now())
	w.settle(gateway.Settlement{Job: old.ID, Fence: old.Fence, Now: w.now()})
	w.fail("far.example", w.now())
	w.fail(gateway.PushTo(bob.ID), w.now())
	w.fail(gateway.Reports, w.now())
	w.rang()
	now := w.now()
	same(w, "redriven", w.redrive(gateway.DeadFilter{}, now), 3)
	same(w, "dead letters", len(w.dead(gateway.DeadFilter{})), 0)
	same(w, "rang", w.rang(), "far.example "+string(gateway.PushTo(bob.ID)))
	j := w.oneJob("far.example")
	same(w, "a job of its own", j.ID > old.ID, true)
	same(w, "recipients", addresses(j.Recipients), "a@far.example b@far.example")
	same(w, "attempts", j.Attempts, 0)
	same(w, "state", j.State, gateway.Queued)
	w.sameTime("begun", j.Begun, now)
	w.sameTime("due", j.Due, now)
	w.sameTime("redriven", j.Redriven, time.Time{})
	same(w, "push", addresses(w.oneJob(gateway.PushTo(bob.ID)).Recipients), bob.Address.String())
	for _, d := range w.read(alice, id).Deliveries {
		same(w, "state of the delivery", d.State, gateway.Queued)
		same(w, "attempts of the delivery", d.Attempts, 0)
		same(w, "code of the delivery", d.ErrorCode, "")
		same(w, "reason of the delivery", d.ErrorText, "")
		w.sameTime("change of the delivery", d.Changed, now)
	}
	p := w.claimOne("far.example", now)
	w.settle(p.settled(w, gateway.Success, p.Recipients...))
	same(w, "states", states(w.read(alice, id).Deliveries), "queued delivered delivered")
}

func redriveTwice(w *world) {
	alice := w.agent("alice")
	w.failures(alice, 4)
	letters := w.dead(gateway.DeadFilter{})
	f := gateway.DeadFilter{IDs: []gateway.DeliveryID{letters[1].ID, letters[2].ID}}
	same(w, "redriven", w.redrive(f, w.now()), 2)
	before := w.jobs(gateway.JobFilter{})
	w.rang()
	same(w, "redriven again", w.redrive(f, w.now()), 0)
	same(w, "rang", w.rang(), "")
	after := w.jobs(gateway.JobFilter{})
	same(w, "jobs", len(after), len(before))
	for i := range after {
		same(w, "job", after[i].Job, before[i].Job)
	}
	same(w, "the others are dead still", len(w.dead(gateway.DeadFilter{})), 2)
}

func redriveJoins(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	p := w.claimOne("far.example", w.now())
	s := p.settled(w, gateway.Refuse, p.Recipients[0])
	s.Due = w.now().Add(time.Hour)
	w.settle(s)
	now := w.now()
	same(w, "redriven", w.redrive(gateway.DeadFilter{Message: id}, now), 1)
	j := w.oneJob("far.example")
	same(w, "job", j.ID, p.ID)
	same(w, "recipients", addresses(j.Recipients), "a@far.example b@far.example")
	w.sameTime("due", j.Due, now)
	again := w.claimOne("far.example", now)
	same(w, "attempts", again.Attempts, 2)
	w.settle(again.settled(w, gateway.Success, again.Recipients...))
	same(w, "states", states(w.read(alice, id).Deliveries), "delivered delivered")
}

func redriveBeforeReport(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example", "b@far.example")
	w.fail("far.example", w.now())
	letters := w.dead(gateway.DeadFilter{})
	w.redrive(gateway.DeadFilter{IDs: []gateway.DeliveryID{letters[0].ID}}, w.now())
	same(w, "recipients of the report", addresses(w.oneJob(gateway.Reports).Recipients), "b@far.example")
	w.redrive(gateway.DeadFilter{}, w.now())
	same(w, "reports", len(w.jobs(gateway.JobFilter{Destination: gateway.Reports})), 0)
	same(w, "recipients tried again", addresses(w.oneJob("far.example").Recipients), "a@far.example b@far.example")
}

func redriveDuringReport(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	w.fail("far.example", w.now())
	letters := w.dead(gateway.DeadFilter{})
	p := w.claimOne(gateway.Reports, w.now())
	w.redrive(gateway.DeadFilter{IDs: []gateway.DeliveryID{letters[0].ID}}, w.now())
	again, err := w.store.Parcel(w.ctx, p.ID, p.Fence)
	w.works("Parcel", err)
	same(w, "recipients of the report", addresses(again.Recipients), "b@far.example")
	w.settle(p.settled(w, gateway.Success, p.Recipients...))
	same(w, "reports", len(w.jobs(gateway.JobFilter{Destination: gateway.Reports})), 0)
	same(w, "states", states(w.read(alice, id).Deliveries), "queued failed")
	same(w, "recipients tried again", addresses(w.oneJob("far.example").Recipients), "a@far.example")
}

func redriveFailsBeforeReport(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example", "b@far.example")
	w.fail("far.example", w.now())
	letters := w.dead(gateway.DeadFilter{})
	w.redrive(gateway.DeadFilter{IDs: []gateway.DeliveryID{letters[1].ID}}, w.now())
	w.fail("far.example", w.now())
	var told []string
	for _, j := range w.jobs(gateway.JobFilter{Destination: gateway.Reports}) {
		told = append(told, addresses(j.Recipients))
	}
	sameList(w, "recipients of each report", told, []string{"a@far.example", "b@far.example"})
}

func redriveLate(w *world) {
	alice := w.agent("alice")
	ids := w.failures(alice, 2)
	received := w.read(alice, ids[1]).ReceivedAt
	now := received.Add(gateway.Forgotten)
	same(w, "redriven", w.redrive(gateway.DeadFilter{Message: ids[1]}, now), 1)
	w.sameTime("redriven", w.jobs(gateway.JobFilter{Message: ids[1]})[0].Redriven, now)
	p := w.claimOne("d1.example", now)
	w.sameTime("redriven in the parcel", p.Redriven, now)
	early := w.read(alice, ids[0]).ReceivedAt.Add(gateway.Forgotten - time.Microsecond)
	w.redrive(gateway.DeadFilter{Message: ids[0]}, early)
	w.sameTime("redriven before", w.jobs(gateway.JobFilter{Message: ids[0]})[0].Redriven, time.Time{})
}

// redriveEarly: a message that is redriven before Forgotten and tried after it leaves
// under a new id. Its sender finds it by that id.
func redriveEarly(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	w.fail("far.example", w.now())
	received := w.read(alice, id).ReceivedAt
	now := received.Add(gateway.Forgotten - time.Hour)
	same(w, "redriven", w.redrive(gateway.DeadFilter{}, now), 2)
	p := w.claimOne("far.example", now.Add(2*time.Hour))
	for _, d := range p.Recipients {
		w.sameTime("redriven in the parcel", d.Redriven, time.Time{})
		d.Redriven = gateway.AsNew(p.Envelope.ReceivedAt, p.Begun)
		w.sameTime("since when it is new", d.Redriven, received.Add(gateway.Forgotten))
		for _, name := range []amtp.MessageID{d.Base(id), d.Abroad(id)} {
			same(w, "message found by the id under which it leaves", w.read(alice, name).ID, id)
		}
	}
}

func redriveFailsAgain(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	for generation := range 3 {
		w.fail("far.example", w.now())
		letters := w.dead(gateway.DeadFilter{Message: id})
		same(w, "dead letters", len(letters), 1)
		same(w, "generation", letters[0].Generation, generation)
		same(w, "attempts", letters[0].Delivery.Attempts, 1)
		same(w, "reports", len(w.jobs(gateway.JobFilter{Destination: gateway.Reports})), 1)
		w.redrive(gateway.DeadFilter{}, w.now())
	}
}

func redriveMany(w *world) {
	alice := w.agent("alice")
	const n = 700
	to := make([]string, 100)
	for i := range to {
		to[i] = fmt.Sprintf("a%d@far.example", i)
	}
	for range n / len(to) {
		w.mail(alice, to...)
	}
	w.fail("far.example", w.now())
	same(w, "redriven with a limit", w.redrive(gateway.DeadFilter{Limit: 300}, w.now()), 300)
	same(w, "dead letters left", len(w.dead(gateway.DeadFilter{})), n-300)
	same(w, "redriven", w.redrive(gateway.DeadFilter{}, w.now()), n-300)
	same(w, "jobs", len(w.jobs(gateway.JobFilter{Destination: "far.example"})), n/len(to))
	w.fail("far.example", w.now())
	gone, err := w.store.PurgeDead(w.ctx, gateway.DeadFilter{})
	w.works("PurgeDead", err)
	same(w, "purged", gone, n)
}

func purgeDeadBeforeReport(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example", "b@far.example")
	w.fail("far.example", w.now())
	n, err := w.store.PurgeDead(w.ctx, gateway.DeadFilter{})
	w.works("PurgeDead", err)
	same(w, "purged", n, 2)
	p := w.claimOne(gateway.Reports, w.now())
	same(w, "recipients of the report", addresses(p.Recipients), "a@far.example b@far.example")
	w.settle(p.settled(w, gateway.Success, p.Recipients...))
	same(w, "jobs", len(w.jobs(gateway.JobFilter{})), 0)
}

func purgeDead(w *world) {
	alice := w.agent("alice")
	ids := w.failures(alice, 5)
	first := w.dead(gateway.DeadFilter{})[0]
	n, err := w.store.PurgeDead(w.ctx, gateway.DeadFilter{IDs: []gateway.DeliveryID{first.ID}})
	w.works("PurgeDead", err)
	same(w, "purged", n, 1)
	same(w, "letters left", len(w.dead(gateway.DeadFilter{})), 4)
	n, err = w.store.PurgeDead(w.ctx, gateway.DeadFilter{Limit: 3})
	w.works("PurgeDead", err)
	same(w, "purged with a limit", n, 3)
	n, err = w.store.PurgeDead(w.ctx, gateway.DeadFilter{})
	w.works("PurgeDead", err)
	same(w, "purged at last", n, 1)
	_, err = w.store.DeadLetter(w.ctx, first.ID)
	w.fails("DeadLetter", err, gateway.ErrNotFound)
	for _, id := range ids {
		d := w.read(alice, id).Deliveries[0]
		same(w, "state", d.State, gateway.Failed)
		same(w, "code", d.ErrorCode, "RECIPIENT_NOT_FOUND")
	}
	same(w, "redriven", w.redrive(gateway.DeadFilter{}, w.now()), 0)
}

func deadBodiesGo(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.failures(alice, 1)[0]
	w.newest(alice, bob)
	l := w.dead(gateway.DeadFilter{})[0]
	w.purge(keep, l.At.Add(keep.Failed-time.Microsecond))
	same(w, "letters before the end", len(w.dead(gateway.DeadFilter{})), 1)
	w.purge(keep, l.At.Add(keep.Failed))
	same(w, "letters after the end", len(w.dead(gateway.DeadFilter{})), 0)
	same(w, "redriven", w.redrive(gateway.DeadFilter{}, w.later(keep.Failed)), 0)
	same(w, "body", w.hasBody(alice, id), false)
	same(w, "states", states(w.read(alice, id).Deliveries), "failed")
}

// redrivenOnce: a recipient that joins a job which was redriven late does not change
// the id of the outgoing message. Another gateway may have that id by now.
func redrivenOnce(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	w.fail("far.example", w.now())
	letters := w.dead(gateway.DeadFilter{})
	first := w.read(alice, id).ReceivedAt.Add(gateway.Forgotten)
	w.redrive(gateway.DeadFilter{IDs: []gateway.DeliveryID{letters[0].ID}}, first)
	before := w.claimOne("far.example", first)
	s := before.settled(w, gateway.Success)
	s.Due = first.Add(time.Second)
	w.settle(s)
	w.redrive(gateway.DeadFilter{IDs: []gateway.DeliveryID{letters[1].ID}}, first.Add(time.Minute))
	again := w.claimOne("far.example", first.Add(2*time.Minute))
	w.sameTime("Redriven", again.Redriven, before.Redriven)
	w.sameTime("Redriven of the first", again.Recipients[0].Redriven, first)
	w.sameTime("Redriven of the second", again.Recipients[1].Redriven, first.Add(time.Minute))
}
