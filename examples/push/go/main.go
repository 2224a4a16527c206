// A receiver of pushed messages: it verifies who posts, counts the words of the
// message and answers with the number, which the sender gets as a reply.
//
//	receiver SECRET-FILE
//
// The file holds what amtp setup --push printed: whsec_….
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// verify checks that the gateway posted the body, lately.
func verify(secret string, h http.Header, body []byte) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(secret), "whsec_"))
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return errors.New("the time of the push is off")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("webhook-id"), at, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, signature := range strings.Fields(h.Get("webhook-signature")) {
		if hmac.Equal([]byte(signature), []byte(want)) {
			return nil
		}
	}
	return errors.New("the signature does not fit")
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: receiver SECRET-FILE")
	}
	var seen sync.Map // webhook-id; a real receiver remembers it where it keeps its work
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
		secret, err2 := os.ReadFile(os.Args[1])
		if err := errors.Join(err, err2); err != nil {
			http.Error(w, "not now", http.StatusServiceUnavailable) // it is pushed again
			return
		}
		if err := verify(string(secret), r.Header, body); err != nil {
			log.Printf("refused: %v", err)
			http.Error(w, "not from the gateway", http.StatusUnauthorized)
			return
		}
		var m struct {
			MessageID string `json:"message_id"`
			Trust     string `json:"trust"`
			// Whatever its sender put there, or nothing.
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(body, &m); err != nil {
			http.Error(w, "not a message", http.StatusBadRequest)
			return
		}
		if _, again := seen.LoadOrStore(r.Header.Get("webhook-id"), true); again {
			log.Printf("again: %s", m.MessageID)
		}
		var content struct{ Text string }
		if json.Unmarshal(m.Payload, &content) != nil {
			content.Text = "" // it is something else than an object with a text
		}
		words := len(strings.Fields(content.Text))
		log.Printf("got %s (%s): %d words", m.MessageID, m.Trust, words)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"accepted","response":{"words":%d}}`, words)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("receives at http://%s/", l.Addr())
	log.Fatal(http.Serve(l, nil))
}
