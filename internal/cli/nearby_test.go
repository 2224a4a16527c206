package cli

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
)

// TestForeignListener: who is believed to run the gateway on this machine.
func TestForeignListener(t *testing.T) {
	const base, other, stranger = "http://127.0.0.1:8080", 65531, 65532
	fresh := func() *program { return newProgram(strings.NewReader(""), io.Discard, io.Discard, nil) }
	p := fresh()
	if !p.believes("", base, os.Geteuid()) || !p.believes("", base, 0) {
		t.Error("neither the user nor root is believed")
	}
	if p.believes("", base, other) {
		t.Error("another user is believed")
	}
	p.runsAs = "65531"
	if !p.believes("", base, other) || p.believes("", base, stranger) {
		t.Error("the user who is named is not believed, or another one is")
	}
	p = fresh()
	p.meets = true
	if !p.believes("", base, other) || p.runsAs == "" {
		t.Errorf("whoever runs it at the first meeting is not believed, or not remembered: %q", p.runsAs)
	}
	if p.believes("", base, stranger) {
		t.Error("at the first meeting two users are believed")
	}
	lost := &amtp.ConnectError{URL: base, Err: errors.Join(&loopback.ForeignError{Address: "127.0.0.1:8080", User: "mallory"})}
	f := fresh().explain(lost)
	if f.exit != exitUnauthorised || f.code != codeForeign || f.retryable || !strings.Contains(f.message, "the user mallory") || !strings.Contains(f.hint, "AMTP_GATEWAY_USER=mallory") {
		t.Errorf("told: %+v", f)
	}
}

// TestWhereTheListenerMatters: over plain HTTP on this machine, and nowhere else.
func TestWhereTheListenerMatters(t *testing.T) {
	p := newProgram(strings.NewReader(""), io.Discard, io.Discard, nil)
	for base, matters := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost:8080": true, "http://[::1]:8080/": true, " http://LOCALHOST ": true,
		"https://127.0.0.1:8443": false, "http://gateway.lan": false, "https://gateway.example": false, "": false,
	} {
		if got := p.near("", base) != nil; got != matters {
			t.Errorf("%q: %v, want %v", base, got, matters)
		}
	}
}

// TestSetupSavesWhoRunsTheGateway: what is named is saved, and removed when it is no
// longer so.
func TestSetupSavesWhoRunsTheGateway(t *testing.T) {
	g := newFakeGateway(t, everything)
	u := newUser(t)
	u.env = append(u.env, "AMTP_GATEWAY_URL="+g.url)
	if got := u.run("setup", "--name", "alice", "--gateway-user", "amtp"); got.exit != 0 || u.config()["gatewayUser"] != "amtp" {
		t.Errorf("%+v, %v", got, u.config())
	}
	if got := u.run("whoami", "--check"); got.exit != 0 {
		t.Errorf("with a name of its own in the file: %+v", got)
	}
}
