package cli

import (
	"cmp"

	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// given returns this command's input about the identity to act with.
func (p *program) given() profile.Given {
	g := profile.Given{Getenv: p.getenv, Home: p.home, File: p.configFile, Profile: p.profile, Gateway: p.gateway,
		Pin: p.pin}
	if !p.silent {
		g.Note = func(text string) { p.notef("%s\n", text) }
	}
	return g
}

// identity finds out as which agent the command acts, and how its gateway is known.
func (p *program) identity() (*profile.Identity, error) {
	id, err := p.given().Identity()
	if err != nil {
		return nil, err
	}
	p.runsAs = cmp.Or(p.runsAs, id.RunsAs)
	if id.Pin != nil {
		p.unpinned, p.http = p.http, id.Pin.HTTP()
	}
	p.name, p.keyOfEnv = id.Name, id.KeyOfEnv
	if id.ByProject && !p.silent {
		p.notef("As %s, profile %s, chosen by %s.\n", cmp.Or(render.Clean(id.Address), "nobody yet"),
			render.Clean(id.Profile), render.Clean(id.ChosenBy))
	}
	return id, nil
}

// again returns the flags that a suggested command must repeat, so that it concerns the
// same agent at the same gateway.
func (p *program) again() (flags string) {
	for _, f := range []struct{ name, value string }{{"profile", p.profile}, {"config", p.configFile},
		{"gateway", p.gateway}, {"mailbox", p.mailbox}} {
		if f.value != "" {
			flags += " --" + f.name + " " + render.ShellWord(render.Clean(f.value))
		}
	}
	return flags
}
