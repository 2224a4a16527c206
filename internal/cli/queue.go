package cli

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/render"
)

const queueHelp = `What the gateway still has to deliver. A job is one message on its way to one
destination: another domain, the endpoint of an agent here (push:N), or the
report of a failure (report:). The gateway tries each again by itself, for up to
a week; these commands are for when you know better. What failed for good is
in "amtp dead".

They need the gateway's admin key: AMTP_ADMIN_KEY, unless the gateway runs on
this machine from a data directory that you can read.`

const queueExamples = `  amtp queue list
  amtp queue show 12
  amtp queue retry --destination shop.example   # it is back: do not wait
  amtp queue cancel 12`

func (p *program) queueCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "queue",
		Short:   "Look at what is still to be delivered, retry or cancel it",
		Long:    queueHelp,
		Example: queueExamples,
	})
	cmd.AddCommand(p.queueListCommand(), p.queueShowCommand(), p.queueRetryCommand(), p.queueCancelCommand())
	return cmd
}

// jobFlags are the flags that choose jobs.
func jobFlags(cmd *cobra.Command, q *admin.JobQuery) {
	flags := cmd.Flags()
	flags.StringVar(&q.Destination, "destination", "", "only for this `DOMAIN`, push:N or report:")
	flags.StringVar((*string)(&q.Message), "message", "", "only of the message with this `ID`")
	flags.StringVar((*string)(&q.State), "status", "", "only those in this `STATE`: queued, delivering or retrying")
}

const queueListHelp = `List the jobs, oldest first: how long each is there, how often it was tried, when
next, and the last error. Below it the destinations that are not healthy, and
until when nothing is tried there.`

func (p *program) queueListCommand() *cobra.Command {
	var q admin.JobQuery
	var l listing
	var cmd *cobra.Command
	cmd = p.asOperator(&cobra.Command{
		Use:     "list",
		Short:   "List what is still to be delivered",
		Long:    queueListHelp,
		Example: "  amtp queue list\n  amtp queue list --destination shop.example --status retrying\n  amtp queue list --limit 1000 --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		if err := l.check(cmd); err != nil {
			return err
		}
		list, err := jobPages(ctx, c, q, &l)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(list)
		}
		p.printJobs(list, &l)
		return nil
	})
	jobFlags(cmd, &q)
	l.flags(cmd, 100, "jobs", true)
	return cmd
}

// jobPages asks for as many jobs as the user wants.
func jobPages(ctx context.Context, c *admin.Client, q admin.JobQuery, l *listing) (all admin.JobList, err error) {
	shown := make(map[string]bool)
	err = l.each(func(limit int, cursor string) (page, error) {
		q.Limit, q.After = limit, cursor
		next, err := c.Jobs(ctx, q)
		if err != nil {
			return page{}, err
		}
		health := slices.DeleteFunc(next.Destinations, func(d admin.DestinationHealth) bool {
			was := shown[d.Destination]
			shown[d.Destination] = true
			return was
		})
		jobs, destinations := joined(all.Jobs, next.Jobs), joined(all.Destinations, health)
		all = next
		all.Jobs, all.Count, all.Destinations = jobs, len(jobs), destinations
		return page{len(next.Jobs), next.HasMore, next.NextCursor}, nil
	})
	return all, err
}

func (p *program) printJobs(list admin.JobList, at *listing) {
	if len(list.Jobs) == 0 && !list.HasMore {
		p.printf("Nothing waits.\n")
		return
	}
	rows := [][]string{{"JOB", "DESTINATION", "AGE", "STATE", "ATTEMPTS", "NEXT", "LAST ERROR"}}
	for _, j := range list.Jobs {
		rows = append(rows, []string{strconv.FormatInt(int64(j.ID), 10), j.Destination, p.age(j.CreatedAt), j.State,
			strconv.Itoa(j.Attempts), p.next(j), j.ErrorMessage})
	}
	p.printTable(rows)
	for _, l := range list.Destinations {
		if line := p.destinationLine(l); line != "" {
			p.printf("\n%s", line)
		}
	}
	if list.HasMore {
		p.notef("There are more: %s\n", at.goesOn(list.NextCursor))
	}
}

