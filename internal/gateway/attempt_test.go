package gateway_test

import (
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

var dawn = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// TestBackoff: the delays are 1 s, 2 s, 4 s up to an hour, a quarter shorter or longer.
// A job has the same delay each time, and other jobs have others.
func TestBackoff(t *testing.T) {
	differ := false
	for attempt := 1; attempt <= gateway.MaxAttempts; attempt++ {
		base := min(time.Second<<min(attempt-1, 20), time.Hour)
		least, most := base*3/4, base*5/4
		first := gateway.Backoff(1, attempt)
		for job := gateway.JobID(1); job < 200; job++ {
			got := gateway.Backoff(job, attempt)
			if got < least || got > most {
				t.Fatalf("job %d waits %v after attempt %d, want %v to %v", job, got, attempt, least, most)
			}
			if got != gateway.Backoff(job, attempt) {
				t.Fatalf("job %d has two different delays after attempt %d", job, attempt)
			}
			differ = differ || got != first
		}
	}
	if !differ {
		t.Error("all jobs wait equally long and would all be tried again at once")
	}
}

// TestWholeSchedule: a message that is never accepted is tried 169 times, or for seven
// days.
func TestWholeSchedule(t *testing.T) {
	p := parcel(1)
	now := dawn
	for {
		p.Attempts++
		s := p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{{Delivery: 1, Event: gateway.Postpone,
			Code: amtp.CodeTemporaryFailure}}}, now)
		if len(s.Results) > 0 {
			if s.Results[0].Event != gateway.GiveUp || !s.Report {
				t.Errorf("the end is %v, reported %v, want give up, reported", s.Results[0].Event, s.Report)
			}
			break
		}
		now = s.Due
	}
	if age := now.Sub(dawn); p.Attempts > 169 || age < 6*24*time.Hour || age > 7*24*time.Hour+75*time.Minute {
		t.Errorf("given up after %d attempts and %v, want at most 169 and about seven days", p.Attempts, age)
	}
}

func parcel(recipients ...gateway.DeliveryID) *gateway.Parcel {
	p := &gateway.Parcel{Job: gateway.Job{ID: 7, Fence: 3, Destination: "b.example", Begun: dawn,
		Class: gateway.ClassAgent, SenderAgent: 1}}
	for _, id := range recipients {
		p.Recipients = append(p.Recipients, gateway.Delivery{ID: id})
	}
	return p
}

