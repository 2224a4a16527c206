package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// disksVariable names the directory for the disks to the process that mounts them.
const disksVariable = "AMTP_TEST_DISKS"

// The sizes of the disks. The server's first files and the data that the test writes
// take a third of them.
const (
	dataMegabytes    = 128
	journalMegabytes = 64
)

// TestReplicasOnFullDisk really fills the disks of the PostgreSQL of three replicas,
// under load. On the full disk with the tables, the server refuses to write. On the
// full disk with the journal, it ends. Clients are asked to come back, and each
// accepted message is there once. When there is room again, everything works within 30
// seconds.
//
// The test mounts the disks in a separate process. Where that is not permitted it says
// so, and the server only answers as if its disk were full.
func TestReplicasOnFullDisk(t *testing.T) {
	slow.Test(t, "it fills a disk under PostgreSQL")
	if dir := os.Getenv(disksVariable); dir != "" {
		onDisks(t, dir)
		return
	}
	dir, err := os.MkdirTemp("/tmp", "amtp-disks-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReplicasOnFullDisk$", "-test.v",
		"-test.timeout=25m")
	cmd.Env = append(os.Environ(), disksVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	err = apart(cmd)
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		withoutDisks(t, err)
		return
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process with the disks: %v", err)
	}
}

// onDisks is the part of the test in the process that may mount.
func onDisks(t *testing.T, dir string) {
	if err := os.Chmod(dir, 0o755); err != nil { // the server runs as another user
		t.Fatal(err)
	}
	var disks [2]string
	for i, d := range []struct {
		name      string
		megabytes int
	}{{"data", dataMegabytes}, {"journal", journalMegabytes}} {
		disks[i] = filepath.Join(dir, d.name)
		if err := os.Mkdir(disks[i], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := mount(disks[i], d.megabytes); err != nil {
			withoutDisks(t, err)
			return
		}
		t.Cleanup(func() {
			if err := unmount(disks[i]); err != nil {
				t.Error(err)
			}
		})
	}
	story(t, func() (*pgtest.Server, error) {
		// Every file of the journal is new, as on a disk that has been nearly full for
		// a long time.
		return pgtest.StartOn(disks[0], disks[1], "max_wal_size=16MB", "min_wal_size=2MB", "wal_recycle=off")
	}, func(ctx context.Context, t *testing.T, c *cluster) {
		c.fullData(ctx, t, disks[0])
		c.fullJournal(ctx, t, disks[1])
	})
}

func withoutDisks(t *testing.T, why error) {
	t.Logf("NO DISK IS FILLED: mounting one is not permitted here (%v). The server only answers as if its disk were full.",
		why)
	story(t, func() (*pgtest.Server, error) { return pgtest.Start() },
		func(ctx context.Context, t *testing.T, c *cluster) { c.asIfFull(ctx, t) })
}

func story(t *testing.T, start func() (*pgtest.Server, error), blow func(context.Context, *testing.T, *cluster)) {
	seed := fromEnvironment(t, "CRASH_SEED", rand.Uint64()>>1)
	t.Logf("to repeat: CRASH_SEED=%d", seed)
	ctx := overall(t, 0)
	c := newCluster(ctx, t, seed, start)
	c.start(ctx)
	c.recovers(ctx, t, time.Now())
	c.ledger.accept(ctx, t, 10*perBlow)
	blow(ctx, t, c)
	c.finish(ctx, t, 10*perBlow)
}

// fullData fills the disk with the tables. The server refuses writes and goes on.
func (c *cluster) fullData(ctx context.Context, t *testing.T, disk string) {
	t.Helper()
	pid, began, from := c.server.PID(), time.Now(), len(c.server.Log())
	free := fill(ctx, t, disk)
	c.askedToComeBack(ctx, t)
	err := c.at(c.replicas[0]).once(ctx, func(ctx context.Context, client *amtp.Client) error {
		_, err := client.Inbox(ctx, c.prober.Address, amtp.InboxQuery{Limit: 1})
		return err
	})
	if err != nil {
		t.Errorf("reading while nothing can be stored: %v, want a page", err)
	}
	c.says(ctx, t, from, "could not extend file", "No space left on device")
	pause(ctx, time.Second)
	free()
	c.recovers(ctx, t, time.Now())
	if strings.Contains(c.server.Log(), "PANIC") || c.server.PID() != pid {
		t.Error("the server ended, want it only to refuse writes")
	}
	t.Logf("the disk with the tables was full: %v", time.Since(began).Round(time.Millisecond))
}

// fullJournal fills the disk with the journal. The server ends, because it cannot
// guarantee a commit. Its operator makes room and starts it again.
func (c *cluster) fullJournal(ctx context.Context, t *testing.T, disk string) {
	t.Helper()
	began, from := time.Now(), len(c.server.Log())
	free := fill(ctx, t, disk)
	c.says(ctx, t, from, "PANIC", "No space left on device")
	c.askedToComeBack(ctx, t)
	pause(ctx, time.Second)
	free()
	room := time.Now()
	if err := c.server.Revive(); err != nil {
		t.Fatal(err)
	}
	c.recovers(ctx, t, room)
	t.Logf("the disk with the journal was full: %v", time.Since(began).Round(time.Millisecond))
}

// asIfFull makes the server answer as on a full disk when a message is stored.
func (c *cluster) asIfFull(ctx context.Context, t *testing.T) {
	t.Helper()
	err := c.sql(ctx, `CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
		CREATE TRIGGER disk_full BEFORE INSERT ON message EXECUTE FUNCTION disk_full()`)
	if err != nil {
		t.Fatal(err)
	}
	c.askedToComeBack(ctx, t)
	pause(ctx, time.Second)
	if err := c.sql(ctx, `DROP FUNCTION disk_full CASCADE`); err != nil {
		t.Fatal(err)
	}
	c.recovers(ctx, t, time.Now())
}

// askedToComeBack sends messages to every replica directly, until it answers that it
// cannot accept them now. A few messages may still find room.
func (c *cluster) askedToComeBack(ctx context.Context, t *testing.T) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	for _, g := range c.replicas {
		for asked := false; !asked; pause(ctx, poll) {
			var refused *amtp.Error
			switch err := c.at(g).once(limited, c.probe); {
			case err == nil && limited.Err() == nil:
				c.probes++
			case errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable && refused.RetryAfter > 0:
				asked = true
			default:
				t.Fatalf("a message on a full disk: %v, want 503 with Retry-After", err)
			}
		}
	}
}

