package automail

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// maxAnswer is how many bytes an answer may have.
const maxAnswer = 1 << 10

// said is the payload of an answer.
type said struct {
	Text    string          `json:"text"`
	Trust   amtp.Trust      `json:"trust"`       // the trust label of the message
	At      amtp.Time       `json:"received_at"` // when it was stored
	Payload json.RawMessage `json:"payload,omitempty"`
}

// answer is the answer to a message. It is the same each time it is written. It repeats
// payload and subject if they fit and the result is a valid message.
func answer(item *gateway.InboxItem, from amtp.Address) (m *amtp.Message, err error) {
	asked, refused := amtp.ParseMessage(item.Body)
	if refused != nil {
		return nil, refused
	}
	subject := "Re: " + strings.TrimPrefix(item.Subject, "Re: ")
	for _, part := range []struct {
		subject string
		payload json.RawMessage
	}{{subject, asked.Payload}, {subject, nil}, {"Re:", nil}} {
		body, failed := written(item, from, part.subject, part.payload)
		if err = failed; err != nil || len(body) > maxAnswer {
			continue
		}
		parsed, refused := amtp.ParseMessage(body)
		if refused == nil {
			return parsed, nil
		}
		err = refused // the payload is nested too deeply: it is two levels deeper than it was
	}
	if err == nil {
		err = errLong
	}
	return nil, err
}

// errLong means that even the shortest answer does not fit.
var errLong = errors.New("the answer is too long")

func written(item *gateway.InboxItem, from amtp.Address, subject string, payload json.RawMessage) ([]byte, error) {
	doc, err := json.Marshal(said{Text: "Your message arrived.", Trust: item.Shown().Trust,
		At: amtp.Time{Time: item.ReceivedAt}, Payload: payload})
	if err != nil {
		return nil, err
	}
	id, key := identify("amtp echo", string(item.ID))
	return json.Marshal(amtp.Message{
		Version: amtp.Version, MessageID: id, IdempotencyKey: key,
		Sender: from, Recipients: []amtp.Address{item.Sender}, Subject: subject, InReplyTo: item.ID,
		Headers: json.RawMessage(`{"auto-submitted":"auto-replied"}`), Payload: doc,
	})
}

// Bounds of answers to one domain, and of the domains that are counted.
const (
	perMinute = 6
	watched   = 4096
)

// answers remembers when each domain had its last answers.
type answers struct {
	mu      sync.Mutex
	domains map[amtp.Domain]*[perMinute]time.Time // oldest first
}

// allow counts an answer to the domain, unless the domain has reached its limit. If too
// many domains are counted, a new one has to wait.
func (a *answers) allow(d amtp.Domain, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.domains[d]
	if last == nil {
		if len(a.domains) >= watched {
			a.forget(now)
		}
		if len(a.domains) >= watched {
			return false
		}
		if a.domains == nil {
			a.domains = make(map[amtp.Domain]*[perMinute]time.Time)
		}
		last = new([perMinute]time.Time)
		a.domains[d] = last
	}
	if now.Sub(last[0]) < time.Minute {
		return false
	}
	copy(last[:], last[1:])
	last[perMinute-1] = now
	return true
}

// giveBack takes back the last answer that was counted, because it was not sent.
func (a *answers) giveBack(d amtp.Domain) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last := a.domains[d]; last != nil {
		copy(last[1:], last[:perMinute-1])
		last[0] = time.Time{} // the oldest one is more than a minute old
	}
}

// forget drops domains that may have all their answers again.
func (a *answers) forget(now time.Time) {
	for d, last := range a.domains {
		if now.Sub(last[perMinute-1]) >= time.Minute {
			delete(a.domains, d)
		}
	}
}
