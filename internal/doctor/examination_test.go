package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/doctor"
	"github.com/amtp-go/amtp/internal/profile"
)

// gateway is a gateway that answers the paths, and 404 to any other.
func gateway(t *testing.T, answers map[string]string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, known := answers[r.URL.Path]
		w.Header().Set("Content-Type", "application/json")
		if !known {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"error":{"code":"NOT_FOUND","message":"There is no such path."}}`
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// examine returns the examination of an agent with a key at the gateway, with no admin key
// and no data directory on this machine.
func examine(url string) *doctor.Examination {
	id := &profile.Identity{File: &profile.File{Path: "/absent/config.json"}, Profile: profile.Default,
		Gateway: url, Key: "amtp_key", Address: "alice@shop.example"}
	client := func() *amtp.Client { return &amtp.Client{URL: id.Gateway, Key: id.Key} }
	return &doctor.Examination{
		Identity: id, Now: time.Now, Time: func(at time.Time) string { return at.String() },
		DataDir:   func() (string, error) { return "", errors.New("there is none here") },
		Anonymous: client, Agent: client, Admin: func() (*admin.Client, bool) { return nil, false },
		Explain: func(err error) (text, mend string) { return err.Error(), "look at it" },
	}
}

// lines writes findings as: name, + for good, - for bad, ? for skipped.
func lines(list []doctor.Finding) (short []string) {
	for _, f := range list {
		mark := "-"
		switch {
		case f.Skipped:
			mark = "?"
		case f.OK:
			mark = "+"
		}
		short = append(short, mark+f.Name)
	}
	return short
}

// TestExamination: one point for each subject, in one order. A point that cannot be
// checked is skipped and does not count as good, and each wrong point names a next
// step.
func TestExamination(t *testing.T) {
	up := map[string]string{
		"/health": `{"status":"healthy","version":"1","timestamp":"` + time.Now().UTC().Format(time.RFC3339Nano) + `"}`,
		"/ready":  `{"ready":true}`, "/v1/whoami": `{"address":"alice@shop.example","domain":"shop.example","pending":2,"unread":1}`,
	}
	full := func(path, answer string) map[string]string {
		other := map[string]string{path: answer}
		for p, a := range up {
			if p != path {
				other[p] = a
			}
		}
		return other
	}
	for _, tt := range []struct {
		what    string
		answers map[string]string
		want    string
	}{
		{"in order", up, "+identity +gateway +clock +key ?data ?domain ?peers ?queue"},
		{"a disk that is full", full("/ready", `{"ready":false,"reason":"no room"}`),
			"+identity -gateway +clock +key ?data ?domain ?peers ?queue"},
		{"a clock that is wrong", full("/health", `{"status":"healthy","timestamp":"2020-01-01T00:00:00Z"}`),
			"+identity +gateway -clock +key ?data ?domain ?peers ?queue"},
		{"no gateway", nil, "+identity -gateway ?data ?domain"},
	} {
		list := examine(gateway(t, tt.answers)).Run(t.Context())
		if got := strings.Join(lines(list), " "); got != tt.want {
			t.Errorf("%s: %s\nwant %s\n%+v", tt.what, got, tt.want, list)
		}
		wrong := slices.DeleteFunc(slices.Clone(list), func(f doctor.Finding) bool { return f.OK })
		if len(wrong) != doctor.Wrong(list) {
			t.Errorf("%s: Wrong counts %d of %+v", tt.what, doctor.Wrong(list), list)
		}
		for _, f := range wrong {
			if f.Mend == "" || f.Text == "" {
				t.Errorf("%s: %+v says no next step", tt.what, f)
			}
		}
	}
}

// TestProbeOfNobody: without a sender that the gateway knows, no message is sent.
func TestProbeOfNobody(t *testing.T) {
	x := examine(gateway(t, nil))
	x.Run(t.Context())
	to, err := amtp.ParseAddress("echo@shop.example")
	if err != nil {
		t.Fatal(err)
	}
	f, answered := x.Probe(context.Background(), to, time.Hour, func() { t.Error("a probe was sent") })
	if f.OK || !answered || f.Mend == "" {
		t.Errorf("%+v, %v; want a fault that is not the answer's", f, answered)
	}
}
