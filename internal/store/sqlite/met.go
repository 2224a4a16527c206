package sqlite

import (
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// isFirst is true for a message m that is the first of its sender to an agent. The
// parameter with the agent's id follows it.
const isFirst = `m.class = 2 AND EXISTS (SELECT 1 FROM met t WHERE t.sender = m.sender AND t.message = m.id AND t.agent = `

// noteAcquaintance notes that an agent gets a message that makes its sender known.
func (w *writer) noteAcquaintance(to *addressing, agent gateway.AgentID) error {
	if !to.Meets() {
		return nil
	}
	m := to.Acquaintance(agent)
	if w.dir.HasMet(m) {
		return nil
	}
	_, err := w.exec(`INSERT INTO met (sender, agent, message, domain) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		m.Sender, int64(agent), to.message, m.Domain)
	w.changes = append(w.changes, func(d *store.Directory) { d.NoteMet([]store.Acquaintance{m}) })
	return err
}

// forgetAcquaintances forgets the acquaintances of agents with senders of a domain, and
// reports whether that was all.
func (w *writer) forgetAcquaintances(domain string) (bool, error) {
	n,
		err := w.exec(`DELETE FROM met WHERE (sender, agent) IN (SELECT sender, agent FROM met INDEXED BY met_domain WHERE domain = ? LIMIT ?)`,
		domain, store.MostUnmet)
	if n > 0 {
		w.changes = append(w.changes, (*store.Directory).ForgetMet)
	}
	return n < store.MostUnmet, err
}
