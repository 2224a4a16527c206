package amtp

import "encoding/json"

// DeadLetterID names a delivery that failed.
type DeadLetterID int64

// DeadLetter is a delivery that failed for good. It may be tried again as long
// as the gateway keeps the message. AMTP §8.
type DeadLetter struct {
	ID              DeadLetterID    `json:"id"`
	MessageID       MessageID       `json:"message_id"`
	Sender          Address         `json:"sender"`
	Recipient       Address         `json:"recipient"`
	Destination     string          `json:"destination"` // as of a QueuedJob
	Subject         string          `json:"subject,omitempty"`
	ErrorCode       Code            `json:"error_code,omitempty"`
	FailureReason   string          `json:"failure_reason"`
	Attempts        int             `json:"attempts"`
	FirstAttempt    Time            `json:"first_attempt,omitzero"` // left out when there was none
	LastAttempt     Time            `json:"last_attempt,omitzero"`
	DeadAt          Time            `json:"dlq_timestamp"` // when it was given up
	ReceivedAt      Time            `json:"received_at"`
	Size            int             `json:"size"`                       // bytes of the message
	Redrives        int             `json:"redrives"`                   // how often it was tried again
	OriginalMessage json.RawMessage `json:"original_message,omitempty"` // of a single one only, as it was received
}

// DeadLetterList is part of a gateway's dead letters, in the order of their ids.
type DeadLetterList struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	Count       int          `json:"count"` // of those on this page
	HasMore     bool         `json:"has_more"`
	NextCursor  string       `json:"next_cursor"`          // give it as After to read on
	Incomplete  bool         `json:"incomplete,omitempty"` // the page ended before its limit; read on
}

// Redriven answers the call that tries dead letters again.
type Redriven struct {
	Redriven int `json:"redriven"` // how many are queued again
}

// PurgedDead answers the calls that remove dead letters.
type PurgedDead struct {
	Purged int `json:"purged"`
}
