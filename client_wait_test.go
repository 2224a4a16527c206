package amtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
)

// said is one answer of a gateway that has its answers prepared. stream is true for one
// that breaks off behind its text.
type said struct {
	status int
	text   string
	stream bool
}

// reading starts a gateway that gives these answers, one after the other, and returns the
// requests: the URI and the Last-Event-ID.
func reading(t *testing.T, answers ...said) (*amtp.Client, *[]string) {
	t.Helper()
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, strings.TrimSpace(r.RequestURI+" "+r.Header.Get("Last-Event-ID")))
		if len(got) > len(answers) {
			t.Errorf("request %d was not expected: %s", len(got), got[len(got)-1])
			w.WriteHeader(http.StatusForbidden)
			return
		}
		a := answers[len(got)-1]
		if a.stream {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, a.text)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(a.status)
		io.WriteString(w, a.text)
	}))
	t.Cleanup(srv.Close)
	return &amtp.Client{URL: srv.URL, Key: "agent-key", Retries: -1}, &got
}

func refused(code string) string { return `{"error":{"code":"` + code + `","message":"no"}}` }

// told is a message in an inbox as an event.
func told(seq int) string {
	return fmt.Sprintf("event: message\r\nid: i%d\r\ndata: {\"message_id\":\"m%d\",\r\ndata: \"size\":%d}\r\n\r\n", seq,
		seq,
		seq)
}

// TestEventsGoOn: a stream that breaks off continues behind its last event, until the
// gateway refuses it.
func TestEventsGoOn(t *testing.T) {
	c, got := reading(t,
		said{stream: true, text: "retry: 1\nid: i0\n\n" + told(1) + told(2) + "event: message\nid: i3\ndata: {\"mess"},
		said{status: 503, text: refused("TEMPORARY_FAILURE")},
		said{stream: true, text: ": still here\nid: i5\n\n"},
		said{stream: true, text: "retry: 1\n\n" + told(6) + "event: error\ndata: " +
			refused("AUTHENTICATION_FAILED") + "\n\n"},
		said{status: 401, text: refused("AUTHENTICATION_FAILED")},
	)
	away := 0
	q := amtp.EventQuery{After: "i0", InReplyTo: "m0", From: address(t, "bob@shop.example"), Thread: "m9",
		Status: "unread", Full: true, Away: func(error) bool { away++; return true }}
	var cursors []string
	var last error
	for e, err := range c.Events(t.Context(), address(t, "alice@shop.example"), q) {
		if err != nil {
			last = err
			break
		}
		cursors = append(cursors, e.Cursor)
		if want := "m" + e.Cursor[1:]; string(e.Message.MessageID) != want || len(e.Message.Raw) == 0 ||
			fmt.Sprint("i", e.Message.Size) != e.Cursor {
			t.Errorf("event %s: got %+v, want message %s", e.Cursor, e.Message, want)
		}
	}
	if want := []string{"i1", "i2", "i6"}; !slices.Equal(cursors, want) || away != 1 {
		t.Errorf("got %v, away %d times; want %v, once", cursors, away, want)
	}
	var no *amtp.Error
	if !errors.As(last, &no) || no.Status != 401 {
		t.Errorf("the stream ended with %v, want the refusal", last)
	}
	uri := "/v1/inbox/alice@shop.example/events?after=i0&fields=full&from=bob%40shop.example&in_reply_to=m0&status=unread&thread=m9"
	if want := []string{uri, uri + " i2", uri + " i2", uri + " i5", uri + " i6"}; !slices.Equal(*got, want) {
		t.Errorf("got  %q\nwant %q", *got, want)
	}
}

