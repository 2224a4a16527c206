package storetest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// peering are the promises about other domains.
func peering() []promise {
	return []promise{
		{"only Domain is set when nothing is known", peerUnknown},
		{"NoteSenderDomain remembers that a message of the domain was taken", peerNoted},
		{"NoteSenderDomain remembers that it was signed", peerSigned},
		{"times are those of the latest message, to the hour", peerToTheHour},
		{"a clock that went back changes nothing", peerClockBack},
		{"notes at the same time are all kept", peersAtOnce},
		{"The first proven message of an address to an agent is its first contact", firstContact},
		{"A recipient that a retry adds has a first contact of its own", firstContactOfAdded},
		{"A domain is Written once an agent's message to it is stored, until the agent is removed", peerWritten},
		{"Whom agents met is forgotten with the domain", strangersAreNewAgain},
		{"SenderDomainsPage lists peers in the order of their domains", peersInOrder},
	}
}

func (w *world) peer(d amtp.Domain) gateway.SenderDomain {
	w.Helper()
	p, err := w.store.SenderDomain(w.ctx, d)
	if err != nil {
		w.Fatalf("SenderDomain = %v, want no error; domain %s", err, d)
	}
	same(w, "domain of the peer", p.Domain, d)
	return p
}

func (w *world) note(d amtp.Domain, signed bool, now time.Time) {
	w.Helper()
	if err := w.store.NoteSenderDomain(w.ctx, d, signed, now); err != nil {
		w.Fatalf("NoteSenderDomain = %v, want no error; domain %s", err, d)
	}
}

func (w *world) isPeer(d amtp.Domain, firstSeen, lastSeen, firstSigned, lastSigned time.Time) {
	w.Helper()
	p := w.peer(d)
	w.sameTime("first seen", p.FirstSeen, firstSeen)
	w.sameTime("last seen", p.LastSeen, lastSeen)
	w.sameTime("first signed", p.FirstSigned, firstSigned)
	w.sameTime("last signed", p.LastSigned, lastSigned)
}

var never time.Time

func peerUnknown(w *world) {
	w.note("near.example", true, w.now())
	w.isPeer("far.example", never, never, never, never)
}

func peerNoted(w *world) {
	first := w.now()
	w.note("far.example", false, first)
	w.isPeer("far.example", first, first, never, never)
	later := first.Add(5 * time.Hour)
	w.note("far.example", false, later)
	w.isPeer("far.example", first, later, never, never)
}

func peerSigned(w *world) {
	first := w.now()
	w.note("far.example", false, first)
	signed := first.Add(time.Minute) // at once, although the domain was seen within the hour
	w.note("far.example", true, signed)
	p := w.peer("far.example")
	w.sameTime("first seen", p.FirstSeen, first)
	w.sameTime("first signed", p.FirstSigned, signed)
	w.sameTime("last signed", p.LastSigned, signed)
	later := signed.Add(3 * time.Hour)
	w.note("far.example", true, later)
	last := later.Add(3 * time.Hour)
	w.note("far.example", false, last)
	w.isPeer("far.example", first, last, signed, later)
	w.note("signs.example", true, first)
	w.isPeer("signs.example", first, first, first, first)
}

func peerToTheHour(w *world) {
	first := w.now()
	w.note("far.example", true, first)
	for _, after := range []time.Duration{time.Second, 59 * time.Minute, time.Hour, 90 * time.Minute, 2 * time.Hour,
		10 * time.Hour} {
		now := first.Add(after)
		w.note("far.example", true, now)
		p := w.peer("far.example")
		for what, at := range map[string]time.Time{"seen": p.LastSeen, "signed": p.LastSigned} {
			if off := now.Sub(at); off < 0 || off >= time.Hour {
				w.Errorf("last %s = %v, want less than an hour before %v", what, at, now)
			}
		}
		w.sameTime("first seen", p.FirstSeen, first)
		w.sameTime("first signed", p.FirstSigned, first)
	}
}

func peerClockBack(w *world) {
	first := w.now().Add(100 * time.Hour)
	w.note("far.example", true, first)
	w.note("far.example", true, morning)
	w.isPeer("far.example", first, first, first, first)
}

func peersAtOnce(w *world) {
	now := w.now()
	together(40, func(i int) {
		domain := amtp.Domain(fmt.Sprintf("d%d.example", i%5))
		if err := w.store.NoteSenderDomain(w.ctx, domain, i < 5, now); err != nil {
			w.Errorf("NoteSenderDomain = %v, want no error", err)
		}
	})
	for i := range 5 {
		w.isPeer(amtp.Domain(fmt.Sprintf("d%d.example", i)), now, now, now, now)
	}
}

// firstContact is for each recipient separately, and a message that proves nothing
// counts for no recipient.
func firstContact(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	far := "Peer@far.example"
	// first sends a message of the class and returns, for each recipient, whether it is
	// the first.
	first := func(class gateway.Class, from string, to ...person) (list []bool) {
		got := w.post(letter{remote: from, class: class, to: to})
		for _, p := range to {
			record := w.read(p, got.ID)
			items := w.page(p, wholeInbox).Items
			item := items[len(items)-1]
			same(w, "first contact in the inbox and by itself", item.Found.FirstContact, record.Found.FirstContact)
			list = append(list, record.Found.FirstContact)
		}
		return list
	}
	first(gateway.ClassAnonymous, far, alice) // a spoof
	sameList(w, "first proven message to alice", first(gateway.ClassDomain, far, alice), []bool{true})
	sameList(w, "second to alice, and first to bob", first(gateway.ClassDomain, "peer@FAR.example", alice, bob),
		[]bool{false, true})
	sameList(w, "third", first(gateway.ClassDomain, far, bob, alice), []bool{false, false})
	sameList(w, "another of the domain", first(gateway.ClassDomain, "other@far.example", alice), []bool{true})
	sameList(w, "the same name elsewhere", first(gateway.ClassDomain, "peer@other.example", alice), []bool{true})
}

