package certificate

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// note is the memory of attempts that failed. It is stored, so that gateways which are
// restarted often, or share a store, ask the authority no more often than one that
// keeps running. The library remembers failures in memory only.
type note struct {
	Tries  int       `json:"tries"` // in a row
	Failed time.Time `json:"failed"`
	Next   time.Time `json:"next"` // the next attempt is not before it
	Error  string    `json:"error"`
}

// The next attempt after a failure waits for the first of these times. Each further
// failure in a row doubles it, up to the last. An authority counts its refusals; one
// that does not answer counts nothing.
const (
	silentFirst, silentLast   = 10 * time.Second, 10 * time.Minute
	refusedFirst, refusedLast = 2 * time.Minute, time.Hour
	// With a wrong clock the gateway would ask for one good certificate after another.
	// An authority gives only a few in a week.
	clockFirst, clockLast = time.Hour, 24 * time.Hour
)

// untimely is the error about a certificate that is not valid at the clock's time.
type untimely struct{ error }

// longestPause is longer than any pause.
const longestPause = 2 * clockLast

// pause is how long the next attempt waits after a number of failures in a row.
func pause(tries int, err error) time.Duration {
	first, last := silentFirst, silentLast
	var problem acme.Problem
	if errors.As(err, &problem) {
		first, last = refusedFirst, refusedLast
		if problem.Type == acme.ProblemTypeRateLimited {
			first = refusedLast
		}
	}
	if errors.As(err, new(untimely)) {
		first, last = clockFirst, clockLast
	}
	wait := last
	if n := min(tries-1, 16); first<<n < last {
		wait = first << n
	}
	return time.Duration(float64(wait) * (0.75 + rand.Float64()/2))
}

func noteName(issuer, host string) string {
	return path.Join("notes", certmagic.StorageKeys.Safe(issuer), host)
}

// recall reads the note of a host.
func (a *ACME) recall(ctx context.Context, host string) (n note, err error) {
	b, err := a.storage.Load(ctx, noteName(a.issuer.IssuerKey(), host))
	if errors.Is(err, fs.ErrNotExist) {
		return note{}, nil
	}
	if err != nil {
		return note{}, err
	}
	return n, json.Unmarshal(b, &n)
}

// remember stores how an attempt ended; err is nil after a success.
func (a *ACME) remember(ctx context.Context, host string, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), challengeTime)
	defer cancel()
	a.mu.Lock()
	n := a.notes[host]
	a.mu.Unlock()
	name := noteName(a.issuer.IssuerKey(), host)
	if err == nil {
		if n == (note{}) {
			return nil
		}
		n = note{}
	} else {
		at := a.o.Now()
		n = note{Tries: n.Tries + 1, Failed: at, Next: at.Add(pause(n.Tries+1, err)), Error: brief(err.Error())}
	}
	a.mu.Lock()
	a.notes[host] = n
	a.mu.Unlock()
	if err == nil {
		return a.storage.Delete(ctx, name)
	}
	b, encodeErr := json.Marshal(n)
	if encodeErr != nil {
		return encodeErr
	}
	return a.storage.Store(ctx, name, b)
}

// plain makes an error of the libraries short enough for a line. It keeps the
// authority's own text, if there is any.
func plain(err error) error {
	var problem acme.Problem
	if errors.As(err, &problem) {
		return short{problem}
	}
	return short{err}
}

// short is an error with a bounded text.
type short struct{ error }

func (s short) Error() string { return brief(s.error.Error()) }

func (s short) Unwrap() error { return s.error }

// errorBytes bounds the text that is kept of an error. The authority may have written
// a part of it.
const errorBytes = 500

func brief(s string) string {
	if len(s) > errorBytes {
		s = s[:errorBytes] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
