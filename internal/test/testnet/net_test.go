package testnet_test

import (
	"encoding/json"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// TestTwoDomains: agents of two domains write to each other. Each sees the verified
// sender, and each sender learns that its message arrived.
func TestTwoDomains(t *testing.T) {
	slow.Test(t, "e2e tells the same story")
	n := testnet.New(t)
	n.Start("a.example")
	n.Start("b.example")
	alice, bob := n.As("alice@a.example"), n.As("bob@b.example")

	sent := alice.Send("the first one", "bob@b.example")
	got := bob.Receives(1)[0]
	if got.MessageID != sent.MessageID || got.Sender != alice.Address || got.Subject != "the first one" {
		t.Errorf("bob has %s from %s with subject %q, want %s from %s", got.MessageID, got.Sender, got.Subject,
			sent.MessageID, alice.Address)
	}
	if got.Trust != amtp.TrustVerified || got.Authentication.Result != "pass" ||
		got.Authentication.Domain != "a.example" {
		t.Errorf("bob sees trust %q and %+v, want verified, pass, a.example", got.Trust, got.Authentication)
	}
	if !got.Authentication.FirstContact {
		t.Error("the first message of alice is not marked as first contact")
	}
	alice.Hears(sent.MessageID, amtp.StatusDelivered)

	answer := bob.Post(amtp.Message{Subject: "an answer", InReplyTo: got.MessageID}, "alice@a.example")
	back := alice.Receives(1)[0]
	if back.InReplyTo != sent.MessageID || back.Trust != amtp.TrustVerified {
		t.Errorf("alice has an answer to %q, trust %q, want to %s, verified", back.InReplyTo, back.Trust,
			sent.MessageID)
	}
	bob.Hears(answer.MessageID, amtp.StatusDelivered)
	alice.Send("the second one", "bob@b.example")
	if second := bob.Receives(2)[1]; second.Authentication.FirstContact {
		t.Error("the second message of alice is marked as first contact")
	}
}

// TestUnknownRecipient: the sender is told once of a recipient that does not exist, and
// the other recipients get the message.
func TestUnknownRecipient(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	n.Start("b.example")
	alice, bob := n.As("alice@a.example"), n.As("bob@b.example")
	sent := alice.Send("to two", "nobody@b.example", "bob@b.example")
	bob.Receives(1)
	report := alice.Receives(1)[0]
	if report.Sender.String() != "mailer-daemon@a.example" || report.Trust != amtp.TrustLocal ||
		report.InReplyTo != sent.MessageID {
		t.Errorf("the report is from %s, trust %q, about %q", report.Sender, report.Trust, report.InReplyTo)
	}
	var about struct {
		MessageType      string         `json:"message_type"`
		Original         amtp.MessageID `json:"original_message_id"`
		FailedRecipients []string       `json:"failed_recipients"`
		ErrorCode        amtp.Code      `json:"error_code"`
	}
	if err := json.Unmarshal(report.Payload, &about); err != nil {
		t.Fatal(err)
	}
	if about.MessageType != "delivery_failure" || about.Original != sent.MessageID ||
		about.ErrorCode != amtp.CodeAgentUnknown ||
		len(about.FailedRecipients) != 1 || about.FailedRecipients[0] != "nobody@b.example" {
		t.Errorf("the report says %s", report.Payload)
	}
	status, err := alice.Client.Status(t.Context(), sent.MessageID)
	if err != nil {
		t.Fatal(err)
	}
	if s := status.Recipients[0]; s.Status != amtp.StatusFailed || s.ErrorCode != amtp.CodeAgentUnknown ||
		s.ErrorMessage != "there is no agent nobody at b.example" {
		t.Errorf("status of %s: %s %s %q", s.Address, s.Status, s.ErrorCode, s.ErrorMessage)
	}
	if s := status.Recipients[1]; s.Status != amtp.StatusDelivered {
		t.Errorf("status of %s: %s", s.Address, s.Status)
	}
}

// TestOtherSideIsDown: a message waits until the other gateway is back. A restart of
// the sender's own gateway does not change that.
func TestOtherSideIsDown(t *testing.T) {
	n := testnet.New(t)
	a, b := n.Start("a.example"), n.Start("b.example")
	alice, bob := n.As("alice@a.example"), n.As("bob@b.example")
	b.Stop()
	sent := alice.Send("while you are away", "bob@b.example")
	if s := alice.Hears(sent.MessageID, amtp.StatusRetrying); s.NextRetry == nil || s.Attempts == 0 ||
		s.Recipients[0].ErrorCode == "" {
		t.Errorf("the status is %+v, want attempts, the last error and the next retry", s)
	}
	a.Stop()
	a.Run()
	b.Run()
	if got := bob.Receives(1)[0]; got.MessageID != sent.MessageID {
		t.Errorf("bob has %s, want %s", got.MessageID, sent.MessageID)
	}
	alice.Hears(sent.MessageID, amtp.StatusDelivered)
}

// TestOneStartWithoutDomain: a gateway that gives up its domain for one start loses
// nothing. With its domain again, it sends the waiting messages.
func TestOneStartWithoutDomain(t *testing.T) {
	n := testnet.New(t)
	a, b := n.Start("a.example"), n.Start("b.example")
	alice, bob := n.As("alice@a.example"), n.As("bob@b.example")
	b.Stop()
	sent := alice.Send("wait", "bob@b.example")
	alice.Hears(sent.MessageID, amtp.StatusRetrying)
	a.Stop()
	a.Run("AMTP_DOMAIN=localhost", "AMTP_FORMER_DOMAINS=a.example")
	if s := alice.Hears(sent.MessageID, amtp.StatusRetrying); s.Recipients[0].Status != amtp.StatusRetrying {
		t.Errorf("without the domain: %+v", s.Recipients[0])
	}
	a.Stop()
	a.Run("AMTP_FORMER_DOMAINS=localhost")
	b.Run()
	if got := bob.Receives(1)[0]; got.MessageID != sent.MessageID {
		t.Errorf("bob has %s, want %s", got.MessageID, sent.MessageID)
	}
}
