package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/openapi/replay"
)

// mirror is a proxy before a gateway. It checks every request that a story makes, and
// its answer, against the document of the API. It passes both on unchanged, and the
// people of the story know no other address.
type mirror struct {
	t       *testing.T
	address string // its address, which stays when the gateway is restarted
	front   *http.Server
}

// pane is a mirror before one start of a gateway. A request that is under way when the
// gateway is restarted stays with the earlier start.
type pane struct {
	t      *testing.T
	behind string // the gateway's URL
}

var document = sync.OnceValues(replay.Load)

// direct opens a connection for each request. A connection left from a gateway that has
// ended would cause the request to be sent twice.
var direct = &http.Transport{DisableKeepAlives: true, DisableCompression: true}

// stand puts the mirror before the gateway at base and returns its own URL.
func (m *mirror) stand(base, dataDir string) (string, error) {
	if m.address == "" {
		m.address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", m.address)
	if err != nil {
		return "", err
	}
	m.address = listener.Addr().String()
	m.front = &http.Server{Handler: pane{m.t, strings.TrimPrefix(base, "http://")}}
	go func(s *http.Server) { _ = s.Serve(listener) }(m.front) // until it is closed
	return "http://" + m.address, m.record(dataDir)
}

// record records the mirror's address as the gateway's, so that commands on this
// machine use it.
func (m *mirror) record(dataDir string) error {
	name := filepath.Join(dataDir, datadir.GatewayFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var running datadir.Running
	if err := json.Unmarshal(b, &running); err != nil {
		return err
	}
	running.URL = "http://" + m.address
	if b, err = json.Marshal(running); err != nil {
		return err
	}
	// The gateway, which checks the note at intervals, must not find it half written.
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func (p pane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller has gone
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.behind, ""
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(sent)), int64(len(sent)), nil
	resp, err := direct.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler) // a gateway that was killed does not answer
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		passOn(w, resp)
		return
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	d, err := document()
	if err == nil {
		err = d.Check(replay.Exchange{Request: r, Sent: sent, Status: resp.StatusCode, Header: resp.Header, Body: body})
	}
	if err != nil {
		p.t.Error(err)
	}
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // the caller may have gone
}

// passOn passes on a stream as it comes. What it says is checked by the gateway's own tests.
func passOn(w http.ResponseWriter, resp *http.Response) {
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	control := http.NewResponseController(w)
	part := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(part)
		if _, wrong := w.Write(part[:n]); wrong != nil {
			return // the caller has gone
		}
		if wrong := control.Flush(); wrong != nil || err != nil {
			panic(http.ErrAbortHandler) // the stream broke off
		}
	}
}

// leave removes the mirror together with its gateway.
func (m *mirror) leave() {
	if m.front != nil {
		_ = m.front.Close()
		m.front = nil
	}
}
