package intake

import (
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// maxExpanded is the most recipients that a message has after its groups were replaced by
// their members.
const maxExpanded = 1000

// expand adds the members of a group that are not recipients already. A sender here sees
// each of them. The gateway of another domain does not learn who is in the group: it gets
// one result, for the group's address.
func (in *Intake) expand(list recipients, group *gateway.Agent, p gateway.Principal, now time.Time) recipients {
	foreign, before, living := p.Domain != "", len(list), 0
	for _, id := range group.Members {
		r := recipient{status: amtp.RecipientStatus{Timestamp: amtp.Time{Time: now}}}
		if foreign {
			r.group = group.Address
		}
		member, err := in.Store.Agent(id)
		if err != nil {
			if r.found(err); r.fault != nil {
				list = append(list, r)
			}
			continue // it was removed
		}
		living++
		r.to, r.status.Address = gateway.Recipient{Agent: member.ID}, member.Address
		if foreign || !list.has(r.to) {
			list = append(list, r)
		}
	}
	if living == 0 && len(list) == before {
		r := recipient{status: amtp.RecipientStatus{Address: group.Address, Timestamp: amtp.Time{Time: now}}}
		r.refuse(amtp.CodeRecipientUnavailable, "the group "+group.Address.String()+" has no members")
		list = append(list, r)
	}
	return list
}

// inGroup reports whether the sender sees the address of a group in place of the
// recipient.
func (r *recipient) inGroup() bool { return !r.group.IsZero() }

// reaches reports whether the list has recipients through the group.
func (l recipients) reaches(group amtp.Address) bool {
	return slices.ContainsFunc(l, func(r recipient) bool { return r.inGroup() && r.group.Equal(group) })
}

// resultOf returns the result of a recipient as the sender sees it. The result of a group
// is that of the first member that refuses the message or, when all have it, of the first.
// So the sender's gateway tries again for the members that refuse it now, and a retry is
// recognised for the others; or it reports the failure.
func (l recipients) resultOf(i int) amtp.RecipientStatus {
	if !l[i].inGroup() {
		return l[i].status
	}
	for j := i; j < len(l); j++ {
		if l[j].group.Equal(l[i].group) && l[j].status.Status == amtp.StatusFailed {
			return l[j].shown()
		}
	}
	return l[i].shown()
}

// shown returns the result of one recipient without the name of a member of a group.
func (r *recipient) shown() amtp.RecipientStatus {
	s := r.status
	if !r.inGroup() {
		return s
	}
	s.Address = r.group
	if s.ErrorMessage != "" {
		s.ErrorMessage = "not every member of " + r.group.String() + " accepts the message"
	}
	return s
}

// checkExpanded refuses a message with too many recipients.
func (l recipients) checkExpanded() error {
	if len(l) > maxExpanded {
		return amtp.Errorf(amtp.CodeInvalidRecipient,
			"The message has %d recipients with the members of its groups; at most %d are allowed.",
			len(l), maxExpanded)
	}
	return nil
}