// next says when a job is tried.
func (p *program) next(j admin.QueuedJob) string {
	switch {
	case j.State == "delivering":
		return "now"
	case j.NextAttempt.IsZero():
		return "never"
	}
	return p.until(j.NextAttempt)
}

// destinationLine says what is wrong with a destination, "" when nothing is.
func (p *program) destinationLine(l admin.DestinationHealth) string {
	if l.Failures == 0 && !l.ClosedUntil.After(p.now()) {
		return ""
	}
	line := render.Clean(l.Destination) + ": " + render.Plural(l.Failures, "failure") + " in a row"
	if l.ClosedUntil.After(p.now()) {
		line += "; nothing is tried before " + p.timeText(l.ClosedUntil.Time) + " (" + p.until(l.ClosedUntil) + ")"
	}
	return line + "\n"
}

func (p *program) queueShowCommand() *cobra.Command {
	return p.asOperator(&cobra.Command{
		Use:     "show JOB",
		Short:   "Show a job",
		Long:    "Show a job: its message, for whom it still is, what was tried, and the\nhealth of its destination.",
		Example: "  amtp queue show 12\n  amtp queue show 12 --json",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, c *admin.Client, args []string) error {
		ids, err := idsOf[admin.JobID](args)
		if err != nil {
			return err
		}
		v, err := c.Job(ctx, ids[0])
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(v)
		}
		p.printJob(v)
		return nil
	})
}

func (p *program) printJob(v admin.JobView) {
	j := v.Job
	p.printf("Job %d for %s\n", j.ID, render.Clean(j.Destination))
	line := p.labelled(15)
	line("Message:", string(j.MessageID))
	line("From:", render.Address(j.Sender))
	line("Subject:", j.Subject)
	line("Size:", plaintext.Size(int64(j.Size)))
	line("State:", j.State)
	line("Since:", p.timeText(j.CreatedAt.Time))
	line("Attempts:", strconv.Itoa(j.Attempts))
	line("Last attempt:", p.timeText(j.LastAttempt.Time))
	line("Next attempt:", p.timeText(j.NextAttempt.Time))
	line("Last error:", errorLine(j.ErrorCode, j.ErrorMessage))
	line("Fails so since:", p.timeText(j.ErrorSince.Time))
	line("Redriven:", p.timeText(j.RedrivenAt.Time))
	for _, r := range j.Recipients {
		line("To:", render.Address(r.Address))
	}
	if v.Destination != nil {
		p.printf("%s", p.destinationLine(*v.Destination))
	}
}

// errorLine is a code and its text.
func errorLine(code amtp.Code, message string) string {
	if message == "" {
		return string(code)
	}
	return message + " (" + string(code) + ")"
}

const queueRetryHelp = `Have jobs tried at once, however their destination felt the last time: those that
are named, those that the flags choose, or --all. A job that is being delivered
at this moment is left alone; when it was named, that is a conflict.`

func (p *program) queueRetryCommand() *cobra.Command {
	return p.jobsCommand(&cobra.Command{
		Use:     "retry [JOB...]",
		Short:   "Try jobs at once",
		Long:    queueRetryHelp,
		Example: "  amtp queue retry 12\n  amtp queue retry --destination shop.example\n  amtp queue retry --all",
	}, "tried at once", (*admin.Client).RetryJob)
}

const queueCancelHelp = `Withdraw jobs: those that are named, those that the flags choose, or --all. What
they have not delivered is failed (CANCELLED) for its sender, who gets no report,
and cannot be redriven. Nothing is asked. A job that is being delivered at this
moment is left alone; when it was named, that is a conflict.`

func (p *program) queueCancelCommand() *cobra.Command {
	return p.jobsCommand(&cobra.Command{
		Use:     "cancel [JOB...]",
		Short:   "Withdraw jobs",
		Long:    queueCancelHelp,
		Example: "  amtp queue cancel 12 13\n  amtp queue cancel --message ID\n  amtp queue cancel --destination typo.example",
	}, "cancelled", (*admin.Client).CancelJob)
}

// jobsChanged is the result of a command that changes jobs.
type jobsChanged struct {
	Result string        `json:"result"`
	Jobs   []admin.JobID `json:"jobs"`
	Busy   []admin.JobID `json:"busy"` // being delivered: not changed
}

