package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// maxSkew is by how much the clocks may differ. Beyond ten minutes the gateway
// does not believe a message's own time any more.
const maxSkew = 2 * time.Minute

// gatewayAnswers looks whether the gateway answers and can store.
func (x *examination) gatewayAnswers(ctx context.Context) bool {
	const name = "gateway"
	nobody := &amtp.Client{URL: x.id.Gateway, HTTP: x.reach(x.id.Gateway), UserAgent: userAgent()}
	began := x.now()
	health, err := nobody.Health(ctx)
	if err != nil {
		x.failed(name, err)
		return false
	}
	ready, err := nobody.Ready(ctx)
	switch {
	case err != nil:
		x.failed(name, err)
	case ready.Ready != nil && !*ready.Ready:
		x.bad(name, "look at its log, and at its disk: amtp check", "%s answers, and cannot store messages now: %s",
			x.id.Gateway, cmp.Or(ready.Reason, "it does not say why"))
	case health.Components["delivery"] == "paused":
		x.bad(name, "if this is the gateway that is to go on: "+x.confirms(),
			"%s was restored from a backup and accepts no messages until that is confirmed", x.id.Gateway)
	default:
		x.good(name, "%s answers, version %s, and can store", x.id.Gateway, cmp.Or(health.Version, "unknown"))
	}
	x.clock(began, &health)
	return true
}

// confirms is the command that ends the pause of the gateway.
func (x *examination) confirms() string {
	dir, err := x.dataDir("")
	if err == nil {
		if running, _ := datadir.Holder(dir); profile.SameGateway(running.URL, x.id.Gateway) {
			return x.confirm(dir)
		}
	}
	return "amtp restore --confirm --data-dir DIR, with the directory of that gateway"
}

// clock compares the gateway's time with ours when the question was put, and says
// whether the gateway believes it.
func (x *examination) clock(began time.Time, health *amtp.Health) {
	const name = "clock"
	theirs := health.Timestamp.Time
	if theirs.IsZero() {
		x.skip(name, "the gateway does not say what time it is there")
		return
	}
	ended, skew := x.now(), time.Duration(0)
	switch {
	case theirs.Before(began):
		skew = began.Sub(theirs)
	case theirs.After(ended):
		skew = theirs.Sub(ended)
	}
	if skew > maxSkew {
		x.bad(name, "set the clock of whichever is wrong", "the gateway's clock and this one differ by %v",
			skew.Round(time.Second))
		return
	}
	d := health.Clock
	if d == nil {
		x.good(name, "the gateway's and this one agree")
		return
	}
	const day = 24 * time.Hour
	jumped, waits := time.Duration(d.Jumped)*time.Second, time.Duration(d.Waits)*time.Second
	held := "for " + render.Spell(waits) + " more nothing is removed or given up there because of its age"
	switch {
	case d.AtStart:
		x.bad(name, "if the gateway was off for that long, wait; else see what sets its machine's clock",
			"when the gateway started, its clock showed %s than when it ran last; %s",
			shifted(jumped, "later", "earlier"), held)
	case jumped > 0 && jumped <= 3*day:
		x.good(
			name,
			"the gateway's and this one agree; it jumped by %s, as after a sleep, and %s",
			render.Spell(jumped),
			held,
		)
	default:
		x.bad(name, "see what sets its machine's clock, and whether it is right now",
			"the gateway's clock jumped: it shows %s than it would have; %s", shifted(jumped, "later", "earlier"), held)
	}
}

// shifted says how far a clock moved.
func shifted(by time.Duration, forward, back string) string {
	if by < 0 {
		return render.Spell(-by) + " " + back
	}
	return render.Spell(by) + " " + forward
}

// key looks whether the gateway knows the key.
func (x *examination) key(ctx context.Context) {
	const name = "key"
	if x.id.Key == "" {
		x.skip(name, "there is none to try")
		return
	}
	who, err := x.client(x.id).WhoAmI(ctx)
	if err != nil {
		x.failed(name, err)
		return
	}
	x.whoami = who
	unread, _, _ := strings.Cut(
		render.Counted(who.Unread, who.CountsCapped && who.Unread >= who.Pending, "message"),
		" ",
	)
	x.good(name, "the gateway knows it as %s; %s unread of %s", who.Address, unread,
		render.Counted(who.Pending, who.CountsCapped, "message"))
}

// peers tries every peer, and says when domains last wrote.
func (x *examination) peers(ctx context.Context) {
	const name = "peers"
	if x.admin == nil {
		x.skip(name, "they need the admin key: AMTP_ADMIN_KEY")
		return
	}
	list, err := x.admin.Peers(ctx)
	switch {
	case x.explainedAs(err, amtp.CodeConflict):
		x.skip(name, "a gateway for this machine has none")
		return
	case err != nil:
		x.failed(name, err)
		return
	case list.Count == 0:
		x.good(name, "none without DNS")
	}
	x.seen(list.Seen)
	reports := make([]amtp.PeerReport, len(list.Peers))
	errs := make([]error, len(list.Peers))
	var asked sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i := range list.Peers {
		asked.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			reports[i], errs[i] = x.admin.CheckPeer(ctx, list.Peers[i].Domain)
		})
	}
	asked.Wait()
	for i := range list.Peers {
		x.peer(list.Peers[i].Domain, &reports[i], errs[i])
	}
}

