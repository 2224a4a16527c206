package skills_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/amtp-go/amtp/skills"
)

var update = flag.Bool("update", false, "write the SKILL.md of the root again")

// TestTheRootIsACopy keeps a clone in a directory of skills complete.
func TestTheRootIsACopy(t *testing.T) {
	name := filepath.Join("..", "SKILL.md")
	if *update {
		if err := os.WriteFile(name, skills.AMTP, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, skills.AMTP) {
		t.Errorf("SKILL.md differs from skills/amtp/SKILL.md (%v): run go test ./skills -update", err)
	}
}

// frontmatter is what hosts read before they show the skill to anybody. They
// pass over what they do not know, so a misspelt member would go unnoticed.
type frontmatter struct {
	Name          string
	Description   string
	License       string
	Compatibility string
	Metadata      struct{ OpenClaw openClaw }
}

type openClaw struct {
	Emoji    string
	Homepage string
	OS       []string
	Requires struct{ Bins []string }
	EnvVars  []struct {
		Name, Description string
		Required          bool
	} `yaml:"envVars"`
	Install []struct {
		ID, Kind, Module, Label string
		Bins                    []string
	}
}

func TestFrontmatter(t *testing.T) {
	text := string(skills.AMTP)
	parts := strings.SplitN(text, "---\n", 3)
	if len(parts) != 3 || parts[0] != "" {
		t.Fatal("the text does not begin with a frontmatter between --- lines")
	}
	var f frontmatter
	dec := yaml.NewDecoder(strings.NewReader(parts[1]))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		t.Fatal(err)
	}
	if f.Name != "amtp" { // as the folder
		t.Errorf("name = %q, want amtp", f.Name)
	}
	if n := len(f.Description); n == 0 || n > 1024 {
		t.Errorf("description has %d bytes, want 1 to 1024", n)
	}
	if n := len(f.Compatibility); n == 0 || n > 500 {
		t.Errorf("compatibility has %d bytes, want 1 to 500", n)
	}
	claw := f.Metadata.OpenClaw
	if !slices.Equal(claw.Requires.Bins, []string{"amtp"}) {
		t.Errorf("requires.bins = %q, want amtp", claw.Requires.Bins)
	}
	for _, os := range claw.OS {
		if !slices.Contains([]string{"darwin", "linux", "win32"}, os) {
			t.Errorf("os has %q, which OpenClaw does not know", os)
		}
	}
	for _, v := range claw.EnvVars {
		if v.Required || !strings.HasPrefix(v.Name, "AMTP_") {
			t.Errorf("variable %+v: a required one hides the skill", v)
		}
	}
	if len(claw.Install) == 0 || claw.Install[0].Kind != "go" ||
		!strings.HasPrefix(claw.Install[0].Module, "github.com/amtp-go/amtp/cmd/amtp@") {
		t.Errorf("install = %+v, want the command's module", claw.Install)
	}
	if lines := strings.Count(text, "\n"); lines > 500 {
		t.Errorf("the text has %d lines, hosts want at most 500", lines)
	}
}

// TestMetadataIsOneLineOfJSON serves the readers of frontmatter that know no
// more YAML than that.
func TestMetadataIsOneLineOfJSON(t *testing.T) {
	m := regexp.MustCompile(`(?m)^metadata: (.*)$`).FindSubmatch(skills.AMTP)
	if m == nil || !json.Valid(m[1]) {
		t.Errorf("metadata = %s, want JSON on one line", m)
	}
}
