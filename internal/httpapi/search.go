package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// search finds messages of a mailbox of the caller by their words.
func (s *Server) search(c *call) {
	p := c.params()
	filter := gateway.SearchFilter{
		Query:    p.query(),
		From:     gateway.AtHome(p.address("from"), s.Domain),
		Since:    p.since(),
		Schema:   p.schemaPattern(),
		Thread:   p.messageID("thread"),
		Before:   p.cursor(ofSearch),
		Limit:    p.limit(),
		MaxBytes: maxPage,
	}
	box, err := s.mailbox(c)
	if err == nil {
		err = p.err
	}
	if err != nil {
		c.fail(err)
		return
	}
	page, err := s.Store.Search(c.r.Context(), box.Acting, filter)
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(http.StatusOK, searchView(box.Agent, &page))
}

// searchView is the answer with a page of messages that were found.
func searchView(owner gateway.AgentID, page *gateway.SearchPage) amtp.SearchPage {
	view := amtp.SearchPage{Messages: make([]amtp.FoundMessage, len(page.Messages)), Count: len(page.Messages),
		HasMore: page.HasMore, Incomplete: page.Incomplete, Behind: page.Behind}
	if page.HasMore {
		view.NextCursor = ofSearch.text(page.Next)
	}
	for i := range page.Messages {
		m := &page.Messages[i]
		shown := m.Shown()
		recipients := make([]amtp.Address, len(m.Deliveries))
		for j := range m.Deliveries {
			recipients[j] = m.Deliveries[j].Recipient
		}
		view.Messages[i] = amtp.FoundMessage{
			MessageID: m.ID, Sender: m.Sender, Recipients: recipients, Subject: m.Subject, Schema: m.Schema,
			Timestamp: amtp.Time{Time: m.Timestamp}, ReceivedAt: amtp.Time{Time: m.ReceivedAt}, ThreadID: m.Thread,
			InReplyTo: m.InReplyTo, Trust: shown.Trust, Authentication: shown.Authentication,
			Sent: m.SenderAgent == owner, Size: m.Size, Snippet: m.Snippet,
			Labels: m.Labels,
		}
	}
	return view
}

// query reads the words of a search.
func (p *params) query() gateway.Query {
	q, err := gateway.ParseQuery(p.text("q"))
	if err != nil {
		p.fail(amtp.CodeInvalidParameter, "q: %v", err)
	}
	return q
}

// schemaPattern reads a schema id or a pattern of such, "" for none.
func (p *params) schemaPattern() string {
	s := p.text("schema")
	if s == "" {
		return ""
	}
	if err := amtp.CheckSchemaPattern(s); err != nil {
		p.fail(amtp.CodeInvalidParameter, "schema: %v", err)
	}
	return s
}
