package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/test/fakedns"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// town is a gateway with callers from any address.
type town struct {
	t       *testing.T
	handler http.Handler
}

func newTown(t *testing.T, settings ...string) *town {
	t.Helper()
	environ := []string{"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DATA_DIR=" + t.TempDir(), "AMTP_DOMAIN=ours.example",
		"AMTP_DNS_RESOLVERS=" + fakedns.New(t).Addr().String()}
	cfg, _, err := config.Load(config.Sources{Environ: append(environ, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return &town{t, a.Handler()}
}

// post sends a body from the address and returns the status and the code of the answer.
// size is the announced length, -1 for none.
func (n *town) post(from string, body io.Reader, size int64) (int, amtp.Code) {
	r := httptest.NewRequest("POST", "/v1/messages", body)
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr, r.ContentLength = from, size
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	var said struct{ Error amtp.Error }
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		n.t.Errorf("the answer is no JSON: %v: %s", err, w.Body)
	}
	return w.Code, said.Error.Code
}

// letter sends a message to an unknown recipient, padded to size bytes. Where there is
// room for it the answer is 404.
func (n *town) letter(what, from string, size int, chunked bool, want int) {
	n.t.Helper()
	body := `{"version":"1.0","sender":"ann@peer.example","recipients":["nobody@ours.example"]}`
	body += strings.Repeat(" ", max(0, size-len(body)))
	announced := int64(len(body))
	if chunked {
		announced = -1
	}
	if status, code := n.post(from, strings.NewReader(body), announced); status != want {
		n.t.Errorf("%s: a letter of %d bytes from %s gets %d %s, want %d", what, len(body), from, status, code, want)
	}
}

// crowd is a group of callers who sent a part of the announced body and then nothing
// more.
type crowd struct {
	open []*io.PipeWriter
	all  sync.WaitGroup
}

// slow sends that many bytes of the announced ones from each address. It returns when
// the gateway has read them or refused to read them.
func (n *town) slow(sent, announced int, from ...string) *crowd {
	c := &crowd{}
	for _, address := range from {
		r, w := io.Pipe()
		c.open = append(c.open, w)
		c.all.Go(func() {
			n.post(address, r, int64(announced))
			r.Close()
		})
		_, _ = w.Write([]byte(strings.Repeat(" ", sent))) // ends early where there is no room
	}
	return c
}

// leave ends them.
func (c *crowd) leave() {
	for _, w := range c.open {
		w.CloseWithError(io.ErrUnexpectedEOF)
	}
	c.all.Wait()
}

func sixtyFour(format string) (list []string) {
	for i := range 64 {
		list = append(list, fmt.Sprintf(format, i+1))
	}
	return list
}

// A stranger who begins as many large messages as it has connections fills only its own
// share, in whatever form its address is written.
func TestOneStrangerLeavesRoomForPeers(t *testing.T) {
	for name, from := range map[string][]string{
		"one address":       sixtyFour("192.0.2.1:%d"),
		"mapped into IPv6":  append(sixtyFour("192.0.2.1:%d")[:32], sixtyFour("[::ffff:192.0.2.1]:%d")[:32]...),
		"one /64 of IPv6":   sixtyFour("[2001:db8::%d]:4711"),
		"no address at all": sixtyFour("somewhere%d"),
	} {
		n := newTown(t)
		crowd := n.slow(256<<10+1, 10<<20, from...)
		n.letter(name+", a peer", "198.51.100.1:4711", 1<<20, false, http.StatusNotFound)
		n.letter(name+", a peer with IPv6", "[2001:db8:0:1::1]:4711", 1<<20, false, http.StatusNotFound)
		n.letter(name+", itself", from[0], 4<<20, false, http.StatusServiceUnavailable)
		crowd.leave()
		n.letter(name+", itself afterwards", from[0], 4<<20, false, http.StatusNotFound)
	}
}

// All strangers together may use an eighth of the room. The proxy on this machine,
// which brings the messages of all callers, may use all of it.
func TestStrangersHaveOneShare(t *testing.T) {
	n := newTown(t, "AMTP_LIMITS_IN_FLIGHT_BYTES=256MiB")
	proxied := n.slow(6<<20, 8<<20, "127.0.0.1:1", "127.0.0.1:2", "[::1]:3")
	n.letter("beside 24 MiB of a proxy", "127.0.0.1:4", 5<<20, false, http.StatusNotFound)
	n.letter("beside 24 MiB of a proxy", "127.0.0.1:4", 9<<20, false, http.StatusServiceUnavailable)
	proxied.leave()
	many := n.slow(6<<20, 8<<20, "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1")
	n.letter("beside 32 MiB of four", "198.51.100.1:1", 100, false, http.StatusServiceUnavailable)
	many.leave()
	n.letter("afterwards", "198.51.100.1:1", 100, false, http.StatusNotFound)
}

// For every setting, the largest message of a peer is accepted at some time, also while
// the same peer keeps sending small ones.
func TestTheLargestMessageFits(t *testing.T) {
	slow.Test(t, "it sends the largest messages")
	for _, settings := range [][]string{
		{"AMTP_LIMITS_IN_FLIGHT_BYTES=256MiB", "AMTP_MESSAGE_MAX_SIZE=10MiB"},
		{"AMTP_LIMITS_IN_FLIGHT_BYTES=64MiB", "AMTP_MESSAGE_MAX_SIZE=10MiB"},
		{"AMTP_LIMITS_IN_FLIGHT_BYTES=10MiB", "AMTP_MESSAGE_MAX_SIZE=10MiB"},
		{"AMTP_LIMITS_IN_FLIGHT_BYTES=1MiB", "AMTP_MESSAGE_MAX_SIZE=1MiB"},
	} {
		largest := 10 << 20
		if strings.HasSuffix(settings[1], "=1MiB") {
			largest = 1 << 20
		}
		n := newTown(t, settings...)
		small := n.slow(100, 1000, "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3")
		for _, chunked := range []bool{false, true} {
			n.letter(fmt.Sprintf("%v, chunked %t", settings, chunked), "192.0.2.1:4", largest, chunked,
				http.StatusNotFound)
		}
		small.leave()
	}
}
