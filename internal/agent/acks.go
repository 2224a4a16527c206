package agent

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// acksAtOnce is how many acknowledgements of one request wait for the store at the same
// time. The store commits those that wait together.
const acksAtOnce = 64

// AckAll takes messages out of an inbox for good. A message that cannot be acknowledged
// does not stop the others: the results say what became of each, in the order of the ids.
// leases are the tokens that the caller shows, by the ids as it gave them. The error says
// that nothing was done.
func (s *Agents) AckAll(ctx context.Context, m Mailbox, ids []string,
	leases map[string]string) (amtp.AckResults, error) {
	if len(ids) == 0 || len(ids) > amtp.MaxAcks {
		return amtp.AckResults{}, amtp.Errorf(amtp.CodeInvalidRequest, "ids must have 1 to %d message ids, not %d.",
			amtp.MaxAcks, len(ids))
	}
	for id := range leases {
		if !slices.Contains(ids, id) {
			return amtp.AckResults{}, amtp.Errorf(amtp.CodeInvalidRequest,
				"leases names a message that ids does not name: %.80q.", id)
		}
	}
	out := amtp.AckResults{Results: make([]amtp.AckOutcome, len(ids))}
	failed := make([]error, len(ids))
	next := make(chan int)
	var all sync.WaitGroup
	for range min(len(ids), acksAtOnce) {
		all.Go(func() {
			for i := range next {
				var done amtp.AckResult
				failed[i] = defect.Contain(func() (err error) {
					done, err = s.Ack(ctx, m, ids[i], leases[ids[i]])
					return err
				})
				out.Results[i] = amtp.AckOutcome{MessageID: amtp.MessageID(ids[i]), Status: done.Status,
					Timestamp: done.Timestamp}
			}
		})
	}
	for i := range ids {
		next <- i
	}
	close(next)
	all.Wait()
	for i, err := range failed {
		if err == nil {
			out.Acknowledged++
			continue
		}
		refusal := gateway.Refusal(err)
		out.Failed++
		out.Results[i] = amtp.AckOutcome{MessageID: amtp.MessageID(ids[i]),
			Error: &amtp.Problem{Code: refusal.Code, Message: refusal.Message}}
	}
	if out.Acknowledged > 0 {
		return out, nil
	}
	// A fault of the gateway, or a key that has ended, is an answer to the whole request.
	whole := slices.IndexFunc(failed, func(err error) bool {
		return errors.Is(err, gateway.ErrRevoked) || gateway.AtFault(gateway.CodeOf(err))
	})
	if whole >= 0 {
		return amtp.AckResults{}, failed[whole]
	}
	return out, nil
}
