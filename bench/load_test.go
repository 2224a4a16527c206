package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/amtp-go/amtp"
)

// serve runs a handler for one test and returns it as a server to load.
func serve(t *testing.T, h http.Handler) *process {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &process{
		addr:   strings.TrimPrefix(s.URL, "http://"),
		sender: nobody("alice@localhost"), recipient: nobody("bob@localhost"),
	}
}

func TestALoadSendsEveryRequestOnce(t *testing.T) {
	var kept atomic.Int64
	p := serve(t, floor(func([]byte) error { kept.Add(1); return nil }))
	d, err := submissions(p, 8, 1000, 200).drive(t.Context())
	if err != nil || kept.Load() != 1000 || d.times.n != 1000 {
		t.Errorf("drive: %d kept, %d timed, %v; want 1000 of each", kept.Load(), d.times.n, err)
	}
}

func TestALoadAcknowledgesEveryMessage(t *testing.T) {
	p := serve(t, floor(nil))
	if _, err := acks(p, 4, []amtp.MessageID{"a", "b", "c", "d", "e"}).drive(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOneWrongAnswerFailsTheLoad(t *testing.T) {
	var n atomic.Int64
	p := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 500 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		reply(w, http.StatusAccepted, accepted{})
	}))
	_, err := submissions(p, 8, 1000, 200).drive(t.Context())
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("drive: %v, want an error that names the answer 503", err)
	}
}

func TestALoadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is the end of the connection noticed
		cancel()
		<-r.Context().Done()
	}))
	if _, err := submissions(p, 2, 10, 200).drive(ctx); err != context.Canceled {
		t.Errorf("drive: %v, want %v", err, context.Canceled)
	}
}

func TestTheLogTakesMoreThanItHolds(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the log syncs on Linux only")
	}
	log, err := openLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, logSize/3)
	for range 5 {
		if err := log.append(body); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
	if err := log.close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
