package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// claiming are the promises about leases.
func claiming() []promise {
	return []promise{
		{"Claim leases jobs that are due, of a flow the earliest due first and among those the oldest", earliestFirst},
		{"those that were never tried come first, the flows by turns, the one behind After first", claimTurns},
		{"however much one flow has, another's is found at once; what was tried is by turns, too", claimLittle},
		{"a flow of Except gets nothing and is among those held", claimExcept},
		{"of the Part that is asked for", claimPart},
		{"messages have Bytes at the most; one that does not fit is left with its size, and smaller ones pass it",
			claimBytes},
		{"large messages of one flow have its Share at the most; smaller ones and other flows pass them", claimShare},
		{"a flow of which nothing is due takes no turn from others, however many there are", claimNotDue},
		{"a large message is leased for as much longer as it takes", claimLarge},
		{"the flow of a job is its sender here, or the domain that it came from", claimFlows},
		{"Waiting says when the earliest is due, and whether some were never tried", waitingFresh},
		{"Fence and Attempts were counted up, State is Delivering, LastTry now", claimCounts},
		{"up to Limit of each destination", claimLimits},
		{"so many that no more than Most of the destination are leased", claimMost},
		{"Next is when the next of the rest is due, zero when there is none", claimNext},
		{"a job is not due again before its lease ends, nor before the retry of Backoff", notDueBefore},
		{"a job whose lease ended is claimed like any other", claimAfterLease},
		{"two calls never lease the same job for overlapping times", neverTwice},
		{"ErrPaused while the store is paused: then nothing is leased", claimPaused},
		{"Parcel returns a job with its message", parcelIsWhole},
		{"Parcel says under which id others know what it answers", parcelAnswers},
		{"and under which ids its recipients got it", parcelAnswersCopies},
		{"Parcel of a push says which thread the message has in that mailbox", parcelThread},
		{"Further of a delivery was settled when it was stored", parcelFurther},
		{"Parcel is ErrStale when it was claimed again or settled", parcelStale},
	}
}

// leaseTime is how long the jobs of these tests are leased.
const leaseTime = 90 * time.Second

// claim leases all due jobs of the destinations.
func (w *world) claim(now time.Time, destinations ...gateway.Destination) []gateway.Job {
	w.Helper()
	var wanted []gateway.Claiming
	for _, d := range destinations {
		wanted = append(wanted, gateway.Claiming{Destination: d, Limit: 1000})
	}
	got, err := w.store.Claim(w.ctx, wanted, now, now.Add(leaseTime))
	if err != nil {
		w.Fatalf("Claim = %v, want no error", err)
	}
	var jobs []gateway.Job
	for i := range got {
		same(w, "destination of the answer", got[i].Destination, destinations[i])
		jobs = append(jobs, got[i].Jobs...)
	}
	return jobs
}

// parcel is a parcel under a lease.
type parcel struct{ gateway.Parcel }

// claimOne leases the one due job of the destination.
func (w *world) claimOne(d gateway.Destination, now time.Time) parcel {
	w.Helper()
	jobs := w.claim(now, d)
	if len(jobs) != 1 {
		w.Fatalf("%d jobs for %s are due at %v, want 1", len(jobs), d, now)
	}
	p, err := w.store.Parcel(w.ctx, jobs[0].ID, jobs[0].Fence)
	if err != nil {
		w.Fatalf("Parcel = %v, want no error", err)
	}
	return parcel{p}
}

// settled returns the result of an attempt that decides the deliveries.
func (p parcel) settled(w *world, e gateway.Event, decided ...gateway.Delivery) gateway.Settlement {
	s := gateway.Settlement{Job: p.ID, Fence: p.Fence, Now: w.now(), Report: p.Reported()}
	for i := range decided {
		r := gateway.Result{Delivery: decided[i].ID, Event: e}
		if e != gateway.Success {
			r.Code, r.Reason = "RECIPIENT_NOT_FOUND", "nobody of that name"
		}
		s.Results = append(s.Results, r)
	}
	return s
}

func (w *world) settle(s gateway.Settlement) {
	w.Helper()
	if err := w.store.Settle(w.ctx, s); err != nil {
		w.Fatalf("Settle = %v, want no error; %+v", err, s)
	}
}

