package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/domaincheck"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// identity looks at who the user is.
func (x *examination) identity() {
	const name = "identity"
	info, err := os.Stat(x.id.Path)
	setup := "amtp setup --name <agent-name>" + x.again()
	switch {
	case x.id.Absent:
		x.bad(name, setup, "there is no profile %q in %s", x.id.Profile, x.id.Path)
	case x.id.Key == "":
		x.bad(name, setup, "no key is known for the gateway at %s", cmp.Or(x.id.Gateway, profile.DefaultGateway))
	case err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		x.bad(name, "chmod 600 "+x.id.Path, "others of this machine may read %s", x.id.Path)
	default:
		x.good(name, "%s, %s", cmp.Or(x.id.Address, "an agent known by its key"), x.where())
	}
	if x.id.Gateway == "" {
		x.id.Gateway = cmp.Or(x.runningHere(), profile.DefaultGateway)
	}
}

// where says from where the identity comes.
func (x *examination) where() string {
	if x.id.Saved(profile.MemberKey) != x.id.Key {
		return "from AMTP_API_KEY"
	}
	return x.id.Path + ", profile " + x.id.Profile
}

// data looks at the data directory of this user, when there is one, and at the
// settings of the gateway in it.
func (x *examination) data(ctx context.Context) (cfg config.Config, known bool) {
	dir, err := x.dataDir("")
	if err != nil {
		x.skip("data", "%s", render.Sentence(err))
		return cfg, false
	}
	if _, err := os.Stat(dir); err != nil {
		x.skip("data", "no gateway was started from %s", dir)
		return cfg, false
	}
	running, _ := datadir.Holder(dir)
	if running.URL != "" && !profile.SameGateway(running.URL, x.id.Gateway) && !loopback.IsURL(x.id.Gateway) {
		x.skip("data", "the gateway in %s is another one", dir)
		return cfg, false
	}
	cfg, known = x.settings(ctx)
	for _, f := range operate.Glance(dir, x.now()) {
		if f.OK {
			x.good("data "+f.Name, "%s", f.Text)
		} else {
			x.bad("data "+f.Name, f.Mend, "%s", f.Text)
		}
	}
	return cfg, known
}

// settings reads what "amtp serve" would read.
func (x *examination) settings(context.Context) (config.Config, bool) {
	cfg, warnings, err := config.Load(config.Sources{Environ: x.environ})
	var wrong *config.Error
	switch {
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			x.bad("config", "correct it there, then: amtp config check", "%s", p)
		}
		return cfg, false
	case err != nil:
		x.bad("config", "amtp config check", "%s", render.Sentence(err))
		return cfg, false
	}
	texts := make([]string, len(warnings))
	for i, w := range warnings {
		texts[i] = w.String()
	}
	switch {
	case len(texts) > 0:
		x.good("config", "valid, with a remark: %s", strings.Join(texts, "; "))
	default:
		x.good("config", "valid, %s", cmp.Or(cfg.File(), "the defaults"))
	}
	return cfg, true
}

// domainTime bounds the look at the gateway's domain.
const domainTime = 20 * time.Second

// domain looks at what others find of the domain of the gateway in the data
// directory.
func (x *examination) domain(ctx context.Context, cfg config.Config, known bool) {
	const name = "domain"
	serves := x.whoami.Domain
	switch {
	case known && serves != "" && serves != string(cfg.Server.Domain):
		x.skip(name,
			"the gateway serves %s, and was started with settings that are not seen here; look with: amtp domain check %s",
			serves, serves)
		return
	case !known && serves == "localhost", known && !cfg.Federated():
		x.good(name, "localhost: this gateway is for this machine and writes to no other domain")
		return
	case !known:
		x.skip(name, "the gateway is not one of this machine; look with: amtp domain check %s",
			cmp.Or(serves, "DOMAIN"))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, domainTime)
	defer cancel()
	list, verdict, err := operate.CheckDomain(ctx, cfg, cfg.Server.Domain, nil)
	if err != nil {
		x.bad(name, "amtp domain check", "%s", render.Sentence(err))
		return
	}
	if verdict == domaincheck.Sound {
		text := fmt.Sprintf("%s: others find it, %s in order", cfg.Server.Domain, render.Plural(len(list), "point"))
		for _, f := range list {
			if f.Note != "" {
				text += "; " + f.Name + ": " + f.Note
			}
		}
		x.good(name, "%s", text)
		return
	}
	for _, f := range list {
		if !f.OK && !f.Skipped {
			x.bad(name+" "+f.Name, cmp.Or(f.Mend, "amtp domain check"), "%s", f.Text)
		}
	}
}
