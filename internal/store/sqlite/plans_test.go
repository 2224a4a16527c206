package sqlite

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// TestPlans asks SQLite for the plan of every statement that a day of use prepares. No
// plan may go through a whole table or a whole mailbox, because its cost would grow
// with the stored data.
func TestPlans(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	useEverything(t, s)
	useTheQueue(t, s)
	seen := 0
	check := func(c *statements) {
		for sql := range c.prepared {
			for _, step := range plan(t, c, sql) {
				seen++
				if wrong := badStep(sql, step); wrong != "" {
					t.Errorf("%s: %s\n%s", wrong, step, sql)
				}
			}
		}
	}
	for range readerCount {
		r := <-s.readers
		check(&r.statements)
		defer func() { s.readers <- r }()
	}
	done := make(chan struct{})
	err = s.write(t.Context(), 0, func(w *writer) error {
		check(&statements{conn: w.conn, prepared: w.prepared})
		close(done)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-done
	if seen < 100 {
		t.Errorf("only %d steps of plans were seen; the test checks nothing", seen)
	}
}

// badStep describes the fault of one step of a plan, "" for none.
func badStep(sql, step string) string {
	scan := strings.HasPrefix(step, "SCAN ") && !strings.Contains(step, "CONSTANT") &&
		!strings.Contains(step, "json_each") &&
		!strings.Contains(step, "SUBQUERY") && !strings.Contains(step, "(subquery")
	oldest := step == "SCAN j" && strings.HasSuffix(sql, "ORDER BY j.id LIMIT ?")
	// once at the start
	rare := strings.Contains(step, "SCAN agent")
	// after the clock went back
	rare = rare || strings.HasPrefix(sql, "UPDATE receipt SET due = ?1 WHERE due >") ||
		strings.HasPrefix(sql, "UPDATE peer SET")
	recursion := strings.Contains(sql, "WITH RECURSIVE") && step == "SCAN next"
	switch {
	case strings.Contains(step, "TEMP B-TREE") && (strings.Contains(sql, "j.due <=") || oldest):
		return "jobs are sorted for every call"
	case scan && !oldest && !recursion && !strings.Contains(sql, "max(") && !rare:
		return "a whole table is read"
	case strings.Contains(sql, "d.message = ") && strings.HasPrefix(step, "SEARCH d ") &&
		strings.Contains(step, "delivery_box"):
		return "a delivery is looked for through the whole mailbox"
	}
	return ""
}

func plan(t *testing.T, c *statements, sql string) (steps []string) {
	t.Helper()
	if !strings.HasPrefix(sql, "SELECT") && !strings.HasPrefix(sql, "WITH") && !strings.HasPrefix(sql, "UPDATE") &&
		!strings.HasPrefix(sql, "DELETE") {
		return nil
	}
	stmt, _, err := c.conn.Prepare("EXPLAIN QUERY PLAN " + sql)
	if err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
	defer stmt.Close()
	for stmt.Step() {
		steps = append(steps, stmt.ColumnText(3))
	}
	return steps
}

// useEverything makes the calls that are made all day.
func useEverything(t *testing.T, s *Store) {
	t.Helper()
	ctx, now := context.Background(), time.Now()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	address, err := amtp.ParseAddress("alice@localhost")
	must(err)
	secret, key := gateway.NewKey(0, now)
	alice, err := s.AddAgent(ctx, gateway.Agent{Address: address, DeliveryMode: "pull", CreatedAt: now,
		LastActive: now}, key)
	must(err)
	_ = secret
	message,
		refused := amtp.ParseMessage([]byte(`{"sender":"alice@localhost","recipients":["alice@localhost"],"payload":1}`))
	if refused != nil {
		t.Fatal(refused)
	}
	accept := func(given, answers amtp.MessageID, key string) amtp.MessageID {
		got, err := s.Accept(ctx, gateway.Acceptance{
			Envelope: gateway.Envelope{ID: amtp.NewMessageID(), GivenID: given, Sender: address, SenderAgent: alice.ID,
				Class: gateway.ClassAgent,
				Found: gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}}, ReceivedAt: now,
				Timestamp: now, InReplyTo: answers},
			Key: key, Message: message, Recipients: []gateway.Recipient{{Agent: alice.ID}},
		})
		must(err)
		return got.ID
	}
	first := accept("token", "", "k")
	accept("token", "", "k")
	accept("", "token", "")
	accept("", first, "")
	by := gateway.Reader{Agent: alice.ID}
	for _, reader := range []gateway.Reader{by, {Everyone: true}} {
		_, err = s.Message(ctx, reader, first)
		must(err)
		_, err = s.Message(ctx, reader, "token")
		must(err)
	}
	for _, id := range []amtp.MessageID{first, "token"} {
		_, err = s.Thread(ctx, by.Acting(), id, gateway.ThreadFilter{Limit: 10})
		must(err)
	}
	_, err = s.IndexMail(ctx, 10)
	must(err)
	_, err = s.Search(ctx, by.Acting(), gateway.SearchFilter{Query: gateway.Query{{Words: []string{"a"}}},
		From:  address,
		Since: now.Add(-time.Hour), Limit: 10})
	must(err)
	_, err = s.Threads(ctx, by.Acting(), gateway.ThreadsFilter{Limit: 10})
	must(err)
	for _, f := range []gateway.MessageFilter{{}, {Sent: true},
		{Sender: address, Recipient: address, Status: amtp.StatusDelivered, Since: now.Add(-time.Hour)}} {
		_, err = s.Messages(ctx, by, f)
		must(err)
	}
	for _, f := range []gateway.InboxFilter{{}, {InReplyTo: first, Thread: first, From: address, Unread: true}} {
		_, err = s.Inbox(ctx, gateway.Acting{Agent: alice.ID}, f)
		must(err)
	}
	_, err = s.Newest(ctx, gateway.Acting{Agent: alice.ID})
	must(err)
	_, _, err = s.Depth(ctx, gateway.Acting{Agent: alice.ID}, 10)
	must(err)
	_, err = s.MarkRead(ctx, gateway.Acting{Agent: alice.ID}, first, now)
	must(err)
	_, err = s.Ack(ctx, gateway.Acting{Agent: alice.ID}, first, now)
	must(err)
	must(s.Probe(ctx, now))
}
