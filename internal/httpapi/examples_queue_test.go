package httpapi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/openapi/replay"
)

// tellOfTheQueue plays the document's examples for shop.example, which writes to two other
// domains. One accepts nothing for an hour; the other does not have the recipient.
func tellOfTheQueue(t *testing.T, examples, left map[string]replay.Example, changes map[string]bool) {
	t.Helper()
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // an error does not change the answer
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(string(body), "nobody@other.example") {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":"AGENT_UNKNOWN","message":"nobody here"}}`)
			return
		}
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(peer.Close)
	record := `"v=amtp1;gateway=` + peer.URL + `;auth=sig;max-size=5000000"`
	s := script{real: make(map[string]string), changes: changes, world: start(t, "AMTP_DOMAIN=shop.example",
		"AMTP_DNS_ALLOW_HTTP=true", `AMTP_DNS_MOCK_RECORDS={"far.example":`+record+`,"other.example":`+record+`}`)}
	s.agent("alice")
	play := func(operation string) {
		t.Helper()
		s.tell(examples, operation, "admin")
		delete(left, operation)
	}

	play("getCapabilities")
	s.sends("carol@far.example")
	s.until("/v1/admin/queue?state=retrying", `"count":1`)
	play("listJobs")
	play("getJob")
	play("retryJob")
	s.until("/v1/admin/queue?state=retrying", `"attempts":2`)
	play("cancelJob")

	s.sends("nobody@other.example")
	s.until("/v1/admin/dead-letters", `"count":1`)
	s.until("/v1/admin/queue", `"count":0`) // the report is written
	play("listDeadLetters")
	play("getDeadLetter")
	play("redriveDeadLetters")
	s.until("/v1/admin/dead-letters", `"count":1`)
	play("purgeDeadLetter")
	play("purgeDeadLetters")
}

// sends sends the message of the examples.
func (s *script) sends(to string) {
	s.t.Helper()
	a := s.do("POST", "/v1/messages", `{"sender":"alice@shop.example","recipients":["`+to+
		`"],"subject":"Prices","payload":{"text":"What do 500 bolts cost?"}}`, s.as("alice"))
	s.wants("send to "+to, a, 202, "")
}

// until repeats a request until the answer has the text.
func (s *script) until(path, text string) {
	s.t.Helper()
	tick, late := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		a := s.do("GET", path, "", "X-Admin-Key: "+s.admin)
		if strings.Contains(a.raw, text) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			s.t.Fatalf("GET %s never has %s: %s", path, text, a.raw)
		}
	}
}
