package cli

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const setupHelp = `Register as an agent and save its identity in ~/.amtp-config.json, which only
you can read.

Towards a gateway on this machine ("amtp serve") nothing else is needed.
Elsewhere set AMTP_GATEWAY_URL, and AMTP_ADMIN_KEY to the gateway's admin key.

For a second agent or a second gateway give it a profile of its own, which is a
part of the same file: --profile NAME. See "amtp help profile".

A gateway on your own network, whose certificate no authority issued, is known by
its pin: --pin HASH, as "amtp peer cert" prints it. It is saved with the identity.

A gateway on this machine is known by the user who runs it: you, root, or the user
whom --gateway-user names. At the first setup, as long as you have no key at all that
could be shown, that is whoever runs it. The user is saved with the identity, and no
other is shown your key. Where another user listens, the command ends with exit code
8: find out first whether that user runs your gateway. Behind some containers and
virtual machines the system shows no user: where you know that this is your gateway,
say --gateway-user none, or give it TLS and a pin.

With --push its messages are posted to that URL, signed with a secret that is
printed once; without it they wait in its inbox.

Run it again whenever the gateway says 401 Unauthorized: a saved key that works is
kept. For one that does not work any more the gateway's admin key gets a new one, if
the agent is still the one that was registered here. Run it again as well when no
answer came: within ten minutes it gets the key that the first attempt made.

Another identity in the profile is never replaced: exit code 5. Nor does it take over
a name that somebody has already. If that agent is yours and its key is lost, say
--take-over: with the gateway's admin key it gets one more key for it.`

const setupExamples = `  amtp setup --name alice
  amtp setup --name pricing --role seller --capability quotes --schema "agntcy:commerce.*"
  amtp setup --name hook --push https://hooks.example.com/amtp --push-header "Authorization=Bearer t0k3n"
  AMTP_ADMIN_KEY=… amtp setup --name alice --gateway https://amtp.example.com --profile work`

// agentFlags are an agent's texts about itself, as flags.
type agentFlags struct {
	description, role     string
	capabilities, schemas []string
	unlisted              bool
	endpoint              endpoint
	given                 func(flag string) bool
}

func (f *agentFlags) flags(cmd *cobra.Command) {
	f.words(cmd)
	f.endpoint.flags(cmd)
}

// words are the flags without those of an endpoint.
func (f *agentFlags) words(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.description, "description", "", "what the agent is for, as one line of `TEXT`")
	flags.StringVar(&f.role, "role", "", "the agent's `ROLE`, such as buyer")
	flags.StringArrayVar(&f.capabilities, "capability", nil, "a `CAPABILITY` of the agent; may repeat")
	flags.StringArrayVar(&f.schemas, "schema", nil,
		"a `SCHEMA` that the agent says it takes, or a pattern of schemas; not enforced; may repeat")
	flags.BoolVar(&f.unlisted, "unlisted", false, "do not show the agent in discovery")
	f.given = flags.Changed
}

// update returns the change that the given flags request, and whether there is one.
func (f *agentFlags) update() (u amtp.AgentUpdate, changed bool, err error) {
	if f.given("description") {
		u.Description, changed = &f.description, true
	}
	if f.given("role") {
		u.Role, changed = &f.role, true
	}
	if f.given("capability") {
		u.Capabilities, changed = &f.capabilities, true
	}
	if f.given("schema") {
		u.SupportedSchemas, changed = &f.schemas, true
	}
	if f.given("unlisted") {
		listed := !f.unlisted
		u.Listed, changed = &listed, true
	}
	push, err := f.endpoint.update(&u, f.given)
	return u, changed || push, err
}

