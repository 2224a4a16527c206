package cli

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/render"
	"github.com/amtp-go/amtp/skills"
)

const skillHelp = `Give an assistant the skill that teaches it to use these commands, or take it
away. The skill is one file, SKILL.md, in a directory named amtp among the
assistant's skills:

  --claude     ~/.claude/skills/amtp/SKILL.md, for Claude Code; with
               CLAUDE_CONFIG_DIR set, in that directory instead of ~/.claude
  --openclaw   ~/.openclaw/skills/amtp/SKILL.md, for OpenClaw
  --dir DIR    DIR/amtp/SKILL.md, for others and for one project alone

Several may be given. Nothing else is written, and nothing is fetched. A file
that was changed, or that amtp did not write, is kept as SKILL.md.bak; where a
symbolic link or a clone of the repository is, nothing is done.`

const skillExamples = `  amtp skill install --claude --openclaw
  amtp skill install --dir .claude/skills --dry-run
  amtp skill uninstall --claude`

func (p *program) skillCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "skill",
		Short:   "Teach an assistant to use amtp",
		Long:    skillHelp,
		Example: skillExamples,
	})
	cmd.AddCommand(p.skillInstallCommand(), p.skillUninstallCommand(), p.skillShowCommand())
	return cmd
}

// skillPlaces are the flags that choose the directories of skills.
type skillPlaces struct {
	claude, openclaw, dry bool
	dirs                  []string
}

func (s *skillPlaces) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&s.claude, "claude", false, "the skills of Claude Code")
	flags.BoolVar(&s.openclaw, "openclaw", false, "the skills of OpenClaw")
	flags.StringArrayVar(&s.dirs, "dir", nil, "the skills in `DIR`; may repeat")
	flags.BoolVar(&s.dry, "dry-run", false, "say what would be done, and do nothing")
}

func (p *program) skillInstallCommand() *cobra.Command {
	var places skillPlaces
	cmd := &cobra.Command{
		Use:   "install {--claude | --openclaw | --dir DIR}",
		Short: "Give an assistant the skill, or bring it up to date",
		Long: `Write the skill of this release into an assistant's directory of skills; run it
again after an update of amtp. See "amtp help skill" for the places. The
assistant finds the skill when its next session begins.`,
		Example: `  amtp skill install --claude
  amtp skill install --openclaw --dry-run
  amtp skill install --dir ~/.agents/skills`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := p.eachSkill(&places, managedfile.File.Put); err != nil {
				return err
			}
			if found, err := exec.LookPath("amtp"); err != nil || !filepath.IsAbs(found) {
				p.notef(
					"An assistant looks for amtp on PATH, where it is not: put it there, for example into /usr/local/bin.\n",
				)
			}
			return nil
		},
	}
	places.flags(cmd)
	return cmd
}

func (p *program) skillUninstallCommand() *cobra.Command {
	var places skillPlaces
	cmd := &cobra.Command{
		Use:   "uninstall {--claude | --openclaw | --dir DIR}",
		Short: "Take the skill away from an assistant",
		Long: `Remove the skill from an assistant's directory of skills. See "amtp help skill"
for the places. A SKILL.md that was changed is kept as SKILL.md.bak, where the
assistant does not read it.`,
		Example: "  amtp skill uninstall --claude\n  amtp skill uninstall --dir .claude/skills --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return p.eachSkill(&places, func(f managedfile.File, dry bool) ([]managedfile.Step,
				error) {
				return f.Take(dry, true)
			})
		},
	}
	places.flags(cmd)
	return cmd
}

func (p *program) skillShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Print the text of the skill",
		Long:    "Print the text of the skill as it would be installed, to look at before.",
		Example: "  amtp skill show\n  amtp skill show | less",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if p.json {
				return p.printJSON(map[string]string{"name": "amtp", "text": string(skills.AMTP)})
			}
			_, err := p.stdout.Write(skills.AMTP)
			return err
		},
	}
}

