package cli

import (
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/profile"
)

// near returns the client for a gateway on this machine over plain HTTP, nil for any
// other gateway. Any user of the machine can listen on a free port, and would get the
// agent's key. So the client speaks only to the listener of a user who is known to run
// the gateway.
func (p *program) near(dir, base string) *http.Client {
	u, err := url.Parse(strings.TrimSpace(base))
	standard, isTransport := http.DefaultTransport.(*http.Transport)
	if err != nil || u.Scheme != "http" || !loopback.Is(u.Hostname()) || !isTransport {
		return nil
	}
	t := standard.Clone()
	t.Proxy = nil
	t.DialContext = (&loopback.Dialer{
		Believes: func(uid int) bool { return p.believes(dir, base, uid) },
		Unseen:   func() bool { return p.believesUnseen(dir, base) },
		Owner:    p.owner,
	}).DialContext
	return &http.Client{Transport: t}
}

// meeting begins the first meeting with a gateway. Until the gateway has answered, any
// user who runs it is trusted. That holds only while the command has no key to lose, in
// this request or in a later one.
func (p *program) meeting(id *profile.Identity) {
	_, isAdmin := p.admin(id)
	p.meets = id.Key == "" && !isAdmin && (id.Saved(profile.MemberKey) == "" || !id.Saves)
}

// believes reports whether the gateway at base may run as the user. These users may:
// the user who runs this command; root, who controls the machine; the user that the
// identity or the environment names; and the user whose data directory says that the
// gateway runs there. At the first meeting, when there is no key to lose, any user may.
func (p *program) believes(dir, base string, uid int) bool {
	if uid == os.Geteuid() || uid == 0 || p.runsAs != nobodyShown && loopback.Named(uid, p.runsAs) {
		return true
	}
	for _, at := range sameMachine(base) {
		if owner, ok := datadir.Runs(dir, at); ok && owner == uid {
			return true
		}
	}
	if !p.meets || p.runsAs != "" {
		return false
	}
	p.runsAs = loopback.UserName(uid)
	return true
}

// nobodyShown stands for the user of a listener that this system does not show, as with
// some rules that forward a port into a container. It is no user's name here.
const nobodyShown = "none"

// believesUnseen reports whether a listener that the system does not show may be the
// gateway. It may if the user said so, if a data directory says that its gateway runs
// there now, or at the first meeting.
func (p *program) believesUnseen(dir, base string) bool {
	for _, at := range sameMachine(base) {
		if _, runs := datadir.Runs(dir, at); runs {
			return true
		}
	}
	if p.meets && p.runsAs == "" {
		p.runsAs = nobodyShown
	}
	return p.runsAs == nobodyShown
}