// at returns the prober as a client of one replica only.
func (c *cluster) at(g *Gateway) *Agent {
	direct := *c.prober
	direct.gateway = g
	return &direct
}

// says waits until one line of the server's log, written since the given place,
// contains the words. The log is not on the disks.
func (c *cluster) says(ctx context.Context, t *testing.T, from int, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	for {
		log := c.server.Log()
		for line := range strings.Lines(log[from:]) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return
			}
		}
		if pause(ctx, poll); ctx.Err() != nil {
			t.Fatalf("PostgreSQL never logs %q in one line; the log ends with\n%s", words, tail(log))
		}
	}
}

func tail(log string) string { return log[max(0, len(log)-2000):] }

// fill fills the free space of a disk, also space that becomes free, until free is
// called.
func fill(ctx context.Context, t *testing.T, disk string) (free func()) {
	t.Helper()
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		defer ballast.Close()
		for size := 1 << 20; ctx.Err() == nil; {
			switch _, err := ballast.Write(make([]byte, size)); {
			case err == nil:
			case !isFull(err):
				done <- fmt.Errorf("the ballast: %w", err)
				return
			case size > 1:
				size /= 16
			default:
				pause(ctx, poll)
			}
		}
		done <- os.Remove(ballast.Name())
	}()
	return func() {
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
