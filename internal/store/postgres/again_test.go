package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// TestReadIsBegunAnew: a read whose connection breaks after its first statement is made
// once more, and its answer is as if it were the first. A reader that follows an inbox
// misses nothing, and a list counts nothing twice.
func TestReadIsBegunAnew(t *testing.T) {
	const n = 10
	w, where := newWire(t, database(t))
	s, err := Open(context.Background(), Options{URL: where + "&default_query_exec_mode=exec", deaf: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	alice, bob := register(t, s, "alice"), register(t, s, "bob")
	ids := make([]amtp.MessageID, n)
	for i := range ids {
		ids[i] = mustAccept(t, s, letterTo(t, alice, fmt.Sprint("letter", i), bob)).ID
	}
	bodies := "WHERE m.id = ANY" // the bodies of the messages that the first statement chose
	after := int64(0)
	for i, id := range ids {
		w.armed.Store(&bodies)
		page, err := s.Inbox(t.Context(), gateway.Acting{Agent: bob.ID}, gateway.InboxFilter{After: after, Limit: 1})
		if err != nil || len(page.Items) != 1 || page.Items[0].ID != id {
			t.Fatalf("message %d after the cursor %d = %+v, %v, want %s", i, after, page.Items, err, id)
		}
		after = page.Next
	}
	for i := range n {
		w.armed.Store(&bodies)
		page, err := s.Messages(t.Context(), gateway.Reader{Agent: bob.ID},
			gateway.MessageFilter{Limit: 1, Offset: n - 1})
		if err != nil || page.Total != n || len(page.Messages) != 1 || page.Messages[0].ID != ids[0] {
			t.Fatalf("list %d = %d messages of %d, %v, want the oldest of %d", i, len(page.Messages),
				page.Total, err, n)
		}
	}
	if w.cuts.Load() != 2*n {
		t.Errorf("connections that were cut = %d, want one for every read, %d", w.cuts.Load(), 2*n)
	}
}
