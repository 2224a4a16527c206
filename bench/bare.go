package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/amtp-go/amtp"
)

// The floors: the cost of net/http and encoding/json on this machine, and the least
// that stable storage adds to it. Each floor is a separate process: this program with
// "floor" and one of these words as its arguments.
const (
	bareFloor = "bare" // decodes the message and answers
	logFloor  = "log"  // the same, after the message is in a synced log
)

// message is the part of a request that the floors decode: the same request as the
// gateway's, by the standard library's decoder.
type message struct {
	Version        string          `json:"version"`
	IdempotencyKey string          `json:"idempotency_key"`
	Sender         string          `json:"sender"`
	Recipients     []string        `json:"recipients"`
	Subject        string          `json:"subject"`
	Payload        json.RawMessage `json:"payload"`
}

// accepted is the answer of the floors.
type accepted struct {
	MessageID string `json:"message_id"`
	Status    string `json:"status"`
}

// serveFloor runs one of the floors on a free loopback port, with its log at path. It
// prints its address as a line. It ends when standard input ends, so also when the
// parent is gone.
func serveFloor(word, path string) error {
	keep := func([]byte) error { return nil }
	if word == logFloor {
		log, err := openLog(path)
		if err != nil {
			return err
		}
		defer log.close()
		keep = log.append
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: floor(keep)}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// floor answers a submission with 202 once keep has returned, and a claim and the
// acknowledgement of a message with 200.
func floor(keep func([]byte) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) {
		var m message
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := keep(body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		reply(w, http.StatusAccepted, accepted{MessageID: m.IdempotencyKey, Status: "delivered"})
	})
	mux.HandleFunc("DELETE /v1/inbox/{address}/{id}", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, accepted{MessageID: r.PathValue("id"), Status: "acknowledged"})
	})
	mux.HandleFunc("POST /v1/inbox/{address}/claim", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, claimed{Messages: []claimedMessage{{MessageID: "none", Lease: amtp.Lease{Token: "none"}}}})
	})
	return mux
}

// claimed is the answer of the floors to a claim: a message without content.
type claimed struct {
	Messages []claimedMessage `json:"messages"`
}

type claimedMessage struct {
	MessageID string     `json:"message_id"`
	Lease     amtp.Lease `json:"lease"`
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
