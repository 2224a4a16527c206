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

// Meets reports whether a message makes its sender known to those who get it: only
// what its domain proved does.
func (p *Incoming) Meets() bool { return p.Class == gateway.ClassDomain && p.SenderAgent == 0 }

// Acquaintance returns that of the message's sender and the agent.
func (p *Incoming) Acquaintance(agent gateway.AgentID) Acquaintance {
	return Acquaintance{Sender: p.From(), Domain: string(p.Sender.Domain()), Agent: agent}
}

// MostUnmet is how many acquaintances one step of a purge forgets.
const MostUnmet = 1000

// maxMet is how many senders of one agent are remembered in memory. What is not is
// stored again, which changes nothing.
const maxMet = 1024

// HasMet reports whether it is stored that the agent has met the sender. That it has
// not means nothing.
func (d *Directory) HasMet(m Acquaintance) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.agent[m.Agent]
	return e != nil && e.met[m.Sender]
}

// NoteMet notes what is stored by now.
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

// ForgetMet forgets what is remembered of it in memory: some of it is not stored any
// more.
func (d *Directory) ForgetMet() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.agent {
		e.met = nil
	}
}
