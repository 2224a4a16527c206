package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// copied are the files of the clone that go into a release, and made are those
// that are made for it.
var (
	copied = []string{
		"LICENSE", "README.md", "CHANGELOG.md", "docs/operations.md", "docs/configuration.md",
		"packaging/amtp.service", "packaging/default", "packaging/copyright",
	}
	made = []string{"THIRD-PARTY-LICENSES", "amtp.1.gz", "amtp.bash", "amtp.zsh", "amtp.fish"}
)

// staged is what a Debian package is made of.
var staged = func() []string {
	names := append([]string{"amtp"}, made...)
	for _, name := range copied {
		names = append(names, filepath.Base(name))
	}
	return names
}()

// texts stages everything but the program.
func (r *release) texts() error {
	for _, name := range copied {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := r.put(filepath.Base(name), content); err != nil {
			return err
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script, err := output("go", "run", "./cmd/amtp", "completion", shell)
		if err != nil {
			return err
		}
		if err := r.put("amtp."+shell, []byte(script+"\n")); err != nil {
			return err
		}
	}
	help, err := output("go", "run", "./cmd/amtp", "help", "--json")
	if err != nil {
		return err
	}
	page, err := manual([]byte(help), r.version, r.time.Format("2006-01-02"))
	if err != nil {
		return err
	}
	if err := gzipFile(filepath.Join(r.stage, "amtp.1.gz"), page); err != nil {
		return err
	}
	notices, err := licences()
	if err != nil {
		return err
	}
	return r.put("THIRD-PARTY-LICENSES", notices)
}

func (r *release) put(name string, content []byte) error {
	return os.WriteFile(filepath.Join(r.stage, name), content, 0o644)
}

// command is one command as amtp help --json describes it.
type command struct {
	Command, Usage, Summary, Help, Examples string
	Flags                                   []struct{ Name, Type, Default, Meaning string }
	Commands                                []command
}

// manual writes the manual page from the help of all commands.
func manual(help []byte, version, date string) ([]byte, error) {
	var root command
	if err := json.Unmarshal(help, &root); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH AMTP 1 %s \"amtp %s\" \"User Commands\"\n.SH NAME\namtp \\- %s\n", date, version,
		roff(root.Summary))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B amtp\n.I command\n[\\fIargument\\fR ...]\n.SH DESCRIPTION\n%s",
		verbatim(root.Help))
	fmt.Fprintf(&b, ".SH EXAMPLES\n%s.SH COMMANDS\n", verbatim(root.Examples))
	root.write(&b)
	return b.Bytes(), nil
}

// write writes the commands below c that can be run.
func (c *command) write(b *bytes.Buffer) {
	for _, sub := range c.Commands {
		if len(sub.Commands) > 0 {
			sub.write(b)
			continue
		}
		fmt.Fprintf(b, ".SS %s\n%s", roff(sub.Usage), verbatim(sub.Help))
		for _, f := range sub.Flags {
			fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(f.Name), roff(f.Meaning))
		}
		if sub.Examples != "" {
			fmt.Fprintf(b, ".PP\nExamples:\n%s", verbatim(sub.Examples))
		}
	}
}

// verbatim shows a text with its own line breaks.
func verbatim(text string) string { return ".PP\n.nf\n" + roff(text) + "\n.fi\n" }

// roff escapes characters that mean something to the formatter.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "…", "...", "—", `\(em`, "→",
		`\(->`).Replace(text)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(slices.Clip(lines), "\n")
}
