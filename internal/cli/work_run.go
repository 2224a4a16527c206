package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/amtp-go/amtp"
)

// held is a lease that is extended until it is ended.
type held struct {
	w     *worker
	m     *amtp.InboxMessage
	asked context.Context // ends when the user ends the work
	ctx   context.Context // ends when the lease is lost or ended; a signal does not end it
	stop  context.CancelFunc
	ended sync.WaitGroup

	broken error // why the command can be run for no message at all

	mu    sync.Mutex
	until time.Time // by this machine's clock
	cause error     // why the lease was lost
}

// hold begins to extend the lease on a message.
func (w *worker) hold(ctx context.Context, m *amtp.InboxMessage) *held {
	l := &held{w: w, m: m, asked: ctx, until: w.p.now().Add(w.query.Visibility)}
	l.ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.ended.Go(l.extend)
	return l
}

// end stops the extension of the lease.
func (l *held) end() {
	l.stop()
	l.ended.Wait()
}

// lost returns why the lease was lost, nil while it is held.
func (l *held) lost() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

func (l *held) lose(err error) {
	l.mu.Lock()
	if l.cause == nil {
		l.cause = err
	}
	l.mu.Unlock()
	l.stop()
}

// errOver is the cause of a lease that could not be extended in time.
var errOver = &failure{exit: exitConflict, code: amtp.CodeLeaseLost,
	message: "The lease ended before the gateway could be reached."}

// extend moves the end of the lease at a third of its time. A gateway that is away is
// asked again until the lease is over.
func (l *held) extend() {
	visibility := l.w.query.Visibility
	next := visibility / 3
	for pause(l.ctx, next) == nil {
		asked := l.w.p.now()
		ctx, cancel := context.WithTimeout(l.ctx, visibility/3)
		_, err := l.w.c.Extend(ctx, l.w.self, l.m.MessageID, l.m.Lease.Token, visibility)
		cancel()
		l.mu.Lock()
		if err == nil {
			l.until = asked.Add(visibility)
		}
		over := !l.w.p.now().Before(l.until)
		l.mu.Unlock()
		switch {
		case l.ctx.Err() != nil:
			return
		case err == nil:
			next = visibility / 3
		case over:
			l.lose(errOver)
		case away(err), errors.Is(err, context.DeadlineExceeded):
			next = min(time.Second, visibility/10)
		default:
			l.lose(err)
		}
	}
}

// finish makes a call under the lease, again while the gateway is away and the lease is
// held. Once the user has ended the work, it tries only for some seconds more. A refusal
// leaves the lease as it is, unless the gateway says that the lease is lost.
func (l *held) finish(do func(context.Context) error) error {
	for began := l.w.p.now(); ; {
		ctx, cancel := l.w.limited(l.ctx, 0)
		err := do(ctx)
		cancel()
		var refused *amtp.Error
		switch {
		case err == nil:
			return nil
		case l.lost() != nil:
			return l.lost()
		case errors.As(err, &refused) && (refused.Code == amtp.CodeLeaseLost || refused.Code == amtp.CodeLeaseHeld):
			l.lose(err)
			return err
		case !away(err) && !errors.Is(err, context.DeadlineExceeded):
			return err
		case l.asked.Err() != nil && l.w.p.now().Sub(began) > stopTime:
			return err
		}
		_ = pause(l.ctx, time.Second)
	}
}

// execute runs the command for a message, and returns what it wrote if that is the
// answer. failed says why it did not succeed, "" if it did.
func (w *worker) execute(ctx context.Context, l *held, m *amtp.InboxMessage) (out []byte, failed string) {
	cmd := exec.Command(w.command[0], w.command[1:]...)
	cmd.Stdin = bytes.NewReader(append(bytes.Clone(m.Raw), '\n'))
	cmd.Env = append(withoutSecrets(w.p.environ), environmentOf(w.self, m)...)
	cmd.WaitDelay = stopTime // for programs that it started and that keep its output open
	var answer bounded
	cmd.Stdout, cmd.Stderr = &shared{w: w, to: w.p.stdout}, &shared{w: w, to: w.p.stderr}
	if w.reply {
		cmd.Stdout = &answer
	} else if w.p.json {
		cmd.Stdout = cmd.Stderr
	}
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
			l.broken = usageErrorf("The command cannot be run: %v.", err)
		}
		return nil, "the command cannot be run: " + err.Error()
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = stopGroup(cmd, done)
	case <-l.ctx.Done():
		err = stopGroup(cmd, done)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it succeeded, and a program that it left behind keeps its output open
	}
	switch {
	case ctx.Err() != nil:
		// What the exit code says does not count: a handler of SIGTERM may end with 0.
		return nil, "the worker was stopped"
	case err != nil:
		return nil, fmt.Sprintf("the command ended with %v", err)
	case answer.over:
		return nil, fmt.Sprintf("the command wrote more than %d bytes, which is too much for an answer", maxAnswer)
	}
	return answer.kept.Bytes(), ""
}

// stopGroup ends a command and what it started. It first asks it to end.
func stopGroup(cmd *exec.Cmd, done <-chan error) error {
	askGroup(cmd)
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		killGroup(cmd)
		return <-done
	}
}

// withoutSecrets returns an environment without what only an operator of the gateway needs.
func withoutSecrets(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.EqualFold(name, "AMTP_ADMIN_KEY") || strings.EqualFold(name, "AMTP_DATABASE_URL")
	})
}

// environmentOf returns the variables that describe a message. Control characters, and
// those that change how a line is shown, are removed.
func environmentOf(self amtp.Address, m *amtp.InboxMessage) (list []string) {
	for _, v := range []struct{ name, value string }{
		{"AMTP_MESSAGE_ID", string(m.MessageID)}, {"AMTP_SENDER", m.Sender.String()}, {"AMTP_SUBJECT", m.Subject},
		{"AMTP_THREAD", string(m.ThreadID)}, {"AMTP_IN_REPLY_TO", string(m.InReplyTo)}, {"AMTP_TRUST", string(m.Trust)},
		{"AMTP_SCHEMA", m.Schema}, {"AMTP_RECIPIENT", self.String()}, {"AMTP_ATTEMPT", strconv.Itoa(m.Lease.Attempt)},
		{"AMTP_LEASE", m.Lease.Token},
	} {
		list = append(list, v.name+"="+withoutControls(v.value))
	}
	return list
}

func withoutControls(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

// maxReason is how many bytes a reason has at the most.
const maxReason = 512

// reasonOf returns a text in the form in which a gateway takes it as a reason.
func reasonOf(text string) string {
	text = strings.ToValidUTF8(withoutControls(text), "?")
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// bounded keeps up to maxAnswer bytes. The buffer is no part of its methods: a copy would
// read into it past the bound.
type bounded struct {
	kept bytes.Buffer
	over bool
}

func (b *bounded) Write(text []byte) (int, error) {
	if b.over = b.over || b.kept.Len()+len(text) > maxAnswer; b.over {
		return len(text), nil
	}
	return b.kept.Write(text)
}

// shared is an output of several commands.
type shared struct {
	w  *worker
	to io.Writer
}

func (s *shared) Write(b []byte) (int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.to.Write(b)
}