// mail posts one message to an address elsewhere.
func (w *world) mail(from person, to ...string) amtp.MessageID {
	w.Helper()
	return w.post(letter{from: from, far: to}).ID
}

func messagesOf(jobs []gateway.Job) []amtp.MessageID {
	list := make([]amtp.MessageID, len(jobs))
	for i := range jobs {
		list[i] = jobs[i].Message
	}
	return list
}

func earliestFirst(w *world) {
	alice := w.agent("alice")
	var ids []amtp.MessageID
	for range 5 {
		ids = append(ids, w.mail(alice, "a@far.example"))
	}
	sameTime := w.now()
	for range 3 {
		a := w.acceptance(letter{from: alice, far: []string{"a@far.example"}})
		a.ReceivedAt = sameTime
		got, err := w.store.Accept(w.ctx, a)
		w.works("Accept", err)
		ids = append(ids, got.ID)
	}
	early := w.acceptance(letter{from: alice, far: []string{"a@far.example"}})
	early.ReceivedAt = morning.Add(-time.Hour)
	got, err := w.store.Accept(w.ctx, early)
	w.works("Accept", err)
	ids = slices.Insert(ids, 0, got.ID)
	late := w.acceptance(letter{from: alice, far: []string{"a@far.example"}})
	late.ReceivedAt = morning.Add(time.Hour)
	_, err = w.store.Accept(w.ctx, late)
	w.works("Accept", err)
	w.mail(alice, "a@other.example")
	sameList(w, "messages", messagesOf(w.claim(w.now(), "far.example")), ids)
}

// turn claims jobs for far.example.
func (w *world) turn(c gateway.Claiming, now time.Time) gateway.Claimed {
	w.Helper()
	c.Destination = "far.example"
	got, err := w.store.Claim(w.ctx, []gateway.Claiming{c}, now, now.Add(leaseTime))
	w.works("Claim", err)
	return got[0]
}

// flowsOf names the senders of jobs by the first letters of their names.
func flowsOf(jobs []gateway.Job, people ...person) string {
	names := ""
	for _, j := range jobs {
		for _, p := range people {
			if j.Flow == gateway.Flow(p.ID) {
				names += p.Address.Local()[:1]
			}
		}
	}
	return names
}

func claimTurns(w *world) {
	alice, bob, carol := w.agent("alice"), w.agent("bob"), w.agent("carol")
	for range 5 {
		w.mail(alice, "a@far.example")
	}
	w.mail(carol, "a@far.example")
	w.mail(bob, "a@far.example")
	w.mail(bob, "a@far.example")
	now := w.now()
	claim := func(limit int, after person) (string, bool) {
		got := w.turn(gateway.Claiming{Limit: limit, After: gateway.Flow(after.ID)}, now)
		return flowsOf(got.Jobs, alice, bob, carol), got.Fresh
	}
	for _, c := range []struct {
		limit int
		after person
		want  string
		rest  bool
	}{{1, alice, "b", true}, {1, carol, "a", true}, {3, alice, "bca", true}, {9, carol, "aaa", false}} {
		got, rest := claim(c.limit, c.after)
		same(w, fmt.Sprintf("whose are %d behind %s", c.limit, c.after.Address.Local()), got, c.want)
		same(w, "there are more that were never tried", rest, c.rest)
	}
	w.mail(bob, "a@far.example")
	later := now.Add(leaseTime + time.Hour)
	got := w.turn(gateway.Claiming{Limit: 4}, later)
	same(w, "whose are next when all may be tried again", flowsOf(got.Jobs, alice, bob, carol)[:1], "b")
	same(w, "attempts of the first", got.Jobs[0].Attempts, 1)
	same(w, "attempts of the second", got.Jobs[1].Attempts, 2)
}

func claimLittle(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for range 300 {
		w.mail(bob, "a@far.example")
	}
	w.mail(alice, "a@far.example")
	now := w.now()
	got := w.turn(gateway.Claiming{Limit: 8, After: gateway.Flow(bob.ID)}, now)
	same(w, "whose are the first eight", flowsOf(got.Jobs, alice, bob), "abbbb")
	for _, j := range w.claim(now, "far.example") {
		w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now.Add(time.Minute)})
	}
	for _, j := range got.Jobs {
		w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now.Add(time.Second)})
	}
	got = w.turn(gateway.Claiming{Limit: 4, Part: gateway.Tried}, now.Add(time.Hour))
	same(w, "whose are the first that were tried", flowsOf(got.Jobs, alice, bob), "babb")
}

