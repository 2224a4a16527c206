package amtp

import "context"

// AckResults says what became of each message that a request was to acknowledge, in the
// order of the request.
type AckResults struct {
	Results      []AckOutcome `json:"results"`
	Acknowledged int          `json:"acknowledged"` // how many are acknowledged
	Failed       int          `json:"failed"`       // how many are not
}

// AckOutcome is the result for one message: its acknowledgement, or an error.
type AckOutcome struct {
	MessageID MessageID `json:"message_id"`         // as the request named it
	Status    string    `json:"status,omitempty"`   // acknowledged
	Timestamp Time      `json:"timestamp,omitzero"` // of the first acknowledgement
	Error     *Problem  `json:"error,omitempty"`    // why it was not acknowledged
}

// Problem says why one part of a request failed.
type Problem struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// MaxAcks is the largest number of messages of one [Client.AckAll].
const MaxAcks = 500

// AckAll acknowledges up to [MaxAcks] messages, which leave the inbox for good. A message that
// cannot be acknowledged does not stop the others. leases are the tokens of those that were
// claimed; it may be nil. A message whose lease has ended has the error LEASE_LOST. A repeated
// call succeeds.
func (c *Client) AckAll(ctx context.Context, address Address, ids []MessageID,
	leases map[MessageID]string) (AckResults, error) {
	var out AckResults
	p := path("inbox", address.String(), "ack")
	body := map[string]any{"ids": ids}
	if len(leases) > 0 {
		body["leases"] = leases
	}
	_, err := c.do(ctx, call{method: "POST", path: p, body: body, repeat: true}, &out)
	return out, err
}
