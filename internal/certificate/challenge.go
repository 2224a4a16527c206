package certificate

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// challenges are the questions by which an authority checks that a host is ours. They
// are in the storage, so any gateway on the store answers a question that another one
// caused. The library's own solvers open ports, and remember questions by host for a
// whole process. RFC 8555 §8.3, RFC 8737.
type challenges struct {
	storage *storage
	hosts   []string
	tells   string // the type of the questions, such as acme.ChallengeTypeHTTP01
}

// challengePath is the directory that HTTP-01 requests.
const challengePath = "/.well-known/acme-challenge/"

// challengeTime bounds the time that the storage may take for one answer.
const challengeTime = 5 * time.Second

func (c *challenges) key(host string) string { return path.Join("challenges", c.tells, host) }

// ours refuses a question about a name that is not one of our hosts. The authority
// chose the name, and it becomes part of a name in the storage.
func (c *challenges) ours(question acme.Challenge) error {
	if !slices.Contains(c.hosts, question.Identifier.Value) {
		return fmt.Errorf("the authority asks about %.100q, which is no host of this gateway",
			question.Identifier.Value)
	}
	return nil
}

// Present makes the gateway answer a question. It is part of acmez.Solver.
func (c *challenges) Present(ctx context.Context, question acme.Challenge) error {
	if err := c.ours(question); err != nil {
		return err
	}
	b, err := json.Marshal(question)
	if err != nil {
		return err
	}
	return c.storage.Store(ctx, c.key(question.Identifier.Value), b)
}

// CleanUp makes the gateway forget a question, even after a cancelled attempt.
func (c *challenges) CleanUp(ctx context.Context, question acme.Challenge) error {
	if err := c.ours(question); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), challengeTime)
	defer cancel()
	return c.storage.Delete(ctx, c.key(question.Identifier.Value))
}

// open returns the open question for one of our hosts.
func (c *challenges) open(ctx context.Context, host string) (q acme.Challenge, err error) {
	if !slices.Contains(c.hosts, host) {
		return q, fs.ErrNotExist
	}
	ctx, cancel := context.WithTimeout(ctx, challengeTime)
	defer cancel()
	b, err := c.storage.Load(ctx, c.key(host))
	if err != nil {
		return q, err
	}
	return q, json.Unmarshal(b, &q)
}

// ServeHTTP answers HTTP-01 and nothing else.
func (c *challenges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	token, ok := strings.CutPrefix(r.URL.Path, challengePath)
	if ok && token != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		for _, host := range c.hosts {
			q, err := c.open(r.Context(), host)
			if err == nil && subtle.ConstantTimeCompare([]byte(q.Token), []byte(token)) == 1 {
				_, _ = io.WriteString(w, q.KeyAuthorization) // the caller may be gone
				return
			}
		}
	}
	w.WriteHeader(http.StatusNotFound)
	_,
		_ = io.WriteString(w,
		"This port only answers the authority that certifies this host. The gateway speaks https.\n")
}

// asks reports whether the caller is an authority that asks by TLS-ALPN-01.
func (c *challenges) asks(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmez.ACMETLS1Protocol
}

// certificate returns the certificate that answers such a caller.
func (c *challenges) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	err := fs.ErrNotExist
	var q acme.Challenge
	if c.tells == acme.ChallengeTypeTLSALPN01 {
		q, err = c.open(hello.Context(), strings.ToLower(hello.ServerName))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no authority was asked to look here")
	}
	if err != nil {
		return nil, err
	}
	return acmez.TLSALPN01ChallengeCert(q)
}
