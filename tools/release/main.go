// Command release builds the files of a release: an archive with a static program for each
// system, Debian packages, a list of the linked modules, and SHA256SUMS.
//
//	go run ./tools/release [-out DIR] v1.2.3
//
// The promise: the same commit and the same Go give the same bytes, on any machine and in
// any directory. It therefore refuses a clone with uncommitted changes, uses the commit's
// time for all files, and afterwards asks each program from which commit it was built.
package main

import (
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// targets are the systems that a release is for.
var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

type target struct{ os, arch string }

// stampVersion is what the linker writes the version into.
const stampVersion = "github.com/amtp-go/amtp/internal/cli.release"

// nfpm makes the Debian packages. It is run, not linked.
const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4"

// release is one release while it is built.
type release struct {
	version string // v1.2.3
	commit  string
	time    time.Time // of the commit
	out     string    // the directory for its files
	stage   string    // a directory for the files that go into it
}

func main() {
	out := flag.String("out", "dist", "the `directory` for the release; it is emptied first")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: go run ./tools/release [-out DIR] v1.2.3")
		os.Exit(2)
	}
	if err := run(*out, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(out, version string) (err error) {
	if err := checkVersion(version); err != nil {
		return err
	}
	r := &release{version: version, out: out}
	if err := r.readClone(); err != nil {
		return err
	}
	if r.stage, err = os.MkdirTemp("", "amtp-release-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.stage)) }()
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o755)); err != nil {
		return err
	}
	if err := r.texts(); err != nil {
		return err
	}
	for _, t := range targets {
		if err := r.program(t); err != nil {
			return fmt.Errorf("%s/%s: %w", t.os, t.arch, err)
		}
	}
	if err := r.materials(); err != nil {
		return err
	}
	return sums(out)
}

var semantic = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(alpha|beta|rc)\.[1-9]\d*)?$`)

// checkVersion refuses the output of git describe for a commit without a tag: it would sort
// before the release that it came after.
func checkVersion(version string) error {
	if !semantic.MatchString(version) {
		return fmt.Errorf("%q is not the version of a release: write v1.2.3 or v1.2.3-rc.1", version)
	}
	return nil
}

// readClone reads the commit and its time, and refuses a clone with changes.
func (r *release) readClone() error {
	changed, err := output("git", "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		return fmt.Errorf("commit or remove these first:\n%s", changed)
	}
	if r.commit, err = output("git", "rev-parse", "HEAD"); err != nil {
		return err
	}
	seconds, err := output("git", "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	r.time = time.Unix(unix, 0).UTC()
	return err
}

// program builds the program for one system and packs it.
func (r *release) program(t target) error {
	name := "amtp"
	if t.os == "windows" {
		name += ".exe"
	}
	file := filepath.Join(r.stage, name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=true", "-o", file,
		"-ldflags", "-s -w -X "+stampVersion+"="+r.version, "./cmd/amtp")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0",
		"GOOS="+t.os, "GOARCH="+t.arch)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	if err := r.checkStamp(file); err != nil {
		return err
	}
	base := fmt.Sprintf("amtp-%s-%s-%s", r.version, t.os, t.arch)
	files := []string{name, "LICENSE", "THIRD-PARTY-LICENSES", "README.md", "CHANGELOG.md"}
	var err error
	if t.os == "windows" {
		err = zipFiles(filepath.Join(r.out, base+".zip"), base, r.stage, files, r.time)
	} else {
		err = tarFiles(filepath.Join(r.out, base+".tar.gz"), base, r.stage, files, r.time)
	}
	if err == nil && t.os == "linux" {
		err = r.debian(t.arch)
	}
	fmt.Println(base)
	return err
}

// checkStamp makes sure that the program says from which commit it was built.
func (r *release) checkStamp(file string) error {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	found := map[string]string{}
	for _, s := range info.Settings {
		found[s.Key] = s.Value
	}
	if found["vcs.revision"] != r.commit || found["vcs.modified"] != "false" {
		return fmt.Errorf("the program says commit %q, modified %q; want %s without changes (Go stamps nothing in a git worktree: use a clone)",
			found["vcs.revision"], found["vcs.modified"], r.commit)
	}
	return nil
}

// debian packs what is staged as a package.
func (r *release) debian(arch string) error {
	if err := settle(r.stage, staged, r.time); err != nil {
		return err
	}
	version := strings.TrimPrefix(r.version, "v")
	deb := fmt.Sprintf("amtp_%s_%s.deb", strings.Replace(version, "-", "~", 1), arch)
	cmd := exec.Command("go", "run", nfpm, "package", "--config", "packaging/nfpm.yaml", "--packager", "deb",
		"--target", filepath.Join(r.out, deb))
	cmd.Env = append(os.Environ(), "VERSION="+version, "ARCH="+arch, "STAGE="+r.stage,
		"SOURCE_DATE_EPOCH="+strconv.FormatInt(r.time.Unix(), 10), "GOFLAGS=", "GOOS="+runtime.GOOS,
		"GOARCH="+runtime.GOARCH)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nfpm: %w\n%s", err, said)
	}
	return nil
}

// output runs a command and returns what it printed.
func output(name string, args ...string) (string, error) {
	return outputOf(exec.Command(name, args...))
}

func outputOf(cmd *exec.Cmd) (string, error) {
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}
