package admin

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/calls"
)

// DeadLetterID names a delivery that failed.
type DeadLetterID int64

// DeadLetter is a delivery that failed for good. It may be tried again as long
// as the gateway keeps the message. AMTP §8.
type DeadLetter struct {
	ID              DeadLetterID    `json:"id"`
	MessageID       amtp.MessageID  `json:"message_id"`
	Sender          amtp.Address    `json:"sender"`
	Recipient       amtp.Address    `json:"recipient"`
	Destination     string          `json:"destination"` // in the form of QueuedJob
	Subject         string          `json:"subject,omitempty"`
	ErrorCode       amtp.Code       `json:"error_code,omitempty"`
	FailureReason   string          `json:"failure_reason"`
	Attempts        int             `json:"attempts"`
	FirstAttempt    amtp.Time       `json:"first_attempt,omitzero"` // left out if there was none
	LastAttempt     amtp.Time       `json:"last_attempt,omitzero"`
	DeadAt          amtp.Time       `json:"dlq_timestamp"` // when it was given up
	ReceivedAt      amtp.Time       `json:"received_at"`
	Size            int             `json:"size"`                       // bytes of the message
	Redrives        int             `json:"redrives"`                   // how often it was tried again
	OriginalMessage json.RawMessage `json:"original_message,omitempty"` // as received; only of a single one
}

// DeadLetterList is a page of a gateway's dead letters, in the order of their ids.
type DeadLetterList struct {
	DeadLetters []DeadLetter `json:"dead_letters"`
	Count       int          `json:"count"` // of the dead letters on this page
	HasMore     bool         `json:"has_more"`
	NextCursor  string       `json:"next_cursor"`          // give it as After to read on
	Incomplete  bool         `json:"incomplete,omitempty"` // the page ended before its limit; read on
}

// Redriven answers the call that tries dead letters again.
type Redriven struct {
	Redriven int `json:"redriven"` // how many were queued again
}

// PurgedDead answers the calls that remove dead letters.
type PurgedDead struct {
	Purged int `json:"purged"`
}

// DeadLetterQuery chooses dead letters. Zero members do not restrict.
type DeadLetterQuery struct {
	Destination string
	Message     amtp.MessageID
	Code        amtp.Code
	Before      time.Time // given up before
	After       string    // NextCursor of an earlier page
	Limit       int       // 0 leaves it to the gateway: 100
}

// DeadLetterChoice chooses dead letters. At least one member must be set; a dead letter
// must match all members that are set.
type DeadLetterChoice struct {
	IDs         []DeadLetterID // at most 1000
	Destination string
	Message     amtp.MessageID
	Code        amtp.Code
	Before      time.Time // given up before
	All         bool      // all dead letters; no other member may be set
}

// DeadLetters lists the deliveries that failed for good, without the messages.
func (c *Client) DeadLetters(ctx context.Context, q DeadLetterQuery) (DeadLetterList, error) {
	v := DeadLetterChoice{Destination: q.Destination, Message: q.Message, Code: q.Code, Before: q.Before}.query()
	v.Text("after", q.After)
	v.Number("limit", q.Limit)
	var out DeadLetterList
	err := c.call(ctx, amtp.Request{Method: "GET", Path: deadPath(), Query: v, Repeat: true}, &out)
	return out, err
}

// DeadLetter returns one dead letter, with its message.
func (c *Client) DeadLetter(ctx context.Context, id DeadLetterID) (DeadLetter, error) {
	var out DeadLetter
	err := c.call(ctx, amtp.Request{Method: "GET", Path: deadPath(number(id)), Repeat: true}, &out)
	return out, err
}

// Redrive queues dead letters again and returns how many. A delivery that is queued
// again is no longer a dead letter, so a second call changes nothing.
func (c *Client) Redrive(ctx context.Context, which DeadLetterChoice) (int, error) {
	body := struct {
		IDs         []DeadLetterID `json:"ids,omitempty"`
		Destination string         `json:"destination,omitempty"`
		Message     amtp.MessageID `json:"message,omitempty"`
		Code        amtp.Code      `json:"code,omitempty"`
		Before      amtp.Time      `json:"before,omitzero"`
		All         bool           `json:"all,omitempty"`
	}{which.IDs, which.Destination, which.Message, which.Code, amtp.Time{Time: which.Before}, which.All}
	var out Redriven
	err := c.call(ctx, amtp.Request{Method: "POST", Path: deadPath("redrive"), Body: body, Repeat: true}, &out)
	return out.Redriven, err
}

// idsPerCall is how many ids one query has, so that the query is always short.
const idsPerCall = 20

// PurgeDeadLetters removes dead letters for good, and returns how many. Their messages
// stay failed. Many ids take several calls: after an error some of them may be removed.
func (c *Client) PurgeDeadLetters(ctx context.Context, which DeadLetterChoice) (purged int, err error) {
	for rest := which.IDs; ; {
		which.IDs = rest[:min(len(rest), idsPerCall)]
		rest = rest[len(which.IDs):]
		var out PurgedDead
		if err = c.call(ctx, amtp.Request{Method: "DELETE", Path: deadPath(), Query: which.query(), Repeat: true},
			&out); err != nil {
			return purged, err
		}
		if purged += out.Purged; len(rest) == 0 {
			return purged, nil
		}
	}
}

// PurgeDeadLetter removes one dead letter. It is not repeated: a second call would find
// nothing.
func (c *Client) PurgeDeadLetter(ctx context.Context, id DeadLetterID) error {
	return c.call(ctx, amtp.Request{Method: "DELETE", Path: deadPath(number(id))}, nil)
}

func (d DeadLetterChoice) query() calls.Query {
	v := make(calls.Query)
	ids := make([]string, len(d.IDs))
	for i, id := range d.IDs {
		ids[i] = number(id)
	}
	v.Text("ids", strings.Join(ids, ","))
	v.Text("destination", d.Destination)
	v.Text("message", string(d.Message))
	v.Text("code", string(d.Code))
	v.Time("before", d.Before)
	v.Flag("all", d.All)
	return v
}

func number(id DeadLetterID) string { return strconv.FormatInt(int64(id), 10) }

func deadPath(segments ...string) []string {
	return append([]string{"admin", "dead-letters"}, segments...)
}
