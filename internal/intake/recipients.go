package intake

import (
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// recipients is the list of a message, in its order, with what became of each.
type recipients []recipient

type recipient struct {
	status amtp.RecipientStatus
	agent  gateway.AgentID // 0 when it was refused
}

// resolve finds who is meant by each address. Two addresses of one agent are
// one recipient.
func (in *Intake) resolve(addresses []amtp.Address, now time.Time) recipients {
	list := make(recipients, 0, len(addresses))
	for _, a := range addresses {
		r := recipient{status: amtp.RecipientStatus{Address: a, Timestamp: amtp.Time{Time: now}}}
		if !in.isOurs(a.Domain()) {
			r.refuse(amtp.CodeRecipientNotFound, "this gateway serves "+string(in.Domain)+" and does not deliver to other domains yet")
			list = append(list, r)
			continue
		}
		agent, err := in.Store.AgentNamed(in.home(a))
		if err != nil {
			r.refuse(amtp.CodeAgentUnknown, "there is no agent "+a.String()+" at this gateway")
			list = append(list, r)
			continue
		}
		r.agent, r.status.Address = agent.ID, agent.Address
		if !list.has(r.agent) {
			list = append(list, r)
		}
	}
	return list
}

func (r *recipient) refuse(code amtp.Code, why string) {
	r.agent = 0
	r.status.Status, r.status.ErrorCode, r.status.ErrorMessage = amtp.StatusFailed, code, why
}

func (l recipients) has(agent gateway.AgentID) bool {
	for i := range l {
		if l[i].agent == agent {
			return true
		}
	}
	return false
}

func (l recipients) taken() int { return len(l.chosen()) }

// chosen returns those to whom the message is to be delivered.
func (l recipients) chosen() []gateway.Recipient {
	list := make([]gateway.Recipient, 0, len(l))
	for i := range l {
		if l[i].agent != 0 {
			list = append(list, gateway.Recipient{Agent: l[i].agent})
		}
	}
	return list
}

// vanished notes that agents were deleted between the look-up and the commit.
func (l recipients) vanished() {
	for i := range l {
		if l[i].agent != 0 {
			l[i].refuse(amtp.CodeAgentUnknown, "there is no agent "+l[i].status.Address.String()+" at this gateway")
		}
	}
}

// refusal is the error for a message of which nothing was taken.
func (l recipients) refusal(m *amtp.Message) *amtp.Error {
	first := l[0].status
	e := amtp.Errorf(first.ErrorCode, "The message was not accepted: %s.", first.ErrorMessage).With("recipient", first.Address.String())
	e.Result = &amtp.SendResult{MessageID: m.MessageID, Status: amtp.StatusFailed, Recipients: l.statuses()}
	return e
}

// result is what the sender hears, with the states that the store has.
func (l recipients) result(a gateway.Accepted) *amtp.SendResult {
	stored := make(map[gateway.AgentID]*gateway.Delivery, len(a.Deliveries))
	for i := range a.Deliveries {
		stored[a.Deliveries[i].Agent] = &a.Deliveries[i]
	}
	delivered := true
	for i := range l {
		r := &l[i]
		if d := stored[r.agent]; d != nil && r.agent != 0 {
			r.status = d.Status()
		} else if d := deliveryTo(a.Deliveries, r.status.Address); d != nil && r.agent == 0 {
			r.status = d.Status() // it was delivered before the agent left
		} else if r.agent != 0 {
			r.refuse(amtp.CodeAgentUnknown, "there is no agent "+r.status.Address.String()+" at this gateway")
		}
		delivered = delivered && r.status.Status == amtp.StatusDelivered
	}
	status := amtp.StatusAccepted
	if delivered {
		status = amtp.StatusDelivered
	}
	return &amtp.SendResult{MessageID: a.ID, Status: status, Recipients: l.statuses(), Replayed: a.Replayed}
}

func deliveryTo(list []gateway.Delivery, a amtp.Address) *gateway.Delivery {
	for i := range list {
		if list[i].Recipient.Equal(a) {
			return &list[i]
		}
	}
	return nil
}

func (l recipients) statuses() []amtp.RecipientStatus {
	list := make([]amtp.RecipientStatus, len(l))
	for i := range l {
		list[i] = l[i].status
	}
	return list
}
