package testnet_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// eventually repeats a question until the answer is right.
func eventually(t *testing.T, what string, right func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !right(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("this never happened: %s", what)
		}
	}
}

// TestOperatorOfADeadDomain: messages for a domain that does not answer are listed with
// the last error and the domain's health. When the domain is back, the operator has
// them tried at once. A cancelled message never arrives.
func TestOperatorOfADeadDomain(t *testing.T) {
	n := testnet.New(t)
	a, b := n.Start("a.example"), n.Start("b.example")
	alice, bob := n.As("alice@a.example"), n.As("bob@b.example")
	operator := a.Operator()
	b.Stop()
	first := alice.Send("the first", "bob@b.example")
	second := alice.Send("the second", "bob@b.example")
	var list admin.JobList
	eventually(t, "both jobs were tried", func(ctx context.Context) bool {
		var err error
		list, err = operator.Jobs(ctx, admin.JobQuery{Destination: "B.example", State: amtp.StatusRetrying})
		return err == nil && list.Count == 2
	})
	job := list.Jobs[0]
	if job.MessageID != first.MessageID || job.Kind != "remote" || job.Destination != "b.example" ||
		job.Sender != alice.Address || job.Attempts == 0 ||
		job.ErrorCode != amtp.CodeRecipientUnavailable || job.ErrorMessage == "" || job.NextAttempt.IsZero() ||
		len(job.Recipients) != 1 {
		t.Errorf("the job is %+v", job)
	}
	if len(list.Destinations) != 1 || list.Destinations[0].Destination != "b.example" ||
		list.Destinations[0].Failures == 0 {
		t.Errorf("the destinations are %+v, want b.example with its failures", list.Destinations)
	}
	if of, err := operator.Jobs(t.Context(), admin.JobQuery{Message: second.MessageID}); err != nil || of.Count != 1 ||
		of.Jobs[0].MessageID != second.MessageID {
		t.Errorf("the jobs of the second message: %+v, %v", of, err)
	}

	cancelled := list.Jobs[1].ID
	eventually(t, "the second job is between two attempts", func(ctx context.Context) bool {
		_, err := operator.CancelJob(ctx, cancelled)
		var refused *amtp.Error
		if errors.As(err, &refused) && refused.Status == 409 {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
	if s := alice.Hears(second.MessageID, amtp.StatusFailed); s.Recipients[0].ErrorCode != amtp.CodeCancelled ||
		s.NextRetry != nil {
		t.Errorf("the status of the cancelled message is %+v", s)
	}
	var gone *amtp.Error
	if _, err := operator.Job(t.Context(), cancelled); !errors.As(err, &gone) || gone.Code != amtp.CodeJobNotFound {
		t.Errorf("the cancelled job: %v, want JOB_NOT_FOUND", err)
	}
	b.Run()
	eventually(t, "the first job is hurried", func(ctx context.Context) bool {
		_, err := operator.RetryJob(ctx, job.ID)
		return err == nil || errors.As(err, &gone) && gone.Code == amtp.CodeJobNotFound
	})
	alice.Hears(first.MessageID, amtp.StatusDelivered)
	if got := bob.Receives(1)[0]; got.MessageID != first.MessageID {
		t.Errorf("bob has %s, want %s", got.MessageID, first.MessageID)
	}
	if dead, err := operator.DeadLetters(t.Context(), admin.DeadLetterQuery{}); err != nil || dead.Count != 0 {
		t.Errorf("dead letters after that: %+v, %v; want none", dead, err)
	}
}

// TestRedrive: a message fails because its recipient does not exist. When the recipient
// exists and the message is tried again, it arrives once, however often the redrive is
// requested.
func TestRedrive(t *testing.T) {
	n := testnet.New(t)
	a := n.Start("a.example")
	n.Start("b.example")
	alice, operator := n.As("alice@a.example"), a.Operator()
	sent := alice.Send("are you there?", "late@b.example")
	alice.Hears(sent.MessageID, amtp.StatusFailed)
	alice.Receives(1) // the bounce

	list, err := operator.DeadLetters(t.Context(), admin.DeadLetterQuery{Message: sent.MessageID,
		Destination: "b.example"})
	if err != nil || list.Count != 1 {
		t.Fatalf("dead letters: %+v, %v; want one", list, err)
	}
	letter, err := operator.DeadLetter(t.Context(), list.DeadLetters[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	var original struct {
		Subject string `json:"subject"`
	}
	if err := json.Unmarshal(letter.OriginalMessage, &original); err != nil || original.Subject != "are you there?" {
		t.Errorf("the original message is %s, %v", letter.OriginalMessage, err)
	}
	if letter.MessageID != sent.MessageID || letter.ErrorCode != amtp.CodeAgentUnknown || letter.FailureReason == "" ||
		letter.Attempts == 0 ||
		letter.FirstAttempt.IsZero() || letter.LastAttempt.IsZero() || letter.DeadAt.IsZero() ||
		letter.Recipient.String() != "late@b.example" {
		t.Errorf("the dead letter is %+v", letter)
	}

	late := n.As("late@b.example")
	for i, want := range []int{1, 0, 0} {
		got, err := operator.Redrive(t.Context(), admin.DeadLetterChoice{IDs: []admin.DeadLetterID{letter.ID}})
		if err != nil || got != want {
			t.Errorf("redrive %d: %d, %v; want %d", i, got, err, want)
		}
	}
	if got := late.Receives(1)[0]; got.MessageID != sent.MessageID {
		t.Errorf("late has %s, want %s", got.MessageID, sent.MessageID)
	}
	alice.Hears(sent.MessageID, amtp.StatusDelivered)
	if n, err := operator.Redrive(t.Context(), admin.DeadLetterChoice{All: true}); err != nil || n != 0 {
		t.Errorf("redrive of all after that: %d, %v; want 0", n, err)
	}
	if inbox := late.Inbox(); len(inbox) != 1 {
		t.Errorf("late has %d messages, want 1", len(inbox))
	}
}

// TestPurgeDeadLetters: a purged dead letter cannot be redriven, and its message stays
// failed.
func TestPurgeDeadLetters(t *testing.T) {
	n := testnet.New(t)
	a := n.Start("a.example")
	n.Start("b.example")
	alice, operator := n.As("alice@a.example"), a.Operator()
	sent := alice.Send("to nobody", "nobody@b.example")
	alice.Hears(sent.MessageID, amtp.StatusFailed)
	long := admin.DeadLetterChoice{Before: time.Now().Add(-time.Hour)}
	if n, err := operator.PurgeDeadLetters(t.Context(), long); err != nil || n != 0 {
		t.Errorf("purge of older dead letters: %d, %v; want 0", n, err)
	}
	if n, err := operator.PurgeDeadLetters(t.Context(),
		admin.DeadLetterChoice{Code: amtp.CodeAgentUnknown}); err != nil || n != 1 {
		t.Errorf("purge: %d, %v; want 1", n, err)
	}
	if n, err := operator.Redrive(t.Context(), admin.DeadLetterChoice{All: true}); err != nil || n != 0 {
		t.Errorf("redrive: %d, %v; want 0", n, err)
	}
	alice.Hears(sent.MessageID, amtp.StatusFailed)
}

// TestDiscoverAnotherDomain: through its own gateway, an agent finds the agents that
// another domain shows, and how that domain is reached.
func TestDiscoverAnotherDomain(t *testing.T) {
	n := testnet.New(t)
	a, b := n.Start("a.example"), n.Start("b.example")
	alice := n.As("alice@a.example")
	n.As("bob@b.example")
	hidden := n.As("hidden@b.example")
	no := false
	if _, err := hidden.Client.UpdateAgent(t.Context(), "hidden", amtp.AgentUpdate{Listed: &no}); err != nil {
		t.Fatal(err)
	}
	list, err := alice.Client.Discover(t.Context(), "b.example", amtp.AgentQuery{DeliveryMode: "pull"})
	if err != nil || list.AgentCount != 1 || list.Domain != "b.example" ||
		list.Agents[0].Address.String() != "bob@b.example" {
		t.Errorf("the agents of b.example: %+v, %v; want bob", list, err)
	}
	for domain, gateway := range map[amtp.Domain]string{"b.example": "https://amtp.b.example:",
		"a.example": "https://amtp.a.example:"} {
		found, err := alice.Client.Capabilities(t.Context(), domain)
		if err != nil || !strings.HasPrefix(found.Gateway, gateway) || !found.Signs() || found.TTL <= 0 ||
			found.DiscoveredAt.IsZero() {
			t.Errorf("%s is reached so: %+v, %v", domain, found, err)
		}
	}
	var refused *amtp.Error
	if _, err := a.Client().Discover(t.Context(), "b.example", amtp.AgentQuery{}); !errors.As(err, &refused) ||
		refused.Code != amtp.CodeMissingAuthorization {
		t.Errorf("without a key: %v, want MISSING_AUTHORIZATION", err)
	}
	if _, err := alice.Client.Capabilities(t.Context(), "nowhere.example"); !errors.As(err, &refused) ||
		refused.Code != amtp.CodeDomainNotFound {
		t.Errorf("a domain that does not exist: %v, want DOMAIN_NOT_FOUND", err)
	}
	b.Stop()
	if list, err := alice.Client.Discover(t.Context(), "b.example",
		amtp.AgentQuery{DeliveryMode: "pull"}); err != nil || list.AgentCount != 1 {
		t.Errorf("while b.example is down the answer of a minute ago is %+v, %v", list, err)
	}
	alice.Client.Retries = -1
	if _, err := alice.Client.Discover(t.Context(), "b.example", amtp.AgentQuery{}); !errors.As(err, &refused) ||
		refused.Code != amtp.CodeTemporaryFailure {
		t.Errorf("another question while it is down: %v, want TEMPORARY_FAILURE", err)
	}
}
