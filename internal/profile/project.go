package profile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/render"
)

// ProjectFile is the name of the file by which a project names a profile. It comes with
// a repository, perhaps a stranger's. So it only chooses among the user's own profiles,
// and can set nothing else.
const ProjectFile = ".amtp.toml"

// maxProject is larger than a line and its comments, in bytes.
const maxProject = 4096

// projectLine matches the one possible setting, as TOML writes it.
var projectLine = regexp.MustCompile(`^[ \t]*profile[ \t]*=[ \t]*(?:"([A-Za-z0-9._-]+)"|'([A-Za-z0-9._-]+)')[ \t]*(?:#.*)?$`)

// projectProfile returns the profile that the project here names, and the file that
// names it; "" for none. A key in the environment is the user's own choice: a file of
// the project must not decide where it is sent.
func (g Given) projectProfile() (name, file string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", "", nil // the directory was removed: there is no project here
	}
	file, err = g.findProject(dir)
	if err != nil || file == "" {
		return "", "", err
	}
	if name, err = ReadProject(file); err != nil || name == "" {
		return "", "", err
	}
	for _, key := range []string{"AMTP_API_KEY", "AMTP_ADMIN_KEY"} {
		if g.Getenv(key) != "" && g.Getenv("AMTP_GATEWAY_URL") == "" {
			g.notef("%s takes precedence over the project file %s, whose profile %q is not used; AMTP_PROFILE or --profile chooses one.",
				key, render.Clean(file), name)
			return "", "", nil
		}
	}
	return name, file, nil
}

// findProject looks in the working directory and those above it, up to the root of the
// repository or the home directory. If it reaches neither, the directories above may
// belong to any user, and only the working directory counts.
func (g Given) findProject(dir string) (string, error) {
	up := []string{dir}
	for d := dir; !g.endsProject(d); {
		above := filepath.Dir(d)
		if above == d { // neither was found
			up = up[:1]
			break
		}
		d = above
		up = append(up, d)
	}
	for _, d := range up {
		name := filepath.Join(d, ProjectFile)
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
func (g Given) endsProject(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		return true
	}
	here, err := os.Stat(dir)
	home, homeErr := os.Stat(g.Home)
	return err == nil && homeErr == nil && os.SameFile(here, home)
}

// ReadProject returns the profile that the file names. No error repeats any of the
// file's content, because the name may be a link to any file.
func ReadProject(file string) (profile string, err error) {
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
	f := usagef(`The project file %s may name a profile, in one line like profile = "work", and nothing else: %s.`,
		file, why)
	f.Hint = "gateways and keys are set with amtp setup --profile NAME; to go on without the file, add --profile default"
	return f
}

// memberProjects of the config file holds the projects that the user allowed: by
// directory, the profile that the project's file may choose, "" for none.
const memberProjects = "projects"

// projects reads that member.
func (f *File) projects() map[string]string {
	list := map[string]string{}
	if json.Unmarshal(f.Members[memberProjects], &list) != nil {
		return map[string]string{}
	}
	return list
}

// allowedProject is projectProfile for a project that the user has allowed.
func (g Given) allowedProject(f *File) (name, file string, err error) {
	if name, file, err = g.projectProfile(); err != nil || name == "" {
		return "", "", err
	}
	allowed, known := f.projects()[filepath.Dir(managedfile.Target(file))]
	switch {
	case known && allowed == name:
		return name, file, nil
	case known && allowed == "":
	case known:
		g.notef("%s names the profile %q now, and you allowed %q: it is not used before \"amtp profile allow\".",
			render.Clean(file), name, allowed)
	default:
		g.notef("%s names the profile %q, which is not used before \"amtp profile allow\"; \"amtp profile deny\" ends this note.",
			render.Clean(file), name)
	}
	return "", "", nil
}

// NotByProject refuses to remove an agent if only a project's file chose the profile.
func (g Given) NotByProject() error {
	if g.Profile != "" || g.File != "" || g.Getenv("AMTP_PROFILE") != "" {
		return nil
	}
	name, file, err := g.projectProfile()
	if err != nil || name == "" {
		return err
	}
	return usagef("The project file %s names the profile %q, and a project never says which agent is removed: give --profile NAME.",
		file, name)
}

// Project is the file of a project.
type Project struct {
	Dir     string // its directory, with all links resolved
	File    string // its path, as it was found
	Profile string // the profile that it names
}

// JudgeProject remembers in the config file whether the file of the project in dir, or
// above it, may choose the profile that it names now.
func (g Given) JudgeProject(dir string, allow bool) (Project, error) {
	file, err := g.findProject(dir)
	if err != nil {
		return Project{}, err
	}
	if file == "" {
		return Project{}, &Error{Code: CodeNoProfile,
			Message: "There is no file " + ProjectFile + " for " + dir + ".",
			Hint:    `a project names its profile in one line: profile = "NAME"`}
	}
	name, err := ReadProject(file)
	if err != nil {
		return Project{}, err
	}
	g.Note, g.Profile = nil, cmp.Or(g.Profile, Default) // whatever the project says
	id, err := g.Identity()
	if err != nil {
		return Project{}, err
	}
	project := Project{Dir: filepath.Dir(managedfile.Target(file)), File: file, Profile: name}
	return project, id.Change(func(now *File) error {
		list := now.projects()
		list[project.Dir] = ""
		if allow {
			if _, there := now.Of(name); !there {
				f := (&Identity{File: now, Profile: name, ChosenBy: file}).NoProfile()
				f.Code = CodeNoProfile
				return f
			}
			list[project.Dir] = name
		}
		text, err := json.Marshal(list)
		now.Members[memberProjects] = text
		return err
	})
}
