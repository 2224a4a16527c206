package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// RunClock checks what a store does when its clock is wrong. open opens the store in
// dir with the clock. dir is empty at first, and open is called again for the same dir
// after a Close.
func RunClock(t *testing.T, open func(t *testing.T, dir string, clock *Hand) gateway.Store) {
	for _, p := range doubting() {
		t.Run(p.sentence, func(t *testing.T) {
			dir, hand := t.TempDir(), NewHand(morning)
			w := newWorld(t, open(t, dir, hand))
			w.hand = hand
			w.reopen = func() gateway.Store { return open(t, dir, hand) }
			p.check(w)
		})
	}
}

// doubting are the promises about a wrong clock.
func doubting() []promise {
	return []promise{
		{"a clock that goes is believed", believedWhenItGoes},
		{"what a time server mends disturbs nothing", smallCorrections},
		{"a clock that jumped is doubted until it has agreed", doubtedAfterAJump},
		{"a doubt lasts over a restart", doubtedAfterRestart},
		{"a machine that slept over a weekend is doubted for a while, and nothing is kept longer", slept},
		{"a clock that stands is doubted", doubtedWhenItStands},
		{"at a start it is doubted when it shows an earlier time, for a day", earlierAtStart},
		{"at a start it is doubted when it shows a time days later, for a day", laterAtStart},
		{"a gateway that is off for days again and again comes to believe it", offAgainAndAgain},
		{"what was written by a clock that was behind counts as written by the one of now", keptAsLong},
		{"and that over a restart", keptAsLongOverRestart},
		{"and that when nobody looked at the clock before the store ended", keptAsLongUnseen},
		{"what was acknowledged by a clock that jumped a moment before stays for its time", acknowledgedUnseen},
		{"its idempotency keys are remembered", keysKept},
		{"its jobs are not given up", jobsKept},
		{"what their recipients met counts from then, too", troublesKept},
		{"a recipient that was to wait by a clock that was ahead waits as long as it was to", troublesAhead},
		{"a clock that was ahead for a moment changes nothing", aheadForAMoment},
		{"a clock that is ahead until it is believed removes nothing early", aheadAndBelieved},
		{"what was written by a clock that was ahead is not kept for it", notKeptForEver},
		{"what comes behind it is given up and removed", walksPast},
		{"a job whose attempt was computed then waits as long as it was to", waitsAsLong},
		{"and that when the process was killed", waitsAsLongAfterKill},
		{"a clock that went back by an hour delays nothing", backByAnHour},
		{"a message that was taken or read by a clock that was ahead returns as it was to", takenAhead},
		{"a domain that signed is held to it for its time", signedKept},
		{"domains that seem old hide none that are", peersPast},
		{"at random nothing is lost, and in the end nothing is kept", wrongClocks},
		{"what happens at the wrong time over and over has its end", behindAtEveryStart},
	}
}

// look has the store check its clock.
func (w *world) look() gateway.ClockState {
	w.Helper()
	c, err := w.store.NoteClock(w.ctx)
	w.works("NoteClock", err)
	return c
}

// passes lets time pass. It checks the clock every hour at first and then every day.
func (w *world) passes(d time.Duration) {
	w.Helper()
	for step := min(d, time.Hour); d > 0; d, step = d-step, min(d-step, days) {
		w.hand.Pass(step)
		w.look()
	}
}

func (w *world) doubts(what string, want time.Duration) {
	w.Helper()
	c := w.look()
	if d := c.Doubt - want; d > 5*time.Minute || d < -5*time.Minute {
		w.Errorf("%s the clock has to agree for %v, want %v", what, c.Doubt, want)
	}
	same(w, "believed "+what, c.Believed(), want == 0)
}

func believedWhenItGoes(w *world) {
	w.doubts("at the first start", 0)
	w.passes(40 * days)
	w.doubts("after weeks", 0)
	w.restart()
	w.doubts("after a restart", 0)
	same(w, "jumps", w.look().Jumps, 0)
}

func smallCorrections(w *world) {
	for _, by := range []time.Duration{time.Second, -time.Second, time.Minute, -2 * time.Minute, 2 * time.Minute} {
		w.hand.Set(by)
		w.doubts("after a correction", 0)
		w.passes(2 * time.Hour)
	}
	same(w, "jumps", w.look().Jumps, 0)
}

