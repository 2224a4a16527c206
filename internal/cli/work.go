package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const workHelp = `Run a command for each message of the inbox, for ever. The message is claimed, and the
command gets it as JSON on its standard input. When it ends with exit code 0, the
message is acknowledged; otherwise it is given back, and tried again after a pause
that grows with each attempt. While the command runs, its lease is extended. When the
lease is lost all the same, the command is stopped and nothing is acknowledged. A
program that the command leaves behind has 10 seconds to close its output.

The command is started as it is written after "--", by no shell. It gets AMTP_MESSAGE_ID,
AMTP_SENDER, AMTP_SUBJECT, AMTP_THREAD, AMTP_IN_REPLY_TO, AMTP_TRUST, AMTP_SCHEMA,
AMTP_RECIPIENT, AMTP_ATTEMPT and AMTP_LEASE, and the environment of amtp without
AMTP_ADMIN_KEY and AMTP_DATABASE_URL. So it has AMTP_API_KEY only if you set that. The
saved key of a profile is in the config file, which the command can read as you can.
What the message says is data, whoever wrote it: a command that hands it to a shell or
to an assistant as an instruction obeys a stranger. Look at AMTP_TRUST.

With --reply the standard output of a command that succeeded is sent as the answer: a
JSON object as it is, anything else as text. It goes where "amtp reply" would send it,
with the same subject. It is sent once, however often the message is tried, to a proven
sender (Trust: local or verified), and never as an answer to an automatic message. When
nobody has the sender's address any more, the message is rejected. After any other
refusal of the answer the message is given back.

SIGINT and SIGTERM end the work with exit code 0. Running commands get SIGTERM, and
SIGKILL after 10 seconds. Their messages are given back at once, whatever their exit
codes are, and may be claimed again. A command that cannot be started ends the work with
exit code 2, and its message is given back. The work survives restarts of the gateway.
Several may work on one inbox. "amtp agent update --max-deliveries N" bounds the attempts.`

const workExamples = `  amtp work -- ./print-label
  amtp work --reply --parallel 4 --visibility 5m -- python3 quote.py --currency EUR
  amtp work --from alice@example.com --max-messages 1 -- ./handle`

// worker runs a command for each message.
type worker struct {
	p        *program
	c        *amtp.Client
	self     amtp.Address
	query    amtp.ClaimQuery
	command  []string // the program by its path, and its arguments
	parallel int
	most     int // messages, 0 for no bound
	reply    bool
	timeout  time.Duration // of one call, 0 for no limit

	mu    sync.Mutex // for what follows, and for the output
	begun int        // messages that are claimed or about to be
	err   error      // the first error that ends the work
}

// Bounds of the work.
const (
	stopTime  = 10 * time.Second // how long a command may take to end after SIGTERM
	maxAnswer = 1 << 20          // bytes of an answer
	maxRetry  = 10 * time.Minute // the longest pause before the next attempt
	maxWorker = 64
)

func (p *program) workCommand() *cobra.Command {
	w := &worker{p: p}
	var f filterFlags
	var once bool
	cmd := p.online(&cobra.Command{
		Use:     "work -- COMMAND [ARG...]",
		Short:   "Run a command for each message",
		Long:    workHelp,
		Example: workExamples,
		Args:    cobra.ArbitraryArgs,
	}, func(ctx context.Context, id *profile.Identity, args []string) (err error) {
		if once {
			w.most = 1
		}
		if err := w.check(args); err != nil {
			return err
		}
		if w.self, err = p.selfOf(ctx, id); err == nil {
			err = p.chosen(ctx, id, &f, &w.query)
		}
		if err != nil {
			return err
		}
		w.c = p.client(id)
		return w.run(ctx)
	})
	cmd.PreRun = func(*cobra.Command, []string) { // it bounds each call, and not the work
		w.timeout, p.timeout = p.timeout, 0
	}
	flags := cmd.Flags()
	flags.DurationVar(&w.query.Visibility, "visibility", time.Minute,
		"how long a lease lasts, 3s to 12h; it is extended while the command runs")
	flags.IntVar(&w.parallel, "parallel", 1, "how many commands run at once, up to 64")
	flags.IntVar(&w.most, "max-messages", 0, "end after `N` messages; 0 for no bound")
	flags.BoolVar(&once, "once", false, "end after one message")
	flags.BoolVar(&w.reply, "reply", false, "send what the command writes as the answer")
	f.flags(cmd)
	p.mailboxFlag(cmd)
	return cmd
}

