package cli

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const ackHelp = `Acknowledge messages that you are done with: they leave the inbox for good.
Repeating it does no harm.

ID is a message's id, an unambiguous beginning or end of it, or its number in the
last "amtp inbox" at this terminal: then it is said from whom the message was. Where
there is no terminal, whoever uses the profile shares the numbers: give ids there.

Several messages are acknowledged together. One that cannot be does not stop the
others, and exit code 9 says that some failed; --json says which, and why.

A message that was claimed is acknowledged with the token of its lease; exit code 5
means that the lease has ended, or that another worker holds one. With several messages
there is one --lease for each, in the same order; --lease "" is for one without.

A sender at the same gateway sees it at once. One in another domain hears of it
only when its gateway asks for receipts and this gateway sends them there: by
default for messages whose sender was verified, to domains that you have written
to. Until then "delivered" is all that the sender knows.`

const ackExamples = `  amtp ack 1
  amtp ack ID
  amtp ack ID1 ID2 ID3
  amtp ack ID --lease 4f2a9c0de81b7d35
  amtp ack ID1 ID2 --lease 4f2a9c0de81b7d35 --lease 81b7d354f2a9c0de`

func (p *program) ackCommand() *cobra.Command {
	var leases []string
	cmd := p.online(&cobra.Command{
		Use:     "ack ID...",
		Short:   "Acknowledge/remove messages",
		Long:    ackHelp,
		Example: ackExamples,
		Args:    cobra.ArbitraryArgs,
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		if len(args) == 0 {
			return usageErrorf("Message ID is required. Usage: amtp ack <message-id>")
		}
		if err := id.Need(profile.MemberGateway, profile.MemberAddress, profile.MemberKey); err != nil {
			return err
		}
		if len(leases) > 0 && len(leases) != len(args) {
			return usageErrorf("Give --lease once for each message, in their order, or not at all.")
		}
		return p.ack(ctx, id, args, leases)
	})
	cmd.Flags().StringArrayVar(&leases, "lease", nil,
		"the `TOKEN` of the lease, as \"amtp claim\" showed it; once for each message")
	p.mailboxFlag(cmd)
	return cmd
}

// ack acknowledges messages. A message that the gateway refuses does not stop the rest.
// The first refusal is the failure of the command. leases are the tokens of the messages,
// or none.
func (p *program) ack(ctx context.Context, id *profile.Identity, ids, leases []string) error {
	self, err := p.self(ctx, id)
	if err != nil {
		return err
	}
	c := p.client(id)
	if len(leases) == 0 {
		leases = make([]string, len(ids))
	}
	acknowledge := func(messageID amtp.MessageID, lease string) (amtp.AckResult, error) {
		return c.AckClaimed(ctx, self, messageID, lease)
	}
	if len(ids) > 1 {
		acknowledge = p.ackTogether(ctx, id, self, ids, leases)
	}
	done, failed := []amtp.AckResult{}, []failedAck{}
	var first error
	for i, given := range ids {
		named := amtp.MessageID(given)
		result, err := withMessage(ctx, p, id, given, fromInbox,
			func(messageID amtp.MessageID) (amtp.AckResult, error) {
				named = messageID
				return acknowledge(messageID, leases[i])
			})
		if err == nil {
			done = append(done, result)
			if !p.json {
				p.printAcked(ctx, c, cmp.Or(result.MessageID, named), string(named) != given)
			}
			continue
		}
		why := p.explain(err)
		failed = append(failed, failedAck{given, amtp.Problem{Code: why.code, Message: why.message}})
		if first == nil {
			first = err
		} else {
			p.notef("Error: %s\n", render.Clean(why.message))
		}
		var refused *amtp.Error
		var told *failure
		if !errors.As(err, &refused) && !errors.As(err, &told) {
			break // no gateway: the rest would fail the same way
		}
	}
	return p.acknowledged(done, failed, first)
}

// failedAck is a message that was not acknowledged, by the argument that named it.
type failedAck struct {
	MessageID string       `json:"message_id"`
	Error     amtp.Problem `json:"error"`
}

