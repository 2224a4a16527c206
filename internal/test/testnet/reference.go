package testnet

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
)

// Reference plays the protocol's reference gateway as other gateways see it, with its
// mistakes. It recognises a message by its idempotency key alone, whoever sent it and
// to whomever. It repeats its first answer to that key for a day. It has an inbox for
// every name. A message whose id comes a second time overwrites the first one, whose
// recipients then no longer have it.
type Reference struct {
	Domain amtp.Domain
	net    *Net
	host   string // host:port

	mu      sync.Mutex
	posts   []RefPost
	answers map[string]refAnswer // by idempotency key
	stored  []refStored
	failing map[string]int    // by address: how often delivery to it fails
	refused map[string]string // by address: the code with which its messages are refused
	mute    int               // the number of next answers that are lost
	conns   int
}

// refStored is a message with the recipients that have it.
type refStored struct {
	RefMessage
	has []string
}

// RefPost is a request that arrived, and its answer.
type RefPost struct {
	Header http.Header
	Proto  string
	Body   RefMessage
	Status int
	Answer string
}

// RefMessage has the members that the reference gateway reads, without those that it
// ignores.
type RefMessage struct {
	MessageID      string          `json:"message_id"`
	IdempotencyKey string          `json:"idempotency_key"`
	Timestamp      string          `json:"timestamp"`
	Sender         string          `json:"sender"`
	Recipients     []string        `json:"recipients"`
	Subject        string          `json:"subject"`
	Schema         string          `json:"schema"`
	InReplyTo      string          `json:"in_reply_to"`
	Headers        map[string]any  `json:"headers"`
	Payload        json.RawMessage `json:"payload"`
	Attachments    []refAttachment `json:"attachments"`
}

type refAttachment struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size"`
	Hash        string `json:"hash"`
	URL         string `json:"url"`
}

type refAnswer struct {
	status int
	body   string
}

// Reference runs a reference gateway for the domain and publishes it as the real one
// is: without the statement that it signs.
func (n *Net) Reference(domain string) *Reference {
	n.t.Helper()
	d, err := amtp.ParseDomain(domain)
	if err != nil {
		n.t.Fatal(err)
	}
	host := "amtp." + domain
	cert, key, err := n.ca.Certificate(n.dir, host)
	if err != nil {
		n.t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		n.t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair},
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		n.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := &Reference{
		Domain: d, net: n, host: host + ":" + port,
		answers: make(map[string]refAnswer), failing: make(map[string]int), refused: make(map[string]string),
	}
	s := &http.Server{Handler: r, ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				r.mu.Lock()
				r.conns++
				r.mu.Unlock()
			}
		}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // ends with Close
	}()
	n.t.Cleanup(func() {
		s.Close()
		<-served
	})
	n.DNS.Addrs(host, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	n.DNS.TXT("_amtp."+domain, ttl, "v=amtp1;gateway=https://"+r.host)
	return r
}

// Fail makes the next n deliveries to the address fail.
func (r *Reference) Fail(address string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing[address] = n
}

// Refuse makes messages for the address be refused with the code, or accepted again
// when the code is "".
func (r *Reference) Refuse(address, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[address] = code
}

// Conns returns how many connections were made to it.
func (r *Reference) Conns() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

// Mute loses the next n answers.
func (r *Reference) Mute(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mute = n
}

// Posts returns the requests that arrived.
func (r *Reference) Posts() []RefPost {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posts)
}

// Inbox returns the messages of an address.
func (r *Reference) Inbox(address string) (list []RefMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.stored {
		if slices.Contains(m.has, address) {
			list = append(list, m.RefMessage)
		}
	}
	return list
}

// ServeHTTP implements http.Handler.
func (r *Reference) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/v1/messages" || req.Method != http.MethodPost {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	var m RefMessage
	answer := refAnswer{}
	if err := json.Unmarshal(body, &m); err != nil {
		answer = refuse("INVALID_REQUEST_FORMAT", "parse_error", err.Error())
	}
	r.mu.Lock()
	if answer.status == 0 {
		answer = r.process(&m)
	}
	r.posts = append(r.posts, RefPost{Header: req.Header, Proto: req.Proto, Body: m, Status: answer.status,
		Answer: answer.body})
	lost := r.mute > 0
	if lost {
		r.mute--
	}
	r.mu.Unlock()
	if lost {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, answer.body) // a caller that hung up gets no answer
}

func refuse(code, detail, why string) refAnswer {
	b, _ := json.Marshal(map[string]any{"error": map[string]any{ // strings cannot fail
		"code": code, "message": "Request validation failed", "details": map[string]string{detail: why},
		"timestamp": time.Now().UTC(), "request_id": "482fc282-ff06-4301-a858-5ad07877857e",
	}})
	return refAnswer{http.StatusBadRequest, string(b)}
}

// process checks a message, recognises it by its key, and delivers it.
func (r *Reference) process(m *RefMessage) refAnswer {
	if why := m.wrong(); why != "" {
		return refuse("VALIDATION_FAILED", "validation_error", why)
	}
	if old, ok := r.answers[m.IdempotencyKey]; ok {
		return old
	}
	for _, address := range m.Recipients {
		if code := r.refused[address]; code != "" {
			return refuse(code, "validation_error", "the message is not good enough for "+address)
		}
	}
	status, word := http.StatusOK, "delivered"
	stored := refStored{RefMessage: *m}
	list := make([]string, len(m.Recipients))
	for i, address := range m.Recipients {
		became := `"status":"delivered","timestamp":"2026-11-22T17:11:31.634235701Z","attempts":1,"delivery_mode":"pull","local_delivery":true,"inbox_delivered":true`
		if r.failing[address] > 0 || !strings.HasSuffix(address, "@"+string(r.Domain)) {
			r.failing[address]--
			status, word = http.StatusBadRequest, "failed"
			became = `"status":"failed","timestamp":"2026-11-22T17:11:31.634235701Z","attempts":1,"error_code":"DELIVERY_FAILED","error_message":"discovery failed"`
		} else {
			stored.has = append(stored.has, address)
		}
		list[len(list)-1-i] = fmt.Sprintf(`{"address":%q,%s}`, address, became) // in the order of completion
	}
	r.stored = slices.DeleteFunc(r.stored, func(old refStored) bool { return old.MessageID == m.MessageID })
	r.stored = append(r.stored, stored)
	answer := refAnswer{status, fmt.Sprintf(`{"message_id":%q,"status":%q,"recipients":[%s]}`, m.MessageID, word,
		strings.Join(list, ","))}
	r.answers[m.IdempotencyKey] = answer
	return answer
}
