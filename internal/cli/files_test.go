package cli

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// named are the files and directories that a command line names, by command and
// flag or argument, and what the command does with them: "reads"; "makes" what was
// not there, and never replaces; "keeps" what is not its own under another name;
// "moves" a database aside; or the words of a command that would write the file.
var named = map[string]string{
	"backup FILE":              "backup FILE --force",
	"restore FILE":             "reads",
	"restore --data-dir":       "moves",
	"check DIR":                "reads",
	"domain setup --config":    "domain setup shop.example --config FILE",
	"agent rotate-key --save":  "agent rotate-key alice --save FILE",
	"peer cert --out":          "makes",
	"peer add --ca":            "reads",
	"keys import FILE":         "reads",
	"skill install DIR":        "keeps",
	"skill uninstall DIR":      "keeps",
	"skill install --dir":      "keeps",
	"skill uninstall --dir":    "keeps",
	"migrate-store --from":     "reads",
	"send --text-file":         "reads",
	"send --payload-file":      "reads",
	"reply --text-file":        "reads",
	"reply --payload-file":     "reads",
	"forward --text-file":      "reads",
	"profile allow DIR":        "reads",
	"profile deny DIR":         "reads",
	"serve --config":           "reads",
	"config check --config":    "reads",
	"config show --config":     "reads",
	"service install --config": "reads",
	"domain check --config":    "reads",

	"setup --push-header-file":        "reads",
	"agent update --push-header-file": "reads",
}

// settingsOf are commands whose flags are settings of the gateway. The gateway reads
// the files that they name, except for its own data directory.
var settingsOf = []string{"serve", "config check", "config show", "service install", "domain check", "domain setup",
	"keys reset", "domain records", "domain print"}

// othersFirst are commands that check other things before the file.
var othersFirst = []string{"domain", "join", "send", "reply", "forward", "inbox", "unregister"}

// filesOf lists what a command line may name.
func filesOf(cmd *cobra.Command) (list []string) {
	path := strings.TrimPrefix(cmd.CommandPath(), "amtp ")
	for _, word := range regexp.MustCompile(`\b(FILE|DIR)\b`).FindAllString(strings.TrimPrefix(cmd.Use,
		cmd.Name()), -1) {
		list = append(list, path+" "+word)
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		kind, _ := pflag.UnquoteUsage(f)
		if upper := strings.ToUpper(kind); upper == "FILE" || upper == "DIR" {
			list = append(list, path+" --"+f.Name)
		}
	})
	return list
}

// TestNoCommandOverwritesADataDirectory: every file that a command line may name is
// in the table, and a command that would write it refuses those of a data directory,
// whose gateway runs: nothing of it changes.
func TestNoCommandOverwritesADataDirectory(t *testing.T) {
	u := newUser(t)
	dir := filepath.Join(u.home, "data")
	url, stop := gatewayIn(t, dir)
	u.does(0, "registered", "setup", "--name", "alice", "--gateway", url)
	var all []string
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "amtp ")
		for _, n := range filesOf(cmd) {
			all = append(all, n)
			if _, known := named[n]; known || slices.Contains(settingsOf, path) || strings.HasSuffix(n, " --data-dir") {
				continue
			}
			if !strings.HasSuffix(n, " --config") {
				t.Errorf("%q is not in the table of what command lines name", n)
				continue
			}
			words := path + " --config FILE" // the identity, which setup and others write
			for given := 0; given < 3 && cmd.ValidateArgs(make([]string, given)) != nil; given++ {
				words += " word"
			}
			named[n] = words
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit((&program{}).rootCommand())
	for n := range named {
		if !slices.Contains(all, n) {
			t.Errorf("%q is in the table, and no command line names it", n)
		}
	}
	before := contents(t, dir)
	for n, words := range named {
		if !strings.Contains(words, "FILE") {
			continue
		}
		files := []string{"amtp.lock", "gateway.json", "amtp.db-journal", "amtp.db", "amtp.db-wal", "admin.key",
			"seal.key", "amtp.reserve", "moved.json"}
		if !slices.Contains([]string{"backup FILE", "setup --config", "agent rotate-key --save"}, n) {
			files = files[:2]
		}
		for _, file := range files {
			args := strings.Fields(words)
			args[slices.Index(args, "FILE")] = filepath.Join(dir, file)
			got := u.run(args...)
			// Some find another fault first: most files are no configuration, and a word
			// is no code. The directory tells whether anything was written.
			says := strings.Contains(got.stderr, "is a file of a gateway's data directory")
			if got.exit != exitUsage || !says && !slices.Contains(othersFirst, args[0]) {
				t.Errorf("%s, as amtp %s: exit code %d, want %d\n%s", n, strings.Join(args, " "), got.exit,
					exitUsage, got.stderr)
			}
		}
	}
	for name, was := range before {
		now := contents(t, dir)[name]
		if !strings.HasPrefix(name, "amtp.db") && !bytes.Equal(was, now) {
			t.Errorf("%s changed", name)
		}
	}
	u.does(0, "alice@localhost", "whoami", "--check")
	stop()
}

// contents reads all files of a directory.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		short, _ := filepath.Rel(dir, name)
		all[short], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