// ackTogether acknowledges the messages that the arguments name in as few requests as
// possible. It returns a function that tells what became of a message.
func (p *program) ackTogether(ctx context.Context, id *profile.Identity, self amtp.Address,
	ids, leases []string) func(messageID amtp.MessageID, lease string) (amtp.AckResult, error) {
	c := p.client(id)
	var list []amtp.MessageID
	tokens := make(map[amtp.MessageID]string)
	for i, given := range ids {
		// An argument that is no message is refused when its turn comes.
		if messageID, err := p.numbered(id, given, fromInbox); err == nil {
			list = append(list, messageID)
			if leases[i] != "" {
				tokens[messageID] = leases[i]
			}
		}
	}
	told := make(map[amtp.MessageID]amtp.AckOutcome, len(list))
	var failed error
	for some := range slices.Chunk(list, amtp.MaxAcks) {
		results, err := c.AckAll(ctx, self, some, tokensOf(tokens, some))
		if failed = err; err != nil {
			break
		}
		for _, r := range results.Results {
			told[r.MessageID] = r
		}
	}
	return func(messageID amtp.MessageID, lease string) (amtp.AckResult, error) {
		r, ok := told[messageID]
		switch {
		case !ok && failed != nil && slices.Contains(list, messageID):
			return amtp.AckResult{}, failed
		case !ok: // the whole id of a message that was named by a part of it
			return c.AckClaimed(ctx, self, messageID, lease)
		case r.Error == nil:
			return amtp.AckResult{MessageID: r.MessageID, Status: r.Status, Timestamp: r.Timestamp,
				Recipient: self}, nil
		}
		return amtp.AckResult{}, &amtp.Error{Code: r.Error.Code, Message: r.Error.Message,
			Status: statusOfOne(r.Error.Code)}
	}
}

// tokensOf returns the tokens of some messages.
func tokensOf(all map[amtp.MessageID]string, some []amtp.MessageID) map[amtp.MessageID]string {
	list := make(map[amtp.MessageID]string, len(all))
	for _, id := range some {
		if token, ok := all[id]; ok {
			list[id] = token
		}
	}
	return list
}

// statusOfOne is the status with which a gateway would refuse to acknowledge a message alone.
func statusOfOne(code amtp.Code) int {
	switch code {
	case amtp.CodeMessageNotFound:
		return http.StatusNotFound
	case amtp.CodeLeaseLost, amtp.CodeLeaseHeld:
		return http.StatusConflict
	case amtp.CodeInvalidRequest:
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}

// printAcked says that a message is acknowledged, and from whom it was unless it was
// named by its id.
func (p *program) printAcked(ctx context.Context, c *amtp.Client, messageID amtp.MessageID, unnamed bool) {
	p.printf("Message %s acknowledged.\n", render.Clean(string(messageID)))
	if !unnamed {
		return
	}
	if head := p.looksUp(ctx, c, messageID); head != "" {
		p.printf("  It was %s.\n", render.Clean(head))
	}
}

// looksUp returns a line that describes the message, "" when the gateway gives none.
// The message is acknowledged in either case.
func (p *program) looksUp(ctx context.Context, c *amtp.Client, messageID amtp.MessageID) string {
	m, err := c.Message(ctx, messageID)
	if err != nil {
		return ""
	}
	return render.Head(&m.Message)
}

// acknowledged ends the command. A failure says what was done, and exit code 9 that
// something was.
func (p *program) acknowledged(done []amtp.AckResult, failed []failedAck, first error) error {
	switch {
	case first == nil && !p.json:
		return nil
	case first == nil:
		return p.printJSON(struct {
			Acknowledged []amtp.AckResult `json:"acknowledged"`
		}{done})
	case len(done) == 0 && len(failed) == 1:
		return first
	}
	list := make([]amtp.MessageID, len(done))
	for i := range done {
		list[i] = done[i].MessageID
	}
	f := *p.explain(first)
	f.details = maps.Clone(f.details)
	if f.details == nil {
		f.details = make(map[string]any, 2)
	}
	f.details["acknowledged"] = list
	f.details["failed"] = failed
	if len(done) > 0 {
		f.exit = exitPartly
	}
	return &f
}