func doubtedAfterAJump(w *world) {
	for _, by := range []time.Duration{400 * days, -400 * days, -time.Hour, 3650 * days, -3650 * days} {
		before := w.look()
		w.hand.Set(by)
		w.doubts(fmt.Sprintf("after a jump of %v", by), time.Hour)
		c := w.look()
		same(w, "jumps", c.Jumps, before.Jumps+1)
		if d := c.Jumped - by; d > time.Minute || d < -time.Minute {
			w.Errorf("it jumped by %v, want %v", c.Jumped, by)
		}
		w.hand.Pass(30 * time.Minute)
		w.doubts("half an hour later", 30*time.Minute)
		w.hand.Pass(30 * time.Minute)
		w.doubts("an hour later", 0)
	}
}

func doubtedAfterRestart(w *world) {
	w.hand.Set(400 * days)
	w.look()
	w.restart()
	w.doubts("after a restart", time.Hour)
	w.passes(time.Hour)
	w.restart()
	w.doubts("after the doubt is over and a restart", 0)
}

func slept(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	w.ack(bob, id)
	w.newest(alice, bob)
	w.passes(29 * days)
	w.hand.Set(62 * time.Hour)
	w.doubts("after a weekend", 15*time.Minute)
	w.passes(15 * time.Minute)
	w.doubts("a while later", 0)
	same(w, "bodies that go", w.purge(keep, w.now()).Bodies, 1)
}

func doubtedWhenItStands(w *world) {
	w.passes(3 * time.Hour)
	for range 20 {
		w.hand.Stop(time.Minute)
		w.look()
	}
	w.doubts("after it stood", time.Hour)
	w.hand.Pass(time.Hour)
	w.doubts("an hour after it goes again", 0)
}

func earlierAtStart(w *world) {
	w.hand.Pass(3650 * days)
	w.look()
	w.works("Close", w.store.Close())
	w.hand.Set(-3650 * days)
	w.store = w.reopen()
	w.doubts("at the start", 24*time.Hour)
	same(w, "found at the start", w.look().Started, true)
	w.passes(24 * time.Hour)
	w.doubts("a day later", 0)
	w.restart()
	w.doubts("after another start", 0)
}

func laterAtStart(w *world) {
	w.works("Close", w.store.Close())
	w.hand.Set(30 * days)
	w.store = w.reopen()
	w.doubts("at the start", 24*time.Hour)
	w.passes(24 * time.Hour)
	w.doubts("a day later", 0)
}

// offAgainAndAgain is a gateway that runs for two hours a week. In the end it gives up
// old jobs and removes old messages.
func offAgainAndAgain(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	believed := 0
	for range 10 {
		w.works("Close", w.store.Close())
		w.hand.Set(7*days - 2*time.Hour)
		w.store = w.reopen()
		w.look()
		for range 8 {
			w.hand.Pass(15 * time.Minute)
			w.look()
		}
		if c := w.look(); c.Believed() {
			believed++
		}
	}
	if believed < 4 {
		w.Errorf("the clock is trusted at the end of %d of ten runs, want it from the sixth run on", believed)
	}
	w.works("Close", w.store.Close())
	w.hand.Set(-2 * days)
	w.store = w.reopen()
	w.doubts("at a start where it shows an earlier time", 24*time.Hour)
}

// keeps checks that an unread message of that age and its content stay for the time of
// their retention, and no longer.
func (w *world) keeps(alice, bob person, what string, l letter, first gateway.Accepted, age time.Duration) {
	w.Helper()
	w.purge(keep, w.now())
	same(w, "at once there is content of what was taken "+what, w.hasBody(bob, first.ID), true)
	w.isRetry(first, w.post(l))
	w.passes(keep.Unacknowledged - age - 2*days)
	w.purge(keep, w.now())
	same(w, "before its time there is content of what was taken "+what, w.hasBody(bob, first.ID), true)
	w.isRetry(first, w.post(l))
	w.newest(alice, bob)
	w.passes(4 * days)
	w.purge(keep, w.now())
	same(w, "after its time there is content of what was taken "+what, w.hasBody(bob, first.ID), false)
	w.passes(keep.Status)
	w.purge(keep, w.now())
	w.absent(alice, first.ID)
}

func goes(p gateway.Purged) int { return p.Bodies + p.Messages + p.Keys }

