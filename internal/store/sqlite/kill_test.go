package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// The variables by which a test tells the process that it starts what to do.
const (
	jobVariable  = "AMTP_TEST_JOB"
	dirVariable  = "AMTP_TEST_DIR"
	fileVariable = "AMTP_TEST_FILE"
)

// TestJob is not a test of its own. It is the work that a process repeats until the
// test that started it kills it.
func TestJob(t *testing.T) {
	dir, file := os.Getenv(dirVariable), os.Getenv(fileVariable)
	jobs := map[string]func(n int) error{
		"backup": func(int) error {
			_, err := Backup(t.Context(), dir, file, true)
			return err
		},
		"restore": func(int) error {
			_, err := Restore(t.Context(), dir, file, true, time.Now())
			return err
		},
	}
	job := jobs[os.Getenv(jobVariable)]
	if os.Getenv(jobVariable) == "purge" {
		job = purging(t, dir)
	}
	if job == nil {
		t.Skip("it runs only in a process that another test starts")
	}
	fmt.Println("begun")
	for n := 0; ; n++ {
		if err := job(n); err != nil {
			t.Fatalf("the job failed: %v", err)
		}
	}
}

// purging sends and purges in turn, at a time at which all retention has ended.
func purging(t *testing.T, dir string) func(int) error {
	o := openOffice(t, dir)
	var after int64
	keep := gateway.DefaultRetention()
	ages := []time.Duration{keep.Shortest(), keep.Unacknowledged, 2 * keep.Status}
	return func(n int) error {
		if _, err := o.send(fmt.Sprintf("%d-%d", os.Getpid(), n)); err != nil {
			return err
		}
		did, err := o.Purge(t.Context(), keep, time.Now().Add(ages[n%len(ages)]+time.Hour), after, 5)
		if after = did.Next; did.Done {
			after = 0
		}
		return err
	}
}

// killed runs a job and kills its process at a random moment.
func killed(t *testing.T, job, dir, file string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestJob$")
	cmd.Env = append(os.Environ(), jobVariable+"="+job, dirVariable+"="+dir, fileVariable+"="+file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "begun" {
		t.Fatalf("the job %s did not begin: %q", job, lines.Text())
	}
	moment, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(150))*time.Millisecond)
	defer cancel()
	<-moment.Done()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Logf("%s: %s", job, lines.Text())
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.Exited() {
		t.Fatalf("the job %s ended by itself: %v", job, err)
	}
}

const kills = 12

// TestKilledBackup (CP28): the backup is complete or absent, whenever the process dies,
// even when it replaces an older one.
func TestKilledBackup(t *testing.T) {
	slow.Test(t, "it kills backups")
	o := openOffice(t, t.TempDir())
	o.fill(500)
	for i := range kills {
		file := filepath.Join(t.TempDir(), "backup")
		for range 1 + i%2 {
			killed(t, "backup", o.dir, file)
			facts, err := Examine(t.Context(), file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil || facts.Messages != 500 {
				t.Errorf("after the kill the backup has %+v, %v; want it whole or absent", facts, err)
			}
		}
	}
	o.fill(1)
}

// TestKilledRestore: one complete database is in place, whenever the process dies.
func TestKilledRestore(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(300)
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), o.dir, file, false); err != nil {
		t.Fatal(err)
	}
	o.fill(100)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	for range kills {
		killed(t, "restore", o.dir, file)
		facts, err := Examine(t.Context(), filepath.Join(o.dir, FileName))
		if err != nil || facts.Messages != 300 && facts.Messages != 400 {
			t.Fatalf("after the kill the database has %+v, %v; want the 400 messages or the 300 of the backup", facts,
				err)
		}
	}
	if len(openOffice(t, o.dir).inbox(0)) == 0 {
		t.Errorf("the inbox is empty")
	}
}

// TestKilledPurge (CP29): no row refers to a missing one, no key is deleted early, and
// the sequences continue.
func TestKilledPurge(t *testing.T) {
	slow.Test(t, "it kills purges")
	dir := t.TempDir()
	o := openOffice(t, dir)
	o.fill(20)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	var last int64
	for i := range kills {
		killed(t, "purge", dir, "")
		if list := wrong(Check(t.Context(), dir)); len(list) > 0 {
			t.Fatalf("after kill %d the check finds %v, want nothing", i, list)
		}
		o := openOffice(t, dir)
		key := fmt.Sprintf("young-%d", i)
		first, err := o.send(key)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := o.send(key); err != nil || again != first {
			t.Errorf("a retry after kill %d = %s, %v; want %s", i, again, err, first)
		}
		box := o.inbox(last)
		if len(box) == 0 || box[len(box)-1] <= last {
			t.Fatalf("behind %d the inbox has %v, want the new message", last, box)
		}
		last = box[len(box)-1]
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
