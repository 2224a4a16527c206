package outbound

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// transport sends requests within the limits.
type transport struct {
	small   lines
	large   lines // for requests whose body would delay others behind it
	single  lines // each is used once
	plain   bool
	agent   string
	maxBody int64
	longest time.Duration // of one call that moves no bytes, to the end of the answer's body
	rate    int64         // bytes that allow another second
}

// lines are connections that are kept.
type lines struct {
	http    *http.Transport
	allowed *http.Transport // for http URLs that only rules allow, or nil
}

// RoundTrip sends one request, as [http.RoundTripper] says.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.judge(r); err != nil {
		if r.Body != nil {
			err = errors.Join(err, r.Body.Close())
		}
		return nil, err
	}
	if r.ContentLength >= largeBody {
		return t.carry(r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), t.longest+t.time(r.ContentLength))
	r = r.Clone(ctx)
	r.Header.Set("User-Agent", t.agent)
	res, err := t.send(r, &t.small)
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = &limited{ReadCloser: res.Body, left: t.maxBody, over: cancel}
	return res, nil
}

// carry sends a request with a large body, for as long as it makes progress.
func (t *transport) carry(r *http.Request) (*http.Response, error) {
	ctx, p := watch(r.Context(), t.longest, t.rate)
	r = r.Clone(ctx)
	r.Header.Set("User-Agent", t.agent)
	p.sending(r)
	res, err := t.send(r, &t.large)
	if err != nil {
		p.stop()
		return nil, p.errorOf(err)
	}
	res.Body = &limited{ReadCloser: &countedBody{res.Body, p}, left: t.maxBody, over: p.stop}
	return res, nil
}

// send sends a request over a kept connection. If the server answers 421 it sends the
// request once more over a new one: several servers may be behind one address, and the
// kept connection may no longer lead to the right one. RFC 9110 §15.5.20.
func (t *transport) send(r *http.Request, kept *lines) (*http.Response, error) {
	res, err := kept.of(r).RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusMisdirectedRequest || r.Body != nil && r.GetBody == nil {
		return res, err
	}
	if err := res.Body.Close(); err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	if r.Body != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return t.single.of(again).RoundTrip(again)
}

// time returns how long that number of bytes may take; -1 means that it is unknown.
func (t *transport) time(bytes int64) time.Duration {
	return time.Duration(float64(max(bytes, 0)) / float64(t.rate) * float64(time.Second))
}

func (l *lines) each(do func(*http.Transport)) {
	do(l.http)
	if l.allowed != nil {
		do(l.allowed)
	}
}

// of returns the connections for a request.
func (l *lines) of(r *http.Request) *http.Transport {
	if l.allowed != nil && r.URL.Scheme == "http" {
		return l.allowed
	}
	return l.http
}

// judge refuses URLs that may never be called.
func (t *transport) judge(r *http.Request) error {
	return judgeURL(r.URL, t.plain || t.small.allowed != nil)
}

func judgeURL(u *url.URL, plain bool) error {
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !plain):
		return forbid("%q is not https", u.Scheme)
	case u.User != nil:
		return forbid("the URL has a user name")
	}
	return nil
}

// CloseIdleConnections closes the connections that wait for another call.
func (t *transport) CloseIdleConnections() {
	t.small.each((*http.Transport).CloseIdleConnections)
	t.large.each((*http.Transport).CloseIdleConnections)
	t.single.each((*http.Transport).CloseIdleConnections)
}

// limited is a body that ends in an error if it is longer than its limit.
type limited struct {
	io.ReadCloser
	left int64
	over context.CancelFunc // ends the call
}

// Close ends the call.
func (l *limited) Close() error {
	defer l.over()
	return l.ReadCloser.Close()
}

// Read reads up to the limit. It fails only if the body is longer than that.
func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if int64(n) <= l.left {
		l.left -= int64(n)
		return n, err
	}
	n = int(l.left)
	l.left = -1
	return n, ErrTooLarge
}