func (p *program) setupCommand() *cobra.Command {
	var name string
	var takeOver bool
	var about agentFlags
	cmd := p.online(&cobra.Command{
		Use:     "setup --name NAME",
		Short:   "Register as an AMTP agent, save config",
		Long:    setupHelp,
		Example: setupExamples,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *profile.Identity, _ []string) error {
		if name == "" {
			return usageErrorf("--name is required. Usage: amtp setup --name <agent-name>")
		}
		if id.Gateway == "" {
			id.Gateway = cmp.Or(p.runningHere(), profile.DefaultGateway)
		}
		if err := profile.CheckGateway(id.Gateway); err != nil {
			return err
		}
		if amtp.CheckName(name) != nil {
			return usageErrorf(
				"Invalid agent name. Use letters, numbers, hyphens, underscores, dots (1-64 chars). Cannot start/end with -, _, or .",
			)
		}
		if err := id.MayBecome(name, id.Gateway); err != nil {
			return err
		}
		return p.setup(ctx, id, name, &about, takeOver)
	})
	cmd.Flags().StringVar(&name, "name", "", "the agent's `NAME`: NAME@domain will be its address")
	cmd.Flags().StringVar(&p.pin, "pin", "",
		"`HASH` of the public key in the gateway's certificate, which alone is trusted then")
	cmd.Flags().BoolVar(&takeOver, "take-over", false,
		"if the agent exists already, get one more key for it; needs the admin key")
	cmd.Flags().StringVar(
		&p.runsAs,
		"gateway-user",
		"",
		"`USER` who runs the gateway on this machine, where that is neither you nor root; none where the system shows nobody",
	)
	about.flags(cmd)
	return cmd
}

// member is the result of a setup: an agent with a key that works.
type member struct {
	address amtp.Address
	key     string
	how     string // registered, kept or issued
	secret  string // the new secret that signs pushed messages, "" if none was made
	since   string // when it was registered, as memberSince; "" when that is not known
}

func (p *program) setup(
	ctx context.Context,
	id *profile.Identity,
	name string,
	about *agentFlags,
	takeOver bool,
) error {
	u, changed, err := about.update()
	if err != nil {
		return err
	}
	admin, isAdmin := p.admin(id)
	if !isAdmin && !loopback.IsURL(id.Gateway) {
		f := profile.Missing(profile.MemberAdminKey, "Set AMTP_ADMIN_KEY env var.")
		f.Hint = "ask whoever runs the gateway for its admin key"
		return f
	}
	if !p.json {
		p.notef("Registering agent \"%s\" on %s...\n", name, render.Clean(id.Gateway))
	}
	p.name = name
	p.meeting(id)
	got, err := p.keepKey(ctx, id, name)
	var attempt profile.Registering
	if err == nil && got.key == "" {
		if attempt, err = id.Register(name, newAgent(name, &u)); err == nil {
			by := registrar{Client: &admin.Client, isAdmin: isAdmin, takeOver: takeOver}
			if id.Is(name) {
				by.had, by.since = true, id.Saved(profile.MemberSince)
			}
			got, err = p.join(ctx, by, attempt)
		}
	}
	if err != nil {
		return gaveUp(id, attempt, err)
	}
	if changed && (got.how != "registered" || attempt.Again) {
		a, err := (&amtp.Client{URL: admin.URL, Key: got.key, HTTP: admin.HTTP,
			UserAgent: userAgent()}).UpdateAgent(ctx, name, u)
		if err != nil {
			return err
		}
		got.secret = cmp.Or(a.PushSecret, got.secret)
	}
	return p.settle(id, name, got)
}

// keepKey returns the saved identity if it is this agent's and its key works;
// an empty one if not.
func (p *program) keepKey(ctx context.Context, id *profile.Identity, name string) (member, error) {
	key := id.Saved(profile.MemberKey)
	if key == "" || !strings.EqualFold(id.Saved(profile.MemberName), name) ||
		!profile.SameGateway(id.Saved(profile.MemberGateway), id.Gateway) {
		return member{}, nil
	}
	who, err := (&amtp.Client{URL: id.Gateway, Key: key, HTTP: p.reach(id.Gateway), UserAgent: userAgent()}).WhoAmI(ctx)
	var refused *amtp.Error
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		return member{}, nil
	case err != nil:
		return member{}, err
	case !strings.EqualFold(who.Address.Local(), name):
		return member{}, nil
	}
	return member{address: who.Address, key: key, how: "kept", since: sinceText(who.Agent)}, nil
}

// registrar describes the rights with which an agent is registered.
type registrar struct {
	*amtp.Client
	isAdmin  bool
	takeOver bool   // the user means an agent that exists
	had      bool   // the profile was the agent of this name
	since    string // that agent was registered then; "" when it is not known
}

// sinceText is when an agent was registered, "" when the gateway does not say.
func sinceText(a amtp.Agent) string {
	if a.CreatedAt.IsZero() {
		return ""
	}
	return a.CreatedAt.UTC().Format(amtp.TimeFormat)
}