func claimExcept(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	for range 3 {
		w.mail(bob, "a@far.example")
	}
	not := []gateway.Flow{gateway.Flow(bob.ID), 999}
	now := w.now()
	got := w.turn(gateway.Claiming{Limit: 5, Except: not}, now)
	same(w, "leased of who has no turn", len(got.Jobs), 0)
	sameList(w, "held", got.Held, not[:1])
	same(w, "fresh", got.Fresh, true)
	w.mail(alice, "a@far.example")
	got = w.turn(gateway.Claiming{Limit: 5, Except: not}, now.Add(time.Minute))
	same(w, "whose are leased beside", flowsOf(got.Jobs, alice, bob), "a")
	sameList(w, "held beside", got.Held, not[:1])
	w.settle(gateway.Settlement{Job: got.Jobs[0].ID, Fence: got.Jobs[0].Fence, Now: now, Due: now})
	for _, j := range w.turn(gateway.Claiming{Limit: 5, Part: gateway.Fresh}, now.Add(time.Minute)).Jobs {
		w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now})
	}
	got = w.turn(gateway.Claiming{Limit: 5, Except: not}, now.Add(time.Minute))
	same(w, "whose are leased of what was tried", flowsOf(got.Jobs, alice, bob), "a")
	sameList(w, "held of what was tried", got.Held, not[:1])
	same(w, "leased when nobody is left out", len(w.turn(gateway.Claiming{Limit: 5}, now.Add(time.Minute)).Jobs), 3)
}

func claimPart(w *world) {
	alice := w.agent("alice")
	for range 4 {
		w.mail(alice, "a@far.example")
	}
	now := w.now()
	same(w, "leased of what was tried when nothing was",
		len(w.turn(gateway.Claiming{Limit: 9, Part: gateway.Tried}, now).Jobs), 0)
	got := w.turn(gateway.Claiming{Limit: 2, Part: gateway.Fresh}, now)
	same(w, "leased of new mail", len(got.Jobs), 2)
	w.sameTime("tried is due when nothing was tried but what is leased", got.Tried, time.Time{})
	due := now.Add(time.Second)
	for i, j := range got.Jobs {
		w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: due.Add(time.Duration(i) * time.Hour)})
	}
	now = now.Add(time.Minute)
	got = w.turn(gateway.Claiming{Limit: 9, Part: gateway.Tried}, now)
	same(w, "leased of what was tried", len(got.Jobs), 1)
	same(w, "fresh beside it", got.Fresh, true)
	w.sameTime("tried is due", got.Tried, due.Add(time.Hour))
	w.settle(gateway.Settlement{Job: got.Jobs[0].ID, Fence: got.Jobs[0].Fence, Now: now, Due: due.Add(5 * time.Hour)})
	got = w.turn(gateway.Claiming{Limit: 9, Part: gateway.Fresh}, now.Add(2*time.Hour))
	same(w, "leased of new mail when all is due", len(got.Jobs), 2)
	same(w, "fresh after it", got.Fresh, false)
	w.sameTime("tried is due after it", got.Tried, due.Add(time.Hour))
}

