// Package automail writes the messages that a gateway sends by itself: the report of a
// failure to its sender (Reporter), the notice that an answer did not come in time
// (Deadline), the answers of the agent echo@{domain} (Echo), and
// what an endpoint says to a push, as a reply of its agent (PushReplier).
//
// Every message has an id and an idempotency key that are derived from its cause. It is
// therefore in the inbox once, however often a process is killed while it writes it, and
// however many replicas write it. None of these messages answers a message that a program
// sent by itself: two programs that answer each other would never end. RFC 3834 §2.
package automail

import (
	"encoding/json"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// identify returns the id and the idempotency key of the message that the parts identify.
func identify(parts ...string) (amtp.MessageID, string) {
	message := append([]string{"message"}, parts...)
	key := append([]string{"key"}, parts...)
	return amtp.MessageID(amtp.DeriveID(7, message...)), amtp.DeriveID(4, key...)
}

// isTaken reports whether the intake's refusal means that the message is stored already,
// or another one that was written earlier for the same cause.
func isTaken(refused error) bool {
	return refused == nil || gateway.CodeOf(refused) == amtp.CodeIdempotencyKeyReused
}

// isLater reports whether a refusal passes by itself.
func isLater(refused error) bool {
	code := gateway.CodeOf(refused)
	return code == amtp.CodeTemporaryFailure || code == amtp.CodeInternal
}

// parsed returns the document as a message.
func parsed(document any) (*amtp.Message, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	m, refused := amtp.ParseMessage(body)
	if refused != nil {
		return nil, refused
	}
	return m, nil
}