// firstContactOfAdded is the first contact with a recipient that a retry adds.
func firstContactOfAdded(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.post(letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{alice}})
	one := w.post(letter{remote: "peer@far.example", class: gateway.ClassDomain, id: "m", key: "k", text: "to both",
		to: []person{alice}})
	two := w.post(letter{remote: "peer@far.example", class: gateway.ClassDomain, id: "m", key: "k", text: "to both",
		to: []person{bob}})
	same(w, "the message", two.ID, one.ID)
	same(w, "first contact with alice", w.read(alice, one.ID).Found.FirstContact, false)
	same(w, "first contact with bob", w.read(bob, one.ID).Found.FirstContact, true)
}

// strangersAreNewAgain when the store has forgotten all that it knew of their domain.
func strangersAreNewAgain(w *world) {
	alice, now := w.agent("alice"), w.now()
	w.note("far.example", true, now)
	for i := range 7 {
		w.post(letter{remote: fmt.Sprintf("s%d@far.example", i), class: gateway.ClassDomain, to: []person{alice}})
	}
	later := now.Add(keep.Status + time.Hour)
	for calls := 0; ; calls++ {
		got, err := w.store.Purge(w.ctx, keep, later, 0, 3)
		w.works("Purge", err)
		if got.Peers > 0 {
			break
		}
		if calls == 10 {
			w.Fatalf("the domain is not purged after ten calls")
		}
	}
	got := w.post(letter{remote: "s1@far.example", class: gateway.ClassDomain, to: []person{alice}})
	same(w, "first contact afterwards", w.read(alice, got.ID).Found.FirstContact, true)
}

func peerWritten(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	written := func(d amtp.Domain, want bool) {
		w.Helper()
		same(w, string(d)+" is written to", w.peer(d).Written, want)
	}
	written("far.example", false)
	w.note("far.example", true, w.now())
	w.post(letter{remote: "ann@far.example", class: gateway.ClassDomain, to: []person{alice}})
	written("far.example", false) // it wrote itself
	w.post(letter{from: alice, far: []string{"ann@far.example", "ann@silent.example"}})
	w.post(letter{from: bob, far: []string{"ben@FAR.example"}})
	written("far.example", true)
	written("silent.example", true) // nothing has come from there yet
	written("other.example", false)
	w.works("RemoveAgent", w.store.RemoveAgent(w.ctx, gateway.Acting{}, alice.ID, w.now()))
	written("silent.example", false)
	written("far.example", true)
}

func peersInOrder(w *world) {
	for _, i := range []int{3, 1, 4, 0, 2} {
		w.note(amtp.Domain(fmt.Sprintf("d%d.example", i)), false, w.now())
	}
	list := func(after amtp.Domain, limit int) (domains []amtp.Domain) {
		peers, err := w.store.SenderDomainsPage(w.ctx, after, limit)
		w.works("SenderDomainsPage", err)
		for _, p := range peers {
			w.isPeer(p.Domain, p.FirstSeen, p.LastSeen, p.FirstSigned, p.LastSigned)
			domains = append(domains, p.Domain)
		}
		return domains
	}
	sameList(w, "first page", list("", 2), []amtp.Domain{"d0.example", "d1.example"})
	sameList(w, "second page", list("d1.example", 2), []amtp.Domain{"d2.example", "d3.example"})
	sameList(w, "the rest", list("d1.example", 9), []amtp.Domain{"d2.example", "d3.example", "d4.example"})
	sameList(w, "behind the last", list("d4.example", 9), nil)
}

// peersAfterRestart is one of the promises about what a store remembers.
func peersAfterRestart(w *world) {
	now := w.now()
	w.note("far.example", true, now)
	w.restart()
	w.isPeer("far.example", now, now, now, now)
}

// peersGo has more domains than one call examines, and one that wrote again.
func peersGo(w *world) {
	now := w.now()
	for i := range 7 {
		w.note(amtp.Domain("d"+strconv.Itoa(i)+".example"), i%2 == 0, now)
	}
	again := now.Add(2 * time.Hour)
	w.note("d3.example", false, again)
	same(w, "domains purged before their time", w.purge(keep, now.Add(keep.Status-time.Second)).Peers, 0)
	first, err := w.store.Purge(w.ctx, keep, now.Add(keep.Status), 0, 3)
	if err != nil || first.Peers != 3 || first.Done || first.Next != 0 {
		w.Fatalf("Purge of seven domains with a limit of 3 = %+v, %v; want three, and more to come", first, err)
	}
	same(w, "domains purged in their time", w.purge(keep, now.Add(keep.Status)).Peers, 3)
	w.isPeer("d3.example", now, again, never, never)
	w.isPeer("d0.example", never, never, never, never)
	w.note("d0.example", false, again)
	w.isPeer("d0.example", again, again, never, never)
	same(w, "domains purged in the end", w.purge(keep, again.Add(keep.Status)).Peers, 2)
}

// signingPeersStay has a retention that ends before a domain's duty to sign.
func signingPeersStay(w *world) {
	short, now := keep, w.now()
	short.Status = gateway.MinKeys
	w.note("signs.example", true, now)
	same(w, "domains purged while they are held to sign", w.purge(short, now.Add(gateway.Sticky-time.Second)).Peers, 0)
	w.isPeer("signs.example", now, now, now, now)
	same(w, "domains purged afterwards", w.purge(short, now.Add(gateway.Sticky)).Peers, 1)
}
