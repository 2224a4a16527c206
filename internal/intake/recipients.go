package intake

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// recipients is the recipients of a message, in its order, with the result for each.
type recipients []recipient

type recipient struct {
	status amtp.RecipientStatus
	to     gateway.Recipient // zero when it was refused
	group  amtp.Address      // the group through which another domain reaches the recipient
	fault  error             // why the recipient is unknown now
	// refused says that this gateway refuses the message for the address.
	refused bool
}

// resolve finds the recipient for each address. Two addresses of one agent are one
// recipient.
func (in *Intake) resolve(ctx context.Context, p gateway.Principal, addresses []amtp.Address,
	now time.Time) recipients {
	list := make(recipients, 0, len(addresses))
	for _, a := range addresses {
		r := recipient{status: amtp.RecipientStatus{Address: a, Timestamp: amtp.Time{Time: now}}}
		switch {
		case p.Gateway:
			in.own(&r, p.For, a)
		case in.isOurs(a.Domain()):
			if group := in.local(ctx, &r, a); group != nil {
				list = in.expand(list, group, p, now)
				continue
			}
		default:
			in.remote(&r, p, a)
		}
		if r.to == (gateway.Recipient{}) || !list.named(r.to) {
			list = append(list, r)
		}
	}
	return list
}

// local finds the agent with the address. It returns a group, which has members instead.
func (in *Intake) local(ctx context.Context, r *recipient, a amtp.Address) (group *gateway.Agent) {
	agent, err := in.Store.AgentNamed(ctx, in.home(a))
	if err != nil {
		r.found(err)
		r.refuse(amtp.CodeAgentUnknown, "there is no agent "+a.String()+" at this gateway")
		return nil
	}
	r.to, r.status.Address = gateway.Recipient{Agent: agent.ID}, agent.Address
	if agent.Kind == gateway.MemberGroup {
		return agent
	}
	return nil
}

// own finds the agent to whom the gateway itself writes, by its id: no later agent of
// the same name, and also after the gateway's domain changed.
func (in *Intake) own(r *recipient, agent gateway.AgentID, a amtp.Address) {
	known, err := in.Store.Agent(agent)
	if err == nil {
		r.to, r.status.Address = gateway.Recipient{Agent: known.ID}, known.Address
		return
	}
	r.found(err)
	r.refuse(amtp.CodeAgentUnknown, "the agent "+a.String()+" is gone")
}

// found notes a failed look-up: the failure does not mean that the agent does not
// exist.
func (r *recipient) found(err error) {
	if err != nil && !errors.Is(err, gateway.ErrNotFound) {
		r.fault = err
	}
}

// fault returns the error of an address whose recipient is unknown now.
func (l recipients) fault() error {
	for i := range l {
		if l[i].fault != nil {
			return l[i].fault
		}
	}
	return nil
}

// remote decides whether the principal may write to another domain. Only agents of this
// gateway may: an open relay is abused against others.
func (in *Intake) remote(r *recipient, p gateway.Principal, a amtp.Address) {
	switch {
	case p.Domain != "":
		r.refuse(amtp.CodeAccessDenied, "this gateway serves "+string(in.Domain)+" and does not relay to "+
			string(a.Domain()))
	case !in.Federated:
		r.refuse(amtp.CodeRecipientNotFound, "this gateway serves "+string(in.Domain)+
			" only; to write to other domains its operator gives it a domain with server.domain")
	default:
		r.to = gateway.Recipient{Address: a}
	}
}

// passing refuses a message of another domain that has no recipient here, as Accept
// would whatever the finding about its sender. It compares domains only, so it does not
// reveal which agents exist. nil means that Accept decides.
func (in *Intake) passing(ctx context.Context, m *amtp.Message) error {
	for _, a := range m.Recipients {
		if in.isOurs(a.Domain()) {
			return nil
		}
	}
	return in.resolve(ctx, gateway.Principal{Domain: m.Sender.Domain()}, m.Recipients, in.Now()).refusal(m)
}

func (r *recipient) refuse(code amtp.Code, why string) {
	r.to, r.refused = gateway.Recipient{}, true
	r.status.Status, r.status.ErrorCode, r.status.ErrorMessage = amtp.StatusFailed, code, why
}

// has reports whether the recipient is in the list.
func (l recipients) has(to gateway.Recipient) bool {
	return slices.ContainsFunc(l, func(r recipient) bool { return r.is(to) })
}

