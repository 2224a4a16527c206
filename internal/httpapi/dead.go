package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// listDead lists dead letters without their messages.
func (s *Server) listDead(c *call) {
	p := c.params()
	which := p.dead()
	after, limit := p.cursor(ofDead), p.limit()
	if p.err != nil {
		c.fail(p.err)
		return
	}
	list, next, err := s.Operator.DeadLetters(c.r.Context(), which, gateway.DeliveryID(after), limit)
	list.NextCursor = ofDead.text(int64(next))
	c.result(http.StatusOK, list, err)
}

// showDead shows one dead letter with its message, byte for byte. AMTP §8.
func (s *Server) showDead(c *call) {
	letter, err := s.Operator.DeadLetter(c.r.Context(), c.r.PathValue("id"))
	body := letter.OriginalMessage
	letter.OriginalMessage = nil // json.Marshal would rewrite its white space
	var b []byte
	if err == nil {
		b, err = json.Marshal(letter)
	}
	if err != nil {
		c.fail(err)
		return
	}
	b = append(append(b[:len(b)-1], `,"original_message":`...), body...)
	c.write(http.StatusOK, append(b, '}'))
}

// chosenLetters is the choice of dead letters in a request.
type chosenLetters struct {
	IDs         []admin.DeadLetterID `json:"ids"`
	Destination string               `json:"destination"`
	Message     string               `json:"message"`
	Code        string               `json:"code"`
	Before      amtp.Time            `json:"before"`
	All         bool                 `json:"all"`
}

// redriveDead queues dead letters again.
func (s *Server) redriveDead(c *call) {
	var w chosenLetters
	if refused := c.decode(&w, false); refused != nil {
		c.fail(refused)
		return
	}
	n, err := s.Operator.Redrive(c.r.Context(), admin.DeadLetterChoice{IDs: w.IDs, Destination: w.Destination,
		Message: amtp.MessageID(w.Message), Code: amtp.Code(w.Code), Before: w.Before.Time, All: w.All})
	c.note("letters", n)
	c.result(http.StatusOK, admin.Redriven{Redriven: n}, err)
}

// purgeDead removes dead letters; the messages keep their failed status.
func (s *Server) purgeDead(c *call) {
	p := c.params()
	which := p.dead()
	which.IDs, which.All = p.numbers("ids"), p.flag("all")
	if p.err != nil {
		c.fail(p.err)
		return
	}
	n, err := s.Operator.Purge(c.r.Context(), which)
	c.note("letters", n)
	c.result(http.StatusOK, admin.PurgedDead{Purged: n}, err)
}

// purgeOneDead removes the dead letter that the path names.
func (s *Server) purgeOneDead(c *call) {
	err := s.Operator.PurgeOne(c.r.Context(), c.r.PathValue("id"))
	c.note("letters", 1)
	c.result(http.StatusOK, admin.PurgedDead{Purged: 1}, err)
}

// dead reads the conditions in a query about dead letters.
func (p *params) dead() admin.DeadLetterChoice {
	return admin.DeadLetterChoice{
		Destination: string(p.destination()), Message: p.messageID("message"), Code: amtp.Code(p.text("code")),
		Before: p.time("before", amtp.CodeInvalidParameter),
	}
}

// numbers reads a list of ids such as 1,2,3.
func (p *params) numbers(name string) (list []admin.DeadLetterID) {
	s := p.text(name)
	if s == "" {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n <= 0 || strconv.FormatInt(n, 10) != part {
			p.fail(amtp.CodeInvalidParameter, "%s must be ids with commas between them", name)
			return nil
		}
		list = append(list, admin.DeadLetterID(n))
	}
	return list
}