func claimBytes(w *world) {
	alice := w.agent("alice")
	for range 5 {
		w.mail(alice, "a@far.example")
	}
	size := int64(w.jobs(gateway.JobFilter{})[0].Size)
	now := w.now()
	got := w.turn(gateway.Claiming{Limit: 9, Bytes: size - 1}, now)
	same(w, "leased where one is too large", len(got.Jobs), 0)
	same(w, "needed for it", int64(got.Needs), size)
	same(w, "fresh beside it", got.Fresh, true)
	got = w.turn(gateway.Claiming{Limit: 9, Bytes: 3*size - 1}, now)
	same(w, "leased where two fit", len(got.Jobs), 2)
	same(w, "needed for the third", int64(got.Needs), size)
	got = w.turn(gateway.Claiming{Limit: 1, Bytes: 3 * size}, now)
	same(w, "leased where the limit is lower", len(got.Jobs), 1)
	same(w, "needed where there was room", got.Needs, 0)
	for _, j := range w.jobs(gateway.JobFilter{State: gateway.Delivering}) {
		w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now})
	}
	got = w.turn(gateway.Claiming{Limit: 9, Bytes: 3 * size}, now)
	same(w, "leased of both kinds", len(got.Jobs), 3)
	same(w, "attempts of the first", got.Jobs[0].Attempts, 1)
	same(w, "attempts of the last", got.Jobs[2].Attempts, 2)
	large := w.large(alice, 1000)
	w.mail(alice, "a@far.example")
	got = w.turn(gateway.Claiming{Limit: 1, Bytes: 2 * size, Part: gateway.Fresh}, now.Add(time.Hour))
	same(w, "leased of what does not fit", len(got.Jobs), 0)
	got = w.turn(gateway.Claiming{Limit: 2, Bytes: 2 * size, Part: gateway.Fresh}, now.Add(time.Hour))
	same(w, "leased behind it", len(got.Jobs), 1)
	same(w, "the one that was left is needed", got.Needs > 1000, true)
	w.large(alice, 1000)
	w.mail(alice, "a@far.example")
	got = w.turn(gateway.Claiming{Limit: 1, Bytes: 2 * size, Part: gateway.Fresh, Behind: 2}, now.Add(time.Hour))
	same(w, "leased far behind it", len(got.Jobs), 1)
	got = w.turn(gateway.Claiming{Limit: 1, Bytes: int64(got.Needs), Part: gateway.Fresh}, now.Add(time.Hour))
	sameList(w, "leased where there is as much as it needs", messagesOf(got.Jobs), []amtp.MessageID{large})
}

// large posts a message of more than that many bytes to far.example.
func (w *world) large(from person, size int) amtp.MessageID {
	w.Helper()
	doc := fmt.Sprintf(`{"sender":%q,"recipients":["a@far.example"],"payload":%q}`, from.Address.String(),
		strings.Repeat("x", size))
	return w.post(letter{from: from, far: []string{"a@far.example"}, doc: doc}).ID
}

func claimLarge(w *world) {
	alice := w.agent("alice")
	w.large(alice, 5*gateway.LeastRate)
	now := w.now()
	first := w.claimOne("far.example", now)
	more := gateway.Carrying(int64(first.Size))
	if more < 5*time.Second {
		w.Fatalf("a message of %d bytes takes %v longer, want 5 s and more", first.Size, more)
	}
	end := now.Add(leaseTime + more)
	w.sameTime("end of the lease", first.Lease, end)
	w.sameTime("end of the lease as it is stored", w.oneJob("far.example").Lease, end)
	same(w, "claimed before the end of the lease", len(w.claim(end.Add(-time.Microsecond), "far.example")), 0)
	same(w, "claimed after it", w.claimOne("far.example", end).Attempts, 2)
}

func claimFlows(w *world) {
	alice, bob := w.agent("alice"), w.agent("bob")
	_, err := w.store.UpdateAgent(w.ctx, gateway.Acting{}, bob.ID, func(a *gateway.Agent) error {
		a.DeliveryMode, a.Target = "push", "https://bob.example/hook"
		return nil
	})
	w.works("UpdateAgent", err)
	w.post(letter{from: alice, to: []person{bob}})
	w.post(letter{remote: "x@one.example", class: gateway.ClassDomain, to: []person{bob}})
	w.post(letter{remote: "y@one.example", class: gateway.ClassDomain, to: []person{bob}})
	w.post(letter{remote: "x@two.example", class: gateway.ClassDomain, to: []person{bob}})
	want := []gateway.Flow{gateway.Flow(alice.ID), gateway.FlowOf(0, "one.example"), gateway.FlowOf(0, "one.example"),
		gateway.FlowOf(0, "two.example")}
	now := w.now()
	got, err := w.store.Claim(w.ctx, []gateway.Claiming{{Destination: gateway.PushTo(bob.ID), Limit: 3}}, now,
		now.Add(leaseTime))
	w.works("Claim", err)
	counts := map[gateway.Flow]int{}
	for _, j := range got[0].Jobs {
		counts[j.Flow]++
	}
	same(w, "flows of the first three", len(counts), 3)
	var flows []gateway.Flow
	for _, j := range w.jobs(gateway.JobFilter{}) {
		flows = append(flows, j.Flow)
	}
	sameList(w, "flows", flows, want)
}

