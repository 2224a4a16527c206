package doctor

import (
	"cmp"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// Examination examines everything that a message needs on its way from a user. It uses
// the user's identity at its gateway and, where the gateway runs from a directory of
// the same machine, that directory. The zero values of the functions are not usable.
type Examination struct {
	// Identity is the user's. Without a gateway it gets the one that runs on this machine.
	Identity *profile.Identity
	// DataDir is the directory of the user's gateway; the error says why it is not
	// known.
	DataDir func() (string, error)

	Again  string // the flags that a suggested command repeats
	Resume string // the command that ends the pause of a restored gateway in DataDir

	Now  func() time.Time
	Time func(time.Time) string // writes a time in the user's form

	// Anonymous returns a client of the identity's gateway without a key, Agent one
	// with the identity's key, and Admin, if it is known, one with an admin key.
	Anonymous, Agent func() *amtp.Client
	Admin            func() (c *admin.Client, known bool)
	// Explain says what an error of a call means to the user, and the next step.
	Explain func(error) (text, mend string)

	// Settings loads the settings of the gateway in DataDir.
	Settings func() Settings
	// Glance examines the files of a data directory.
	Glance func(dir string) []Finding
	// CheckDomain examines the domain of the settings, see [JudgeDomain].
	CheckDomain func(context.Context) ([]Finding, Verdict, error)

	list   []Finding
	whoami amtp.Identity
	admin  *admin.Client // nil without the admin key
}

// Settings are the settings of a gateway that decide where a message goes.
type Settings struct {
	Problems  []Finding // why they cannot be loaded; then nothing else is known
	Domain    amtp.Domain
	Federated bool     // the gateway writes to other domains
	File      string   // the file from which they come, "" for the defaults
	Remarks   []string // remarks that are no mistakes
}

func (x *Examination) add(list ...Finding) { x.list = append(x.list, list...) }

// failed adds a finding about an error of a call.
func (x *Examination) failed(name string, err error) {
	text, mend := x.Explain(err)
	x.add(bad(name, mend, "%s", text))
}

// Run examines all points, in an order in which each point needs only earlier ones, and
// returns the findings.
func (x *Examination) Run(ctx context.Context) []Finding {
	x.identity()
	answers := x.Identity.Gateway != "" && x.gateway(ctx)
	if answers {
		x.key(ctx)
		if admin, ok := x.Admin(); ok {
			x.admin = admin
		}
	}
	settings, known := x.data()
	x.domain(ctx, settings, known)
	if answers {
		x.peers(ctx)
		x.queue(ctx)
	}
	return x.list
}

// identity checks which agent the user is.
func (x *Examination) identity() {
	const name = "identity"
	id := x.Identity
	info, err := os.Stat(id.Path)
	setup := "amtp setup --name <agent-name>" + x.Again
	switch {
	case id.Absent:
		x.add(bad(name, setup, "there is no profile %q in %s", id.Profile, id.Path))
	case id.Key == "":
		x.add(bad(name, setup, "no key is known for the gateway at %s", cmp.Or(id.Gateway, profile.DefaultGateway)))
	case err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		x.add(bad(name, "chmod 600 "+id.Path, "others of this machine may read %s", id.Path))
	default:
		from := id.Path + ", profile " + id.Profile
		if id.Saved(profile.MemberKey) != id.Key {
			from = "from AMTP_API_KEY"
		}
		x.add(good(name, "%s, %s", cmp.Or(id.Address, "an agent known by its key"), from))
	}
	if id.Gateway == "" {
		id.Gateway = cmp.Or(x.running().URL, profile.DefaultGateway)
	}
}

// running is the gateway that runs from the data directory; its URL is "" when none does.
func (x *Examination) running() datadir.Running {
	dir, err := x.DataDir()
	if err != nil {
		return datadir.Running{}
	}
	running, _ := datadir.Holder(dir)
	return running
}

// gateway checks whether the gateway answers and can store messages, and its clock.
func (x *Examination) gateway(ctx context.Context) bool {
	const name = "gateway"
	c, began := x.Anonymous(), x.Now()
	health, err := c.Health(ctx)
	if err != nil {
		x.failed(name, err)
		return false
	}
	ready, err := c.Ready(ctx)
	if err != nil {
		x.failed(name, err)
	} else {
		x.add(JudgeGateway(x.Identity.Gateway, &health, &ready, x.resume()))
	}
	x.add(JudgeClock(began, x.Now(), &health))
	return true
}

// resume is the command that ends the pause of the gateway.
func (x *Examination) resume() string {
	if profile.SameGateway(x.running().URL, x.Identity.Gateway) {
		return x.Resume
	}
	return "amtp restore --confirm --data-dir DIR, with the directory of that gateway"
}

// key checks whether the gateway knows the key.
func (x *Examination) key(ctx context.Context) {
	const name = "key"
	if x.Identity.Key == "" {
		x.add(skipped(name, "there is none to try"))
		return
	}
	who, err := x.Agent().WhoAmI(ctx)
	if err != nil {
		x.failed(name, err)
		return
	}
	x.whoami = who
	unread, _, _ := strings.Cut(
		render.Counted(who.Unread, who.CountsCapped && who.Unread >= who.Pending, "message"),
		" ",
	)
	x.add(good(name, "the gateway knows it as %s; %s unread of %s", who.Address, unread,
		render.Counted(who.Pending, who.CountsCapped, "message")))
}

// data examines the data directory of this user, if there is one, and the settings of
// the gateway in it.
func (x *Examination) data() (s Settings, known bool) {
	const name = "data"
	dir, err := x.DataDir()
	if err != nil {
		x.add(skipped(name, "%s", render.Sentence(err)))
		return s, false
	}
	if _, err := os.Stat(dir); err != nil {
		x.add(skipped(name, "no gateway was started from %s", dir))
		return s, false
	}
	running := x.running()
	if running.URL != "" && !profile.SameGateway(running.URL, x.Identity.Gateway) &&
		!loopback.IsURL(x.Identity.Gateway) {
		x.add(skipped(name, "the gateway in %s is another one", dir))
		return s, false
	}
	s = x.Settings()
	x.add(s.Problems...)
	switch known = len(s.Problems) == 0; {
	case known && len(s.Remarks) > 0:
		x.add(good("config", "valid, with a remark: %s", strings.Join(s.Remarks, "; ")))
	case known:
		x.add(good("config", "valid, %s", cmp.Or(s.File, "the defaults")))
	}
	for _, f := range x.Glance(dir) {
		f.Name = name + " " + f.Name
		if f.OK {
			f.Mend = ""
		}
		x.add(f)
	}
	return s, known
}

// domainTime bounds the check of the gateway's domain.
const domainTime = 20 * time.Second

// domain checks what others see of the domain of the gateway in the data directory.
func (x *Examination) domain(ctx context.Context, s Settings, known bool) {
	const name = "domain"
	serves := x.whoami.Domain
	switch {
	case known && serves != "" && serves != string(s.Domain):
		x.add(skipped(
			name,
			"the gateway serves %s, and was started with settings that are not seen here; look with: amtp domain check %s",
			serves,
			serves,
		))
		return
	case !known && serves == "localhost", known && !s.Federated:
		x.add(good(name, "localhost: this gateway is for this machine and writes to no other domain"))
		return
	case !known:
		x.add(skipped(name, "the gateway is not one of this machine; look with: amtp domain check %s",
			cmp.Or(serves, "DOMAIN")))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, domainTime)
	defer cancel()
	list, verdict, err := x.CheckDomain(ctx)
	if err != nil {
		x.add(bad(name, "amtp domain check", "%s", render.Sentence(err)))
		return
	}
	if verdict == Sound {
		f := good(name, "%s: others find it, %s in order", s.Domain, render.Plural(len(list), "point"))
		for _, point := range list {
			if point.Note != "" {
				f.Text += "; " + point.Name + ": " + point.Note
			}
		}
		x.add(f)
		return
	}
	for _, f := range list {
		if !f.OK && !f.Skipped {
			x.add(bad(name+" "+f.Name, cmp.Or(f.Mend, "amtp domain check"), "%s", f.Text))
		}
	}
}

// peersAtOnce is how many peers are tried at the same time.
const peersAtOnce = 8

// peers tries every peer, and reports when domains last wrote.
func (x *Examination) peers(ctx context.Context) {
	const name = "peers"
	if x.admin == nil {
		x.add(skipped(name, "they need the admin key: AMTP_ADMIN_KEY"))
		return
	}
	list, err := x.admin.Peers(ctx)
	var refused *amtp.Error
	switch {
	case errors.As(err, &refused) && refused.Code == amtp.CodeConflict:
		x.add(skipped(name, "a gateway for this machine has none"))
		return
	case err != nil:
		x.failed(name, err)
		return
	case list.Count == 0:
		x.add(good(name, "none without DNS"))
	}
	x.add(JudgeSenders(list.Seen, x.Time))
	reports := make([]admin.PeerReport, len(list.Peers))
	errs := make([]error, len(list.Peers))
	var asked sync.WaitGroup
	slots := make(chan struct{}, peersAtOnce)
	for i := range list.Peers {
		asked.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = defect.Contain(func() (err error) {
				reports[i], err = x.admin.CheckPeer(ctx, list.Peers[i].Domain)
				return err
			})
		})
	}
	asked.Wait()
	for i, peer := range list.Peers {
		if errs[i] != nil {
			x.failed("peer "+string(peer.Domain), errs[i])
			continue
		}
		x.add(JudgePeer(peer.Domain, &reports[i])...)
	}
}

// queue examines the messages that wait for other domains.
func (x *Examination) queue(ctx context.Context) {
	const name = "queue"
	if x.admin == nil {
		x.add(skipped(name, "it needs the admin key: AMTP_ADMIN_KEY"))
		return
	}
	list, err := x.admin.Jobs(ctx, admin.JobQuery{})
	if err != nil {
		x.failed(name, err)
		return
	}
	x.add(JudgeQueue(&list))
}
