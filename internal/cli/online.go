package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/profile"
)

// withoutProfile are the commands that make a profile, or say that there is none.
var withoutProfile = []string{"setup", "join", "doctor"}

// online adds the flags of a command that asks a gateway, and runs it with the user's
// identity and within --timeout.
func (p *program) online(cmd *cobra.Command, run func(ctx context.Context, id *profile.Identity,
	args []string) error) *cobra.Command {
	flags := cmd.Flags()
	flags.StringVar(&p.gateway, "gateway", "",
		"`URL` of the gateway (default: AMTP_GATEWAY_URL, else as saved by setup)")
	flags.StringVar(&p.configFile, "config", "", "`FILE` with the agent's identity (default ~/.amtp-config.json)")
	flags.StringVar(&p.profile, "profile", "",
		"`PROFILE` of the config file to use (default: AMTP_PROFILE, else the project's, else the one of \"amtp profile use\")")
	flags.DurationVar(&p.timeout, "timeout", 30*time.Second,
		"how long to wait for the gateway's answers; 0 for no limit")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := p.identity()
		if err != nil {
			return err
		}
		if id.Absent && !slices.Contains(withoutProfile, cmd.Name()) {
			return id.NoProfile()
		}
		ctx := cmd.Context()
		if p.timeout > 0 {
			limited, cancel := context.WithTimeout(ctx, p.timeout+p.wait)
			defer cancel()
			ctx = limited
		}
		return run(ctx, id, args)
	}
	return cmd
}

// client returns a client for the gateway with the agent's key.
func (p *program) client(id *profile.Identity) *amtp.Client {
	return &amtp.Client{URL: id.Gateway, Key: id.Key, HTTP: p.reach(id.Gateway), UserAgent: userAgent()}
}

// admin returns a client with the admin key, if there is one: the key that was given
// or, for a gateway on this machine, the key in its data directory.
func (p *program) admin(id *profile.Identity) (c *admin.Client, ok bool) {
	c = &admin.Client{Client: amtp.Client{URL: id.Gateway, AdminKey: id.AdminKey, HTTP: p.reach(id.Gateway),
		UserAgent: userAgent()}}
	if c.AdminKey != "" {
		return c, true
	}
	dir, err := p.dataDir("")
	if err != nil {
		return c, false
	}
	for _, base := range sameMachine(id.Gateway) {
		if key, ok := datadir.AdminKey(dir, base); ok {
			c.URL, c.AdminKey, c.HTTP = base, key, p.reach(base)
			return c, true
		}
	}
	return c, false
}

// reach returns the HTTP client for a gateway. No authority vouches for 127.0.0.1, so
// the gateway of the data directory recorded there the certificate by which it is
// known.
func (p *program) reach(base string) *http.Client {
	dir, err := p.dataDir("")
	if err != nil {
		dir = "" // of no gateway
	}
	return p.reachIn(dir, base)
}

func (p *program) reachIn(dir, base string) *http.Client {
	if p.http != nil {
		return p.http
	}
	if near := p.near(dir, base); near != nil {
		return near
	}
	own, ok := datadir.Certificate(dir, base)
	standard, isTransport := http.DefaultTransport.(*http.Transport)
	if !ok || !isTransport {
		return nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil { // a system without authorities has none to add to
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM([]byte(own)) {
		return nil
	}
	t := standard.Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	return &http.Client{Transport: t}
}

// sameMachine lists the ways to write base: localhost may mean either loopback address. A
// key goes only to the address that was recorded.
func sameMachine(base string) []string {
	list := []string{base}
	if u, err := url.Parse(base); err == nil && strings.EqualFold(u.Hostname(), "localhost") {
		for _, host := range []string{"127.0.0.1", "::1"} {
			u.Host = net.JoinHostPort(host, u.Port())
			list = append(list, u.String())
		}
	}
	return list
}

func userAgent() string { return "AMTP/" + amtp.Version + " (amtp/" + version() + ")" }

// self returns the address whose inbox is read and that writes: the shared mailbox that
// --mailbox names, or the user's own. If only a key was given, the gateway knows whose key
// it is.
func (p *program) self(ctx context.Context, id *profile.Identity) (amtp.Address, error) {
	if id.Address == "" {
		who, err := p.client(id).WhoAmI(ctx)
		if err != nil {
			return who.Address, err
		}
		return p.inMailbox(who.Address)
	}
	a, err := amtp.ParseAddress(id.Address)
	if err != nil {
		return a, &failure{exit: exitUnauthorised, code: codeNotSetUp,
			message: "The saved agentAddress cannot be used: " + err.Error() + ".",
			hint:    `run "amtp setup --name ` + p.nameForHint() + p.again() + `"`}
	}
	return p.inMailbox(a)
}
