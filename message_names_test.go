package amtp_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// members are all known names at the top level of a message. The first protocol names
// are the protocol's; only a gateway writes the others.
var members = []string{
	"attachments", "coordination", "headers", "idempotency_key", "in_reply_to", "message_id", "payload", "recipients",
	"response_type",
	"schema", "sender", "signature", "subject", "timestamp", "version", "workflow_id",
	"attempts", "authentication", "body_purged", "created_at", "delivered_at", "delivery_count", "labels", "next_retry",
	"received_at",
	"sender_message_id", "sender_verification", "status", "thread_id", "trust", "updated_at",
}

const protocol = 16

// lookalikes returns, for each ASCII letter, all other characters that a
// case-insensitive reader may take for it.
func lookalikes() map[rune][]rune {
	alike := make(map[rune][]rune)
	for r := rune(1); r <= unicode.MaxRune; r++ {
		for _, as := range []rune{unicode.ToLower(r), unicode.ToLower(unicode.ToUpper(r)), lowest(r)} {
			if as >= 'a' && as <= 'z' && as != r {
				alike[as] = append(alike[as], r)
			}
		}
	}
	return alike
}

// lowest returns the lower case ASCII letter among all that folds to r, else r.
func lowest(r rune) rune {
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if f >= 'a' && f <= 'z' {
			return f
		}
	}
	return r
}

// TestNoNameStandsForAnother: every other spelling of a known name is refused, with
// each of its letters replaced by each lookalike.
func TestNoNameStandsForAnother(t *testing.T) {
	alike := lookalikes()
	if len(alike['s']) < 2 || len(alike['k']) < 2 || len(alike['i']) < 3 {
		t.Fatalf("lookalikes = %q, want the long s, the Kelvin sign and both Turkish letters among them", alike)
	}
	for i, name := range members {
		spellings := []string{strings.ToUpper(name), strings.ReplaceAll(name, "st", "\ufb06"),
			strings.ReplaceAll(name, "st", "\ufb05")}
		for at, letter := range name {
			for _, other := range alike[letter] {
				spellings = append(spellings, name[:at]+string(other)+name[at+1:])
			}
		}
		for _, spelling := range spellings {
			if spelling == name || strings.ToLower(spelling) == name && strictjson.IsASCII(spelling) && i < protocol {
				continue // an unknown member, see TestOtherNamesAreKept
			}
			quoted, err := json.Marshal(spelling)
			if err != nil {
				t.Fatal(err)
			}
			body := `{"sender":"a@x.test","recipients":["b@x.test"],` + string(quoted) + `:"x"}`
			if m, refused := amtp.ParseMessage([]byte(body)); refused == nil ||
				refused.Code != amtp.CodeInvalidMessage {
				t.Errorf("ParseMessage = %v, %v, want %s; %q for %s", m, refused, amtp.CodeInvalidMessage,
					spelling, name)
			}
		}
	}
}

// TestOtherNamesAreKept: a name that is like none of ours is the sender's own.
func TestOtherNamesAreKept(t *testing.T) {
	for _, name := range []string{"größe", "x", "Sender_", "sende", "trust2", "мир", "X-Status", "recipient", "ids",
		"SENDER", "Payload", "Signature"} {
		if _, refused := amtp.ParseMessage([]byte(`{"sender":"a@x.test","recipients":["b@x.test"],"` + name +
			`":"x"}`)); refused != nil {
			t.Errorf("ParseMessage = %v, want it accepted; name %q", refused, name)
		}
	}
}
