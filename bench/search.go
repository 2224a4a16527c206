package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

const (
	searchMine   = 100    // one message of so many is of the agent that searches
	searchReads  = 2_000  // searches per round
	vocabulary   = 50_000 // different words in the messages, used as often as words of a language
	searchedName = "gateway, index filled"
	unfilledName = "gateway, no index"
)

// search measures what the search index costs, and how long a search takes in one's own
// mail among a hundred times as much of others.
func (b *bench) search(ctx context.Context) error {
	for round := range b.Rounds {
		b.progress("search: accepting with and without the index, round %d of %d", round+1, b.Rounds)
		if err := b.quietly(func() error { return b.acceptIndexed(ctx) }); err != nil {
			return err
		}
	}
	r := b.report
	r.ratio("accept, 64 clients: rate, with the index / without", r.row("accept texts", searchedName, 64),
		r.row("accept texts", unfilledName, 64), perSecond)
	return b.onGateway(ctx, func(g *gateway) error { return b.searchAmong(ctx, g) })
}

// acceptIndexed accepts the same load on two gateways. The second one cannot fill its index,
// because a directory is in the place of its file.
func (b *bench) acceptIndexed(ctx context.Context) error {
	for _, name := range []string{searchedName, unfilledName} {
		dir, err := b.fresh()
		if err != nil {
			return err
		}
		if name == unfilledName {
			err = os.MkdirAll(filepath.Join(dir, "amtp.db-search"), 0o700)
		}
		if err == nil {
			err = b.acceptTexts(ctx, dir, name)
		}
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) acceptTexts(ctx context.Context, dir, name string) error {
	g, err := startGateway(ctx, b.binary, dir, launch{})
	if err != nil {
		return err
	}
	if err = g.register(ctx); err == nil {
		var s sample
		if s, err = measure(ctx, g.process, b.letters(g, g.sender, g.recipient, b.Messages)); err == nil {
			b.measured("accept texts", name, 64, s)
		}
	}
	return errors.Join(err, g.stop())
}

// searchAmong fills a gateway, and searches in the mail of one of its agents.
func (b *bench) searchAmong(ctx context.Context, g *gateway) error {
	c, err := g.operator()
	if err != nil {
		return err
	}
	mine, err := registered(ctx, c, "carol")
	if err != nil {
		return err
	}
	b.progress("search: filling %d messages, of which %d are of the agent that searches", b.Pending,
		b.Pending/searchMine)
	began := time.Now()
	for part := range searchMine / 10 { // so that its messages are spread among the others
		n := b.Pending / (searchMine / 10)
		for to, n := range map[agent]int{g.recipient: n - n/searchMine, mine: n / searchMine} {
			if _, err := b.letters(g, g.sender, to, n).drive(ctx); err != nil {
				return fmt.Errorf("part %d: %w", part, err)
			}
		}
	}
	accepted := time.Since(began)
	reader := amtp.Client{URL: g.url, Key: mine.Key, HTTP: g.http}
	waits, err := b.caughtUp(ctx, g)
	if err != nil {
		return err
	}
	b.report.figure("messages accepted per second while the index is filled", float64(b.Pending)/accepted.Seconds(), "/s")
	b.report.figure("time after the last message until the index has all", waits.Seconds(), "s")
	if info, err := os.Stat(filepath.Join(g.dir, "amtp.db-search")); err == nil {
		b.report.figure("search index per message", float64(info.Size())/float64(b.Pending), "bytes")
	}
	if page, err := reader.Search(ctx, amtp.SearchQuery{Words: "w0", Limit: 1}); err != nil || page.Count != 1 {
		return fmt.Errorf("a search for a frequent word found %d messages, %w", page.Count, err)
	}
	for range b.Rounds {
		if err := b.quietly(func() error { return b.searchOnce(ctx, g, mine) }); err != nil {
			return err
		}
	}
	return nil
}

// searchOnce measures searches for one, two and three words, each as frequent as words of a
// text are.
func (b *bench) searchOnce(ctx context.Context, g *gateway, mine agent) error {
	words := newWords()
	source := func(int) func(int) []byte {
		var request []byte
		return func(i int) []byte {
			request = fmt.Appendf(request[:0],
				"GET /v1/search?limit=20&q=%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
				strings.Join(words.some(1+i%3), "+"), g.addr, mine.Key)
			return request
		}
	}
	s, err := measure(ctx, g.process,
		load{addr: g.addr, clients: 1, n: searchReads, status: http.StatusOK, source: source})
	if err == nil {
		b.measured("search", fmt.Sprintf("gateway, %d messages", b.Pending), 1, s)
	}
	return err
}

// caughtUp waits until the index has all messages, and returns how long that took.
func (b *bench) caughtUp(ctx context.Context, g *gateway) (time.Duration, error) {
	began := time.Now()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	c := amtp.Client{URL: g.url, Key: g.sender.Key, HTTP: g.http}
	for {
		page, err := c.Search(ctx, amtp.SearchQuery{Words: "none", Limit: 1})
		if err != nil || page.Behind == 0 {
			return time.Since(began), err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-again.C:
		}
	}
}

func registered(ctx context.Context, c *admin.Client, name string) (agent, error) {
	r, err := c.Register(ctx, amtp.NewAgent{Address: name})
	return agent{r.Address, r.APIKey}, err
}

// words draws words as often as they are in a language: a few very often, most seldom.
type words struct{ zipf *mrand.Zipf }

func newWords() *words {
	var seed [32]byte
	rand.Read(seed[:])
	return &words{mrand.NewZipf(mrand.New(mrand.NewChaCha8(seed)), 1.1, 5, vocabulary)}
}

func (w *words) some(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("w", w.zipf.Uint64())
	}
	return list
}

// letters is the load of n messages, each with a text of random words.
func (b *bench) letters(g *gateway, from, to agent, n int) load {
	source := func(int) func(int) []byte {
		w := newWords()
		var request []byte
		return func(int) []byte {
			var text strings.Builder
			for text.Len() < b.Payload {
				text.WriteString(w.some(1)[0] + " ")
			}
			body, _ := json.Marshal(map[string]any{ // strings cannot fail
				"sender": from.Address, "recipients": []amtp.Address{to.Address}, "subject": strings.Join(w.some(3), " "),
				"payload": map[string]string{"text": text.String()[:b.Payload]},
			})
			request = fmt.Appendf(request[:0], "POST /v1/messages HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
				"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", g.addr, from.Key, len(body), body)
			return request
		}
	}
	return load{addr: g.addr, clients: 64, n: n, status: http.StatusAccepted, source: source}
}
