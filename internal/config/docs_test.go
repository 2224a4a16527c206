package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/markdown"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const (
	docsFile    = "../../docs/configuration.md"
	exampleFile = "../../docs/amtp.example.yaml"
)

const docsHead = `# Configuration

<!-- Generated from internal/config by "go test ./internal/config -update". Do not edit. -->

` + "`amtp serve`" + ` needs no configuration. Without any it is a gateway for the programs on this machine.

A setting comes from the first source that has it: a **flag**, an **environment variable**, the **file**, or its
**default**. The file is ` + "`" + FileName + "`" + ` in the data directory, or the one that ` + "`--config`" + ` names. An empty variable counts as
absent. The user's data directory is ` + "`$XDG_DATA_HOME/amtp`, else `~/.local/share/amtp` (macOS: `~/Library/Application Support/amtp`,\nWindows: `%LocalAppData%\\amtp`" + `). Other file names are relative to the directory in which the program starts, and may not begin with ` + "`~`" + `.

The gateway ignores nothing silently. A bad value and an unknown key in the file are errors, and the gateway does not
start. A variable that begins with ` + "`AMTP_`" + ` and has no meaning here causes a warning. ` + "`amtp config check`" + `
reports all that without starting a gateway. ` + "`amtp config show`" + ` prints each value that would be used, and its source.

Durations look like ` + "`30s`, `5m` or `1h30m`" + `; sizes are bytes or have a unit: ` + "`10MB` is 10,000,000 and `10MiB`" + ` is 10,485,760.

`

const docsProfiles = `## Who can reach the gateway, and what that needs

| Listener | Domain | Consequence |
|---|---|---|
| loopback (127.0.0.1, ::1, localhost) | localhost | the development profile: programs on this machine register and send without a key, unless ` + "`auth.required`" + ` is true |
| loopback | your own | keys are required; plain HTTP is fine, for a TLS proxy in front |
| any other | any | keys and TLS are required; ` + "`tls.enabled: false`" + ` allows plain text, with a warning |

On a listener that other machines can reach, an administrator's key needs at least 16 characters.

`

const docsOutside = `## Other domains

The gateway finds other domains in DNS and calls them at public addresses over TLS at port 443. On a private network both may
be different. There the operator configures the records that DNS would have, and the authorities to trust. In the file a list
or a table of records may also be one value:

` + "```yaml" + `
peers:
  other.lan: v=amtp1;gateway=https://10.0.0.5:8443;auth=sig
  k1._amtpkey.other.lan: v=amtpkey1;alg=ES256;p=MFkwEwYHKoZI…
outbound:
  allow: [10.0.0.0/8, gw.lan:8443]
  ca_file: /etc/amtp/our-ca.pem
` + "```" + `

A domain's record has the domain as its key, and a signing key's record has the full DNS name. The gateway of an entry in ` + "`peers`" + ` needs no rule in
` + "`outbound.allow`" + `. A gateway that DNS names needs one if its address is not public. A rule for a host name trusts any address that the
name has; ` + "`:8443`" + ` opens a port on public addresses only.

`

const docsOthers = `## Variables of the reference gateway and of the clients

The variables of the reference gateway have the same meaning here. Its file is not read. The following variables of the
reference gateway and of the clients are known but are not settings. If one of them asks for something that this gateway
lacks, the gateway says so when it starts:

| Variable | |
|---|---|
`

// documentation returns docs/configuration.md as it must be.
func documentation(t *testing.T) []byte {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString(docsHead)
	section := ""
	for _, s := range (&Config{}).settings() {
		title, _, _ := strings.Cut(s.path, ".")
		if title != section {
			section = title
			fmt.Fprintf(&b, "\n## %s\n\n| Key | Variable, flag | Default | Meaning |\n|---|---|---|---|\n", title)
		}
		b.WriteString(s.row())
	}
	b.WriteString("\n" + docsProfiles + docsOutside)
	fmt.Fprintf(&b, "## Example\n\n[%s](%[1]s):\n\n```yaml\n%s```\n\n", filepath.Base(exampleFile), example)
	b.WriteString(docsOthers)
	for _, v := range variables() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, v.note)
	}
	return bytes.Replace(b.Bytes(), []byte("\n\n\n"), []byte("\n\n"), 1)
}

// row returns the setting's line in the table.
func (s setting) row() string {
	names := "`" + s.env + "`"
	if s.alias != "" {
		names += ", `" + s.alias + "`"
	}
	if s.flag != "" {
		names += ", `--" + s.flag + "`"
	}
	def := "none"
	switch {
	case s.def != "":
		def = "`" + s.def + "`"
	case s.path == "data_dir":
		def = "the user's data directory"
	}
	form := strings.ReplaceAll(s.value.form, "|", ", ")
	if s.value.bounds != "" {
		form += ", " + s.value.bounds
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s (%s) |\n", s.path, names, def, s.meaning, form)
}

func TestDocumentationIsFresh(t *testing.T) {
	want := []byte(markdown.Wrap(string(documentation(t))))
	if *update {
		if err := os.WriteFile(docsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(docsFile); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is stale (%v): run go test ./internal/config -update", docsFile, err)
	}
}

// TestExample loads the example as it is, except for the directories that it names.
func TestExample(t *testing.T) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeCertificate(t, dir)
	writeFile(t, filepath.Join(dir, "admin.keys"), "0123456789abcdef\n", 0o600)
	content := strings.NewReplacer("/etc/amtp", dir, "/var/lib/amtp", dir).Replace(string(example))
	name := filepath.Join(dir, "example.yaml")
	writeFile(t, name, content, 0o600)
	cfg, warnings, err := Load(Sources{Flags: parseFlags(t, "--config="+name)})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load of %s = %v, %v; want neither warning nor error", exampleFile, warnings, err)
	}
	if cfg.Server.Domain != "shop.example" || !cfg.UseTLS() || cfg.Message.MaxSize != 5<<20 ||
		cfg.Logging.Format != "json" {
		t.Errorf("%s became %+v", exampleFile, cfg)
	}
}