// check checks the flags and finds the program of the command.
func (w *worker) check(args []string) error {
	switch {
	case len(args) == 0:
		return usageErrorf("A command is required. Usage: amtp work [flags] -- COMMAND [ARG...]")
	case w.parallel < 1 || w.parallel > maxWorker:
		return usageErrorf("--parallel must be between 1 and %d.", maxWorker)
	case w.most < 0:
		return usageErrorf("--max-messages cannot be negative.")
	case w.query.Visibility < 3*time.Second:
		return usageErrorf("--visibility must be 3 seconds or more.")
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return usageErrorf("The command cannot be run: %v.", err)
	}
	w.command = append([]string{path}, args[1:]...)
	return nil
}

// run works until a signal, an error or the last message.
func (w *worker) run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, end := context.WithCancel(ctx)
	defer end()
	var all sync.WaitGroup
	for range w.parallel {
		all.Go(func() {
			if err := w.work(ctx); err != nil {
				w.mu.Lock()
				if w.err == nil {
					w.err = err
				}
				w.mu.Unlock()
				end()
			}
		})
	}
	all.Wait()
	return w.err
}

// work handles one message after the other.
func (w *worker) work(ctx context.Context) error {
	for ctx.Err() == nil && w.begins() {
		m, err := w.claim(ctx)
		if m == nil || err != nil {
			return err
		}
		if err := w.handle(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// begins reports whether one more message may be claimed.
func (w *worker) begins() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun++
	return w.most == 0 || w.begun <= w.most
}

// first reports whether no command has ended yet.
func (w *worker) first() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun <= w.parallel
}

// claim waits for a message. It returns nil when ctx has ended.
func (w *worker) claim(ctx context.Context) (*amtp.InboxMessage, error) {
	q := w.query
	q.Wait = holdTime
	began, answered, told := w.p.now(), false, false
	for ctx.Err() == nil {
		asked := w.p.now()
		limited, cancel := w.limited(ctx, holdTime)
		claims, err := w.c.Claim(limited, w.self, q)
		cancel()
		switch {
		case ctx.Err() != nil && err != nil:
			return nil, nil
		case err == nil && len(claims.Messages) > 0:
			return &claims.Messages[0], nil
		case err == nil:
			answered, told = true, false
		case !away(err) && !errors.Is(err, context.DeadlineExceeded) ||
			!answered && w.first() && w.p.now().Sub(began) > goneTime:
			return nil, err
		case !told:
			w.note("The gateway is away; the work goes on when it is back.\n")
			told = true
		}
		// A gateway that does not hold the request, or is away, is asked once a second.
		_ = pause(ctx, asked.Add(time.Second).Sub(w.p.now()))
	}
	return nil, nil
}

// limited bounds one call by --timeout, beyond the time that it waits at the gateway.
func (w *worker) limited(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	if w.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, w.timeout+wait)
}

// note tells the user something. Several workers may do so at once.
func (w *worker) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p.notef(format, args...)
}

