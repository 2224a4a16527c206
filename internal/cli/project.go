package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
	file, err = p.findProject()
	if err != nil || file == "" {
		return "", "", err
	}
	if name, err = readProject(file); err != nil || name == "" {
		return "", "", err
	}
	for _, key := range []string{"AMTP_API_KEY", "AMTP_ADMIN_KEY"} {
		if p.getenv(key) != "" && p.getenv("AMTP_GATEWAY_URL") == "" {
			p.notef("%s goes before the project file %s, whose profile %q is not used; AMTP_PROFILE or --profile chooses one.\n", key, clean(file), name)
			return "", "", nil
		}
	}
	return name, file, nil
}

// findProject looks in the working directory and those above it, up to the root
// of the repository or the home directory. Where there is neither, directories
// above may be anybody's, and only the working directory counts.
func (p *program) findProject() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", nil // it was removed: there is no project here
	}
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
	for i, line := range strings.Split(string(content), "\n") {
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
