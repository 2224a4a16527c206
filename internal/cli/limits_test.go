package cli

import (
	"strings"
	"testing"
)

// TestLimits shows what is used, and the rates.
func TestLimits(t *testing.T) {
	const report = `{"timestamp":"2026-11-22T09:15:03Z",
		"limits":[{"class":"stranger","of":"domain","messages":1200,"messages_minute":120,"bytes":67108864,"bytes_minute":1048576,"refused":17,"names":1},
			{"class":"look-up","of":"address","messages":10,"messages_minute":10,"bytes":0,"bytes_minute":0,"refused":0,"names":0}],
		"used":[{"class":"stranger","of":"domain","name":"other\u202e.example","messages":1200,"bytes":1228800,"share":1,"refused":17}],
		"disk":{"free":48318382080,"least":1073741824,"short":false},"refused_short":1,
		"connections":{"open":12,"most":8192,"strangers":9,"reserve":1024,"refused":0,"gave_way":3}}`
	g := newFakeGateway(t, map[string]fakeAnswer{"GET /v1/admin/limits": {200, report}})
	for args, want := range map[string][]string{
		"limits": {"USED  WHO       BY      NAME", "100%  stranger  domain  other",
			"1200 of 1200  1.2 MB of 67 MB  17\n",
			"Refused since the start: 17 requests because of a limit, 1 request because the disk was short.\n",
			"Disk: 48 GB free; strangers are served while 1.1 GB are.\n",
			"Connections: 12 of 8192 open, 9 of them strangers'; 1024 are kept from strangers; 0 were refused, 3 gave way to others.\n"},
		"limits --rates": {"stranger  domain   1200              120       67 MB          1 MB      17\n",
			"look-up   address  10 "},
		"limits --json": {`"refused_short":1`, `\u202e`},
	} {
		got := operator(t, g).run(strings.Fields(args)...)
		if got.exit != 0 || strings.Contains(got.stdout, "\u202e") {
			t.Errorf("amtp %s: %+v", args, got)
		}
		for _, part := range want {
			if !strings.Contains(got.stdout, part) {
				t.Errorf("amtp %s prints\n%swithout %q", args, got.stdout, part)
			}
		}
	}
}