// named reports whether the recipient is in the list under its own address.
func (l recipients) named(to gateway.Recipient) bool {
	return slices.ContainsFunc(l, func(r recipient) bool { return !r.inGroup() && r.is(to) })
}

func (r *recipient) is(to gateway.Recipient) bool {
	return r.to.Agent == to.Agent && (to.Agent != 0 || r.to.Address.Equal(to.Address))
}

// leaves reports whether any recipient is in another domain.
func (l recipients) leaves() bool {
	for i := range l {
		if l[i].to.Agent == 0 && l[i].to != (gateway.Recipient{}) {
			return true
		}
	}
	return false
}

func (l recipients) taken() int { return len(l.chosen()) }

// chosen returns the recipients to whom the message is to be delivered.
func (l recipients) chosen() []gateway.Recipient {
	list := make([]gateway.Recipient, 0, len(l))
	for i := range l {
		if l[i].to != (gateway.Recipient{}) && !l[:i].has(l[i].to) {
			list = append(list, l[i].to)
		}
	}
	return list
}

// vanished notes that agents were deleted between the look-up and the commit. The
// sender was, where there is a recipient in another domain, which cannot be deleted
// here.
func (l recipients) vanished() {
	for i := range l {
		switch {
		case l[i].to.Agent != 0:
			l[i].refuse(amtp.CodeAgentUnknown, "there is no agent "+l[i].status.Address.String()+" at this gateway")
		case l[i].to != (gateway.Recipient{}):
			l[i].refuse(amtp.CodeAccessDenied, "the sender was removed from this gateway")
		}
	}
}

// refusal returns the error for a message that was accepted for no recipient.
func (l recipients) refusal(m *amtp.Message) *amtp.Error {
	shown := l.statuses()
	first := shown[0]
	if i := slices.IndexFunc(l, func(r recipient) bool { return r.refused }); i >= 0 {
		first = l[i].shown()
	} else {
		first.ErrorCode = amtp.CodeRecipientUnavailable // it was accepted, and failed since
	}
	e := amtp.Errorf(first.ErrorCode, "The message was not accepted: %s.", first.ErrorMessage).With("recipient",
		first.Address.String())
	e.Result = &amtp.SendResult{MessageID: m.MessageID, Status: amtp.StatusFailed, Recipients: shown}
	return e
}

// nothing reports whether, by the result, no recipient of this request has the message.
// That is a failure, also when the message is known. A sender here whose message failed
// after it was accepted is not refused. The reference gateway looks at the status of
// the answer alone.
func (l recipients) nothing(a gateway.Accepted, p gateway.Principal) bool {
	for i := range l {
		if l[i].status.Status != amtp.StatusFailed || p.Domain == "" && stored(a.Deliveries, &l[i]) != nil {
			return false
		}
	}
	return true
}

// result returns the answer to the sender, with the states from the store. The gateway
// of another domain does not learn from it what a recipient did since: only receipts
// tell that, and not every domain gets them.
func (l recipients) result(a gateway.Accepted, p gateway.Principal) *amtp.SendResult {
	delivered := true
	for i := range l {
		r := &l[i]
		if d := stored(a.Deliveries, r); d != nil {
			if p.Domain != "" {
				d.Conceal()
			}
			r.status = d.Status()
		} else if r.to != (gateway.Recipient{}) {
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

// stored finds the recipient's delivery: that of the agent, or that of the address. The
// address also finds the delivery of an agent that was removed afterwards, even when
// another agent has its name since.
func stored(list []gateway.Delivery, r *recipient) *gateway.Delivery {
	for i := range list {
		if r.to.Agent != 0 && list[i].Agent == r.to.Agent {
			return &list[i]
		}
	}
	return deliveryTo(list, r.status.Address)
}

func deliveryTo(list []gateway.Delivery, a amtp.Address) *gateway.Delivery {
	for i := range list {
		if list[i].Recipient.Equal(a) {
			return &list[i]
		}
	}
	return nil
}

// statuses returns the results as the sender sees them.
func (l recipients) statuses() []amtp.RecipientStatus {
	list := make([]amtp.RecipientStatus, 0, len(l))
	for i := range l {
		if l[i].inGroup() && l[:i].reaches(l[i].group) {
			continue
		}
		list = append(list, l.resultOf(i))
	}
	return list
}