func waitingFresh(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	waiting := func() gateway.Waiting {
		list, err := w.store.Waiting(w.ctx, "", 9)
		w.works("Waiting", err)
		same(w, "destinations", len(list), 1)
		return list[0]
	}
	same(w, "fresh", waiting().Fresh, true)
	now := w.now()
	j := w.claim(now, "far.example")[0]
	same(w, "fresh when it is leased", waiting().Fresh, false)
	due := now.Add(time.Second)
	w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: due})
	w.sameTime("due of what was tried", waiting().Due, due)
	late := w.acceptance(letter{from: alice, far: []string{"a@far.example"}})
	late.ReceivedAt = due.Add(time.Hour)
	_, err := w.store.Accept(w.ctx, late)
	w.works("Accept", err)
	got := waiting()
	same(w, "fresh beside what was tried", got.Fresh, true)
	w.sameTime("due of both", got.Due, due)
}

func claimCounts(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	now := w.now()
	first := now
	for i := range 4 {
		j := w.claim(now, "far.example")[0]
		stored := w.oneJob("far.example").Job
		for where, j := range map[string]gateway.Job{"answer": j, "store": stored} {
			same(w, "fence in the "+where, j.Fence, int64(i+1))
			same(w, "attempts in the "+where, j.Attempts, i+1)
			same(w, "state in the "+where, j.State, gateway.Delivering)
			w.sameTime("first try in the "+where, j.FirstTry, first)
			w.sameTime("last try in the "+where, j.LastTry, now)
			w.sameTime("lease in the "+where, j.Lease, now.Add(leaseTime))
		}
		same(w, "the answer is what is stored", j, stored)
		if i < 2 {
			w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now.Add(time.Hour)})
		}
		now = now.Add(time.Hour)
	}
}

func claimLimits(w *world) {
	alice := w.agent("alice")
	for range 5 {
		w.mail(alice, "a@one.example", "b@two.example", "c@three.example")
	}
	now := w.now()
	got, err := w.store.Claim(w.ctx, []gateway.Claiming{{Destination: "one.example", Limit: 2},
		{Destination: "two.example", Limit: 9},
		{Destination: "three.example"}, {Destination: "nobody.example", Limit: 1}}, now, now.Add(leaseTime))
	w.works("Claim", err)
	for i, want := range []int{2, 5, 0, 0} {
		same(w, fmt.Sprintf("jobs of %s", got[i].Destination), len(got[i].Jobs), want)
	}
	none, err := w.store.Claim(w.ctx, nil, now, now.Add(leaseTime))
	w.works("Claim of nothing", err)
	same(w, "claims of nothing", len(none), 0)
}

func claimMost(w *world) {
	alice := w.agent("alice")
	for range 7 {
		w.mail(alice, "a@far.example")
	}
	now := w.now()
	claim := func(now time.Time, limit, most int) gateway.Claimed {
		got, err := w.store.Claim(w.ctx, []gateway.Claiming{{Destination: "far.example", Limit: limit, Most: most}},
			now, now.Add(leaseTime))
		w.works("Claim", err)
		return got[0]
	}
	same(w, "leased within the limit", len(claim(now, 2, 3).Jobs), 2)
	got := claim(now, 2, 3)
	same(w, "leased up to the most", len(got.Jobs), 1)
	w.sameTime("next when it is held back", got.Next, now.Add(time.Second))
	got = claim(now, 2, 3)
	same(w, "leased at the most", len(got.Jobs), 0)
	w.sameTime("next when all of it is held back", got.Next, now.Add(time.Second))
	same(w, "leased when less is allowed than are leased", len(claim(now, 2, 1).Jobs), 0)
	same(w, "leased without a bound", len(claim(now, 1, 0).Jobs), 1)
	j := w.jobs(gateway.JobFilter{State: gateway.Delivering})[0].Job
	w.settle(gateway.Settlement{Job: j.ID, Fence: j.Fence, Now: now, Due: now.Add(time.Hour)})
	same(w, "leased when one was settled", len(claim(now, 2, 4).Jobs), 1)
	same(w, "leased when the leases have ended", len(claim(now.Add(leaseTime), 2, 4).Jobs), 2)
}

