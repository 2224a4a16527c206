package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// listDead shows what could not be delivered, without the messages.
func (s *Server) listDead(c *call) {
	p := c.params()
	w := p.dead()
	after, limit := p.cursor(ofDead), p.limit()
	if p.err != nil {
		c.fail(p.err)
		return
	}
	f, none, err := s.filter(c.r.Context(), w)
	var page gateway.DeadPage
	if f.After, f.Limit = gateway.DeliveryID(after), limit; err == nil && !none {
		page, err = s.Store.DeadLetters(c.r.Context(), f)
	}
	if err != nil {
		c.fail(gateway.Refusal(err))
		return
	}
	list := admin.DeadLetterList{DeadLetters: make([]admin.DeadLetter, len(page.Letters)), Count: len(page.Letters),
		HasMore: page.HasMore, Incomplete: page.Incomplete, NextCursor: ofDead.text(int64(max(f.After, page.Next)))}
	for i := range page.Letters {
		list.DeadLetters[i] = deadView(&page.Letters[i])
	}
	c.reply(http.StatusOK, list)
}

// showDead shows one dead letter with its message, byte for byte. AMTP §8.
func (s *Server) showDead(c *call) {
	letter, refused := s.dead(c)
	if refused != nil {
		c.fail(refused)
		return
	}
	b, err := json.Marshal(deadView(&letter))
	if err != nil {
		c.fail(gateway.Refusal(err))
		return
	}
	b = append(append(b[:len(b)-1], `,"original_message":`...), letter.Body...)
	c.write(http.StatusOK, append(b, '}'))
}

// redriveDead queues dead letters again.
func (s *Server) redriveDead(c *call) {
	var w wanted
	refused := c.decode(&w, false)
	var f gateway.DeadFilter
	none := false
	if refused == nil {
		f, none, refused = s.chosen(c.r.Context(), w)
	}
	if refused != nil {
		c.fail(refused)
		return
	}
	n := 0
	if !none {
		again, err := s.reopened(c.r.Context(), f)
		if err == nil {
			n, err = s.Store.Redrive(c.r.Context(), f, s.Now())
		}
		if err != nil {
			c.fail(gateway.Refusal(err))
			return
		}
		for _, d := range again {
			s.Queue.Wake(d)
		}
	}
	c.note("letters", n)
	c.reply(http.StatusOK, admin.Redriven{Redriven: n})
}

// reopened returns the destinations that a redrive is meant for, when it names
// them or some letters: they are tried at once however they felt. Of a redrive
// of many each is tried when its turn comes.
func (s *Server) reopened(ctx context.Context, f gateway.DeadFilter) (list []gateway.Destination, err error) {
	if f.Destination != "" {
		return []gateway.Destination{f.Destination}, nil
	}
	if len(f.IDs) == 0 && f.Message == "" {
		return nil, nil
	}
	f.Limit = maxLimit
	page, err := s.Store.DeadLetters(ctx, f)
	seen := make(map[gateway.Destination]bool)
	for i := range page.Letters {
		if d := page.Letters[i].Destination; !seen[d] {
			seen[d] = true
			list = append(list, d)
		}
	}
	return list, err
}

// purgeDead removes dead letters; the messages keep their failed status.
func (s *Server) purgeDead(c *call) {
	p := c.params()
	w := p.dead()
	w.IDs, w.All = p.numbers("ids"), p.flag("all")
	if p.err != nil {
		c.fail(p.err)
		return
	}
	f, none, refused := s.chosen(c.r.Context(), w)
	if refused != nil {
		c.fail(refused)
		return
	}
	n := 0
	if !none {
		var err error
		if n, err = s.Store.PurgeDead(c.r.Context(), f); err != nil {
			c.fail(gateway.Refusal(err))
			return
		}
	}
	s.purged(c, n)
}

// purgeOneDead removes the dead letter that the path names.
func (s *Server) purgeOneDead(c *call) {
	letter, refused := s.dead(c)
	if refused != nil {
		c.fail(refused)
		return
	}
	n, err := s.Store.PurgeDead(c.r.Context(), gateway.DeadFilter{IDs: []gateway.DeliveryID{letter.ID}})
	switch {
	case err != nil:
		c.fail(gateway.Refusal(err))
	case n == 0: // somebody else was faster
		c.fail(noLetter(c.r.PathValue("id")))
	default:
		s.purged(c, n)
	}
}

func (s *Server) purged(c *call, n int) {
	c.note("letters", n)
	c.reply(http.StatusOK, admin.PurgedDead{Purged: n})
}

// dead finds the dead letter that the path names, for the operator.
func (s *Server) dead(c *call) (gateway.DeadLetter, *amtp.Error) {
	id := number(c.r.PathValue("id"))
	if id == 0 {
		return gateway.DeadLetter{}, noLetter(c.r.PathValue("id"))
	}
	letter, err := s.Store.DeadLetter(c.r.Context(), gateway.DeliveryID(id))
	if errors.Is(err, gateway.ErrNotFound) {
		return letter, noLetter(c.r.PathValue("id"))
	}
	if err != nil {
		return letter, gateway.Refusal(err)
	}
	return letter, nil
}

