package discovery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
)

// lan is one peer, and the answer of its gateway.
type lan struct {
	keys  discovery.RouteKeys
	err   error
	asked int
}

func (l *lan) Route(_ context.Context, d amtp.Domain) (*discovery.StaticRoute, error) {
	if d != "b.lan" {
		return nil, nil
	}
	return &discovery.StaticRoute{Domain: d, Version: "1"}, nil
}

func (l *lan) Keys(context.Context, *discovery.StaticRoute) (discovery.RouteKeys, error) {
	l.asked++
	return l.keys, l.err
}

// TestNewKeyOfAPeer: that a peer lacks a key is remembered for 30 seconds only, even
// when its other keys are known for longer. While the peer does not answer, the answer
// is not that there is no key. AMTP §2.
func TestNewKeyOfAPeer(t *testing.T) {
	key, err := amtp.ParseKeyRecord(keyText)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	peer := &lan{keys: discovery.RouteKeys{"one": key}}
	f, err := discovery.New(discovery.Options{Routes: peer, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what     string
		later    time.Duration
		change   func()
		selector string
		want     error
		asked    int
	}{
		{"a key", 0, nil, "one", nil, 1},
		{"no such key", 0, nil, "two", discovery.ErrNone, 1},
		{"a key that is new", 29 * time.Second, func() {
			peer.keys = discovery.RouteKeys{"one": key, "two": key}
		}, "two", discovery.ErrNone, 1},
		{"a key that was known", 0, nil, "one", nil, 1},
		{"the new one, half a minute later", time.Second, nil, "two", nil, 2},
		{"no such key, in the meantime", 4 * time.Minute, nil, "one", nil, 2},
		{"no such key, while the peer is away", 0, func() { peer.err = discovery.ErrTemporary }, "three",
			discovery.ErrTemporary, 3},
		{"a key that was known, while the peer is away", 0, nil, "two", nil, 3},
	} {
		now = now.Add(step.later)
		if step.change != nil {
			step.change()
		}
		_, err := f.Key(t.Context(), "b.lan", step.selector)
		if (err == nil) != (step.want == nil) || !errors.Is(err, step.want) || peer.asked != step.asked {
			t.Errorf("%s: Key(%s) = %v and the peer was asked %d times; want %v, %d", step.what, step.selector, err,
				peer.asked, step.want, step.asked)
		}
	}
}
