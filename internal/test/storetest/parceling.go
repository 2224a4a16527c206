package storetest

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

func parcelIsWhole(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	a := w.acceptance(letter{from: alice, to: []person{bob},
		far: []string{"x@far.example", "y@other.example", "Z@far.example"}, id: "token"})
	got, err := w.store.Accept(w.ctx, a)
	w.works("Accept", err)
	job := w.claim(w.now(), "far.example")[0]
	p, err := w.store.Parcel(w.ctx, job.ID, job.Fence)
	w.works("Parcel", err)
	same(w, "job", p.Job, job)
	same(w, "body", string(p.Body), string(a.Message.Raw()))
	a.ID = got.ID
	w.sameEnvelope("parcel", p.Envelope, a.Envelope)
	same(w, "recipients", addresses(p.Recipients), "x@far.example Z@far.example")
	same(w, "states", states(p.Recipients), "delivering delivering")
	same(w, "ids", p.Recipients[0].ID != 0 && p.Recipients[0].ID != p.Recipients[1].ID, true)
	s := parcel{p}.settled(w, gateway.Success, p.Recipients[0])
	s.Due = w.now()
	w.settle(s)
	again := w.claimOne("far.example", w.now())
	same(w, "recipients not decided yet", addresses(again.Recipients), "Z@far.example")
}

func parcelAnswers(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	uuid := amtp.NewMessageID()
	far := letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{alice}}
	token, whole, other := far, far, far
	token.id, whole.id, other.to = "token", uuid, []person{carol}
	own := w.post(letter{from: alice, to: []person{bob}, id: "mine"}).ID
	v4 := w.post(letter{from: alice, to: []person{bob}, id: "7b1f3c52-8a3e-4d64-9a46-0a2f1f6d3f10"}).ID
	for _, c := range []struct{ answers, want amtp.MessageID }{
		{"", ""}, {"unheard-of", ""}, {amtp.NewMessageID(), ""},
		{w.post(token).ID, "token"}, {w.post(whole).ID, uuid}, {w.post(other).ID, ""},
		{own, own}, {"mine", own}, {v4, amtp.PeerMessageID(v4)},
	} {
		w.post(letter{from: alice, far: []string{"a@far.example"}, answers: c.answers})
		p := w.claimOne("far.example", w.now())
		same(w, "id of what is answered by "+string(c.answers), p.InReplyTo, c.want)
		same(w, "the sender's word", p.Envelope.InReplyTo, c.answers)
		w.settle(p.settled(w, gateway.Success, p.Recipients...))
	}
}

func parcelThread(w *world) {
	alice, bob := w.agent("alice"), w.pushed("bob")
	pushed := func(l letter, thread amtp.MessageID) amtp.MessageID {
		l.from, l.to = alice, []person{bob}
		id := w.post(l).ID
		if thread == "" {
			thread = id
		}
		p := w.claimOne(gateway.PushTo(bob.ID), w.now())
		same(w, "thread of what answers "+string(l.answers), p.Thread, thread)
		w.settle(p.settled(w, gateway.Success, p.Recipients...))
		return id
	}
	first := pushed(letter{}, "")
	second := pushed(letter{answers: first}, first)
	pushed(letter{answers: second}, first)
	pushed(letter{answers: "unheard-of"}, "unheard-of")
	w.mail(alice, "a@far.example")
	same(w, "thread of what goes elsewhere", w.claimOne("far.example", w.now()).Thread, "")
}

// parcelFurther: of the recipients of one domain all but the first are Further. That
// does not depend on which are decided already, on other jobs between them or on a
// restart.
func parcelFurther(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.post(letter{from: alice, to: []person{bob}, far: []string{"a@far.example", "x@near.example", "b@FAR.example",
		"c@far.example"}})
	further := func(p parcel) (list string) {
		for _, d := range p.Recipients {
			list += d.Recipient.String() + map[bool]string{true: " further ", false: " "}[d.Further]
		}
		return list
	}
	p := w.claimOne("far.example", w.now())
	same(w, "parcel", further(p), "a@far.example b@far.example further c@far.example further ")
	s := p.settled(w, gateway.Success, p.Recipients[0], p.Recipients[1])
	s.Due = w.now()
	w.settle(s)
	same(w, "parcel without the first", further(w.claimOne("far.example", w.now())), "c@far.example further ")
	same(w, "parcel of another domain", further(w.claimOne("near.example", w.now())), "x@near.example ")
}

// parcelAnswersCopies: the parcel of an answer knows to which recipients the answered
// message left under another id, and whose id that is.
func parcelAnswersCopies(w *world) {
	alice := w.agent("alice")
	first := w.mail(alice, "a@far.example", "b@far.example", "x@near.example", "c@far.example")
	w.drop("far.example")
	w.drop("near.example")
	from := w.post(letter{remote: "Peer@far.example", class: gateway.ClassDomain, to: []person{alice}, id: "token"}).ID
	for _, c := range []struct {
		answers amtp.MessageID
		from    amtp.Domain
		copies  string
	}{{first, "", "b@far.example c@far.example"}, {from, "far.example", ""}, {"unheard-of", "", ""}} {
		w.post(letter{from: alice, far: []string{"b@far.example"}, answers: c.answers})
		p := w.claimOne("far.example", w.now())
		same(w, "whose id "+string(c.answers)+" is", p.Answered.From, c.from)
		same(w, "copies of "+string(c.answers), addresses(p.Answered.Copies), c.copies)
		if c.copies != "" {
			b := w.address("b@far.example")
			same(w, "id for b", p.Answered.To(b, p.InReplyTo, false), amtp.PeerCopyID(first, b))
			same(w, "id for b where fan-out is known", p.Answered.To(b, p.InReplyTo, true), first)
			same(w, "id for a", p.Answered.To(w.address("a@far.example"), p.InReplyTo, false), first)
		}
		w.settle(p.settled(w, gateway.Success, p.Recipients...))
	}
}

func parcelStale(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	queued := w.oneJob("far.example")
	first := w.claimOne("far.example", w.now())
	second := w.claimOne("far.example", first.Lease)
	stale := func(what string, id gateway.JobID, fence int64) {
		_, err := w.store.Parcel(w.ctx, id, fence)
		w.fails("Parcel "+what, err, gateway.ErrStale)
	}
	stale("that was not claimed", queued.ID, 0)
	stale("of the first claim", first.ID, first.Fence)
	stale("of a claim to come", first.ID, second.Fence+1)
	stale("of no job", 999, 1)
	w.settle(gateway.Settlement{Job: second.ID, Fence: second.Fence, Now: w.now(), Due: w.now()})
	stale("that is to be tried again", second.ID, second.Fence)
	third := w.claimOne("far.example", w.now())
	w.settle(third.settled(w, gateway.Success, third.Recipients...))
	stale("that is done", third.ID, third.Fence)
}
