package gateway

import "github.com/amtp-go/amtp"

// Localhost is the domain of a gateway that has no domain of its own. At its gateway, its
// addresses always mean the agents there, whatever domain the gateway gets later.
// docs/decisions/013
const Localhost amtp.Domain = "localhost"

// AtHome returns the address under which a gateway that serves a domain keeps an agent.
// An address in Localhost is another name for the agent's address in that domain.
func AtHome(a amtp.Address, serves amtp.Domain) amtp.Address {
	if a.Domain() != Localhost || serves == Localhost || a.IsZero() {
		return a
	}
	if kept, err := amtp.ParseAddress(a.Local() + "@" + string(serves)); err == nil {
		return kept
	}
	return a
}