// TestSettle has for each kind of outcome the decision, and when the rest is tried
// again.
func TestSettle(t *testing.T) {
	refusal := gateway.Outcome{Delivery: 1, Event: gateway.Postpone, Code: amtp.CodeAuthenticationFailed,
		Patience: gateway.Patience{For: 24 * time.Hour}}
	unknown := gateway.Outcome{Delivery: 1, Event: gateway.Postpone, Code: amtp.CodeRecipientNotFound,
		RetryAfter: 5 * time.Minute,
		Patience:   gateway.Patience{Tries: 4, For: 15 * time.Minute}}
	for _, c := range []struct {
		name    string
		job     gateway.Job // the members that differ from the default
		outcome gateway.Outcome
		at      time.Duration // since the job was begun
		want    gateway.Event
		least   time.Duration // of the wait, when it is tried again
		most    time.Duration
	}{
		{"delivered", gateway.Job{Attempts: 1}, gateway.Outcome{Delivery: 1, Event: gateway.Success}, 0,
			gateway.Success, 0, 0},
		{"refused", gateway.Job{Attempts: 1}, gateway.Outcome{Delivery: 1, Event: gateway.Refuse,
			Code: amtp.CodeAgentUnknown}, 0, gateway.Refuse, 0, 0},
		{"first failure", gateway.Job{Attempts: 1}, gateway.Outcome{Delivery: 1, Event: gateway.Postpone}, 0,
			gateway.Postpone, 750 * time.Millisecond, 1250 * time.Millisecond},
		{"asked to wait", gateway.Job{Attempts: 1}, gateway.Outcome{Delivery: 1, Event: gateway.Postpone,
			RetryAfter: time.Minute}, 0, gateway.Postpone, time.Minute, time.Minute},
		{"asked to wait a month", gateway.Job{Attempts: 1},
			gateway.Outcome{Delivery: 1, Event: gateway.Postpone, RetryAfter: 720 * time.Hour}, 0, gateway.Postpone,
			24 * time.Hour, 24 * time.Hour},
		{"nothing said", gateway.Job{Attempts: 1}, gateway.Outcome{Delivery: 2}, 0, gateway.Postpone,
			750 * time.Millisecond, 1250 * time.Millisecond},
		{"too many attempts", gateway.Job{Attempts: 169}, gateway.Outcome{Delivery: 1, Event: gateway.Postpone}, 0,
			gateway.GiveUp, 0, 0},
		{"too old", gateway.Job{Attempts: 2}, gateway.Outcome{Delivery: 1, Event: gateway.Postpone}, 7 * 24 * time.Hour,
			gateway.GiveUp, 0, 0},
		{"401 for the first time after two days", gateway.Job{Attempts: 50, Code: amtp.CodeTemporaryFailure,
			Since: dawn, Same: 49}, refusal, 48 * time.Hour, gateway.Postpone, 0, 2 * time.Hour},
		{"an odd answer after a day of outage", gateway.Job{Attempts: 40, Code: amtp.CodeAuthenticationFailed}, refusal,
			26 * time.Hour, gateway.Postpone, 0, 2 * time.Hour},
		{"401 for a day", gateway.Job{Attempts: 30, Code: amtp.CodeAuthenticationFailed, Since: dawn, Same: 29},
			refusal, 24 * time.Hour, gateway.Refuse, 0, 0},
		{"no such domain, fourth time, too soon", gateway.Job{Attempts: 4, Code: amtp.CodeRecipientNotFound,
			Since: dawn, Same: 3}, unknown, 14 * time.Minute, gateway.Postpone, 5 * time.Minute, 5 * time.Minute},
		{"no such domain, fourth time", gateway.Job{Attempts: 4, Code: amtp.CodeRecipientNotFound, Since: dawn,
			Same: 3}, unknown, 15 * time.Minute, gateway.Refuse, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parcel(1)
			c.job.ID, c.job.Fence, c.job.Destination, c.job.Begun, c.job.SenderAgent, c.job.Class = p.ID, p.Fence,
				p.Destination, dawn, 1, gateway.ClassAgent
			p.Job = c.job
			now := dawn.Add(c.at)
			s := p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{c.outcome}}, now)
			got := gateway.Postpone
			if len(s.Results) == 1 {
				got = s.Results[0].Event
			}
			if got != c.want {
				t.Fatalf("got %v, want %v", got, c.want)
			}
			if c.want == gateway.Postpone {
				if wait := s.Due.Sub(now); wait < c.least || wait > c.most {
					t.Errorf("tried again after %v, want %v to %v", wait, c.least, c.most)
				}
			}
			if s.Job != p.ID || s.Fence != p.Fence {
				t.Errorf("settles job %d under fence %d, want %d and %d", s.Job, s.Fence, p.ID, p.Fence)
			}
		})
	}
}

// TestOutageIsNotCounted: days without a connection do not use up the patience with the
// first invalid answer.
func TestOutageIsNotCounted(t *testing.T) {
	p, now := parcel(1), dawn
	p.Attempts = 1
	odd := gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable,
		Patience: gateway.Patience{For: 24 * time.Hour}}
	outage := odd
	outage.Patience = gateway.Patience{}
	attempt := func(o gateway.Outcome) gateway.Settlement {
		s := p.Settle(p.All(o), now)
		p.Code, p.Since, p.Same = s.Code, s.Since, s.Same
		p.Attempts++
		now = s.Due
		return s
	}
	for now.Sub(dawn) < 26*time.Hour {
		attempt(outage)
	}
	if s := attempt(odd); len(s.Results) != 0 {
		t.Fatalf("after %v of outage one invalid answer ends with %v, want another try", now.Sub(dawn),
			s.Results[0].Event)
	}
	for end := now.Add(25 * time.Hour); now.Before(end); {
		if s := attempt(odd); len(s.Results) != 0 {
			return
		}
	}
	t.Error("invalid answers for more than a day are still retried")
}

