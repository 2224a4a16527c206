package amtp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/amtp-go/amtp"
)

// gateway answers as a gateway would whose agents are alice and bob.
func gateway() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"message_id":"019b1d3e-7c00-7000-8000-000000000001","status":"delivered","recipients":[{"address":"bob@localhost","status":"delivered","timestamp":"2026-01-31T12:00:00.000Z","attempts":1}]}`)
	})
	mux.HandleFunc("GET /v1/inbox/{address}", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"recipient":"bob@localhost","count":1,"message_count":1,"has_more":false,"next_cursor":"1","messages":[{"message_id":"019b1d3e-7c00-7000-8000-000000000001","sender":"alice@localhost","recipients":["bob@localhost"],"payload":{"text":"hello"},"trust":"local","status":"unread"}]}`)
	})
	mux.HandleFunc("DELETE /v1/inbox/{address}/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"message_id":%q,"status":"acknowledged","recipient":"bob@localhost"}`, r.PathValue("id"))
	})
	mux.HandleFunc("GET /v1/messages/{id}/status", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"error":{"code":"MESSAGE_NOT_FOUND","message":"There is no such message."}}`)
	})
	return httptest.NewServer(mux)
}

func ExampleClient_Send() {
	srv := gateway()
	defer srv.Close()
	alice, _ := amtp.ParseAddress("alice@localhost")
	bob, _ := amtp.ParseAddress("bob@localhost")

	c := &amtp.Client{URL: srv.URL, Key: "amtp_…"}
	sent, err := c.Send(context.Background(), amtp.Message{
		Sender:     alice,
		Recipients: []amtp.Address{bob},
		Payload:    json.RawMessage(`{"text":"hello"}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range sent.Recipients {
		fmt.Println(r.Address, r.Status)
	}
	// Output: bob@localhost delivered
}

// An agent reads its inbox and acknowledges what it is done with. What it does
// not acknowledge is there again the next time.
func ExampleClient_Inbox() {
	srv := gateway()
	defer srv.Close()
	bob, _ := amtp.ParseAddress("bob@localhost")

	ctx := context.Background()
	c := &amtp.Client{URL: srv.URL, Key: "amtp_…"}
	page, err := c.Inbox(ctx, bob, amtp.InboxQuery{Limit: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range page.Messages {
		fmt.Println(m.Sender, m.Trust, string(m.Payload))
		done, err := c.Ack(ctx, bob, m.MessageID)
		fmt.Println(done.Status, err)
	}
	// Output:
	// alice@localhost local {"text":"hello"}
	// acknowledged <nil>
}

func ExampleClient_Status() {
	srv := gateway()
	defer srv.Close()

	c := &amtp.Client{URL: srv.URL, Key: "amtp_…"}
	_, err := c.Status(context.Background(), "unknown")
	var refused *amtp.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Status, refused.Code)
	}
	// Output: 404 MESSAGE_NOT_FOUND
}
