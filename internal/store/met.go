package store

import (
	"github.com/amtp-go/amtp/internal/gateway"
)

// Acquaintance is an address of another domain and an agent that it wrote to.
type Acquaintance struct {
	Sender string // amtp.Address.Key
	Domain string
	Agent  gateway.AgentID
}

// Meets reports whether a message makes its sender known to its recipients. Only a
// message that its domain proved does.
func (p *Incoming) Meets() bool { return p.Class == gateway.ClassDomain && p.SenderAgent == 0 }

// Acquaintance returns the acquaintance of the message's sender with the agent.
func (p *Incoming) Acquaintance(agent gateway.AgentID) Acquaintance {
	return Acquaintance{Sender: p.From(), Domain: string(p.Sender.Domain()), Agent: agent}
}

// MostUnmet is the most acquaintances that one step of a purge forgets.
const MostUnmet = 1000

// maxMet is the most senders of one agent that are remembered in memory. A sender that
// is not is stored again, which changes nothing.
const maxMet = 1024

// HasMet reports whether the store has a row that says that the agent has met the
// sender. False may mean only that it is not remembered here.
func (d *Directory) HasMet(m Acquaintance) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.agent[m.Agent]
	return e != nil && e.met[m.Sender]
}

// NoteMet notes acquaintances that are now stored.
func (d *Directory) NoteMet(list []Acquaintance) {
	if len(list) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range list {
		e := d.agent[m.Agent]
		switch {
		case e == nil:
			continue
		case e.met == nil || len(e.met) >= maxMet:
			e.met = make(map[string]bool, 1)
		}
		e.met[m.Sender] = true
	}
}

// ForgetMet clears the acquaintances in memory, because some of them are no longer
// stored.
func (d *Directory) ForgetMet() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.agent {
		e.met = nil
	}
}
