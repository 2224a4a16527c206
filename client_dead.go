package amtp

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// DeadLetterQuery chooses dead letters. Zero members do not restrict.
type DeadLetterQuery struct {
	Destination string
	Message     MessageID
	Code        Code
	Before      time.Time // given up before
	After       string    // NextCursor of an earlier page
	Limit       int       // 0 leaves it to the gateway: 100
}

// DeadLetterChoice says which dead letters are meant. At least one member must
// be set; all that are set must fit.
type DeadLetterChoice struct {
	IDs         []DeadLetterID // at most 1000
	Destination string
	Message     MessageID
	Code        Code
	Before      time.Time // given up before
	All         bool      // all there are; alone
}

// DeadLetters lists what could not be delivered, without the messages. It, and
// the calls below, need AdminKey.
func (c *Client) DeadLetters(ctx context.Context, q DeadLetterQuery) (DeadLetterList, error) {
	v := DeadLetterChoice{Destination: q.Destination, Message: q.Message, Code: q.Code, Before: q.Before}.query()
	v.text("after", q.After)
	v.number("limit", q.Limit)
	var out DeadLetterList
	_, err := c.do(ctx, call{method: "GET", path: deadPath(), query: v, admin: true, repeat: true}, &out)
	return out, err
}

// DeadLetter returns one, with its message.
func (c *Client) DeadLetter(ctx context.Context, id DeadLetterID) (DeadLetter, error) {
	var out DeadLetter
	_, err := c.do(ctx, call{method: "GET", path: deadPath(number(id)), admin: true, repeat: true}, &out)
	return out, err
}

// Redrive queues dead letters again and returns how many. What was queued again
// is no dead letter any more, so a second call changes nothing.
func (c *Client) Redrive(ctx context.Context, which DeadLetterChoice) (int, error) {
	body := struct {
		IDs         []DeadLetterID `json:"ids,omitempty"`
		Destination string         `json:"destination,omitempty"`
		Message     MessageID      `json:"message,omitempty"`
		Code        Code           `json:"code,omitempty"`
		Before      Time           `json:"before,omitzero"`
		All         bool           `json:"all,omitempty"`
	}{which.IDs, which.Destination, which.Message, which.Code, Time{which.Before}, which.All}
	var out Redriven
	_, err := c.do(ctx, call{method: "POST", path: deadPath("redrive"), body: body, admin: true, repeat: true}, &out)
	return out.Redriven, err
}

// idsPerCall is how many ids stand in one query: it is short whatever they are.
const idsPerCall = 20

// PurgeDeadLetters removes dead letters for good, and returns how many; their
// messages stay failed. Many ids take several calls: after an error some may be
// removed.
func (c *Client) PurgeDeadLetters(ctx context.Context, which DeadLetterChoice) (purged int, err error) {
	for rest := which.IDs; ; {
		which.IDs = rest[:min(len(rest), idsPerCall)]
		rest = rest[len(which.IDs):]
		var out PurgedDead
		if _, err = c.do(ctx, call{method: "DELETE", path: deadPath(), query: which.query(), admin: true, repeat: true},
			&out); err != nil {
			return purged, err
		}
		if purged += out.Purged; len(rest) == 0 {
			return purged, nil
		}
	}
}

// PurgeDeadLetter removes one. It is not repeated: a second one would find
// nothing.
func (c *Client) PurgeDeadLetter(ctx context.Context, id DeadLetterID) error {
	_, err := c.do(ctx, call{method: "DELETE", path: deadPath(number(id)), admin: true}, nil)
	return err
}

func (d DeadLetterChoice) query() query {
	v := make(query)
	ids := make([]string, len(d.IDs))
	for i, id := range d.IDs {
		ids[i] = number(id)
	}
	v.text("ids", strings.Join(ids, ","))
	v.text("destination", d.Destination)
	v.text("message", string(d.Message))
	v.text("code", string(d.Code))
	v.time("before", d.Before)
	v.flag("all", d.All)
	return v
}

func number(id DeadLetterID) string { return strconv.FormatInt(int64(id), 10) }

func deadPath(segments ...string) string {
	return path(append([]string{"admin", "dead-letters"}, segments...)...)
}
