package cli

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// withTemp makes what the command leaves in the temporary directory visible.
func withTemp(t *testing.T) (left func() []os.DirEntry) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() []os.DirEntry {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
}

func TestDemo(t *testing.T) {
	slow.Test(t, "it plays the whole demonstration")
	left := withTemp(t)
	got := newUser(t).run("demo")
	if got.exit != 0 || got.stderr != "" {
		t.Errorf("exit %d, stderr %s", got.exit, got.stderr)
	}
	for _, want := range []string{
		"alice$ amtp setup --name alice\n", "  Address: bob@workshop.example\n",
		"alice$ amtp send --to bob@workshop.example --subject Hello --text \"Hi bob, can you review my change?\"\nMessage sent successfully.\n",
		"     From:    alice@shop.example\n     Trust:   verified\n",
		"     From:    bob@workshop.example\n     Trust:   verified\n",
		"  -> bob@workshop.example: queued\n  -> carol@shop.example: delivered\n",
		"    - carol@shop.example: delivered (pull) [ACK]\n",
		`--payload '{"task":"review","repository":"shop","change":7}'`,
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("the demo does not show %q:\n%s", want, got.stdout)
		}
	}
	if list := left(); len(list) > 0 {
		t.Errorf("the demo left %v", list)
	}
}

func TestDemoInJSON(t *testing.T) {
	slow.Test(t, "TestDemo plays the same")
	left := withTemp(t)
	got := newUser(t).run("demo", "--json")
	var play struct{ Steps []step }
	if err := json.Unmarshal([]byte(got.stdout), &play); err != nil || got.exit != 0 || len(play.Steps) < 10 {
		t.Errorf("%v: %+v", err, got)
	}
	for _, s := range play.Steps {
		if s.Exit != 0 || s.Output == "" || !strings.HasPrefix(s.Command, "amtp ") {
			t.Errorf("%+v", s)
		}
	}
	if list := left(); len(list) > 0 {
		t.Errorf("the demo left %v", list)
	}
}

func TestDemoThatIsInterruptedCleansUp(t *testing.T) {
	slow.Test(t, "it starts the demonstration and interrupts it")
	left := withTemp(t)
	ctx, stop := context.WithCancel(t.Context())
	exit := Main(ctx, []string{"demo"}, nil, writerFunc(func(b []byte) (int, error) {
		if strings.Contains(string(b), "bob$") {
			stop()
		}
		return len(b), nil
	}), io.Discard, func() []string { return nil })
	if exit != exitInternal {
		t.Errorf("exit %d, want %d", exit, exitInternal)
	}
	if list := left(); len(list) > 0 {
		t.Errorf("the demo left %v", list)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
