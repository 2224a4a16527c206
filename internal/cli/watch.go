package cli

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
)

const watchHelp = `Print each message as it enters the inbox, one line of JSON each: what "amtp inbox
--json --headers" shows of it, with "cursor", its place in the inbox. It begins with the
messages that wait there; with --after CURSOR behind one, with --new with those that come
from now on. With --full a line has the content too.

It goes on until you end it (Ctrl-C, exit code 0) or nobody reads its output any more,
even while the gateway is restarted, and prints each message once. A program that
remembers the last "cursor" continues there with --after. Nothing is changed: a message
stays in the inbox until "amtp ack".
With --timeout it ends by itself: exit code 7 says that nothing came.`

const watchExamples = `  amtp watch
  amtp watch --new --from bob@localhost
  amtp watch --after CURSOR --full | while read -r line; do handle "$line"; done`

func (p *program) watchCommand() *cobra.Command {
	var q amtp.EventQuery
	var wanted conditions
	var unread bool
	cmd := p.online(&cobra.Command{
		Use:     "watch",
		Short:   "Print messages as they come",
		Long:    watchHelp,
		Example: watchExamples,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) (err error) {
		if unread {
			q.Status = unreadStatus
		}
		if q.New && q.After != "" {
			return usageErrorf("Give --new or --after, not both.")
		}
		if err = id.Need(profile.MemberGateway, profile.MemberAddress, profile.MemberKey); err != nil {
			return err
		}
		if q.InReplyTo, q.From, q.Thread, err = p.wants(ctx, id, &wanted); err != nil {
			return err
		}
		return p.watch(ctx, id, q)
	})
	p.waits(cmd, 0, "end after this `LONG`; 0 for no end")
	wanted.flags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&unread, "unread", false, "only messages not marked read")
	flags.BoolVar(&q.New, "new", false, "only messages that come from now on")
	flags.StringVar(&q.After, "after", "", "only messages behind this `CURSOR`")
	flags.BoolVar(&q.Full, "full", false, "with the content")
	p.mailboxFlag(cmd)
	return cmd
}

// watch prints messages until the user, the time or the gateway ends it.
func (p *program) watch(ctx context.Context, id *profile.Identity, q amtp.EventQuery) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if p.wait > 0 {
		limited, cancel := context.WithTimeout(ctx, p.wait)
		defer cancel()
		ctx = limited
	}
	self, err := p.self(ctx, id)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	if f, ok := p.out.w.(*os.File); ok {
		go func() {
			if readerGone(ctx, f) {
				end()
			}
		}()
	}
	q.Away = func(error) bool {
		p.isAway()
		return true
	}
	came := false
	for e, err := range p.client(id).Events(ctx, self, q) {
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case errors.Is(err, context.DeadlineExceeded) && came:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			p.notef("Nothing came within %v.\n", p.wait)
			return told(exitNothing)
		case err != nil:
			return err
		}
		came = true
		line, err := withCursor(&e)
		if err != nil {
			return err
		}
		if err := p.printJSON(line); err != nil {
			return err // nobody reads the lines any more
		}
	}
	return nil
}

// withCursor returns a message with its cursor as the first member.
func withCursor(e *amtp.InboxEvent) (json.RawMessage, error) {
	cursor, err := json.Marshal(e.Cursor)
	if err != nil || len(e.Message.Raw) == 0 {
		return nil, err
	}
	line := append([]byte(`{"cursor":`), cursor...)
	return append(append(line, ','), e.Message.Raw[1:]...), nil
}
