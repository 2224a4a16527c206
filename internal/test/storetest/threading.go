package storetest

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// threading are the promises about Thread. In every mailbox it is the parent's thread
// if the parent is in this mailbox, else in_reply_to, else the message's own id.
func threading() []promise {
	return []promise{
		{"a message that answers nothing begins a thread", threadBegins},
		{"a reply is in the thread of its parent", threadContinues},
		{"a parent that is not in the mailbox gives the thread its id", threadOfAbsentParent},
		{"a parent that is no message here gives the thread its id", threadOfUnknownParent},
		{"replies to an unknown parent and their replies share a thread", threadBehindUnknownParent},
		{"the parent may be named by the sender's alias", threadByAlias},
		{"an alias means the sender's message, not the recipient's", threadByForeignAlias},
		{"an alias means the sender's message, not another remote sender's", threadByRemoteAlias},
		{"a remote sender's own id goes before that of a message that had it first", threadByTakenID},
		{"an answer from another domain names the message by the id under which it left", threadFromAbroad},
		{"only the mailbox that it left knows a message by that id", threadFromAbroadOfOthers},
		{"so does one of a further recipient of a domain, under its own id", threadFromFurther},
		{"also of one that a retry adds, before and after a restart", threadFromAdded},
		{"also of one that was redriven late", threadFromRedriven},
		{"a recipient that a retry adds has a thread of its own mailbox", threadOfAddedRecipient},
		{"Message shows the thread of the reader's mailbox", threadOfReader},
	}
}

// reply sends an answer and returns its id.
func (w *world) reply(to amtp.MessageID, from person, recipients ...person) amtp.MessageID {
	w.Helper()
	return w.post(letter{from: from, to: recipients, answers: to}).ID
}

// threadIn checks the thread of a message in an inbox.
func (w *world) threadIn(p person, id, want amtp.MessageID) {
	w.Helper()
	for _, item := range w.page(p, wholeInbox).Items {
		if item.ID == id {
			same(w, "thread in the inbox of "+p.Address.String(), item.Thread, want)
			return
		}
	}
	w.Errorf("inbox of %s = %v, want %s in it", p.Address, w.inbox(p), id)
}

func threadBegins(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	w.threadIn(bob, id, id)
	same(w, "thread for the sender", w.read(alice, id).Thread, id)
}

func threadContinues(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.send(alice, bob)
	second := w.reply(first, bob, alice)
	third := w.reply(second, alice, bob)
	w.ack(bob, third)
	fourth := w.reply(third, bob, alice)
	fifth := w.reply(third, alice, bob)
	w.threadIn(alice, second, first)
	w.threadIn(alice, fourth, first)
	w.threadIn(bob, fifth, first)
	for _, id := range []amtp.MessageID{second, third, fourth, fifth} {
		same(w, "thread for alice", w.read(alice, id).Thread, first)
		same(w, "thread for bob", w.read(bob, id).Thread, first)
	}
}

func threadOfAbsentParent(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	root := w.send(alice, bob)
	parent := w.reply(root, bob, alice)
	reply := w.reply(parent, alice, bob, carol)
	w.threadIn(bob, reply, root)
	w.threadIn(carol, reply, parent)
	w.threadIn(bob, w.reply(reply, carol, bob), root)
	w.threadIn(carol, w.reply(reply, bob, carol), parent)
}

func threadOfUnknownParent(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, parent := range []amtp.MessageID{amtp.NewMessageID(), "somewhere:else.1"} {
		id := w.reply(parent, alice, bob)
		w.threadIn(bob, id, parent)
		same(w, "thread for the sender", w.read(alice, id).Thread, parent)
	}
}

func threadBehindUnknownParent(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	first := w.reply("elsewhere", alice, bob)
	second := w.reply("elsewhere", carol, bob)
	third := w.reply(second, carol, bob)
	for _, id := range []amtp.MessageID{first, second, third} {
		w.threadIn(bob, id, "elsewhere")
	}
}

func threadByAlias(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	first := w.post(letter{from: alice, to: []person{bob}, id: "token"}).ID
	second := w.reply("token", alice, bob)
	same(w, "thread for the sender", w.read(alice, second).Thread, first)
	w.threadIn(bob, second, first)
}

func threadByForeignAlias(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	private := w.post(letter{from: bob, to: []person{bob}, id: "token"}).ID
	reply := w.reply("token", alice, bob)
	w.threadIn(bob, reply, "token")
	w.threadIn(bob, private, private)
}

func threadByRemoteAlias(w *world) {
	bob := w.agent("bob")
	remote := letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{bob}, id: "token"}
	first := w.post(remote).ID
	other := w.post(letter{remote: "other@far.example", class: gateway.ClassDomain, to: []person{bob},
		answers: "token"}).ID
	w.threadIn(bob, other, "token")
	remote.id, remote.answers = "", "token"
	w.threadIn(bob, w.post(remote).ID, first)
}

func threadByTakenID(w *world) {
	bob := w.agent("bob")
	id := amtp.NewMessageID()
	stranger := letter{remote: "peer@far.example", class: gateway.ClassAnonymous, to: []person{bob}, id: id,
		text: "forged"}
	same(w, "canonical id of the first", w.post(stranger).ID, id)
	peer := letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{bob}, id: id}
	own := w.post(peer).ID
	peer.id, peer.answers, peer.text = "", id, ""
	w.threadIn(bob, w.post(peer).ID, own)
}

