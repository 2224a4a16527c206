package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/plaintext"
)

// projectFile is the name of the file by which a project names a profile. It
// comes with a repository, perhaps a stranger's: it chooses among what the user
// has set up, and can say nothing else.
const projectFile = ".amtp.toml"

// maxProject is more than a line and its comments need, bytes.
const maxProject = 4096

// projectLine is the one setting that there is, as TOML writes it.
var projectLine = regexp.MustCompile(`^[ \t]*profile[ \t]*=[ \t]*(?:"([A-Za-z0-9._-]+)"|'([A-Za-z0-9._-]+)')[ \t]*(?:#.*)?$`)

// projectProfile returns the profile that the project here names, and the file
// that says so; "" for none. A key in the environment is the user's own choice:
// where it goes must not depend on a file of the project.
func (p *program) projectProfile() (name, file string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", "", nil // it was removed: there is no project here
	}
	file, err = p.findProject(dir)
	if err != nil || file == "" {
		return "", "", err
	}
	if name, err = readProject(file); err != nil || name == "" {
		return "", "", err
	}
	for _, key := range []string{"AMTP_API_KEY", "AMTP_ADMIN_KEY"} {
		if p.getenv(key) != "" && p.getenv("AMTP_GATEWAY_URL") == "" {
			if p.silent {
				return "", "", nil
			}
			p.notef("%s takes precedence over the project file %s, whose profile %q is not used; AMTP_PROFILE or --profile chooses one.\n", key, clean(file), name)
			return "", "", nil
		}
	}
	return name, file, nil
}

// findProject looks in a directory, the working one, and those above it, up to the root
// of the repository or the home directory. Where there is neither, directories
// above may be anybody's, and only the working directory counts.
func (p *program) findProject(dir string) (string, error) {
	up := []string{dir}
	for d := dir; !p.endsProject(d); {
		above := filepath.Dir(d)
		if above == d { // neither was found
			up = up[:1]
			break
		}
		d = above
		up = append(up, d)
	}
	for _, d := range up {
		name := filepath.Join(d, projectFile)
		_, err := os.Lstat(name)
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", badProject(name, "it cannot be looked at")
		}
	}
	return "", nil
}

// endsProject reports whether nothing above dir belongs to the project.
func (p *program) endsProject(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		return true
	}
	here, err := os.Stat(dir)
	home, homeErr := os.Stat(p.home)
	return err == nil && homeErr == nil && os.SameFile(here, home)
}

// readProject returns the profile that the file names. Nothing of the file is
// ever repeated in an error: who knows what a link was made to.
func readProject(file string) (profile string, err error) {
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
		return "", badProject(file, "it is no plain file")
	}
	f, err := os.Open(file)
	if err != nil {
		return "", badProject(file, "it cannot be read")
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxProject+1))
	if err != nil || len(content) > maxProject {
		return "", badProject(file, "it cannot be read, or is longer than 4 KiB")
	}
	for i, line := range strings.Split(string(plaintext.Content(content)), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if text := strings.TrimLeft(line, " \t"); text == "" || text[0] == '#' {
			continue
		}
		m := projectLine.FindStringSubmatch(line)
		if m == nil || profile != "" {
			return "", badProject(file, fmt.Sprintf("line %d is something else", i+1))
		}
		profile = m[1] + m[2]
	}
	return profile, nil
}

func badProject(file, why string) error {
	f := usageErrorf(`The project file %s may name a profile, in one line like profile = "work", and nothing else: %s.`, file, why)
	f.hint = "gateways and keys are set with amtp setup --profile NAME; to go on without the file, add --profile default"
	return f
}

// memberProjects of the config file says what the user thinks of projects: by
// directory, the profile that its file may choose, "" for none.
const memberProjects = "projects"

// projects reads that member.
func (c *configFile) projects() map[string]string {
	list := map[string]string{}
	if json.Unmarshal(c.members[memberProjects], &list) != nil {
		return map[string]string{}
	}
	return list
}

// allowedProject is projectProfile of what the user has allowed.
func (p *program) allowedProject(c *configFile) (name, file string, err error) {
	if name, file, err = p.projectProfile(); err != nil || name == "" {
		return "", "", err
	}
	allowed, known := c.projects()[filepath.Dir(behindLinks(file))]
	switch {
	case known && allowed == name:
		return name, file, nil
	case known && allowed == "" || p.silent:
	case known:
		p.notef("%s names the profile %q now, and you allowed %q: it is not used before \"amtp profile allow\".\n", clean(file), name, allowed)
	default:
		p.notef("%s names the profile %q, which is not used before \"amtp profile allow\"; \"amtp profile deny\" ends this note.\n", clean(file), name)
	}
	return "", "", nil
}

// noProjectSpeaks refuses a command that removes an agent where only a project's file
// would say which.
func (p *program) noProjectSpeaks() error {
	if p.profile != "" || p.configFile != "" || p.getenv("AMTP_PROFILE") != "" {
		return nil
	}
	name, file, err := p.projectProfile()
	if err != nil || name == "" {
		return err
	}
	return usageErrorf("The project file %s names the profile %q, and a project never says which agent is removed: give --profile NAME.", file, name)
}

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

// judgeProject remembers whether the file of a project counts.
func (p *program) judgeProject(args []string, allow bool) error {
	dir, err := filepath.Abs(append(args, ".")[0])
	if err != nil {
		return usageErrorf("%s", sentence(err))
	}
	file, err := p.findProject(dir)
	if err != nil {
		return err
	}
	if file == "" {
		return &failure{exit: exitNotFound, code: codeNoProfile, message: "There is no file " + projectFile + " for " + dir + ".",
			hint: `a project names its profile in one line: profile = "NAME"`}
	}
	name, err := readProject(file)
	if err != nil {
		return err
	}
	p.silent, p.profile = true, firstOf(p.profile, profileDefault) // whatever the project says
	id, err := p.identity()
	if err != nil {
		return err
	}
	dir = filepath.Dir(behindLinks(file))
	err = id.change(func(now *configFile) error {
		list := now.projects()
		list[dir] = ""
		if allow {
			if _, there := now.of(name); !there {
				f := *(&identity{configFile: now, profile: name, chosenBy: file}).noProfile().(*failure)
				f.exit, f.code = exitNotFound, codeNoProfile
				return &f
			}
			list[dir] = name
		}
		text, err := json.Marshal(list)
		now.members[memberProjects] = text
		return err
	})
	if err != nil {
		return err
	}
	if p.json {
		return p.printJSON(struct {
			Directory string `json:"directory"`
			Profile   string `json:"profile"`
			Allowed   bool   `json:"allowed"`
		}{dir, name, allow})
	}
	if allow {
		p.printf("In %s commands use the profile %s from now on.\n", clean(dir), clean(name))
	} else {
		p.printf("The file %s has no effect.\n", clean(file))
	}
	return nil
}
