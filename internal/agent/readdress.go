package agent

import (
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Plan says which of the agents get another address when those of one domain move
// to another. It is refused, with CONFLICT, when a name is taken there: nobody
// could reach that agent any more.
func Plan(agents []*gateway.Agent, from, to amtp.Domain) (amtp.DomainPlan, *amtp.Error) {
	plan := amtp.DomainPlan{Domain: to, Agents: []amtp.Readdressing{}, Keys: []amtp.SigningKey{}}
	named := make(map[string]bool, len(agents))
	for _, a := range agents {
		if a.Address.Domain() == to {
			named[a.Address.Key()] = true
		}
	}
	var taken []string
	for _, a := range agents {
		if a.Address.Domain() != from || from == to {
			continue
		}
		moved, err := amtp.ParseAddress(a.Address.Local() + "@" + string(to))
		switch {
		case err != nil:
			return plan, amtp.Errorf(amtp.CodeInvalidRequest, "The agent %s cannot have an address in %s: %v.", a.Address, to, err)
		case named[moved.Key()]:
			taken = append(taken, a.Address.String())
		default:
			plan.Agents = append(plan.Agents, amtp.Readdressing{From: a.Address, To: moved})
		}
	}
	if len(taken) > 0 {
		return plan, amtp.Errorf(amtp.CodeConflict, "There are agents in %s already with the names of %s. Delete one of each: amtp agent delete", to, strings.Join(taken, ", ")).
			With("taken", taken)
	}
	return plan, nil
}