func claimNext(w *world) {
	alice := w.agent("alice")
	wanted := []gateway.Claiming{{Destination: "far.example", Limit: 2}}
	next := func(now time.Time) time.Time {
		got, err := w.store.Claim(w.ctx, wanted, now, now.Add(leaseTime))
		w.works("Claim", err)
		return got[0].Next
	}
	w.sameTime("next of nothing", next(w.now()), time.Time{})
	for range 3 {
		w.mail(alice, "a@far.example")
	}
	third := w.jobs(gateway.JobFilter{})[2]
	now := w.now()
	w.sameTime("next while one is due", next(now), third.Due)
	w.sameTime("next when all are leased", next(now), time.Time{})
	list := w.jobs(gateway.JobFilter{})
	due := now.Add(time.Minute)
	w.settle(gateway.Settlement{Job: list[1].ID, Fence: list[1].Fence, Now: now, Due: due})
	w.settle(gateway.Settlement{Job: list[0].ID, Fence: list[0].Fence, Now: now, Due: due.Add(time.Hour)})
	w.sameTime("next when two wait", next(now), due)
}

func notDueBefore(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	now := w.now()
	for attempt := 1; attempt <= 12; attempt++ {
		j := w.claim(now, "far.example")[0]
		lease, retry := now.Add(leaseTime), now.Add(gateway.Backoff(j.ID, attempt))
		due := lease
		if retry.After(due) {
			due = retry.Truncate(time.Microsecond)
		}
		w.sameTime(fmt.Sprintf("due of attempt %d", attempt), j.Due, due)
		same(w, "claimed just before", len(w.claim(due.Add(-time.Microsecond), "far.example")), 0)
		now = due
	}
}

func claimAfterLease(w *world) {
	alice := w.agent("alice")
	id := w.mail(alice, "a@far.example")
	first := w.claimOne("far.example", w.now())
	second := w.claimOne("far.example", first.Lease)
	same(w, "job", second.ID, first.ID)
	same(w, "fence", second.Fence, first.Fence+1)
	same(w, "attempts", second.Attempts, 2)
	w.fails("Settle of the first", w.store.Settle(w.ctx, first.settled(w, gateway.Success, first.Recipients...)),
		gateway.ErrStale)
	same(w, "state", w.read(alice, id).Deliveries[0].State, gateway.Delivering)
	w.settle(second.settled(w, gateway.Success, second.Recipients...))
	same(w, "state when settled", w.read(alice, id).Deliveries[0].State, gateway.Delivered)
}

func neverTwice(w *world) {
	alice := w.agent("alice")
	const n = 60
	for range n {
		w.mail(alice, "a@far.example")
	}
	now := w.now()
	var mu sync.Mutex
	seen := make(map[gateway.JobID]int)
	together(8, func(int) {
		for range 20 {
			got, err := w.store.Claim(w.ctx, []gateway.Claiming{{Destination: "far.example", Limit: 3}}, now,
				now.Add(leaseTime))
			if err != nil {
				w.Errorf("Claim = %v, want no error", err)
				return
			}
			mu.Lock()
			for _, j := range got[0].Jobs {
				seen[j.ID]++
			}
			mu.Unlock()
		}
	})
	same(w, "jobs leased", len(seen), n)
	for id, times := range seen {
		same(w, fmt.Sprintf("leases of job %d", id), times, 1)
	}
}

func claimPaused(w *world) {
	alice := w.agent("alice")
	w.mail(alice, "a@far.example")
	w.works("Pause", w.store.Pause(w.ctx, w.now()))
	now := w.now()
	got, err := w.store.Claim(w.ctx, []gateway.Claiming{{Destination: "far.example", Limit: 1}}, now,
		now.Add(leaseTime))
	w.fails("Claim", err, gateway.ErrPaused)
	same(w, "claims", len(got), 0)
	j := w.oneJob("far.example")
	same(w, "state", j.State, gateway.Queued)
	same(w, "fence", j.Fence, 0)
	w.works("Resume", w.store.Resume(w.ctx))
	same(w, "jobs after it", len(w.claim(now, "far.example")), 1)
}