func noLetter(id string) *amtp.Error {
	return amtp.Errorf(amtp.CodeDeadLetterNotFound,
		"There is no dead letter %q; one that was queued again or removed has left the list.", gateway.Short(id))
}

// wanted says which dead letters a request means.
type wanted struct {
	IDs         []int64   `json:"ids"`
	Destination string    `json:"destination"`
	Message     string    `json:"message"`
	Code        string    `json:"code"`
	Before      amtp.Time `json:"before"`
	All         bool      `json:"all"`
}

// dead reads the conditions that a query has.
func (p *params) dead() wanted {
	return wanted{
		Destination: string(p.destination()), Message: string(p.messageID("message")), Code: p.text("code"),
		Before: amtp.Time{Time: p.time("before", amtp.CodeInvalidParameter)},
	}
}

// chosen checks that a request that changes dead letters says which it means.
func (s *Server) chosen(ctx context.Context, w wanted) (f gateway.DeadFilter, none bool, refused *amtp.Error) {
	some := len(w.IDs) > 0 || w.Destination != "" || w.Message != "" || w.Code != "" || !w.Before.IsZero()
	switch {
	case !some && !w.All:
		return f, false, amtp.Errorf(amtp.CodeInvalidRequest,
			"Say which dead letters: ids, destination, message, code or before; or all for all there are.")
	case some && w.All:
		return f, false, amtp.Errorf(amtp.CodeInvalidRequest, "Give conditions or all, not both.")
	case len(w.IDs) > maxLimit:
		return f, false, amtp.Errorf(amtp.CodeInvalidRequest, "There are %d ids; at most %d may be in one request.",
			len(w.IDs), maxLimit)
	}
	if !printable(w.Destination) || !printable(w.Code) {
		return f, false, amtp.Errorf(amtp.CodeInvalidRequest, "destination and code have no control characters.")
	}
	if w.Message != "" {
		if _, err := amtp.ParseMessageID(w.Message); err != nil {
			return f, false, amtp.Errorf(amtp.CodeInvalidRequest, "message: %v.", err)
		}
	}
	f, none, err := s.filter(ctx, w)
	if err != nil {
		return f, false, gateway.Refusal(err)
	}
	return f, none, nil
}

// filter makes of the conditions what the store reads; none says that nothing
// can match.
func (s *Server) filter(ctx context.Context, w wanted) (f gateway.DeadFilter, none bool, err error) {
	f = gateway.DeadFilter{Destination: destination(w.Destination), Code: amtp.Code(w.Code), Before: w.Before.Time}
	for _, id := range w.IDs {
		f.IDs = append(f.IDs, gateway.DeliveryID(id))
	}
	f.Message, err = s.canonical(ctx, amtp.MessageID(w.Message))
	return f, w.Message != "" && f.Message == "", err
}

// destination reads a destination: domains are stored in lower case.
func destination(s string) gateway.Destination {
	if d, err := amtp.ParseDomain(s); err == nil {
		return gateway.Destination(d)
	}
	return gateway.Destination(strings.ToLower(s))
}

func deadView(l *gateway.DeadLetter) admin.DeadLetter {
	code := l.Delivery.ErrorCode
	if code == "" {
		_, code = l.Delivery.State.Wire()
	}
	return admin.DeadLetter{
		ID: admin.DeadLetterID(l.ID), MessageID: l.Envelope.ID, Sender: l.Envelope.Sender,
		Recipient:   l.Delivery.Recipient,
		Destination: string(l.Destination), Subject: l.Envelope.Subject, ErrorCode: code,
		FailureReason: l.Delivery.ErrorText,
		Attempts:      l.Delivery.Attempts, FirstAttempt: amtp.Time{Time: l.FirstTry},
		LastAttempt: amtp.Time{Time: l.LastTry},
		DeadAt:      amtp.Time{Time: l.At}, ReceivedAt: amtp.Time{Time: l.Envelope.ReceivedAt}, Size: l.Size,
		Redrives: l.Generation,
	}
}

// numbers reads a list of ids, 1,2,3.
func (p *params) numbers(name string) (list []int64) {
	s := p.text(name)
	if s == "" {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		n := number(part)
		if n == 0 {
			p.fail(amtp.CodeInvalidParameter, "%s must be ids with commas between them", name)
			return nil
		}
		list = append(list, n)
	}
	return list
}

// destination reads the name of a destination.
func (p *params) destination() gateway.Destination { return destination(p.text("destination")) }

// messageID reads the id of a message, "" for none.
func (p *params) messageID(name string) amtp.MessageID {
	s := p.text(name)
	if s == "" {
		return ""
	}
	id, err := amtp.ParseMessageID(s)
	if err != nil {
		p.fail(amtp.CodeInvalidParameter, "%s: %v", name, err)
	}
	return id
}