// seen says which domains wrote to the gateway.
func (x *examination) seen(list []amtp.PeerSeen) {
	if len(list) == 0 {
		x.good("seen", "no other domain has written here yet")
		return
	}
	last := list[0]
	for _, s := range list {
		if s.Last.After(last.Last.Time) {
			last = s
		}
	}
	x.good("seen", "%s wrote here, the last %s, %s", render.Plural(len(list), "domain"), last.Domain,
		x.timeText(last.Last.Time))
}

func (x *examination) peer(d amtp.Domain, r *amtp.PeerReport, err error) {
	name := "peer " + string(d)
	if err != nil {
		x.failed(name, err)
		return
	}
	if r.OK {
		x.good(name, "works in both directions")
	}
	for _, point := range r.Points {
		if !point.OK {
			x.bad(name, cmp.Or(point.Mend, "amtp peer check "+string(d)), "%s: %s", point.Name, point.Text)
		}
	}
}

// explainedAs reports whether a gateway refused with the code.
func (x *examination) explainedAs(err error, code amtp.Code) bool {
	return err != nil && x.explain(err).code == code
}

// queue looks at what waits for others.
func (x *examination) queue(ctx context.Context) {
	const name = "queue"
	if x.admin == nil {
		x.skip(name, "it needs the admin key: AMTP_ADMIN_KEY")
		return
	}
	list, err := x.admin.Jobs(ctx, amtp.JobQuery{})
	if err != nil {
		x.failed(name, err)
		return
	}
	var ill []string
	for _, d := range list.Destinations {
		if d.Failures > 0 {
			ill = append(ill, string(d.Destination))
		}
	}
	switch {
	case len(ill) > 0:
		x.bad(name, "amtp queue list", "%s waits; nothing gets through to %s", render.Plural(list.Count, "message"),
			strings.Join(ill, ", "))
	case list.Count > 0:
		x.good(name, "%s on the way", render.Plural(list.Count, "message"))
	default:
		x.good(name, "nothing waits")
	}
}

const nameProbe = "probe"

// probe sends a message and waits for its answer, which it acknowledges.
func (x *examination) probe(ctx context.Context, to amtp.Address, wait time.Duration) {
	if x.whoami.Address == (amtp.Address{}) {
		x.bad(nameProbe, "first fix what is wrong above", "nothing was sent: there is nobody to send it as")
		return
	}
	c, began := x.client(x.id), x.now()
	payload, err := json.Marshal(map[string]string{"text": "Does this arrive?"})
	if err != nil {
		x.failed(nameProbe, err)
		return
	}
	sent, err := c.Send(ctx, amtp.Message{Sender: x.whoami.Address, Recipients: []amtp.Address{to}, Subject: "Probe",
		Payload: payload})
	if err != nil {
		x.failed(nameProbe, err)
		return
	}
	since := began
	if len(sent.Recipients) > 0 {
		since = sent.Recipients[0].Timestamp.Time
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if !x.json {
		x.notef("Waiting for the answer of %s, %v at the most.\n", render.Address(to), wait)
	}
	answer, err := x.answerTo(ctx, c, sent.MessageID, to, since)
	if err == nil {
		x.good(nameProbe, "%s answered after %v; its answer is %s", render.Address(to),
			x.now().Sub(began).Round(time.Millisecond), answer.Trust)
		return
	}
	x.unanswered = true
	x.bad(nameProbe,
		fmt.Sprintf("amtp status %s tells how far it came; the operator of %s says whether echo.enabled is set there",
			sent.MessageID, to.Domain()),
		"%s did not answer within %v", render.Address(to), wait)
}

// answerTo waits for the answer of an address to a message and acknowledges it.
func (x *examination) answerTo(ctx context.Context, c *amtp.Client, id amtp.MessageID, from amtp.Address,
	since time.Time) (amtp.InboxMessage, error) {
	q := amtp.InboxQuery{Since: since.Add(-time.Second), Wait: 10 * time.Second}
	for {
		page, err := c.Inbox(ctx, x.whoami.Address, q)
		if err != nil {
			return amtp.InboxMessage{}, err
		}
		for _, m := range page.Messages {
			if m.InReplyTo == id && m.Sender.Equal(from) {
				_, err := c.Ack(ctx, x.whoami.Address, m.MessageID)
				return m, err
			}
		}
		q.After = page.NextCursor
	}
}