// TestEventsEnd: with the caller, and with a gateway that has no events.
func TestEventsEnd(t *testing.T) {
	alice := address(t, "alice@shop.example")
	c, got := reading(t, said{stream: true, text: told(1) + told(2)})
	for range c.Events(t.Context(), alice, amtp.EventQuery{New: true}) {
		break
	}
	if len(*got) != 1 || !strings.HasSuffix((*got)[0], "?after=now") {
		t.Errorf("got %q, want one request for new messages", *got)
	}
	c, _ = reading(t, said{stream: true, text: "retry: 60000\n\n" + told(1)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Events(ctx, alice, amtp.EventQuery{}) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("with the caller: got %v, want %v", last, context.Canceled)
	}
	for _, a := range []said{{status: 200, text: `{}`}, {status: 404, text: refused("NOT_FOUND")}} {
		c, _ = reading(t, a)
		for _, err := range c.Events(t.Context(), alice, amtp.EventQuery{}) {
			var no *amtp.Error
			if !errors.As(err, &no) {
				t.Errorf("%+v: got %v, want an error", a, err)
			}
		}
	}
	c, _ = reading(t)
	c.URL = "http://127.0.0.1:1"
	for _, err := range c.Events(t.Context(), alice, amtp.EventQuery{Away: func(error) bool { return false }}) {
		var lost *amtp.ConnectError
		if !errors.As(err, &lost) {
			t.Errorf("a gateway that is away: got %v, want a ConnectError", err)
		}
	}
}

// TestAwait: the wait passes pages on which nothing matches and a gateway that is away, and
// asks from where it was.
func TestAwait(t *testing.T) {
	none := `{"recipient":"alice@shop.example","count":0,"has_more":%v,"next_cursor":"i%d","messages":[]}`
	c, got := reading(t,
		said{status: 200, text: fmt.Sprintf(none, true, 40)},
		said{status: 503, text: refused("TEMPORARY_FAILURE")},
		said{status: 200, text: fmt.Sprintf(none, false, 50)},
		said{status: 200, text: `{"has_more":false,"next_cursor":"i51","messages":[{"message_id":"m1"}]}`},
	)
	away := 0
	page, err := c.Await(t.Context(), address(t, "alice@shop.example"), amtp.InboxQuery{InReplyTo: "m0",
		Fields: amtp.FieldsHeaders, Wait: 5 * time.Minute},
		func(_ error, answered bool) bool { away++; return answered })
	if err != nil || len(page.Messages) != 1 || page.Messages[0].MessageID != "m1" || away != 1 {
		t.Errorf("got %+v, %v, away %d times; want the message, once", page, err, away)
	}
	var want []string
	for _, after := range []string{"", "after=i40&", "after=i40&", "after=i50&"} {
		want = append(want, "/v1/inbox/alice@shop.example?"+after+"fields=headers&in_reply_to=m0&wait=30")
	}
	if !slices.Equal(*got, want) {
		t.Errorf("got  %q\nwant %q", *got, want)
	}
	c, _ = reading(t, said{status: 401, text: refused("AUTHENTICATION_FAILED")})
	var no *amtp.Error
	if _, err := c.Await(t.Context(), address(t, "alice@shop.example"), amtp.InboxQuery{Wait: time.Hour},
		nil); !errors.As(err, &no) || no.Status != 401 {
		t.Errorf("with a wrong key: got %v, want the refusal at once", err)
	}
	c, _ = reading(t, said{status: 200, text: fmt.Sprintf(none, false, 7)})
	if page, err := c.Await(t.Context(), address(t, "alice@shop.example"), amtp.InboxQuery{}, nil); err != nil ||
		page.NextCursor != "i7" {
		t.Errorf("without a wait: got %+v, %v; want the page", page, err)
	}
}

// TestInboxCount asks for the numbers alone.
func TestInboxCount(t *testing.T) {
	c, got := reading(t, said{status: 200,
		text: `{"recipient":"alice@shop.example","unread":2,"pending":3,"messages":[]}`})
	count, err := c.InboxCount(t.Context(), address(t, "alice@shop.example"))
	if err != nil || count.Unread != 2 || count.Pending != 3 ||
		(*got)[0] != "/v1/inbox/alice@shop.example?fields=count" {
		t.Errorf("got %+v, %v from %q; want 2 of 3", count, err, *got)
	}
}
