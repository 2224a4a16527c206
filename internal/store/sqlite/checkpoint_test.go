package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/test/faultfs"
	"github.com/ncruces/go-sqlite3"
)

// TestWALStaysBounded sends messages all the time, for a while with a reader that holds
// an old snapshot. During that time the WAL cannot restart, and beyond walHard the
// writer waits for the reader. After it, the WAL restarts again. The file never gets
// longer than the bound.
func TestWALStaysBounded(t *testing.T) {
	t.Parallel()
	const soft, hard, letters = 256 << 10, 768 << 10, 300
	// The WAL may exceed hard by the writes of one batch, and by those that came in
	// while the bulk was copied.
	const bound = hard * 3 / 2 // with the real sizes, 96 MiB
	dir := scratch(t)
	d := faultfs.New(t)
	var mu sync.Mutex
	var far int64 // the end of the last write to the WAL since it restarted
	longest, begun := int64(0), 0
	held := false // a reader holds a snapshot
	enough := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(enough) })
	d.Done = func(c faultfs.Call) {
		if c.Op != faultfs.Write || c.File != FileName+"-wal" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if c.Off == 0 {
			far = 0
			begun++
		}
		far = max(far, c.Off+int64(len(c.Data)))
		longest = max(longest, far)
		if held && far > hard {
			letGo()
		}
	}
	measured := func() (long int64, times int) {
		mu.Lock()
		defer mu.Unlock()
		long, times = longest, begun
		longest, begun = 0, 0
		return long, times
	}
	s := mustOpenOn(t, d, dir, Options{walSoft: soft, walHard: hard, Reserve: 64 << 10})
	alice, bob := cast(t, s)
	l := newLedger()
	send := func(phase string) {
		t.Helper()
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				for i := range letters / 4 {
					if err := l.post(s, alice, bob, fmt.Sprintf("%s-%d-%d", phase, worker, i)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	measured()
	send("free")
	long, times := measured()
	t.Logf("without a reader: restarted %d times, at most %d KiB long", times, long>>10)
	if long > bound || times < 2 {
		t.Errorf("the WAL was %d bytes long and restarted %d times, want at most %d, and twice or more", long,
			times, bound)
	}
	holding, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.read(context.Background(), func(r *reader) error {
			err := r.query(`SELECT count(*) FROM message`, func(*sqlite3.Stmt) error { return nil })
			close(holding)
			<-enough
			return err
		})
	}()
	<-holding
	mu.Lock()
	held, longest = true, max(longest, far)
	if far > hard { // the writer already waits for the reader before it writes
		letGo()
	}
	mu.Unlock()
	send("held")
	letGo()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	long, _ = measured()
	t.Logf("with a reader that holds a snapshot: at most %d KiB long", long>>10)
	if long < hard || long > bound {
		t.Errorf("with a reader the WAL was %d bytes long, want from %d to %d", long, hard, bound)
	}
	send("after")
	long, times = measured()
	t.Logf("after it: restarted %d times, at most %d KiB long", times, long>>10)
	if long > bound || times < 2 {
		t.Errorf("after the reader the WAL was %d bytes long and restarted %d times, want at most %d, and twice or more",
			long, times, bound)
	}
	info, err := os.Stat(filepath.Join(dir, FileName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > bound {
		t.Errorf("the file of the WAL is %d bytes long, want at most %d", info.Size(), bound)
	}
	l.check(t, s)
}
