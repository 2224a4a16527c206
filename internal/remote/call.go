package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/outbound"
)

// ErrAddress is the error of a call whose address is no URL. Nothing was sent.
var ErrAddress = errors.New("the address of the gateway is no URL")

// Answer is what another gateway answered.
type Answer struct {
	Status int
	Header http.Header
	Proto  int                  // 1 or 2, the version of HTTP
	TLS    *tls.ConnectionState // nil over plain HTTP
	Body   []byte               // nil if it was larger than the client reads
	Large  bool                 // the body was larger than the client reads
	Took   time.Duration        // from the beginning of the call to the head of the answer
}

// IsDown reports whether the status says that the gateway cannot serve requests now: 429,
// or any of 5xx.
func (a *Answer) IsDown() bool {
	return a.Status == http.StatusTooManyRequests || a.Status >= http.StatusInternalServerError
}

// Call makes one request of the gateway at base, with a document of JSON as its body or
// nil for none, and reads the whole answer. path begins with a slash and may have a query.
// The client is one of outbound, which bounds the addresses of calls and the size of
// answers. Any other error than ErrAddress means that there was no answer, or only a part
// of one.
func Call(ctx context.Context, client *http.Client, method, base, path string, body []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, ErrAddress
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-AMTP-Version", amtp.Version)
	began := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	a := Answer{Status: res.StatusCode, Header: res.Header, Proto: res.ProtoMajor, TLS: res.TLS,
		Took: time.Since(began)}
	switch a.Body, err = io.ReadAll(res.Body); {
	case errors.Is(err, outbound.ErrTooLarge):
		a.Body, a.Large = nil, true // a part of a document is of no use
	case err != nil:
		return a, err
	}
	return a, nil
}
