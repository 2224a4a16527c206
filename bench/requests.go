package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	mrand "math/rand/v2"
	"net/http"

	"github.com/amtp-go/amtp"
)

// A submission makes the requests that send one message repeatedly, each time under a
// new idempotency key.
type submission struct {
	request []byte
	key     int // the offset of the key in request
	rng     *mrand.ChaCha8
}

const (
	keySize    = 36 // of a UUID in its usual form
	minPayload = 16
)

// newSubmission builds the request once: a message from one agent to another with a
// payload of that many bytes, a JSON object of random text.
func newSubmission(host string, from, to agent, payload int) *submission {
	body := fmt.Appendf(nil,
		`{"version":"1.0","idempotency_key":"%0*d","sender":"%s","recipients":["%s"],"subject":"bench","payload":%s}`,
		keySize, 0, from.Address, to.Address, newPayload(payload))
	request := fmt.Appendf(nil, "POST /v1/messages HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", host, from.Key, len(body))
	mark := []byte(`"idempotency_key":"`)
	key := len(request) + bytes.Index(body, mark) + len(mark)
	return &submission{request: append(request, body...), key: key}
}

// submissions is the load of n messages from the server's sender to its recipient, with
// a payload of that many bytes.
func submissions(p *process, clients, n, payload int) load {
	s := newSubmission(p.addr, p.sender, p.recipient, payload)
	return load{addr: p.addr, clients: clients, n: n, status: http.StatusAccepted, source: s.source}
}

// source returns the requests of one client.
func (s *submission) source(int) func(int) []byte {
	var seed [32]byte
	rand.Read(seed[:])
	own := &submission{request: bytes.Clone(s.request), key: s.key, rng: mrand.NewChaCha8(seed)}
	return own.next
}

// next returns the request with a new key; it overwrites the last one.
func (s *submission) next(int) []byte {
	var id [16]byte
	s.rng.Read(id[:])
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // variant
	key := s.request[s.key : s.key+keySize]
	hex.Encode(key[0:8], id[0:4])
	hex.Encode(key[9:13], id[4:6])
	hex.Encode(key[14:18], id[6:8])
	hex.Encode(key[19:23], id[8:10])
	hex.Encode(key[24:36], id[10:16])
	key[8], key[13], key[18], key[23] = '-', '-', '-', '-'
	return s.request
}

// newPayload returns a JSON object of size bytes, at least minPayload.
func newPayload(size int) []byte {
	noise := make([]byte, size)
	rand.Read(noise)
	text := base64.RawURLEncoding.EncodeToString(noise)
	return fmt.Appendf(nil, `{"text":"%s"}`, text[:size-len(`{"text":""}`)])
}

// pages is the load of n reads of the beginning of the recipient's inbox, by one
// client.
func pages(p *process, n, limit int) load {
	request := fmt.Appendf(nil, "GET /v1/inbox/%s?limit=%d HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		p.recipient.Address, limit, p.addr, p.recipient.Key)
	source := func(int) func(int) []byte {
		return func(int) []byte { return request }
	}
	return load{addr: p.addr, clients: 1, n: n, status: http.StatusOK, source: source}
}

// acks is the load that acknowledges the messages one by one.
func acks(p *process, clients int, ids []amtp.MessageID) load {
	source := func(int) func(int) []byte {
		var request []byte
		return func(i int) []byte {
			request = fmt.Appendf(request[:0],
				"DELETE /v1/inbox/%s/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
				p.recipient.Address, ids[i], p.addr, p.recipient.Key)
			return request
		}
	}
	return load{addr: p.addr, clients: clients, n: len(ids), status: http.StatusOK, source: source}
}