func keptAsLong(w *world) {
	for _, by := range []time.Duration{400 * days, 20_000 * days} {
		w.hand.Set(-by)
		w.look()
		alice, bob := w.agent(fmt.Sprint("alice", by)), w.agent(fmt.Sprint("bob", by))
		l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
		first := w.post(l)
		w.hand.Pass(30 * time.Second)
		w.hand.Set(by)
		w.look()
		w.newest(alice, bob)
		w.passes(time.Hour)
		w.keeps(alice, bob, fmt.Sprintf("%v behind", by), l, first, 0)
	}
}

func keptAsLongOverRestart(w *world) {
	const by = 400 * days
	w.send(w.agent("first"), w.agent("second"))
	w.look()
	w.works("Close", w.store.Close())
	w.hand.Set(-by)
	w.store = w.reopen()
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
	first := w.post(l)
	w.passes(time.Minute)
	w.works("Close", w.store.Close())
	w.hand.Set(by)
	w.store = w.reopen()
	w.newest(alice, bob)
	w.passes(25 * time.Hour)
	w.doubts("a day later", 0)
	w.keeps(alice, bob, "by a clock that was behind, before a restart", l, first, days)
}

func keysKept(w *world) {
	const by = 400 * days
	w.hand.Set(-by)
	w.look()
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
	first := w.post(l)
	w.ack(bob, first.ID)
	short := keep
	short.Acknowledged = time.Hour
	w.hand.Set(by)
	w.look()
	w.newest(alice, bob)
	same(w, "bodies at once", w.purge(short, w.now()).Bodies, 0)
	w.passes(2 * time.Hour)
	same(w, "bodies after their time", w.purge(short, w.now()).Bodies, 1)
	w.passes(keep.Keys - 5*time.Hour)
	same(w, "keys before their time", w.purge(short, w.now()).Keys, 0)
	w.isRetry(first, w.post(l))
	w.passes(6 * time.Hour)
	same(w, "keys after their time", w.purge(short, w.now()).Keys, 1)
}

// givesUp gives up jobs that are too old, and returns how many they were.
func (w *world) givesUp() int {
	w.Helper()
	now := w.now()
	n, err := w.store.Expire(w.ctx, now.Add(-gateway.MaxAge), now, 100, func(gateway.Job) bool { return false })
	w.works("Expire", err)
	return n
}

func jobsKept(w *world) {
	const by = 400 * days
	w.hand.Set(-by)
	w.look()
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	w.hand.Set(by)
	w.look()
	w.mail(alice, "b@near.example")
	same(w, "given up at once", w.givesUp(), 0)
	p := w.claimOne("far.example", w.now())
	if age := w.hand.Now().Sub(p.Begun); age > time.Hour || age < 0 {
		w.Errorf("the job is %v old, want seconds", age)
	}
	same(w, "begun after it was received, as one that was tried again", p.Begun.After(p.Envelope.ReceivedAt), false)
	w.passes(gateway.MaxAge - time.Hour)
	same(w, "given up before their time", w.givesUp(), 0)
	w.passes(2 * time.Hour)
	same(w, "given up after their time", w.givesUp(), 2)
}

// trouble posts a message to two recipients. The second meets an error that is retried
// for an hour and must wait for two. The first meets an error that is retried without
// limit.
func (w *world) trouble(alice person) gateway.DeliveryID {
	w.Helper()
	w.post(letter{from: alice, far: []string{"a@far.example", "b@far.example"}})
	p := w.claimOne("far.example", w.now())
	second := p.Recipients[1].ID
	w.settle(p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{
		{Delivery: p.Recipients[0].ID, Event: gateway.Postpone, Code: "RECIPIENT_UNAVAILABLE"},
		borne(second, 2*time.Hour),
	}}, w.now()))
	return second
}

func borne(d gateway.DeliveryID, wait time.Duration) gateway.Outcome {
	return gateway.Outcome{Delivery: d, Event: gateway.Postpone, Code: "ACCESS_DENIED", RetryAfter: wait,
		Patience: gateway.Patience{Tries: 2, For: time.Hour}}
}

func troublesKept(w *world) {
	const by = 400 * days
	w.hand.Set(-by)
	w.look()
	alice := w.agent("alice")
	second := w.trouble(alice)
	w.hand.Set(by)
	w.look()
	w.newest(alice, w.agent("bob"))
	w.passes(30 * time.Minute)
	for _, c := range []struct {
		after   time.Duration
		refused int
	}{{0, 0}, {2 * time.Hour, 1}} {
		w.passes(c.after)
		p := w.claimOne("far.example", w.now())
		s := p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{borne(second, 0)}}, w.now())
		same(w, "recipients that are refused", len(s.Results), c.refused)
		w.settle(s)
	}
}