// skillDirs lists the directories of skills that were named.
func (p *program) skillDirs(s *skillPlaces) ([]string, error) {
	dirs := slices.Clone(s.dirs)
	if s.claude {
		dirs = append(dirs, filepath.Join(cmp.Or(p.getenv("CLAUDE_CONFIG_DIR"),
			filepath.Join(p.home, ".claude")), "skills"))
	}
	if s.openclaw {
		dirs = append(dirs, filepath.Join(p.home, ".openclaw", "skills"))
	}
	switch {
	case len(dirs) == 0:
		return nil, usageErrorf("Choose whose skills: --claude, --openclaw or --dir DIR.")
	case slices.Contains(s.dirs, ""):
		return nil, usageErrorf("--dir needs a directory.")
	case p.home == "" && (s.openclaw || s.claude && p.getenv("CLAUDE_CONFIG_DIR") == ""):
		return nil, usageErrorf("There is no home directory: set HOME, or give --dir DIR.")
	}
	for i := range dirs {
		abs, err := filepath.Abs(dirs[i])
		if err != nil {
			return nil, err
		}
		dirs[i] = abs
	}
	return dirs, nil
}

// eachSkill does the same in every directory, and prints the steps. It checks all
// directories before it changes the first.
func (p *program) eachSkill(
	places *skillPlaces,
	do func(f managedfile.File, dry bool) ([]managedfile.Step, error),
) error {
	dirs, err := p.skillDirs(places)
	if err != nil {
		return err
	}
	var steps []managedfile.Step
	for _, dir := range dirs {
		planned, err := skillIn(dir, true, do)
		if err != nil {
			return err
		}
		steps = append(steps, planned...)
	}
	if places.dry {
		return p.printSteps(steps, true)
	}
	steps = nil
	for _, dir := range dirs {
		done, err := skillIn(dir, false, do)
		if err != nil {
			return err
		}
		steps = append(steps, done...)
	}
	return p.printSteps(steps, false)
}

// skillIn does it in one directory of skills.
func skillIn(
	dir string,
	dry bool,
	do func(f managedfile.File, dry bool) ([]managedfile.Step, error),
) ([]managedfile.Step, error) {
	folder := filepath.Join(dir, "amtp")
	if _, err := os.Lstat(filepath.Join(folder, ".git")); err == nil {
		return nil, &failure{exit: exitConflict, code: "IS_CLONE",
			message: folder + " is a clone of a repository, which has the skill in it already.",
			hint:    "bring it up to date with git pull, or move it elsewhere"}
	}
	if err := managedfile.Plain(dir); err != nil {
		return nil, badPlace(err)
	}
	steps, err := do(managedfile.File{
		Path: filepath.Join(folder, "SKILL.md"), Content: skills.AMTP, Mode: 0o644, Open: "<!-- ", Close: " -->",
	}, dry)
	if err != nil {
		return nil, badPlace(err)
	}
	return steps, nil
}

// badPlace says why a file of ours cannot be written or removed.
func badPlace(err error) error {
	f := &failure{exit: exitInternal, code: "NOT_WRITTEN", message: render.Sentence(err)}
	switch {
	case errors.Is(err, managedfile.ErrLink):
		f.exit, f.code, f.hint = exitConflict, "IS_LINK", "name the directory itself, or remove the link"
	case errors.Is(err, fs.ErrPermission):
		f.exit, f.code = exitUnauthorised, "NO_PERMISSION"
	}
	return f
}

// printSteps prints the steps that were made, or would be.
func (p *program) printSteps(steps []managedfile.Step, dry bool) error {
	if p.json {
		return p.printJSON(struct {
			DryRun bool               `json:"dry_run"`
			Steps  []managedfile.Step `json:"steps"`
		}{dry, append([]managedfile.Step{}, steps...)})
	}
	words := map[string]string{managedfile.Write: "Written", managedfile.Keep: "Up to date", managedfile.Move: "Kept",
		managedfile.Remove: "Removed"}
	if dry {
		words = map[string]string{
			managedfile.Write:  "Would write",
			managedfile.Keep:   "Up to date",
			managedfile.Move:   "Would keep",
			managedfile.Remove: "Would remove",
		}
	}
	for _, s := range steps {
		line := words[s.Do] + ": " + render.Clean(s.Path)
		if s.To != "" {
			line += " as " + render.Clean(s.To)
		}
		p.printf("%s\n", line)
	}
	if len(steps) == 0 {
		p.printf("Nothing to do.\n")
	}
	return nil
}
