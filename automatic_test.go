package amtp_test

import (
	"encoding/json"
	"testing"

	"github.com/amtp-go/amtp"
)

func TestAutomatic(t *testing.T) {
	for headers, want := range map[string]bool{
		``: false, `{}`: false, `{"priority":"high"}`: false,
		`{"auto-submitted":"no"}`: false, `{"Auto-Submitted":"NO"}`: false,
		`{"auto-submitted":"auto-generated"}`: true, `{"AUTO-SUBMITTED":"auto-replied"}`: true,
		`{"auto-submitted":true}`: true, `{"auto-submitted":""}`: true,
	} {
		m := amtp.Message{Headers: json.RawMessage(headers)}
		if got := m.Automatic(); got != want {
			t.Errorf("a message with the headers %q: Automatic() = %t, want %t", headers, got, want)
		}
		if m.ResponseType = "workflow_response"; !m.Automatic() {
			t.Errorf("a response with the headers %q is not automatic", headers)
		}
	}
}

// TestAutomaticByType: messages that gateways write by themselves are also recognised
// by their payload.
func TestAutomaticByType(t *testing.T) {
	for payload, want := range map[string]bool{
		`{"message_type":"delivery_failure"}`: true, `{"a":1,"message_type":"receipts"}`: true,
		`{"message_type":"answer_deadline"}`: true, `{"message_type":"re\u0063eipts"}`: true,
		`{"message_type":""}`:      false,
		`{"message_type":"order"}`: false, `{"message_type":1}`: false, `{"Message_Type":"receipts"}`: false,
		`"receipts"`: false, `[]`: false, ``: false, `null`: false,
	} {
		m := amtp.Message{Payload: json.RawMessage(payload)}
		if got := m.Automatic(); got != want {
			t.Errorf("a message with the payload %s: Automatic() = %t, want %t", payload, got, want)
		}
	}
}