// handle runs the command for a message, and ends its lease.
func (w *worker) handle(ctx context.Context, m *amtp.InboxMessage) error {
	if m.Lease == nil {
		return &failure{exit: exitInternal, code: amtp.CodeInternal, message: "The gateway returned a message without a lease."}
	}
	l := w.hold(ctx, m)
	defer l.end()
	out, failed := w.execute(ctx, l, m)
	if failed == "" && w.reply && l.lost() == nil {
		var refused bool
		if failed, refused = w.answer(l, m, out); refused {
			w.note("Message %s: %s; it is rejected.\n", render.MessageID(m.MessageID), render.Clean(failed))
			return w.ended(l, l.finish(func(ctx context.Context) error {
				_, err := w.c.Reject(ctx, w.self, m.MessageID, m.Lease.Token, reasonOf(failed))
				return err
			}))
		}
	}
	switch {
	case l.lost() != nil:
		return w.ended(l, l.lost())
	case failed == "":
		return w.ended(l, l.finish(func(ctx context.Context) error {
			_, err := w.c.AckClaimed(ctx, w.self, m.MessageID, m.Lease.Token)
			return err
		}))
	}
	delay := retryAfter(m.Lease.Attempt)
	if ctx.Err() != nil || l.broken != nil {
		delay = 0
	}
	w.note("Message %s: %s; it may be tried again after %v.\n", render.MessageID(m.MessageID),
		render.Clean(failed), delay)
	return cmp.Or(l.broken, w.ended(l, l.finish(func(ctx context.Context) error {
		_, err := w.c.Nack(ctx, w.self, m.MessageID, m.Lease.Token, delay, reasonOf(failed))
		return err
	})))
}

// ended says what became of a lease that could not be ended as it should. It returns an
// error that ends the work.
func (w *worker) ended(l *held, err error) error {
	switch {
	case err == nil:
		return nil
	case l.lost() != nil:
		w.note("Message %s: the lease was lost, so nothing was acknowledged: %s\n",
			render.MessageID(l.m.MessageID), render.Clean(w.p.explain(err).message))
	default:
		w.note("Message %s: %s It returns when its lease ends.\n", render.MessageID(l.m.MessageID),
			render.Clean(w.p.explain(err).message))
	}
	return fatal(err)
}

// retryAfter returns the pause before the next attempt: 5 seconds, doubled each time.
func retryAfter(attempt int) time.Duration {
	return min(5*time.Second<<min(max(attempt-1, 0), 10), maxRetry)
}

// fatal returns an error that ends the work: the key is not valid any more. Any other
// concerns one message.
func fatal(err error) error {
	var refused *amtp.Error
	if errors.As(err, &refused) && (refused.Status == 401 || refused.Status == 403) {
		return err
	}
	return nil
}

// answer sends the output of the command to where "amtp reply" would send it. It returns
// why that was not possible, "" if it was, or if the message gets no answer. gone says that
// it never will be: there is no such recipient.
func (w *worker) answer(l *held, m *amtp.InboxMessage, out []byte) (failed string, gone bool) {
	original := amtp.Message{Headers: m.Headers, Payload: m.Payload, ResponseType: m.ResponseType}
	received := stored(m)
	if original.Automatic() || m.Sender.Equal(w.self) || w.p.answerable(received, w.self, replying{}) != nil {
		w.note("Message %s gets no answer: it is automatic, or nobody proved who sent it.\n",
			render.MessageID(m.MessageID))
		return "", false
	}
	payload := json.RawMessage(out)
	var object map[string]json.RawMessage
	if json.Unmarshal(out, &object) != nil || object == nil {
		text, err := json.Marshal(map[string]string{"text": string(out)})
		if err != nil {
			return "the answer cannot be written: " + err.Error(), false
		}
		payload = text
	}
	w.mu.Lock() // it may tell the user something
	to := w.p.answerTo(received, w.self, replying{})
	w.mu.Unlock()
	err := l.finish(func(ctx context.Context) error {
		_, err := w.c.Send(ctx, amtp.Message{Sender: w.self, Recipients: to, Subject: prefixed("Re: ", m.Subject),
			InReplyTo: m.MessageID, Payload: payload, Headers: json.RawMessage(`{"auto-submitted":"auto-replied"}`),
			IdempotencyKey: "work-reply-" + string(m.MessageID)})
		return err
	})
	var refused *amtp.Error
	switch {
	case err == nil:
		return "", false
	case errors.As(err, &refused) && refused.Code == amtp.CodeIdempotencyKeyReused:
		return "", false // an earlier attempt sent an answer
	}
	return fmt.Sprintf("the answer was not sent: %s", strings.TrimSuffix(w.p.explain(err).message, ".")),
		refused != nil && (refused.Code == amtp.CodeAgentUnknown || refused.Code == amtp.CodeRecipientNotFound)
}
