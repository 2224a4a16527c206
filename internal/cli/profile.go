package cli

import (
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
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
			p.silent = true // it says itself who chose
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

func (p *program) printProfiles(id *identity) error {
	list := []profileLine{}
	for _, name := range append([]string{profileDefault}, slices.Sorted(maps.Keys(id.profiles))...) {
		m, _ := id.of(name)
		line := profileLine{name, m.text(memberAddress), m.text(memberGateway), name == id.profile}
		if name != profileDefault || line.AgentAddress+line.GatewayURL != "" {
			list = append(list, line)
		}
	}
	if p.json {
		return p.printJSON(struct {
			ConfigFile string        `json:"config_file"`
			Used       string        `json:"used"`
			ChosenBy   string        `json:"chosen_by"`
			Profiles   []profileLine `json:"profiles"`
		}{id.file, id.profile, id.chosenBy, list})
	}
	if len(list) == 0 {
		p.printf("No profiles.\n")
	}
	names, addresses := 0, 0
	for i, l := range list {
		l.AgentAddress = firstOf(l.AgentAddress, "(not set up)")
		list[i] = l
		names, addresses = max(names, len(l.Name)), max(addresses, len(l.AgentAddress))
	}
	for _, l := range list {
		mark := " "
		if l.Used {
			mark = "*"
		}
		p.printf("%s %-"+strconv.Itoa(names)+"s  %-"+strconv.Itoa(addresses)+"s  %s\n", mark, clean(l.Name),
			clean(l.AgentAddress), clean(l.GatewayURL))
	}
	if id.absent {
		p.notef("%s says %q, which is not there.\n", clean(id.chosenBy), clean(id.profile))
	} else if id.chosenBy != "" {
		p.notef("Used is %q: %s says so.\n", clean(id.profile), clean(id.chosenBy))
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
	err = id.change(func(now *configFile) error {
		if _, there := now.of(name); !there {
			return &failure{exit: exitNotFound, code: codeNoProfile,
				message: "There is no profile " + strconv.Quote(name) + " in " + now.file + ".",
				hint: `choose one of "amtp profile list", or make it with "amtp setup --profile ` + name +
					` --name <agent-name>"`}
		}
		if delete(now.members, memberProfile); name != profileDefault {
			now.members[memberProfile] = []byte(strconv.Quote(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]string{"profile": name, "config_file": id.file})
	}
	p.printf("Using profile %s.\n", clean(name))
	if id.chosenBy != "" && id.chosenBy != byUse && id.profile != name {
		p.notef("Here and now %s says %q, which takes precedence.\n", clean(id.chosenBy), clean(id.profile))
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
	if id.absent {
		return &failure{exit: exitNotFound, code: codeNoProfile,
			message: "There is no profile " + strconv.Quote(name) + " in " + id.file + "."}
	}
	who := firstOf(id.saved(memberAddress), "no identity")
	if !yes {
		return usageErrorf("This forgets the profile %s (%s) with its key and cannot be undone: add --yes.", name, who)
	}
	gone := without(without(map[string]string{}, ofAgent), ofGateway)
	if id.saved(memberAdminKey) != "" && id.saved(memberAdminFor) == "" {
		gone[memberAdminFor] = firstOf(id.saved(memberGateway), defaultGateway)
	}
	if err := id.save(gone); err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]string{"removed": name, "config_file": id.file})
	}
	p.printf("Forgot the profile %s (%s).\n", clean(name), clean(who))
	return nil
}

// Who chooses a profile, beside project files, which are named themselves.
const (
	byFlag = "--profile"
	byEnv  = "AMTP_PROFILE"
	byUse  = `"amtp profile use"`
)

// choose returns the profile to use and who says so, "" for nobody.
func (p *program) choose(c *configFile) (name, by string, err error) {
	if name, by, err = p.chosen(c); err == nil && amtp.CheckName(name) != nil {
		err = usageErrorf("Invalid profile name %q, chosen by %s. Use letters, numbers, hyphens, underscores, dots (1-64 chars). Cannot start/end with -, _, or .",
			name, by)
	}
	return name, by, err
}

func (p *program) chosen(c *configFile) (name, by string, err error) {
	if p.profile != "" {
		return p.profile, byFlag, nil
	}
	if p.configFile == "" {
		if name := p.getenv("AMTP_PROFILE"); name != "" {
			return name, byEnv, nil
		}
		if name, file, err := p.allowedProject(c); err != nil || name != "" {
			return name, file, err
		}
	}
	if name := c.members.text(memberProfile); name != "" {
		return name, byUse, nil
	}
	return profileDefault, "", nil
}