// TestCauseOfThoseThatHadATurn: where an attempt ends before it reached all recipients,
// the outcome of the reached ones is the job's cause. Its patience continues, whichever
// recipients they are.
func TestCauseOfThoseThatHadATurn(t *testing.T) {
	cause := gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable, Reason: "no answer",
		Patience: gateway.Patience{For: 24 * time.Hour}}
	for heard := range gateway.DeliveryID(3) {
		p := parcel(1, 2, 3)
		p.Code, p.Since, p.Same = cause.Code, dawn.Add(-time.Hour), 5
		o := cause
		o.Delivery = heard + 1
		s := p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{o}}, dawn)
		if len(s.Results) != 0 || s.Due.IsZero() || s.Code != cause.Code || s.Reason != cause.Reason ||
			s.Same != 6 || !s.Since.Equal(p.Since) {
			t.Errorf("only recipient %d was reached: settled as %+v, want its cause, for the sixth time", o.Delivery, s)
		}
	}
}

// TestGivenUpWithoutATurn: when a message is given up because its destination is down,
// its sender gets that cause for every recipient.
func TestGivenUpWithoutATurn(t *testing.T) {
	cause := gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeRecipientUnavailable, Reason: "no answer"}
	for heard := range gateway.DeliveryID(3) {
		p := parcel(1, 2, 3)
		o := cause
		o.Delivery = heard + 1
		s := p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{o}, Down: true}, dawn.Add(gateway.MaxAge))
		if len(s.Results) != 3 {
			t.Fatalf("%d results, want 3", len(s.Results))
		}
		for _, r := range s.Results {
			if r.Event != gateway.GiveUp || r.Code != cause.Code || r.Reason != cause.Reason {
				t.Errorf("only recipient %d was reached: recipient %d ends with %+v, want the cause", o.Delivery,
					r.Delivery, r)
			}
		}
	}
}

// TestMixedOutcomes: decided recipients stay decided, and the rest is tried again.
func TestMixedOutcomes(t *testing.T) {
	p := parcel(1, 2, 3)
	p.Attempts = 1
	s := p.Settle(gateway.Carriage{Outcomes: []gateway.Outcome{
		{Delivery: 1, Event: gateway.Success},
		{Delivery: 3, Event: gateway.Postpone, Code: amtp.CodeTemporaryFailure, Rekey: true},
		{Delivery: 2, Event: gateway.Refuse, Code: amtp.CodeAgentUnknown},
	}}, dawn)
	if len(s.Results) != 2 || s.Results[0].Delivery != 1 || s.Results[1].Delivery != 2 {
		t.Fatalf("results %+v, want those of 1 and 2", s.Results)
	}
	if !s.Due.After(dawn) || s.Code != amtp.CodeTemporaryFailure || !s.Rekey || s.Same != 0 || !s.Since.IsZero() {
		t.Errorf("the rest: %+v, want it tried again under a new key", s)
	}
}

// TestReported: senders here get reports of failed messages, and no sender gets one of
// a failed report.
func TestReported(t *testing.T) {
	for _, c := range []struct {
		job  gateway.Job
		want bool
	}{
		{gateway.Job{Destination: "b.example", Class: gateway.ClassAgent, SenderAgent: 1}, true},
		{gateway.Job{Destination: gateway.PushTo(3), Class: gateway.ClassAnonymous, SenderAgent: 1}, true},
		{gateway.Job{Destination: gateway.PushTo(3), Class: gateway.ClassDomain}, false},
		{gateway.Job{Destination: gateway.PushTo(3), Class: gateway.ClassGateway}, false},
		{gateway.Job{Destination: gateway.Reports, Class: gateway.ClassAgent, SenderAgent: 1}, false},
	} {
		if got := c.job.Reported(); got != c.want {
			t.Errorf("job for %s of class %d by agent %d: reported %v, want %v", c.job.Destination, c.job.Class,
				c.job.SenderAgent, got, c.want)
		}
	}
}

