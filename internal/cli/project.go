package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/render"
)

const allowHelp = `Allow the file .amtp.toml of a project to choose which profile commands use in its
directory and below. It counts for the profile that the file names now; another name
has to be allowed anew.`

func (p *program) profileAllowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "allow [DIR]",
		Short:   "Let a project's .amtp.toml choose the profile",
		Long:    allowHelp,
		Example: "  amtp profile allow\n  amtp profile allow ~/code/shop",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return p.judgeProject(args, true) },
	}
}

func (p *program) profileDenyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "deny [DIR]",
		Short:   "Leave a project's .amtp.toml without effect",
		Long:    "Leave the file .amtp.toml of a project without effect, and without a note at each\ncommand. It takes back what \"amtp profile allow\" allowed.",
		Example: "  amtp profile deny",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return p.judgeProject(args, false) },
	}
}

// judgeProject stores whether the file of a project may choose a profile.
func (p *program) judgeProject(args []string, allow bool) error {
	dir, err := filepath.Abs(append(args, ".")[0])
	if err != nil {
		return usageErrorf("%s", render.Sentence(err))
	}
	project, err := p.given().JudgeProject(dir, allow)
	if err != nil {
		return err
	}
	if p.json {
		return p.printJSON(struct {
			Directory string `json:"directory"`
			Profile   string `json:"profile"`
			Allowed   bool   `json:"allowed"`
		}{project.Dir, project.Profile, allow})
	}
	if allow {
		p.printf(
			"In %s commands use the profile %s from now on.\n",
			render.Clean(project.Dir),
			render.Clean(project.Profile),
		)
	} else {
		p.printf("The file %s has no effect.\n", render.Clean(project.File))
	}
	return nil
}
