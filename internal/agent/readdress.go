package agent

import (
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Plan lists the agents that get another address when their gateway serves a domain. It
// is refused, with CONFLICT, when a name is taken there: the agent could not be reached
// any more.
func Plan(agents []*gateway.Agent, to amtp.Domain) (admin.DomainPlan, error) {
	plan := admin.DomainPlan{Domain: to, Agents: []admin.Readdressing{}, Keys: []admin.SigningKey{}}
	named := make(map[string]bool, len(agents))
	for _, a := range agents {
		if a.Address.Domain() == to {
			named[a.Address.Key()] = true
		}
	}
	var taken []string
	for _, a := range agents {
		if a.Address.Domain() == to {
			continue
		}
		moved, err := amtp.ParseAddress(a.Address.Local() + "@" + string(to))
		switch {
		case err != nil:
			return plan, amtp.Errorf(amtp.CodeInvalidRequest, "The agent %s cannot have an address in %s: %v.",
				a.Address, to, err)
		case named[moved.Key()]:
			taken = append(taken, a.Address.String())
		default:
			named[moved.Key()] = true
			plan.Agents = append(plan.Agents, admin.Readdressing{From: a.Address, To: moved})
		}
	}
	if len(taken) > 0 {
		return plan, amtp.Errorf(amtp.CodeConflict,
			"In %s there would be two agents with the name of %s. Delete one of each: amtp agent delete", to,
			strings.Join(taken, ", ")).
			With("taken", taken)
	}
	return plan, nil
}