// threadFromAbroad: a message whose id other gateways do not accept leaves under
// another id. An answer knows only that one.
func threadFromAbroad(w *world) {
	alice := w.agent("alice")
	first := w.post(letter{from: alice, far: []string{"peer@far.example"},
		id: "7b1f3c52-8a3e-4d64-9a46-0a2f1f6d3f10"}).ID
	abroad := amtp.PeerMessageID(first)
	if abroad == first {
		w.Fatalf("PeerMessageID(%s) is the id itself, want another", first)
	}
	answer := w.post(letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{alice},
		answers: abroad}).ID
	w.threadIn(alice, answer, first)
	same(w, "id of the message by the id under which it left", w.read(alice, abroad).ID, first)
}

func threadFromAbroadOfOthers(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	abroad := amtp.PeerMessageID(w.post(letter{from: alice, far: []string{"peer@far.example"},
		id: "7b1f3c52-8a3e-4d64-9a46-0a2f1f6d3f10"}).ID)
	answer := w.post(letter{remote: "peer@far.example", class: gateway.ClassDomain, to: []person{bob},
		answers: abroad}).ID
	w.threadIn(bob, answer, abroad)
	w.absent(bob, abroad)
}

// fromFar lets a recipient in another domain answer a message under the id that it
// knows, and returns the answer.
func (w *world) fromFar(address string, to person, answers amtp.MessageID) amtp.MessageID {
	w.Helper()
	return w.post(letter{remote: address, class: gateway.ClassDomain, to: []person{to}, answers: answers}).ID
}

// threadFromFurther: of the recipients of one domain all but the first know the message
// by an id of their own, unless their gateway accepts the first one's.
func threadFromFurther(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for _, given := range []amtp.MessageID{"", "7b1f3c52-8a3e-4d64-9a46-0a2f1f6d3f10", "token"} {
		id := w.post(letter{from: alice, id: given, to: []person{bob},
			far: []string{"a@far.example", "X@near.example", "B@Far.example", "c@far.example", "y@near.example"}}).ID
		base := amtp.PeerMessageID(id)
		for address, further := range map[string]bool{
			"a@far.example": false, "x@near.example": false, "b@far.example": true, "c@far.example": true,
			"y@near.example": true,
		} {
			known := amtp.PeerCopyID(id, w.address(address))
			w.threadIn(alice, w.fromFar(address, alice, base), id)
			if further {
				w.threadIn(alice, w.fromFar(address, alice, known), id)
				same(w, "message by the id of "+address, w.read(alice, known).ID, id)
				w.threadIn(bob, w.fromFar(address, bob, known), known)
				w.absent(bob, known)
				continue
			}
			w.threadIn(alice, w.fromFar(address, alice, known), known)
			w.absent(alice, known)
		}
		w.drop("far.example")
		w.drop("near.example")
	}
}

// drop settles all deliveries of a destination's jobs as delivered.
func (w *world) drop(d gateway.Destination) {
	w.Helper()
	for _, j := range w.claim(w.now(), d) {
		p, err := w.store.Parcel(w.ctx, j.ID, j.Fence)
		w.works("Parcel", err)
		w.settle(parcel{p}.settled(w, gateway.Success, p.Recipients...))
	}
}

func threadFromAdded(w *world) {
	alice := w.agent("alice")
	l := letter{from: alice, far: []string{"a@far.example"}, key: "k", text: "the same"}
	id := w.post(l).ID
	w.drop("far.example")
	l.far = []string{"b@far.example", "x@near.example", "a@far.example", "y@near.example"}
	same(w, "id of the message", w.post(l).ID, id)
	for address, further := range map[string]bool{"b@far.example": true, "x@near.example": false,
		"y@near.example": true} {
		known := amtp.PeerCopyID(id, w.address(address))
		want := known
		if further {
			want = id
		}
		w.threadIn(alice, w.fromFar(address, alice, known), want)
	}
	p := w.claimOne("far.example", w.now())
	same(w, "recipients", addresses(p.Recipients), "b@far.example")
	same(w, "further", p.Recipients[0].Further, true)
}

// threadFromRedriven: a message that other gateways may have forgotten leaves under a
// new id.
func threadFromRedriven(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example", "b@far.example")
	w.fail("far.example", w.now())
	late := w.now().Add(gateway.Forgotten)
	same(w, "redriven", w.redrive(gateway.DeadFilter{}, late), 2)
	p := w.claimOne("far.example", late)
	for i := range p.Recipients {
		d := &p.Recipients[i]
		w.sameTime("redriven", d.Redriven, late)
		same(w, "further", d.Further, i == 1)
		for _, known := range []amtp.MessageID{d.Base(id), d.Abroad(id), amtp.PeerMessageID(id)} {
			w.threadIn(alice, w.fromFar(d.Recipient.String(), alice, known), id)
			same(w, "message by that id", w.read(alice, known).ID, id)
		}
	}
	same(w, "ids of the two", p.Recipients[0].Abroad(id) != p.Recipients[1].Abroad(id), true)
}

func threadOfAddedRecipient(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	root := w.send(alice, carol)
	parent := w.reply(root, carol, alice)
	l := letter{from: alice, to: []person{bob}, answers: parent, key: "k", text: "reply"}
	id := w.post(l).ID
	l.to = []person{carol}
	w.post(l)
	w.threadIn(bob, id, parent)
	w.threadIn(carol, id, root)
}

func threadOfReader(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	root := w.send(alice, bob)
	parent := w.reply(root, bob, alice)
	reply := w.reply(parent, alice, carol)
	same(w, "thread for alice", w.read(alice, reply).Thread, root)
	same(w, "thread for carol", w.read(carol, reply).Thread, parent)
}
