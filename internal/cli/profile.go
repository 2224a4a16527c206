package cli

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const profileHelp = `One person or assistant may be several agents, at one gateway or at several. Each
is a profile in ~/.amtp-config.json: a gateway, an agent and its key. "amtp setup
--profile NAME" makes one. The identity that setup saves without a profile is the
profile "default".

Which one a command uses is said by, the first that says anything:

  --profile NAME      also before AMTP_GATEWAY_URL, AMTP_AGENT_NAME and AMTP_API_KEY
  AMTP_PROFILE        for a terminal or an assistant
  .amtp.toml          for a project that you allowed: one line, profile = "NAME"
  amtp profile use    for everything else

The file .amtp.toml is looked for in the working directory and above, up to the
root of the repository or the home directory. It can name a profile that is
yours, and nothing else: no gateway and no key, so that a repository from
somewhere cannot send your keys anywhere. It takes effect in that directory and below
once you have said "amtp profile allow" there, for the profile that it names then.
From then on each command says as whom it acts. Until then it is named and not
followed; "amtp profile deny" ends that, too. It never says whom "amtp unregister" or
"amtp agent delete" removes. Where AMTP_API_KEY or AMTP_ADMIN_KEY is set, it is not
followed unless AMTP_GATEWAY_URL says where that key goes.

A profile's key is sent to that profile's gateway only. With --config FILE,
AMTP_PROFILE and .amtp.toml are not looked at: they name profiles of your own file.`

func (p *program) profileCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "profile",
		Short:   "Be several agents: list profiles, choose one",
		Long:    profileHelp,
		Example: "  amtp setup --profile work --name alice\n  amtp profile list\n  amtp profile use work\n  amtp inbox --profile default",
	})
	cmd.AddCommand(p.profileListCommand(), p.profileUseCommand(), p.profileAllowCommand(), p.profileDenyCommand(),
		p.profileRemoveCommand())
	return cmd
}

// configFlag adds the flag that names another config file.
func (p *program) configFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&p.configFile, "config", "", "`FILE` with the profiles (default ~/.amtp-config.json)")
	return cmd
}

func (p *program) profileListCommand() *cobra.Command {
	return p.configFlag(&cobra.Command{
		Use:     "list",
		Short:   "List the profiles, and say which one is used and why",
		Long:    "List the profiles of the config file. A star marks the one that commands use\nhere and now. No gateway is asked.",
		Example: "  amtp profile list\n  amtp profile list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.silent = true // the list says what chose it
			id, err := p.identity()
			if err != nil {
				return err
			}
			return p.printProfiles(id)
		},
	})
}

// profileLine is one profile in a list.
type profileLine struct {
	Name         string `json:"name"`
	AgentAddress string `json:"agent_address"`
	GatewayURL   string `json:"gateway_url"`
	Used         bool   `json:"used"`
}

func (p *program) printProfiles(id *profile.Identity) error {
	list := []profileLine{}
	for _, name := range append([]string{profile.Default}, slices.Sorted(maps.Keys(id.Profiles))...) {
		m, _ := id.Of(name)
		line := profileLine{name, m.Text(profile.MemberAddress), m.Text(profile.MemberGateway), name == id.Profile}
		if name != profile.Default || line.AgentAddress+line.GatewayURL != "" {
			list = append(list, line)
		}
	}
	if p.json {
		return p.printJSON(struct {
			ConfigFile string        `json:"config_file"`
			Used       string        `json:"used"`
			ChosenBy   string        `json:"chosen_by"`
			Profiles   []profileLine `json:"profiles"`
		}{id.Path, id.Profile, id.ChosenBy, list})
	}
	if len(list) == 0 {
		p.printf("No profiles.\n")
	}
	names, addresses := 0, 0
	for i, l := range list {
		l.AgentAddress = cmp.Or(l.AgentAddress, "(not set up)")
		list[i] = l
		names, addresses = max(names, len(l.Name)), max(addresses, len(l.AgentAddress))
	}
	for _, l := range list {
		mark := " "
		if l.Used {
			mark = "*"
		}
		p.printf("%s %-"+strconv.Itoa(names)+"s  %-"+strconv.Itoa(addresses)+"s  %s\n", mark, render.Clean(l.Name),
			render.Clean(l.AgentAddress), render.Clean(l.GatewayURL))
	}
	if id.Absent {
		p.notef("%s says %q, which is not there.\n", render.Clean(id.ChosenBy), render.Clean(id.Profile))
	} else if id.ChosenBy != "" {
		p.notef("Used is %q: %s says so.\n", render.Clean(id.Profile), render.Clean(id.ChosenBy))
	}
	return nil
}

func (p *program) profileUseCommand() *cobra.Command {
	return p.configFlag(&cobra.Command{
		Use:   "use NAME",
		Short: "Choose the profile that is used where nothing else says one",
		Long: `Choose the profile that commands use unless --profile, AMTP_PROFILE or the
project's .amtp.toml says another. "default" is the identity that setup saves without
a profile.`,
		Example: "  amtp profile use work\n  amtp profile use default",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return p.useProfile(args[0]) },
	})
}

func (p *program) useProfile(name string) error {
	p.silent = true
	id, err := p.identity()
	if err != nil {
		return err
	}
	if err := id.Use(name); err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]string{"profile": name, "config_file": id.Path})
	}
	p.printf("Using profile %s.\n", render.Clean(name))
	if id.ChosenBy != "" && id.ChosenBy != profile.ByUse && id.Profile != name {
		p.notef(
			"Here and now %s says %q, which takes precedence.\n",
			render.Clean(id.ChosenBy),
			render.Clean(id.Profile),
		)
	}
	return nil
}

func (p *program) profileRemoveCommand() *cobra.Command {
	var yes bool
	cmd := p.configFlag(&cobra.Command{
		Use:   "remove NAME --yes",
		Short: "Forget a saved identity and its key",
		Long: `Forget the identity that a profile holds. Its key is gone from the file, and no
gateway is asked: the agent goes on, and so does its key wherever else it is. To
remove the agent as well use "amtp unregister". --yes is required; nothing is asked.`,
		Example: "  amtp profile remove work --yes",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return p.removeProfile(args[0], yes) },
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really forget it")
	return cmd
}

func (p *program) removeProfile(name string, yes bool) error {
	p.profile = name
	id, err := p.identity()
	if err != nil {
		return err
	}
	if id.Absent {
		return &failure{exit: exitNotFound, code: codeNoProfile,
			message: "There is no profile " + strconv.Quote(name) + " in " + id.Path + "."}
	}
	who := cmp.Or(id.Saved(profile.MemberAddress), "no identity")
	if !yes {
		return usageErrorf("This forgets the profile %s (%s) with its key and cannot be undone: add --yes.", name, who)
	}
	if err := id.Forget(); err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]string{"removed": name, "config_file": id.Path})
	}
	p.printf("Forgot the profile %s (%s).\n", render.Clean(name), render.Clean(who))
	return nil
}
