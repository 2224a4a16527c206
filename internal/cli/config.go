package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/render"
)

const configHelp = `What "amtp serve" would use: its flags, the environment and the file amtp.yaml in
the data directory, over defaults that need none of them. Nothing is started
and nothing is written.`

func (p *program) configCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:                        "config",
		Short:                      "Check or show the configuration of the gateway",
		Long:                       configHelp,
		SuggestionsMinimumDistance: 2,
	})
	cmd.AddCommand(p.configCheckCommand(), p.configShowCommand())
	return cmd
}

func (p *program) configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether the gateway would start, and what prevents it",
		Long: `Say whether the gateway would start with this configuration: OK, or each problem
with its place, and exit code 2. Warnings do not prevent it.`,
		Example: "  amtp config check --config /etc/amtp/amtp.yaml",
		Args:    cobra.NoArgs,
	}
	flags := config.Flags(cmd.Flags())
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, warnings, err := config.Load(config.Sources{Flags: flags, Environ: p.environ})
		var found *config.Error
		if err != nil && !errors.As(err, &found) {
			return err
		}
		if err == nil {
			if open := operate.CheckLink(cfg); open != nil {
				found = &config.Error{Problems: []config.Problem{{Place: cfg.Origin("database.url"),
					Text: "database.url: " + open.Error()}}}
			}
		}
		return p.printCheck(cfg.File(), warnings, found)
	}
	return cmd
}

// printCheck prints the findings as the result: the user asked for them.
func (p *program) printCheck(file string, warnings []config.Warning, found *config.Error) error {
	problems := []config.Problem{}
	var verdict error
	if found != nil {
		problems = found.Problems
		verdict = told(exitUsage)
	}
	if p.json {
		return errors.Join(verdict, p.printJSON(struct {
			OK       bool             `json:"ok"`
			File     string           `json:"file"`
			Problems []config.Problem `json:"problems"`
			Warnings []config.Warning `json:"warnings"`
		}{found == nil, file, problems, append([]config.Warning{}, warnings...)}))
	}
	for _, problem := range problems {
		p.printf("Error: %s\n", render.Clean(problem.String()))
	}
	for _, warning := range warnings {
		p.printf("Warning: %s\n", render.Clean(warning.String()))
	}
	if found == nil {
		p.printf("OK\n")
	}
	return verdict
}

func (p *program) configShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration that the gateway would use",
		Long: `Print the configuration that the gateway would use as a file that it can read,
with the meaning of each key above it and the place it came from behind it.
Keys are not shown, only "(set)".`,
		Example: "  amtp config show --domain shop.example > amtp.yaml",
		Args:    cobra.NoArgs,
	}
	flags := config.Flags(cmd.Flags())
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := p.loadConfig(flags)
		if err != nil {
			return err
		}
		format := cfg.YAML
		if p.json {
			format = cfg.JSON
		}
		out, err := format()
		if err != nil {
			return err
		}
		p.printf("%s\n", strings.TrimSuffix(string(out), "\n"))
		return nil
	}
	return cmd
}

// loadConfig reads the configuration for a command that needs it. Warnings go
// to stderr.
func (p *program) loadConfig(flags *config.FlagValues) (config.Config, error) {
	cfg, warnings, err := config.Load(config.Sources{Flags: flags, Environ: p.environ})
	for _, warning := range warnings {
		p.notef("Warning: %s\n", render.Clean(warning.String()))
	}
	return cfg, badConfig(err)
}

// badConfig turns an error of config.Load into one that names every problem in one
// line. Another error, or none, stays as it is.
func badConfig(err error) error {
	var found *config.Error
	if !errors.As(err, &found) {
		return err
	}
	if len(found.Problems) == 1 {
		f := usageErrorf("%s.", found.Problems[0])
		f.hint = `fix it there; "amtp config show" prints every setting and where it came from`
		return f
	}
	lines := make([]string, len(found.Problems))
	for i, problem := range found.Problems {
		lines[i] = problem.String()
	}
	f := usageErrorf("The configuration has %d problems: %s.", len(lines), strings.Join(lines, "; "))
	f.hint = "amtp config check, which prints each on a line of its own"
	return f
}
