package sqlite

import (
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// checkRows reads every row as a gateway does, in a database of any release. A gateway
// works without a row that cannot be read.
func (c *statements) checkRows() Finding {
	f := Finding{Name: "rows", OK: true, Text: "every agent, message and recipient can be read"}
	var u store.Unread
	for _, table := range []struct {
		sql  string
		look func(*sqlite3.Stmt)
	}{
		{`SELECT id, name, domain, capabilities, schemas, members FROM agent`, func(s *sqlite3.Stmt) {
			u.Agent(s.ColumnInt64(0), s.ColumnText(1)+"@"+s.ColumnText(2), s.ColumnText(3), s.ColumnText(4),
				s.ColumnText(5))
		}},
		{`SELECT id, uuid, sender_agent, sender, class, trust, authentication FROM message`, func(s *sqlite3.Stmt) {
			u.Message(s.ColumnInt64(0), &store.EnvelopeRow{
				UUID: s.ColumnRawBlob(1), SenderAgent: gateway.AgentID(s.ColumnInt64(2)), Sender: s.ColumnText(3),
				Class: gateway.Class(s.ColumnInt64(4)), Trust: s.ColumnInt64(5), Finding: s.ColumnText(6),
			})
		}},
		{`SELECT seq, agent, address, state FROM delivery`, func(s *sqlite3.Stmt) {
			u.Delivery(&store.DeliveryRow{
				Seq: s.ColumnInt64(0), Agent: gateway.AgentID(s.ColumnInt64(1)), Address: s.ColumnText(2),
				State: gateway.State(s.ColumnInt64(3)),
			})
		}},
	} {
		err := c.query(table.sql, func(s *sqlite3.Stmt) error {
			table.look(s)
			return nil
		})
		if err != nil {
			return failed(f.Name, err)
		}
	}
	if u.Rows > 0 {
		f.OK, f.Text = false, "cannot be read, unlike all others: "+u.String()
		f.Mend = "the gateway shows them as unreadable and has not changed them: check the disk; " + useBackup
	}
	return f
}