// jobsCommand is a command that does something to each of some jobs.
func (p *program) jobsCommand(cmd *cobra.Command, done string,
	do func(*admin.Client, context.Context, admin.JobID) (admin.QueuedJob, error)) *cobra.Command {
	var q admin.JobQuery
	var all bool
	cmd.Args = cobra.ArbitraryArgs
	cmd = p.asOperator(cmd, func(ctx context.Context, c *admin.Client, args []string) error {
		ids, err := idsOf[admin.JobID](args)
		if err != nil {
			return err
		}
		if err := oneChoice(len(args) > 0, q != admin.JobQuery{}, all); err != nil {
			return err
		}
		changed := jobsChanged{Result: done, Jobs: []admin.JobID{}, Busy: []admin.JobID{}}
		one := func(id admin.JobID) error {
			_, err := do(c, ctx, id)
			return err
		}
		if err = changed.each(ids, true, one); err == nil && len(ids) == 0 {
			err = changed.pages(q, func(q admin.JobQuery) (admin.JobList, error) { return c.Jobs(ctx, q) }, one)
		}
		return p.printJobsChanged(changed, err)
	})
	jobFlags(cmd, &q)
	cmd.Flags().BoolVar(&all, "all", false, "all jobs that there are")
	return cmd
}

// each does something to each job. A job that a filter chose may be gone by now, or just
// delivered.
func (c *jobsChanged) each(ids []admin.JobID, named bool, do func(admin.JobID) error) error {
	for _, id := range ids {
		err := do(id)
		var refused *amtp.Error
		switch {
		case err == nil:
			c.Jobs = append(c.Jobs, id)
		case named || !errors.As(err, &refused):
			return err
		case refused.Status == http.StatusConflict:
			c.Busy = append(c.Busy, id)
		case refused.Status != http.StatusNotFound:
			return err
		}
	}
	return nil
}

// pages does something to each job that a query finds.
func (c *jobsChanged) pages(q admin.JobQuery, list func(admin.JobQuery) (admin.JobList, error),
	do func(admin.JobID) error) error {
	for {
		page, err := list(q)
		if err != nil {
			return err
		}
		ids := make([]admin.JobID, len(page.Jobs))
		for i := range ids {
			ids[i] = page.Jobs[i].ID
		}
		if err := c.each(ids, false, do); err != nil || !page.HasMore {
			return err
		}
		q.After = page.NextCursor
	}
}

func (p *program) printJobsChanged(c jobsChanged, err error) error {
	if p.json && err == nil {
		return p.printJSON(c)
	}
	if len(c.Jobs) > 0 || err == nil {
		p.sayf("%s %s.\n", render.Plural(len(c.Jobs), "job"), c.Result)
	}
	if len(c.Busy) > 0 {
		p.notef("%s being delivered at this moment: left alone.\n", render.Plural(len(c.Busy), "job"))
	}
	return err
}

// oneChoice checks that the command line chooses jobs in exactly one way.
func oneChoice(named, chosen, all bool) error {
	switch n := count(named, chosen, all); {
	case n == 0:
		return usageErrorf("Say which: ids, flags that choose, or --all for all that there are.")
	case n > 1:
		return usageErrorf("Give ids, flags that choose, or --all, and not two of them.")
	}
	return nil
}

func count(list ...bool) (n int) {
	for _, b := range list {
		if b {
			n++
		}
	}
	return n
}

// idsOf reads ids as the lists show them.
func idsOf[ID ~int64](args []string) ([]ID, error) {
	var list []ID
	for _, a := range args {
		n, err := strconv.ParseInt(a, 10, 64)
		if err != nil || n <= 0 {
			return nil, usageErrorf("%q is no id; they are numbers, as \"list\" shows them.", a)
		}
		list = append(list, ID(n))
	}
	return list, nil
}

// age is the time since t, in its two largest units.
func (p *program) age(t amtp.Time) string { return render.Span(p.now().Sub(t.Time)) }

// until is the time until t.
func (p *program) until(t amtp.Time) string {
	if !t.After(p.now()) {
		return "now"
	}
	return "in " + render.Span(t.Sub(p.now()))
}
