package amtp_test

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// shelf is a gateway that has seven of every thing, two on a page, and one empty page.
func shelf(t *testing.T, asked *[]string) *admin.Client {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path+"?"+r.URL.RawQuery)
		cursor := r.URL.Query().Get("cursor") + r.URL.Query().Get("after")
		page, _ := strconv.Atoi(strings.TrimPrefix(cursor, "p"))
		var ids []int
		for id := 1 + 2*page; id <= min(7, 2+2*page) && page != 4; id++ {
			ids = append(ids, id)
		}
		item := map[string]string{
			"messages": `{"message_id":"m%d","recipients":[]}`, "agents": `{"address":"a%d@x.example"}`,
			"jobs": `{"id":%d}`, "dead_letters": `{"id":%d}`, "threads": `{"thread_id":"c%d"}`,
		}
		var members []string
		for name, form := range item {
			var list []string
			for _, id := range ids {
				list = append(list, fmt.Sprintf(form, id))
			}
			text := "[" + strings.Join(list, ",") + "]"
			if name == "agents" && strings.Contains(r.URL.Path, "admin") {
				list = nil
				for _, id := range ids {
					list = append(list, fmt.Sprintf(`"a%d@x.example":{"address":"a%d@x.example"}`, id, id))
				}
				text = "{" + strings.Join(list, ",") + "}"
			}
			members = append(members, `"`+name+`":`+text)
		}
		more := ""
		if page < 4 {
			more = fmt.Sprintf(`,"next_cursor":"p%d"`, page+1)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{%s,"has_more":%v%s}`, strings.Join(members, ","), page < 4, more)
	}))
	t.Cleanup(server.Close)
	return &admin.Client{Client: amtp.Client{URL: server.URL, Key: "k", AdminKey: "a"}}
}

func collect[T any](t *testing.T, list iter.Seq2[T, error], name func(T) string) (all []string) {
	t.Helper()
	for item, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name(item))
	}
	return all
}

// TestAllPages: the iterators go through every page, and stop when the caller stops
// reading.
func TestAllPages(t *testing.T) {
	var asked []string
	c, ctx := shelf(t, &asked), t.Context()
	address, err := amtp.ParseAddress("alice@x.example")
	if err != nil {
		t.Fatal(err)
	}
	number := func(form string) (want []string) {
		for i := range 7 {
			want = append(want, fmt.Sprintf(form, i+1))
		}
		return want
	}
	for what, got := range map[string][2][]string{
		"messages": {collect(t, c.AllMessages(ctx, amtp.MessageQuery{Offset: 3}),
			func(m amtp.MessageSummary) string { return string(m.MessageID) }), number("m%d")},
		"inbox": {collect(t, c.AllInbox(ctx, address, amtp.InboxQuery{}),
			func(m amtp.InboxMessage) string { return string(m.MessageID) }), number("m%d")},
		"thread": {collect(t, c.AllThread(ctx, "m1", amtp.ThreadQuery{}),
			func(m amtp.StoredMessage) string { return string(m.Message.MessageID) }), number("m%d")},
		"threads": {collect(t, c.AllThreads(ctx, amtp.ThreadQuery{}),
			func(t amtp.Thread) string { return string(t.ThreadID) }), number("c%d")},
		"discover": {collect(t, c.AllDiscovered(ctx, "", amtp.AgentQuery{}),
			func(a amtp.Agent) string { return a.Address.String() }), number("a%d@x.example")},
		"agents": {collect(t, c.AllAgents(ctx, admin.AgentPageQuery{}),
			func(a amtp.Agent) string { return a.Address.String() }), number("a%d@x.example")},
		"jobs": {collect(t, c.AllJobs(ctx, admin.JobQuery{}),
			func(j admin.QueuedJob) string { return fmt.Sprint(j.ID) }), number("%d")},
		"dead": {collect(t, c.AllDeadLetters(ctx, admin.DeadLetterQuery{}),
			func(l admin.DeadLetter) string { return fmt.Sprint(l.ID) }), number("%d")},
	} {
		if !slices.Equal(got[0], got[1]) {
			t.Errorf("%s: got %v, want %v", what, got[0], got[1])
		}
	}
	if n := slices.IndexFunc(asked, func(s string) bool {
		return strings.Contains(s, "offset") && strings.Contains(s, "cursor")
	}); n >= 0 {
		t.Errorf("asked %s: an offset counts from the beginning", asked[n])
	}
	asked = nil
	for range c.AllJobs(ctx, admin.JobQuery{}) {
		break
	}
	if len(asked) != 1 {
		t.Errorf("asked %d times for the first job, want once", len(asked))
	}
	lost := &amtp.Client{URL: "http://127.0.0.1:1", Retries: -1}
	n := 0
	for _, err := range lost.AllMessages(ctx, amtp.MessageQuery{}) {
		if n++; err == nil {
			t.Error("a gateway that is down has messages")
		}
	}
	if n != 1 {
		t.Errorf("%d answers of a gateway that is down, want one error", n)
	}
}

// TestEmptyPagesEnd: a gateway may send only empty pages and always say that more
// follows. Every iterator asks it a bounded number of times.
func TestEmptyPagesEnd(t *testing.T) {
	asked, pause := 0, 0 // pause is the number of empty pages between two that are not, 0 for endless empty pages
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		jobs, agents := "[]", "[]"
		if pause > 0 && asked%pause == 0 {
			jobs = `[{"id":1}]`
		}
		if strings.Contains(r.URL.Path, "/admin/agents") {
			agents = "{}"
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"messages":[],"threads":[],"agents":%s,"jobs":%s,"dead_letters":[],"has_more":%v,"next_cursor":"c%d"}`,
			agents, jobs, pause == 0 || asked < 5*pause, asked)
	}))
	defer server.Close()
	c, ctx := &admin.Client{Client: amtp.Client{URL: server.URL, Key: "k", AdminKey: "a"}}, t.Context()
	address, err := amtp.ParseAddress("alice@x.example")
	if err != nil {
		t.Fatal(err)
	}
	for what, list := range map[string]func() error{
		"messages": func() error { return end(c.AllMessages(ctx, amtp.MessageQuery{})) },
		"inbox":    func() error { return end(c.AllInbox(ctx, address, amtp.InboxQuery{})) },
		"thread":   func() error { return end(c.AllThread(ctx, "m1", amtp.ThreadQuery{})) },
		"threads":  func() error { return end(c.AllThreads(ctx, amtp.ThreadQuery{})) },
		"discover": func() error { return end(c.AllDiscovered(ctx, "", amtp.AgentQuery{})) },
		"agents":   func() error { return end(c.AllAgents(ctx, admin.AgentPageQuery{})) },
		"jobs":     func() error { return end(c.AllJobs(ctx, admin.JobQuery{})) },
		"dead":     func() error { return end(c.AllDeadLetters(ctx, admin.DeadLetterQuery{})) },
	} {
		asked = 0
		if err := list(); !errors.Is(err, amtp.ErrEmptyPages) || asked != 100 {
			t.Errorf("%s ended with %v after %d pages, want ErrEmptyPages after 100", what, err, asked)
		}
	}
	asked, pause = 0, 90
	if err := end(c.AllJobs(ctx, admin.JobQuery{})); err != nil || asked != 5*pause {
		t.Errorf("a list with something every %d pages ended with %v after %d, want all of its pages",
			pause, err, asked)
	}
}

// end goes through a list and returns the error that ends it.
func end[T any](list iter.Seq2[T, error]) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}
