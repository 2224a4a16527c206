package e2e

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the transcripts of docs/federation.md anew")

const federationPage = "../docs/federation.md"

// transcripts are the blocks of the page that show a terminal.
var transcripts = regexp.MustCompile("(?s)```console\n(.*?)```")

// prompt matches a command that is typed on a machine of the page.
var prompt = regexp.MustCompile(`(?m)^(shop|workshop)\$ (.*)$`)

// TestFederationPage types the commands of docs/federation.md, one after the other, and
// compares their output with the page. Parts that differ between two runs, or between
// this machine and one with a public address, are replaced: see pageView.
func TestFederationPage(t *testing.T) {
	before, err := os.ReadFile(federationPage)
	if err != nil {
		t.Fatal(err)
	}
	n := newInternet(t)
	view := pageView{machines: map[string]*machine{}, ids: map[string]string{}}
	for _, name := range []string{"shop", "workshop"} {
		view.machines[name] = n.machine(name + ".example")
	}
	typed := 0
	page := transcripts.ReplaceAllStringFunc(string(before), func(block string) string {
		var b strings.Builder
		b.WriteString("```console\n")
		for _, line := range prompt.FindAllStringSubmatch(block, -1) {
			typed++
			fmt.Fprintf(&b, "%s\n%s", line[0], view.types(line[1], line[2]))
		}
		return b.String() + "```"
	})
	if typed < 10 {
		t.Errorf("%d commands were typed, want 10 or more: are they not found any more?", typed)
	}
	if page == string(before) {
		return
	}
	if *update {
		if err := os.WriteFile(federationPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s shows output that the program does not print: run go test ./e2e -run TestFederationPage -update\n%s",
		federationPage, firstDifference(string(before), page))
}

func firstDifference(shown, real string) string {
	a, b := strings.Split(shown, "\n"), strings.Split(real, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d shows %q\nprinted is %q", i+1, a[i], b[i])
		}
	}
	return "one is longer than the other"
}

// pageView shows the machines of a test as if each had its own address and ports.
type pageView struct {
	machines map[string]*machine
	ids      map[string]string // of messages, in the form of the page
}

// types runs a command and returns its output in the form of the page.
func (v *pageView) types(name, line string) string {
	m := v.machines[name]
	m.Helper()
	args := m.arguments(line)
	if args[0] == "serve" {
		if m.server.cmd != nil {
			m.halt()
		}
		m.serve()
		return ""
	}
	if args[0] == "setup" {
		args = append(args, "--gateway", "http://127.0.0.1:"+m.local)
	}
	output := m.does(0, args...)
	if args[0] == "domain" && args[1] == "setup" {
		m.publish() // the page asks the reader to do that
	}
	return v.shown(m, output, args)
}

// arguments splits a command line in which only double quotes are special.
func (m *machine) arguments(line string) []string {
	var args []string
	for i, part := range strings.Split(strings.TrimPrefix(line, "amtp "), `"`) {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	real := map[string]string{"20261122": m.signer, ":443": "127.0.0.1:" + m.port, "/etc/amtp/fullchain.pem": m.cert,
		"/etc/amtp/key.pem": m.key}
	for i := range args {
		if r := real[args[i]]; r != "" {
			args[i] = r
		}
	}
	return args
}

// Texts that differ between two runs, and their replacements in the page.
var unlike = []struct {
	form *regexp.Regexp
	page string
}{
	{regexp.MustCompile(`\(process \d+\)`), "(process 4711)"},
	{regexp.MustCompile(`p=MFkwEwYHKoZIzj0CAQYI[A-Za-z0-9+/=]+`), "p=MFkwEwYHKoZIzj0CAQYI…"},
	{regexp.MustCompile(`\b20\d{6}\b`), "20261122"},
	{regexp.MustCompile(`until 20\d\d-\d\d-\d\d`), "until 2027-02-20"},
	{times, "2026-11-22 09:15:03 UTC (2s ago)"},
	{fences, "$1 K5QHCDDYQP6ZCMNIBDSZWMHFUE"},
}

var messageID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// shown returns the output of a command in the form of the page.
func (v *pageView) shown(m *machine, output string, args []string) string {
	here := "127.0.0.1:443"
	if args[0] == "domain" && args[1] == "setup" {
		here = ":443" // as the command named it
	}
	pairs := []string{m.home, "~", m.cert, "/etc/amtp/fullchain.pem", m.key, "/etc/amtp/key.pem"}
	for _, other := range v.machines {
		pairs = append(pairs, "127.0.0.1:"+other.local, "127.0.0.1:8080", "."+other.domain+":"+other.port,
			"."+other.domain,
			"amtp."+other.domain+":"+other.port, "amtp."+other.domain, "127.0.0.1:"+other.port, here)
	}
	output = strings.NewReplacer(pairs...).Replace(output)
	for _, u := range unlike {
		output = u.form.ReplaceAllString(output, u.page)
	}
	return messageID.ReplaceAllStringFunc(output, func(id string) string {
		if v.ids[id] == "" {
			v.ids[id] = fmt.Sprintf("01a204dc-8339-7ac7-ac52-c37b5530%04d", len(v.ids)+1)
		}
		return v.ids[id]
	})
}