func troublesAhead(w *world) {
	alice := w.agent("alice")
	for _, by := range []time.Duration{10 * time.Hour, 400 * days} {
		w.hand.Set(by)
		w.look()
		second := w.trouble(alice)
		w.hand.Set(-by)
		w.look()
		w.passes(time.Hour)
		p := w.claimOne("far.example", w.now())
		same(w, "recipients that have their turn an hour later", len(p.Now(w.now()).Recipients), 1)
		w.settle(p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{
			{Delivery: p.Recipients[0].ID, Event: gateway.Postpone, Code: "RECIPIENT_UNAVAILABLE"}}}, w.now()))
		w.passes(2 * time.Hour)
		p = w.claimOne("far.example", w.now())
		same(w, "recipients that have their turn three hours later", len(p.Now(w.now()).Recipients), 2)
		s := p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{borne(second, 0)}}, w.now())
		same(w, "recipients that are refused after two attempts and three hours", len(s.Results), 1)
		w.settle(p.settled(w, gateway.Success, p.Recipients...))
	}
}

func aheadForAMoment(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
	first := w.post(l)
	w.mail(alice, "a@far.example")
	w.newest(alice, bob)
	for _, by := range []time.Duration{30 * days, 400 * days, 3650 * days} {
		w.hand.Set(by)
		w.look()
		w.passes(6 * time.Second)
		same(w, "given up while it is ahead", w.givesUp(), 0)
		w.hand.Set(-by)
		w.look()
		same(w, "given up after it", w.givesUp(), 0)
	}
	w.passes(gateway.MaxAge + time.Hour)
	same(w, "given up in time", w.givesUp(), 1)
	w.keeps(alice, bob, "before the clock was ahead for a moment", l, first, gateway.MaxAge)
}

func aheadAndBelieved(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	id := w.send(alice, bob)
	w.newest(alice, bob)
	for _, by := range []time.Duration{30 * days, 400 * days, 3650 * days} {
		w.hand.Set(by)
		w.passes(3 * time.Hour)
		w.doubts("three hours later", 0)
		same(w, "purged while it is ahead", goes(w.purge(keep, w.now())), 0)
		w.hand.Set(-by)
		w.passes(3 * time.Hour)
		same(w, "purged after it", goes(w.purge(keep, w.now())), 0)
	}
	w.passes(keep.Unacknowledged - 2*days)
	w.purge(keep, w.now())
	same(w, "there is content before its time", w.hasBody(bob, id), true)
	w.passes(4 * days)
	w.purge(keep, w.now())
	same(w, "there is content after its time", w.hasBody(bob, id), false)
}

func notKeptForEver(w *world) {
	for _, by := range []time.Duration{30 * days, 3650 * days} {
		w.hand.Set(by)
		w.look()
		alice, bob := w.agent(fmt.Sprint("alice", by)), w.agent(fmt.Sprint("bob", by))
		l := letter{from: alice, to: []person{bob}, key: "k", text: "content"}
		first := w.post(l)
		w.mail(alice, "a@far.example")
		w.hand.Set(-by)
		w.look()
		w.newest(alice, bob)
		w.passes(time.Hour)
		same(w, "given up at once", w.givesUp(), 0)
		w.keeps(alice, bob, fmt.Sprintf("%v ahead", by), l, first, 0)
		same(w, "given up in the end", w.givesUp(), 1)
	}
}

func walksPast(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	w.hand.Set(3650 * days)
	w.look()
	w.send(alice, bob)
	w.mail(alice, "a@ahead.example")
	w.hand.Set(-3650 * days)
	w.look()
	for range 7 {
		w.send(alice, bob)
		w.mail(alice, "a@far.example")
	}
	w.passes(keep.Unacknowledged + days)
	w.newest(alice, bob)
	same(w, "jobs given up", w.givesUp(), 8)
	if n := w.purge(keep, w.now()).Bodies; n < 7 {
		w.Errorf("%d bodies are removed, want those of the 7 after the one that was ahead", n)
	}
}

