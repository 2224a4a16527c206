package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// TestFullDiskIsLoggedOnce: the log has a line when the disk fills, and one when there
// is room again. The requests that are refused in between do not repeat it.
func TestFullDiskIsLoggedOnce(t *testing.T) {
	t.Parallel()
	disk, clock, d, kept := &smallDisk{dir: scratch(t)}, new(clock), faultfs.New(t), new(logged)
	disk.capacity.Store(8 << 20)
	d.Limit(disk.room)
	log := slog.New(slog.NewTextHandler(kept, nil))
	s := mustOpenOn(t, d, disk.dir, Options{Log: log, Reserve: 2 << 20, now: clock.now, free: disk.free,
		walSoft: 1 << 20, walHard: 2 << 20})
	alice, bob := cast(t, s)
	secret, key := gateway.NewKey(alice.ID, dawn)
	if _, err := s.AddKey(t.Context(), gateway.Acting{}, key, true); err != nil {
		t.Fatal(err)
	}
	url := serve(t, s, &order{}, log)
	if got := kept.lines("disk"); len(got) > 0 {
		t.Fatalf("before anything was full the log says %q", got)
	}
	l := newLedger()
	var err error
	for i := 0; err == nil; i++ {
		err = l.post(s, alice, bob, fmt.Sprintf("letter-%d", i))
	}
	if !errors.Is(err, gateway.ErrBusy) {
		t.Fatalf("Accept on a full disk = %v, want the error %q", err, gateway.ErrBusy)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	refuse := func() {
		for i := range 100 {
			clock.later(50 * time.Millisecond)
			if err := post(client, url, secret, alice, bob, fmt.Sprint("late-", i)); err == nil ||
				!strings.Contains(err.Error(), "got 503") {
				t.Fatalf("a message to a full disk: %v, want 503", err)
			}
		}
	}
	refuse()
	if got := kept.lines("disk is full"); len(got) != 1 {
		t.Errorf("after 100 refusals the log says %d times that the disk is full, want once: %.500q", len(got), got)
	}
	if got := kept.lines("request failed"); len(got) == 0 {
		t.Error("the log has no line of 100 refused requests")
	}
	disk.capacity.Add(8 << 20)
	clock.later(lookEvery)
	if err := post(client, url, secret, alice, bob, "after"); err != nil {
		t.Fatalf("a message when there is room again: %v, want no error", err)
	}
	if got := kept.lines("there is room again"); len(got) != 1 {
		t.Errorf("the log says %d times that there is room again, want once: %q", len(got), got)
	}
}

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// lines returns the lines that contain a text.
func (l *logged) lines(with string) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, with) {
			list = append(list, line)
		}
	}
	return list
}
