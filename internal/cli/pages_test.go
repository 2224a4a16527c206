package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestListing: pages are requested until the wanted number is shown, and a list of only
// empty pages ends.
func TestListing(t *testing.T) {
	for _, c := range []struct {
		what  string
		l     listing
		pages []page
		want  []string // limit and cursor of each call
	}{
		{"one page is all", listing{limit: 20}, []page{{5, false, ""}}, []string{"20 "}},
		{"as many as wanted", listing{limit: 20}, []page{{15, true, "a"}, {5, true, "b"}, {1, false, ""}},
			[]string{"20 ", "5 a"}},
		{"more than one page holds", listing{limit: 2500},
			[]page{{1000, true, "a"}, {1000, true, "b"}, {500, true, "c"}}, []string{"1000 ", "1000 a", "500 b"}},
		{"all", listing{limit: 20, all: true}, []page{{1000, true, "a"}, {0, true, "b"}, {7, false, ""}},
			[]string{"1000 ", "1000 a", "1000 b"}},
		{"from a cursor", listing{limit: 3, cursor: "z"}, []page{{3, true, "a"}}, []string{"3 z"}},
		{"pages without anything", listing{limit: 3}, []page{{0, true, "a"}, {0, true, "b"}, {3, false, ""}},
			[]string{"3 ", "3 a", "3 b"}},
		{"a gateway that knows no cursors", listing{limit: 30}, []page{{20, true, ""}}, []string{"30 "}},
		{"a cursor that leads back", listing{limit: 30}, []page{{1, true, "a"}, {1, true, "a"}, {1, true, "a"}},
			[]string{"30 ", "29 a"}},
	} {
		var asked []string
		err := c.l.each(func(limit int, cursor string) (page, error) {
			asked = append(asked, fmt.Sprintf("%d %s", limit, cursor))
			return c.pages[len(asked)-1], nil
		})
		if err != nil || !slices.Equal(asked, c.want) {
			t.Errorf("%s: asked for %q (%v), want %q", c.what, asked, err, c.want)
		}
	}
	n := 0
	l := listing{limit: 5}
	if err := l.each(func(int, string) (page, error) {
		n++
		return page{0, true, fmt.Sprint(n)}, nil
	}); err != nil || n != emptyPages {
		t.Errorf("a list without end was asked for %d times (%v), want %d", n, err, emptyPages)
	}
}

// TestListsFollowPages: the commands go on at the given cursor, and print how to go on
// after their limit.
func TestListsFollowPages(t *testing.T) {
	more := `,"has_more":true,"next_cursor":"i9"}`
	g := newFakeGateway(t, map[string]fakeAnswer{
		"GET /v1/messages": {200,
			`{"messages":[{"message_id":"m1","status":"queued","recipients":[]}],"total":1000,"total_capped":true,"limit":1,"offset":0` +
				more},
		"GET /v1/discovery/agents": {200,
			`{"agents":[{"address":"bob@localhost","delivery_mode":"pull"}],"agent_count":50,"domain":"localhost"` +
				more},
		"GET /v1/admin/agents": {200,
			`{"agents":{"bob@localhost":{"address":"bob@localhost","delivery_mode":"pull","listed":true}},"count":50` +
				more},
		"GET /v1/inbox/alice@localhost": {200,
			`{"recipient":"alice@localhost","messages":[{"message_id":"m1","sender":"bob@localhost"}]` + more},
		"GET /v1/inbox/alice%40localhost": {200,
			`{"recipient":"alice@localhost","messages":[{"message_id":"m1","sender":"bob@localhost"}]` + more},
	})
	u := operator(t, g)
	for _, c := range []struct{ args, asked, stdout, stderr string }{
		{"sent --limit 1 --cursor i8", "cursor=i8&limit=1", "Sent (1 of 1000+ messages)",
			"amtp sent --limit 1 --cursor i9"},
		{"discover --limit 1 --cursor i8", "cursor=i8&limit=1", "Discovered 1 of 50 agents",
			"amtp discover --limit 1 --cursor i9"},
		{"agent list --limit 1 --cursor i8", "cursor=i8&limit=1", "1 of 50 agents:",
			"amtp agent list --limit 1 --cursor i9"},
		{"inbox --limit 1 --cursor i8", "after=i8&limit=1", "(1 message, 0 unread; there are more)",
			"amtp inbox --limit 1 --cursor i9"},
	} {
		before := len(g.lines())
		got := u.run(strings.Fields(c.args)...)
		asked := strings.Join(g.lines()[before:], "\n")
		if got.exit != 0 || !strings.Contains(asked, c.asked) || !strings.Contains(got.stdout, c.stdout) ||
			!strings.Contains(got.stderr, c.stderr) {
			t.Errorf("%s: asked %q, got %+v; want %q, %q and %q", c.args, asked, got, c.asked, c.stdout, c.stderr)
		}
	}
	for _, args := range []string{"sent --limit 0", "sent --limit 3 --all", "sent --offset 1 --cursor i1",
		"inbox --after i1 --cursor i1", "discover --limit -1"} {
		if got := u.run(strings.Fields(args)...); got.exit != 2 {
			t.Errorf("%s: exit code %d, want 2; %s", args, got.exit, got.stderr)
		}
	}
}
