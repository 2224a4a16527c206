package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp/internal/markdown"
)

const commandsPage = "../../docs/cli.md"

const commandsHead = `# The command line

<!-- Generated from the help of the commands by "go test ./internal/cli -run TestCommandsPage -update". Do not edit. -->

The same text is printed by ` + "`amtp help COMMAND`" + ` and ` + "`amtp COMMAND --help`" + `, and as data by ` + "`amtp help --json`" + `. A flag is written
` + "`--flag value` or `--flag=value`" + `.

` + "```text\n"

const commandsExits = `## Exit codes

Every command ends with one of these. The same text is in [errors.md](errors.md), with what each error means.

| | |
|---|---|
`

// documentation returns docs/cli.md as it must be.
func documentation() []byte {
	p := newProgram(nil, nil, nil, nil)
	root := p.rootCommand()
	root.InitDefaultHelpCmd()
	d := describe(root)
	var b bytes.Buffer
	b.WriteString(commandsHead + d.Help + "\n```\n\n```sh\n" + plainExamples(d.Examples) + "\n```\n\n")
	for _, group := range commandGroups(root) {
		fmt.Fprintf(&b, "| %s | |\n|---|---|\n", strings.TrimSuffix(group.Title, ":"))
		for _, cmd := range commandsOf(root, group.ID) {
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", cmd.CommandPath(),
				strings.ReplaceAll(cmd.CommandPath(), " ", "-"), cmd.Short)
		}
		b.WriteString("\n")
	}
	b.WriteString("Every command takes these, and `--help`:\n\n")
	writeFlags(&b, d.Flags, func(name string) bool { return name == "--json" })
	b.WriteString(commandsExits)
	for code, meaning := range exitMeanings {
		fmt.Fprintf(&b, "| %d | %s |\n", code, meaning)
	}
	for _, group := range commandGroups(root) {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(group.Title, ":"))
		for _, cmd := range commandsOf(root, group.ID) {
			writeCommand(&b, describe(cmd), "###")
		}
	}
	return b.Bytes()
}

// commandGroups are the groups of the help; the last holds those without one.
func commandGroups(root *cobra.Command) []*cobra.Group {
	return append(root.Groups(), &cobra.Group{Title: "Help:"})
}

func commandsOf(root *cobra.Command, group string) (list []*cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.GroupID == group && (cmd.IsAvailableCommand() || cmd.Name() == "help") {
			list = append(list, cmd)
		}
	}
	return list
}

func writeCommand(b *bytes.Buffer, d description, heading string) {
	fmt.Fprintf(b, "\n%s %s\n\n%s.\n\n```text\n%s\n```\n\n```text\n%s\n```\n\n", heading, d.Command, d.Summary,
		d.Usage, d.Help)
	if d.Examples != "" {
		fmt.Fprintf(b, "```sh\n%s\n```\n\n", plainExamples(d.Examples))
	}
	writeFlags(b, d.Flags, func(name string) bool { return name != "--json" })
	b.Truncate(b.Len() - 1)
	for _, sub := range d.Commands {
		writeCommand(b, sub, heading+"#")
	}
}

// plainExamples are the examples without their indent.
func plainExamples(s string) string {
	return strings.ReplaceAll(strings.TrimPrefix(s, "  "), "\n  ", "\n")
}

func writeFlags(b *bytes.Buffer, flags []flagDescription, wanted func(string) bool) {
	rows := ""
	for _, f := range flags {
		if !wanted(f.Name) {
			continue
		}
		name, note := "`"+f.Name, f.Meaning
		switch {
		case f.Values != nil:
			name += " " + strings.Join(f.Values, "\\|")
		case f.Value != "":
			name += " " + f.Value
		case f.Type != "bool":
			name += " " + strings.ToUpper(f.Type)
		}
		if f.Repeated {
			note += "; may be repeated"
		}
		def := ""
		if f.Default != "" && f.Default != "false" && f.Default != "0" && f.Default != "0s" {
			def = "`" + f.Default + "`"
		}
		rows += fmt.Sprintf("| %s` | %s | %s |\n", name, def, strings.ReplaceAll(note, "|", "\\|"))
	}
	if rows != "" {
		b.WriteString("| Flag | Default | |\n|---|---|---|\n" + rows + "\n")
	}
}

func TestCommandsPage(t *testing.T) {
	want := []byte(markdown.Wrap(string(documentation())))
	if *update {
		if err := os.WriteFile(commandsPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(commandsPage); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is stale (%v): run go test ./internal/cli -run TestCommandsPage -update", commandsPage, err)
	}
}