func waitsAsLong(w *world) {
	alice := w.agent("alice")
	for _, by := range []time.Duration{2 * time.Hour, 30 * days, 3650 * days} {
		w.hand.Set(by)
		w.look()
		id := w.mail(alice, "a@far.example")
		p := w.claimOne("far.example", w.now())
		now := w.now()
		w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: now, Due: now.Add(10 * time.Minute),
			Code: "TEMPORARY_FAILURE"})
		w.hand.Set(-by)
		w.look()
		now = w.now()
		same(w, "jobs that are due early", len(w.claim(now.Add(9*time.Minute), "far.example")), 0)
		again := w.claimOne("far.example", now.Add(11*time.Minute))
		same(w, "message", again.Envelope.ID, id)
		w.settle(again.settled(w, gateway.Success, again.Recipients...))
	}
}

func waitsAsLongAfterKill(w *world) {
	alice := w.agent("alice")
	w.hand.Set(300 * days)
	w.look()
	w.mail(alice, "a@far.example")
	w.mail(alice, "b@near.example")
	w.claimOne("far.example", w.now()) // and its process is killed
	w.works("Close", w.store.Close())
	w.hand.Set(-300 * days)
	w.store = w.reopen()
	w.look()
	now := w.now().Add(leaseTime + gateway.Backoff(1, 1))
	w.claimOne("far.example", now)
	w.claimOne("near.example", now)
}

func backByAnHour(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	p := w.claimOne("far.example", w.now())
	now := w.now()
	w.settle(gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: now, Due: now.Add(2 * time.Second),
		Code: "TEMPORARY_FAILURE"})
	w.mail(alice, "b@near.example")
	w.hand.Set(-time.Hour)
	w.look()
	w.hand.Pass(3 * time.Second)
	w.claimOne("far.example", w.now())
	w.claimOne("near.example", w.now())
}

func signedKept(w *world) {
	for _, by := range []time.Duration{-400 * days, 400 * days} {
		domain := w.address(fmt.Sprintf("a@d%d.example", by)).Domain()
		w.hand.Set(by)
		w.look()
		w.works("NoteSenderDomain", w.store.NoteSenderDomain(w.ctx, domain, true, w.now()))
		w.hand.Set(-by)
		w.look()
		for _, c := range []struct {
			after time.Duration
			held  bool
		}{{time.Hour, true}, {gateway.Sticky - 2*days, true}, {3 * days, false}} {
			w.passes(c.after)
			w.purge(keep, w.now())
			p, err := w.store.SenderDomain(w.ctx, domain)
			w.works("SenderDomain", err)
			same(w, fmt.Sprintf("held to its signatures, %v", by), p.Sticks(w.now()), c.held)
		}
	}
}

// peersPast has many domains that wrote while the clock was behind, more than one call
// examines. After them comes a domain that has not written for long.
func peersPast(w *world) {
	w.works("NoteSenderDomain", w.store.NoteSenderDomain(w.ctx, "old.example", false, w.now()))
	w.passes(keep.SenderDomain() - 10*days)
	w.hand.Set(-400 * days)
	w.store.Clock() // and before the clock is corrected
	for i := range 65 {
		w.works("NoteSenderDomain", w.store.NoteSenderDomain(w.ctx, w.address(fmt.Sprintf("a@d%d.example", i)).Domain(),
			false, w.now()))
	}
	w.hand.Set(400 * days)
	w.look()
	w.passes(11 * days)
	gone := 0
	for range 4 {
		did, err := w.store.Purge(w.ctx, keep, w.now(), 0, 3)
		w.works("Purge", err)
		gone += did.Peers
	}
	same(w, "domains that go", gone, 1)
}

// behindAtEveryStart is a machine without a clock battery. At each start it shows 1970
// for half a minute, in which messages arrive.
func behindAtEveryStart(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for range 40 {
		behind := w.hand.Now().Sub(time.Unix(1, 0))
		w.works("Close", w.store.Close())
		w.hand.Set(-behind)
		w.store = w.reopen()
		w.send(alice, bob)
		w.hand.Pass(10 * time.Second)
		w.hand.Set(behind)
		w.look()
		w.passes(9 * days)
		w.purge(keep, w.now())
	}
	if n := len(w.inbox(bob)); n != 40 {
		w.Errorf("%d messages are in the inbox, want 40: none was read", n)
	}
	items := w.page(bob, wholeInbox).Items
	for i, item := range items {
		old := i < 19 // more than 180 days
		if (item.Body == nil) != old && i != 19 && i != 20 {
			w.Errorf("message %d of 40, sent nine days apart, has a body: %v, want %v", i, item.Body != nil, !old)
		}
	}
}
