package sqlite

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/ncruces/go-sqlite3"
)

// TestInboxReadsOnlyWhatItShows: a page costs what is on it. It does not read the
// bodies of messages that a filter leaves out.
func TestInboxReadsOnlyWhatItShows(t *testing.T) {
	o := openOffice(t, t.TempDir())
	const letters = 60
	o.fill(letters)
	large := strings.Repeat(" ", 100*pageSize) // after the document
	err := o.write(t.Context(), 0, func(w *writer) error {
		if _, err := w.exec(`UPDATE message SET body = CAST(body || ? AS BLOB)`, large); err != nil {
			return err
		}
		_, err := w.exec(`UPDATE delivery SET read = 1 WHERE seq < ?`, letters)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.pagesRead(t) // counting begins here
	for what, f := range map[string]gateway.InboxFilter{
		"unread":      {Unread: true, Limit: 10},
		"offset":      {Offset: letters - 1, Limit: 10},
		"limit":       {Limit: 1},
		"bytes":       {MaxBytes: len(large)},
		"one in none": {After: letters - 1, Limit: 10},
	} {
		page, err := o.Inbox(t.Context(), gateway.Acting{Agent: o.agent.ID}, f)
		if err != nil || len(page.Items) != 1 || len(page.Items[0].Body) <= len(large) {
			t.Fatalf("%s: page of %d messages, %v; want one, whole", what, len(page.Items), err)
		}
		// Its own body has 100 pages; the rows of all other messages have a few each.
		if n := o.pagesRead(t); n > 1000 {
			t.Errorf("%s: a page of one message among %d read %d pages of the database, want at most 1000",
				what, letters, n)
		}
	}
}

// pagesRead returns how many pages of the database the readers have read since the last
// call.
func (o *office) pagesRead(t *testing.T) (n int64) {
	t.Helper()
	for range readerCount {
		r := <-o.readers
		for _, what := range []sqlite3.DBStatus{sqlite3.DBSTATUS_CACHE_HIT, sqlite3.DBSTATUS_CACHE_MISS} {
			pages, _, err := r.conn.Status(what, true)
			if err != nil {
				t.Fatal(err)
			}
			n += pages
		}
		o.readers <- r
	}
	return n
}
