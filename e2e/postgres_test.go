package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/rogpeppe/go-internal/testscript"
)

// onFiles are the stories about files in a data directory, which a gateway on
// PostgreSQL does not have. testdata/postgres has stories about its equivalents.
var onFiles = []string{"backup", "check", "domain", "keys", "operations", "service", "signing"}

// TestStoriesOnPostgreSQL runs the stories with a gateway again, with its data in a
// PostgreSQL. Their results are the same.
func TestStoriesOnPostgreSQL(t *testing.T) {
	bin := build(t)
	params := onPostgreSQL(t, stories(t, bin, ""))
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		story, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains("\n"+string(story), "\ngateway") &&
			!slices.Contains(onFiles, strings.TrimSuffix(filepath.Base(name), ".txtar")) {
			params.Files = append(params.Files, name)
		}
	}
	if len(params.Files) < 8 {
		t.Errorf("only %q are run", params.Files)
	}
	testscript.Run(t, params)
	testscript.Run(t, onPostgreSQL(t, stories(t, bin, "testdata/postgres")))
}

// onPostgreSQL gives every story a separate database.
func onPostgreSQL(t *testing.T, params testscript.Params) testscript.Params {
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error {
		if err := setup(env); err != nil {
			return err
		}
		env.Setenv("GATEWAY_DATABASE_URL", pgtest.Database(t, "empty", nil))
		env.Setenv("GATEWAY_QUEUE_LEASE", "3s")
		return nil
	}
	return params
}