// join registers the agent. For an existing agent it requests a new key, if the user
// means that agent, or if it is the same agent that this profile was. The name may
// belong to another agent since.
func (p *program) join(ctx context.Context, by registrar, attempt profile.Registering) (member, error) {
	agent := attempt.Agent
	agent.IdempotencyKey = attempt.Key
	r, err := by.Register(ctx, agent)
	var refused *amtp.Error
	switch {
	case err == nil && r.APIKey == "":
		return member{}, &failure{exit: exitInternal, code: amtp.CodeUnknown,
			message: "Registration succeeded but no API key was returned. The agent may already exist.",
			hint:    "choose another name, or ask whoever runs the gateway for a key"}
	case err == nil:
		return member{address: r.Address, key: r.APIKey, how: "registered", secret: r.PushSecret,
			since: sinceText(r.Agent)}, nil
	case !errors.As(err, &refused) || refused.Status != http.StatusConflict:
		return member{}, err
	case !by.isAdmin:
		f := p.explain(err)
		f.hint = "choose another name; or, if this agent is yours, set AMTP_ADMIN_KEY or AMTP_DATA_DIR to the gateway's and add --take-over"
		return member{}, f
	}
	taken := p.explain(err)
	there, err := by.Agent(ctx, agent.Address)
	if err != nil {
		return member{}, err
	}
	since := sinceText(there)
	switch same := by.had && since != "" && since == by.since; {
	case by.takeOver || same:
	case by.had:
		taken.hint = "this profile's agent may have been removed and its name registered by somebody else; if the one that exists is yours, add --take-over"
		return member{}, taken
	default:
		taken.hint = "choose another name; or, if this agent is yours and its key is lost, add --take-over: whoever has its present key keeps it"
		return member{}, taken
	}
	issued, err := by.IssueKey(ctx, agent.Address, false)
	if err != nil {
		return member{}, err
	}
	return member{address: issued.Address, key: issued.APIKey, how: "issued", since: since}, nil
}

// newAgent is the registration that a profile asks for.
func newAgent(name string, u *amtp.AgentUpdate) amtp.NewAgent {
	return amtp.NewAgent{
		Address: name, DeliveryMode: given(u.DeliveryMode), Description: given(u.Description), Role: given(u.Role),
		Capabilities: given(u.Capabilities), SupportedSchemas: given(u.SupportedSchemas), Listed: u.Listed,
		PushTarget: given(u.PushTarget), PushHeaders: given(u.PushHeaders),
	}
}

// given returns the value that p points to, the zero value when p is nil.
func given[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// settle saves the identity and says what happened.
func (p *program) settle(id *profile.Identity, name string, got member) error {
	err := id.Become(name, id.Gateway, map[string]string{
		profile.MemberGateway:     id.Gateway,
		profile.MemberName:        name,
		profile.MemberAddress:     got.address.String(),
		profile.MemberKey:         got.key,
		profile.MemberPin:         id.PinText(),
		profile.MemberUser:        p.runsAs,
		profile.MemberSince:       got.since,
		profile.MemberRegistering: "",
	})
	if err != nil {
		return err
	}
	if p.meets && p.runsAs == nobodyShown {
		p.notef(
			"The system does not show which user runs the gateway; any that is not shown is believed there from now on.\n",
		)
	} else if p.meets && p.runsAs != "" {
		p.notef("The gateway runs as the user %s, and is known by that from now on.\n", render.Clean(p.runsAs))
	}
	if key := p.getenv("AMTP_API_KEY"); key != "" && key != got.key {
		p.notef("AMTP_API_KEY is set to another key, which takes precedence over the saved one: unset it.\n")
	}
	if p.json {
		said := map[string]string{
			"result": got.how, "agent_name": name, "agent_address": got.address.String(),
			"gateway_url": id.Gateway, "config_file": id.Path, "profile": id.Profile,
		}
		if got.secret != "" {
			p.ifLost = renewSecret
			said["push_secret"] = got.secret
		}
		return p.printJSON(said)
	}
	file := id.Path
	if id.Named() {
		file += ", profile " + id.Profile
	}
	p.printf("%s\n  Address: %s\n  Config saved to: %s\n", map[string]string{
		"registered": "Agent registered successfully.",
		"kept":       "Agent is registered already; its saved key works and was kept.",
		"issued":     "Agent is registered already; a new key was issued for it.",
	}[got.how], render.Address(got.address), render.Clean(file))
	p.printPushSecret(got.secret)
	p.printf("\nYou can now send and receive messages.\n")
	return nil
}
