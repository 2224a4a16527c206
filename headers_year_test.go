package amtp_test

import (
	"testing"

	"github.com/amtp-go/amtp"
)

// TestTimesHaveAYear: a time whose year in UTC cannot be written in RFC 3339 is refused.
func TestTimesHaveAYear(t *testing.T) {
	for text, ok := range map[string]bool{
		"0000-01-01T00:00:00+23:59": false,
		"0000-12-31T23:59:59Z":      false,
		"0001-01-01T00:00:00Z":      true,
		"9999-12-31T23:59:59Z":      true,
		"9999-12-31T23:59:59-23:59": false,
	} {
		m, refused := amtp.ParseMessage([]byte(`{"sender":"a@x.example","recipients":["b@x.example"],"payload":1,` +
			`"headers":{"answer-by":"` + text + `","expires":"` + text + `"}}`))
		if refused != nil {
			t.Fatal(refused)
		}
		if _, err := m.AnswerBy(); (err == nil) != ok {
			t.Errorf("AnswerBy of %s = %v, want it to be read: %t", text, err, ok)
		}
		if _, err := m.Expires(); (err == nil) != ok {
			t.Errorf("Expires of %s = %v, want it to be read: %t", text, err, ok)
		}
	}
}