// TestSeal: a secret opens only unchanged, with its key, kind and name.
func TestSeal(t *testing.T) {
	seal, err := gateway.NewSeal(make([]byte, gateway.SealKeySize))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.Close("push", "7", []byte("whsec_x"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := seal.Open("push", "7", sealed); err != nil || string(plain) != "whsec_x" {
		t.Fatalf("opened %q, %v", plain, err)
	}
	again, _ := seal.Close("push", "7", []byte("whsec_x"))
	if string(again) == string(sealed) {
		t.Error("two seals of one secret are equal: the nonce is not random")
	}
	other, _ := gateway.NewSeal([]byte("0123456789abcdef0123456789abcdef"))
	changed := append([]byte(nil), sealed...)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another place": func() ([]byte, error) { return seal.Open("push", "8", sealed) },
		"another kind":  func() ([]byte, error) { return seal.Open("signing", "7", sealed) },
		"another key":   func() ([]byte, error) { return other.Open("push", "7", sealed) },
		"a changed bit": func() ([]byte, error) { return seal.Open("push", "7", changed) },
		"too short":     func() ([]byte, error) { return seal.Open("push", "7", sealed[:5]) },
		"no key":        func() ([]byte, error) { return gateway.Seal{}.Open("push", "7", sealed) },
	} {
		if plain, err := open(); err == nil {
			t.Errorf("%s: opened %q, want an error", name, plain)
		}
	}
}

// TestNothingGivenUpByADoubtedClock: while the clock is doubted, only the time since
// its jump counts. A recipient is given up for its age, or refused for lasting trouble,
// only by that time.
func TestNothingGivenUpByADoubtedClock(t *testing.T) {
	week, quarter := 8*24*time.Hour, 20*time.Minute
	for name, c := range map[string]struct {
		begun, since time.Duration // before now
		jumped       time.Duration // before now; 0 when the clock is believed
		attempts     int
		want         gateway.Event
	}{
		"old, believed":              {begun: week, attempts: 3, want: gateway.GiveUp},
		"old by a clock that jumped": {begun: week, jumped: time.Minute, attempts: 3, want: gateway.Postpone},
		"old since it jumped":        {begun: week, jumped: week, attempts: 3, want: gateway.GiveUp},
		"tried often enough, whatever it is": {begun: time.Hour, jumped: time.Minute, attempts: gateway.MaxAttempts,
			want: gateway.GiveUp},
		"a long trouble, believed": {begun: time.Hour, since: quarter, attempts: 3, want: gateway.Refuse},
		"a long trouble by one that jumped": {begun: time.Hour, since: quarter, jumped: time.Minute, attempts: 3,
			want: gateway.Postpone},
		"a long trouble since it jumped": {begun: quarter, since: quarter, jumped: quarter, attempts: 3,
			want: gateway.Refuse},
		"a long trouble before and since": {begun: week, since: week, jumped: quarter, attempts: 3,
			want: gateway.Refuse},
		"begun in the future": {begun: -week, jumped: time.Minute, attempts: 3, want: gateway.Postpone},
	} {
		p := parcel(1)
		p.Attempts, p.Begun = c.attempts, dawn.Add(-c.begun)
		o := gateway.Outcome{Delivery: 1, Event: gateway.Postpone, Code: amtp.CodeRecipientNotFound}
		if c.since > 0 {
			o.Patience = gateway.Patience{Tries: 4, For: 15 * time.Minute}
			p.Code, p.Since, p.Same = o.Code, dawn.Add(-c.since), 3
		}
		clock := gateway.ClockState{Now: dawn}
		if c.jumped > 0 {
			clock.Doubt, clock.Since = time.Hour, dawn.Add(-c.jumped)
		}
		got := gateway.Postpone
		if s := p.SettleBy(gateway.Carriage{Outcomes: []gateway.Outcome{o}}, clock); len(s.Results) > 0 {
			got = s.Results[0].Event
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
