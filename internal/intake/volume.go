package intake

import (
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// refuseVolume refuses the whole message when it exceeds the present limit of its
// sender, and each recipient whose inbox is full. A message without a remaining
// recipient is refused as a whole, with the longest time to wait. AMTP §11.
func (in *Intake) refuseVolume(p *gateway.Principal, list recipients, m *amtp.Message) error {
	all := list.taken()
	if in.Limits == nil || all == 0 {
		return nil
	}
	var space [1]amtp.Address
	inboxes := space[:0]
	for i := range list {
		if list[i].to.Agent != 0 {
			inboxes = append(inboxes, list[i].status.Address)
		}
	}
	each, refused := in.Limits.Admit(p, m, inboxes, all-len(inboxes))
	switch {
	case refused != nil:
		return refused
	case each == nil:
		return nil
	}
	n := 0
	for i := range list {
		if list[i].to.Agent == 0 {
			continue
		}
		if e := each[n]; e != nil {
			list[i].refuse(e.Code, inside(e.Message))
			if refused == nil || e.RetryAfter > refused.RetryAfter {
				refused = e
			}
		}
		n++
	}
	if list.taken() > 0 {
		return nil
	}
	refused.Result = list.refusal(m).Result
	return refused
}

// inside returns a sentence in the form that it has within another.
func inside(sentence string) string {
	return strings.ToLower(sentence[:1]) + strings.TrimSuffix(sentence[1:], ".")
}
