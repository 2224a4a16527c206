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
	http    *http.Transport
	allowed *http.Transport // for http URLs where only rules open them, or nil
	plain   bool
	agent   string
	maxBody int64
	longest time.Duration // of one call, to the end of the answer's body
}

// RoundTrip sends one request, as [http.RoundTripper] says.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.judge(r); err != nil {
		if r.Body != nil {
			err = errors.Join(err, r.Body.Close())
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), t.longest)
	r = r.Clone(ctx)
	r.Header.Set("User-Agent", t.agent)
	res, err := t.through(r).RoundTrip(r)
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = &limited{ReadCloser: res.Body, left: t.maxBody, over: cancel}
	return res, nil
}

// through returns the connections for a request.
func (t *transport) through(r *http.Request) *http.Transport {
	if t.allowed != nil && r.URL.Scheme == "http" {
		return t.allowed
	}
	return t.http
}

// judge refuses URLs for which there is nothing to ask.
func (t *transport) judge(r *http.Request) error {
	return judgeURL(r.URL, t.plain || t.allowed != nil)
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
	t.http.CloseIdleConnections()
	if t.allowed != nil {
		t.allowed.CloseIdleConnections()
	}
}

// limited is a body that ends in an error when it is longer than it may be.
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

// Read reads up to the limit. It fails only when there is more than that.
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
